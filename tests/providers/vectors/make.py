"""
Make the vectors of keys wrapped by a passphrase and by an RSA key anew.

Run it in the folder `tests`, as `python -m providers.vectors.make`.

The same files come out each time: nonces, salts and seeds are the SHA-256 of the scenario's name.
Never wrap real keys like that. The RSA key is for these vectors only.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha1, sha256
from itertools import count
from pathlib import Path
from unicodedata import normalize

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from vectors.layout import Vector, flip, hex_lines, text_lines

from sqlalchemy_sealed.aead import Xaes, stretch
from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.keys import key_id_of
from sqlalchemy_sealed.testing.inputs import binding_of

FOLDER = Path(__file__).parent
DATA_KEY = bytes(range(32))
KEY_ID = key_id_of(DATA_KEY)
BINDING = binding_of("default", "data", KEY_ID)


def files() -> Iterator[tuple[Path, str]]:
    """Return the path, relative to this folder, and the content of every vector file."""
    for folder, vectors in (("passphrase", passphrases()), ("rsa", rsa_keys())):
        for vector in vectors:
            yield Path(folder, f"{vector.name}.txt"), str(vector)


def _vector(
    scenario: str,
    comment: str,
    kek: tuple[str, str],
    wrapped: str,
    *,
    name: str = "default",
    opens: bool = False,
) -> Vector:
    lines = [("expect", "success" if opens else "provider"), ("comment", comment), kek]
    lines += text_lines("key-name", [name])
    lines += [("key-kind", "data"), ("key-id", KEY_ID.hex()), ("wrapped", wrapped)]
    if opens:
        binding = hex_lines("binding", binding_of(name, "data", KEY_ID))
        lines += [*binding, ("unwrapped", DATA_KEY.hex())]
    return Vector(scenario, tuple(lines))


# -- passphrases

PASSPHRASE = "correct horse battery staple"


def _sealed(
    scenario: str,
    *,
    text: str = PASSPHRASE,
    iterations: int = 100_000,
    salt_size: int = 16,
    key: bytes = DATA_KEY,
    binding: bytes = BINDING,
) -> tuple[bytes, bytes]:
    """Return the salt, and nonce, ciphertext and tag."""
    salt = sha256(f"salt of {scenario}".encode()).digest()[:salt_size]
    nonce = sha256(scenario.encode()).digest()[:24]
    kek = Xaes(stretch(normalize("NFC", text).encode(), salt, iterations))
    return salt, nonce + kek.seal_with_nonce(nonce, key, binding)


def _form(salt: bytes, sealed: bytes, iterations: int | str = 100_000) -> str:
    return f"pbkdf2:1:{iterations}:{to_text(salt)}:{to_text(sealed)}"


def passphrases() -> Iterator[Vector]:
    """Return every vector of the folder `passphrase`."""
    kek = next(text_lines("passphrase", [PASSPHRASE]))
    for scenario, iterations in (("wrapped_data_key", 600_000), ("fewest_iterations", 100_000)):
        wrapped = _form(*_sealed(scenario, iterations=iterations), iterations)
        yield _vector(scenario, f"{iterations:,} iterations.", kek, wrapped, opens=True)
    scenario, text = "passphrase_decomposed", "bru\u0302le\u0301e a\u0300 la cre\u0300me"
    accents = next(text_lines("passphrase", [text]))
    wrapped = _form(*_sealed(scenario, text=text))
    yield _vector(scenario, "It is brought to NFC first.", accents, wrapped, opens=True)
    scenario = "key_name_unicode"
    binding = binding_of("\xe9", "data", KEY_ID)
    wrapped = _form(*_sealed(scenario, binding=binding))
    yield _vector(scenario, "A key name that is not ASCII.", kek, wrapped, name="\xe9", opens=True)
    yield from _bad_passphrases(kek)


def _bad_passphrases(kek: tuple[str, str]) -> Iterator[Vector]:
    def bad(scenario: str, comment: str, salt: bytes, sealed: bytes, iterations: str) -> Vector:
        return _vector(scenario, comment, kek, _form(salt, sealed, iterations))

    salt, sealed = _sealed("damaged")
    usual = "100000"
    other = _sealed("passphrase_wrong", text=PASSPHRASE.title())
    yield bad("passphrase_wrong", "Another case of letters.", *other, usual)
    yield bad("salt_flipped", "One bit was changed.", flip(salt, 0, 1), sealed, usual)
    yield bad("tag_flipped", "One bit was changed.", salt, flip(sealed, -1, 1), usual)
    yield bad("nonce_flipped", "One bit was changed.", salt, flip(sealed, 0, 1), usual)
    yield bad("cut_to_71_bytes", "71 bytes are left of 72.", salt, sealed[:-1], usual)
    yield bad("iterations_changed", "The KEK is another one.", salt, sealed, "100001")
    yield bad("iterations_with_zero", "There is one form of a number.", salt, sealed, "0100000")
    few = _sealed("iterations_too_few", iterations=99_999)
    yield bad("iterations_too_few", "It is the right KEK, and too weak.", *few, "99999")
    short = _sealed("salt_short", salt_size=15)
    yield bad("salt_short", "It is the right KEK, of 15 bytes of salt.", *short, usual)
    of_other = _sealed("wrapped_for_another_name", binding=binding_of("pii", "data", KEY_ID))
    yield bad("wrapped_for_another_name", "Swapped between key names.", *of_other, usual)
    cut = _sealed("wrapped_key_short", key=DATA_KEY[:31])
    yield bad("wrapped_key_short", "It unwraps to 31 bytes.", *cut, usual)


# -- RSA keys

PEM = "key.pem"


def rsa_keys() -> Iterator[Vector]:
    """Return every vector of the folder `rsa`."""
    key = Rsa((FOLDER / "rsa" / PEM).read_bytes())
    good = key.encrypt("wrapped_data_key")

    def vector(
        scenario: str, comment: str, ciphertext: bytes, named: str = "", *, opens: bool = False
    ) -> Vector:
        wrapped = f"rsa:1:{named or key.fingerprint}:{to_text(ciphertext)}"
        return _vector(scenario, comment, ("key-file", PEM), wrapped, opens=opens)

    yield vector("wrapped_data_key", "RSAES-OAEP with SHA-256, MGF1 with it.", good, opens=True)
    yield vector("another_key", "The fingerprint is of another key.", good, "0011223344556677")
    yield vector("ciphertext_flipped", "One bit was changed.", flip(good, 9, 1))
    yield vector("ciphertext_cut", "255 bytes are left of 256.", good[:-1])
    yield vector("ciphertext_longer", "A byte of zero before it.", b"\0" + good)
    yield vector("ciphertext_not_reduced", "n was added to it.", _not_reduced(key))
    other = binding_of("pii", "data", KEY_ID)
    for scenario, comment, ciphertext in (
        ("label_of_another_name", "Swapped between key names.", {"label": other}),
        ("label_empty", "Bound to nothing.", {"label": b""}),
        ("hash_sha1", "OAEP with SHA-1.", {"hashed": sha1}),
        ("wrapped_key_short", "It unwraps to 31 bytes.", {"key": DATA_KEY[:31]}),
    ):
        yield vector(scenario, comment, key.encrypt(scenario, **ciphertext))
    filler = bytes(byte or 1 for byte in _mgf(b"PKCS #1 version 1.5", 221, sha256))
    padded = b"\0\2" + filler + b"\0" + DATA_KEY
    yield vector("padding_of_version_1", "RSAES-PKCS1-v1_5.", key.raised(padded))


def _not_reduced(key: Rsa) -> bytes:
    """Return a ciphertext with n added to it, the first one that has not grown by a byte."""
    for number in count():
        more = int.from_bytes(key.encrypt(f"not reduced {number}"), "big") + key.modulus
        if more.bit_length() <= 8 * key.size:
            return more.to_bytes(key.size, "big")


class Rsa:
    """RSAES-OAEP as RFC 8017 section 7.1.1 has it, with a seed that is not random."""

    def __init__(self, pem: bytes) -> None:
        public = load_pem_private_key(pem, None).public_key()
        numbers = public.public_numbers()
        self.modulus, self.exponent = numbers.n, numbers.e
        self.size = (self.modulus.bit_length() + 7) // 8
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = sha256(der).hexdigest()[:16]

    def encrypt(
        self, scenario: str, *, key: bytes = DATA_KEY, label: bytes = BINDING, hashed=sha256
    ) -> bytes:
        """Return the ciphertext; the seed comes from the scenario's name."""
        label_hash = hashed(label).digest()
        seed = hashed(scenario.encode()).digest()
        zeros = bytes(self.size - len(key) - 2 * len(seed) - 2)
        block = label_hash + zeros + b"\1" + key
        masked = _xor(block, _mgf(seed, len(block), hashed))
        return self.raised(b"\0" + _xor(seed, _mgf(masked, len(seed), hashed)) + masked)

    def raised(self, message: bytes) -> bytes:
        """Return the message to the power of the exponent."""
        power = pow(int.from_bytes(message, "big"), self.exponent, self.modulus)
        return power.to_bytes(self.size, "big")


def _mgf(seed: bytes, size: int, hashed) -> bytes:
    """Return MGF1 (RFC 8017 appendix B.2.1)."""
    mask = b""
    for number in count():
        mask += hashed(seed + number.to_bytes(4, "big")).digest()
        if len(mask) >= size:
            return mask[:size]


def _xor(one: bytes, another: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, another, strict=True))


def main() -> None:
    """Write the files; what is no scenario any more is removed."""
    made = dict(files())
    for path in FOLDER.glob("*/*.txt"):
        if path.relative_to(FOLDER) not in made:
            path.unlink()
    for path, content in made.items():
        (FOLDER / path).write_text(content, encoding="ascii")


if __name__ == "__main__":
    main()
