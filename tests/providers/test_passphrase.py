"""A passphrase as KEK: how it is stretched, what is stored beside each key, what is refused."""

from __future__ import annotations

import pytest

from sqlalchemy_sealed.aead import stretch
from sqlalchemy_sealed.envelope import from_text
from sqlalchemy_sealed.errors import OptionError, ProviderError
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase

KEY = bytes(range(32))
TEXT = "correct horse battery staple"


def quick(text: str = TEXT, iterations: int = FEWEST_ITERATIONS) -> Passphrase:
    """Return a provider that does not take long."""
    return Passphrase(text, iterations=iterations)


def salt_of(wrapped: str) -> bytes:
    """Return the salt that stands in a wrapped key."""
    return from_text(wrapped.split(":")[3])


# -- PBKDF2

VECTORS = {
    # RFC 7914 section 11
    "RFC 7914, one iteration": (
        (b"passwd", b"salt", 1),
        """
        55 ac 04 6e 56 e3 08 9f ec 16 91 c2 25 44 b6 05 f9 41 85 21 6d de 04 65 e6 8b 9d 57 c2 0d
        ac bc 49 ca 9c cc f1 79 b6 45 99 16 64 b3 9d 77 ef 31 7c 71 b8 45 b1 e3 0b d5 09 11 20 41
        d3 a1 97 83
        """,
    ),
    "RFC 7914, 80,000 iterations": (
        (b"Password", b"NaCl", 80000),
        """
        4d dc d8 f6 0b 98 be 21 83 0c ee 5e f2 27 01 f9 64 1a 44 18 d0 4c 04 14 ae ff 08 87 6b 34
        ab 56 a1 d4 25 a1 22 58 33 54 9a db 84 1b 51 c9 b3 17 6a 27 2b de bb a1 d0 78 47 8f 62 b3
        97 f3 3c 8d
        """,
    ),
    # The inputs of RFC 6070, which is about SHA-1, with SHA-256
    "RFC 6070, test 2": (
        (b"password", b"salt", 2),
        "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43",
    ),
    "RFC 6070, test 3": (
        (b"password", b"salt", 4096),
        "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
    ),
    "RFC 6070, test 5": (
        (b"passwordPASSWORDpassword", b"saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096),
        "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1c635518c7dac47e9",
    ),
    "RFC 6070, test 6": ((b"pass\0word", b"sa\0lt", 4096), "89b69d0516f829893c696226650a8687"),
}


@pytest.mark.parametrize(("inputs", "expected"), VECTORS.values(), ids=VECTORS)
def test_it_is_pbkdf2(inputs: tuple[bytes, bytes, int], expected: str) -> None:
    """Stretching a passphrase gives the published values."""
    published = bytes.fromhex(expected)
    assert stretch(*inputs, len(published)) == published


# -- what is stored


def test_iterations_and_salt_stand_beside_the_key() -> None:
    """600,000 iterations unless told otherwise, and 16 bytes of salt."""
    wrapped = Passphrase(TEXT).wrap(KEY, b"binding")
    assert wrapped.startswith("pbkdf2:1:600000:")
    assert len(salt_of(wrapped)) == 16
    assert quick().unwrap(wrapped, b"binding") == KEY


def test_each_keystore_has_a_salt_of_its_own() -> None:
    """Two processes that begin with nothing draw two salts; one draws one for all its keys."""
    one, another = quick(), quick()
    salts = [salt_of(each.wrap(KEY, b"binding")) for each in (one, one, another)]
    assert salts[0] == salts[1] != salts[2]


def test_processes_one_after_another_share_a_salt() -> None:
    """Who has opened a keystore adds keys under its salt, so that it is opened by deriving once."""
    wrapped = quick().wrap(KEY, b"1")
    salts = {salt_of(wrapped)}
    for number in range(2, 5):
        process = quick()
        process.unwrap(wrapped, b"%d" % (number - 1))
        wrapped = process.wrap(KEY, b"%d" % number)
        salts.add(salt_of(wrapped))
    assert len(salts) == 1


def test_a_salt_of_other_iterations_is_not_taken_over() -> None:
    """More iterations come with a new salt."""
    old = quick().wrap(KEY, b"binding")
    process = quick(iterations=FEWEST_ITERATIONS + 1)
    process.unwrap(old, b"binding")
    assert salt_of(process.wrap(KEY, b"binding")) != salt_of(old)


def test_a_salt_of_another_passphrase_is_not_taken_over() -> None:
    """What does not unwrap leaves no trace."""
    foreign = quick("an entirely other passphrase").wrap(KEY, b"binding")
    process = quick()
    with pytest.raises(ProviderError, match="the passphrase is another one"):
        process.unwrap(foreign, b"binding")
    assert salt_of(process.wrap(KEY, b"binding")) != salt_of(foreign)


# -- other iterations


def test_iterations_are_raised_by_a_rewrap() -> None:
    """Keys of fewer iterations still open, are not current, and are after a rewrap."""
    old, new = quick(), quick(iterations=2 * FEWEST_ITERATIONS)
    wrapped = old.wrap(KEY, b"binding")
    assert not new.is_current(wrapped, new.version())
    rewrapped = new.rewrap(wrapped, b"binding")
    assert new.is_current(rewrapped, new.version())
    assert rewrapped.startswith(f"pbkdf2:1:{2 * FEWEST_ITERATIONS}:")
    assert old.unwrap(rewrapped, b"binding") == KEY


@pytest.mark.parametrize("iterations", ["100001", "200000"])
def test_changed_iterations_give_another_kek(iterations: str) -> None:
    """Whoever lowers or raises the number beside a key gets a key that does not open."""
    wrapped = quick().wrap(KEY, b"binding").replace(":100000:", f":{iterations}:")
    with pytest.raises(ProviderError, match="does not authenticate"):
        quick().unwrap(wrapped, b"binding")


@pytest.mark.parametrize(
    "iterations",
    [
        "0", "1", "99999", "10000001", "9" * 8, "9" * 20, "9" * 5000, "-100000", "+100000",
        "0100000", "100_000", "1e5", "100000.0", " 100000", "", "x", "\u0661" + "\u0660" * 5,
    ],
    ids=ascii,
)  # fmt: skip
def test_iterations_out_of_bounds_are_refused_at_once(iterations: str) -> None:
    """Neither a KEK that is quickly guessed nor one that takes for ever is derived."""
    provider = quick()
    wrapped = provider.wrap(KEY, b"binding").replace(":100000:", f":{iterations}:")
    derived = dict(provider._keks)
    with pytest.raises(ProviderError, match="its iterations are no number from 100000 to"):
        provider.unwrap(wrapped, b"binding")
    assert provider._keks == derived


@pytest.mark.parametrize("part", [3, 4], ids=["salt", "key"])
def test_a_part_of_another_size_is_refused_at_once(part: int) -> None:
    """So is a salt or a key of another size."""
    provider = quick()
    parts = provider.wrap(KEY, b"binding").split(":")
    parts[part] = parts[part][:-4]
    derived = dict(provider._keks)
    with pytest.raises(ProviderError, match="damaged: not"):
        provider.unwrap(":".join(parts), b"binding")
    assert provider._keks == derived


# -- what a passphrase is


@pytest.mark.parametrize("text", ["", "short", "x" * 11, None, b"a passphrase as bytes", 10**12])
def test_a_passphrase_is_a_text_of_some_length(text: object) -> None:
    """Twelve characters are the least."""
    with pytest.raises(OptionError, match="at least 12 characters"):
        Passphrase(text)


def test_a_passphrase_that_is_not_unicode_is_not_shown() -> None:
    """As of an environment variable with bytes of another encoding."""
    with pytest.raises(OptionError, match="valid Unicode") as caught:
        Passphrase("secret secret \udce9")
    assert caught.value.__context__ is None
    assert "secret secret" not in str(caught.value)


def test_a_passphrase_is_the_same_on_every_keyboard() -> None:
    """An accent may be a character of its own or not."""
    composed, decomposed = (
        "trés lõng crème brûlée",
        "tre\u0301s lo\u0303ng cre\u0300me bru\u0302le\u0301e",
    )
    assert composed != decomposed
    wrapped = quick(composed).wrap(KEY, b"binding")
    assert quick(decomposed).unwrap(wrapped, b"binding") == KEY


@pytest.mark.parametrize("text", [TEXT + " ", TEXT.upper(), TEXT[:-1], TEXT + "\n"])
def test_every_other_difference_counts(text: str) -> None:
    """Also case and white space."""
    with pytest.raises(ProviderError, match="the passphrase is another one"):
        quick(text).unwrap(quick().wrap(KEY, b"binding"), b"binding")


@pytest.mark.parametrize("iterations", [0, 99_999, 10_000_001, -1, 600_000.0, True, "600000", None])
def test_iterations_are_bounded(iterations: object) -> None:
    """Too few protect nothing, too many stop the process."""
    with pytest.raises(OptionError, match="from 100000 to 10000000"):
        Passphrase(TEXT, iterations=iterations)


def test_its_repr_is_public() -> None:
    """It says how many iterations there are, and nothing else."""
    assert repr(quick()) == "<Passphrase iterations=100000>"
    assert quick().version() == "pbkdf2:1:100000"
