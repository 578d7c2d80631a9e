"""A key of a PKCS#11 module as KEK, in SoftHSM2: logins, keys, and what is lost and comes back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fix_keys import forget
from servers.softhsm import VARIABLE, Hsm

from sqlalchemy_sealed import KeyManager, MemoryKeystore, get_sealer
from sqlalchemy_sealed.envelope import from_text, to_text
from sqlalchemy_sealed.errors import (
    MissingExtraError,
    OptionError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderUnavailableError,
)
from sqlalchemy_sealed.providers.pkcs11 import Pkcs11
from sqlalchemy_sealed.testing.processes import in_child

KEY = bytes(range(32))
BINDING = b"binding"

forking = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def provider(hsm: Hsm) -> Pkcs11:
    """Return a provider that has not been used yet."""
    return at(hsm)


def at(hsm: Hsm, token: str = "sealed", key: str = "kek", **changes: str) -> Pkcs11:
    """Return the provider of a key, with some arguments changed."""
    arguments = {"token": token, "key": key, "pin": hsm.pin, **changes}
    return Pkcs11(arguments.pop("library", hsm.library), **arguments)


def refused(provider: Pkcs11, kind: type[ProviderError]) -> str:
    """Return the error of all calls, which is the same one, of just this kind."""
    wrapped = f"pkcs11:1:0011223344556677:{'A' * 80}"
    calls: list[Callable[[], Any]] = [
        lambda: provider.unwrap(wrapped, BINDING),
        lambda: provider.rewrap(wrapped, BINDING),
        lambda: provider.wrap(KEY, BINDING),
        provider.version,
    ]
    errors = []
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            call()
        errors.append(caught.value)
    assert {type(error) for error in errors} == {kind}
    assert all(error.__context__ is None for error in errors)
    assert all(error.where == f"token {provider.token!r}, key {provider.key!r}" for error in errors)
    return errors[0].problem


# -- what cannot be used


@pytest.mark.parametrize("library", ["/absent.so", "/etc/passwd", "/", sys.executable])
def test_a_library_that_is_none(hsm: Hsm, library: str) -> None:
    """A path that leads nowhere, or to a file that is no PKCS#11 library."""
    assert "cannot be used" in refused(at(hsm, library=library), ProviderUnavailableError)


def test_a_token_that_is_not_there(hsm: Hsm) -> None:
    """It may be put in later."""
    assert "no token of this label" in refused(at(hsm, token="absent"), ProviderUnavailableError)


def test_a_token_that_is_there_twice(hsm: Hsm) -> None:
    """It is not guessed which one is meant."""
    assert "more than one token" in refused(at(hsm, token="twins"), ProviderError)


def test_a_key_that_is_not_there(hsm: Hsm) -> None:
    """The token is there, and the key is not."""
    assert "no AES key" in refused(at(hsm, key="absent"), ProviderKeyMissingError)


def test_a_key_that_is_there_twice(hsm: Hsm) -> None:
    """It is not guessed which one is meant."""
    hsm.key("sealed", "twin")
    hsm.key("sealed", "twin")
    assert "more than one AES key" in refused(at(hsm, key="twin"), ProviderKeyMissingError)


def test_a_key_of_another_kind(hsm: Hsm) -> None:
    """A key that is not an AES key is not looked at."""
    import pkcs11  # noqa: PLC0415 - it may be missing

    hsm.key("sealed", "des3", key_type=pkcs11.KeyType.DES3, bits=None)
    assert "no AES key" in refused(at(hsm, key="des3"), ProviderKeyMissingError)


@pytest.mark.parametrize("bits", [128, 192])
def test_a_short_key(hsm: Hsm, bits: int) -> None:
    """Data keys of 256 bits are not wrapped by less."""
    hsm.key("sealed", f"short {bits}", bits=bits)
    problem = refused(at(hsm, key=f"short {bits}"), ProviderError)
    assert f"{bits} bits, not 256" in problem


@pytest.mark.parametrize("use", ["ENCRYPT", "DECRYPT", "WRAP"])
def test_a_key_that_may_not_do_both(hsm: Hsm, use: str) -> None:
    """A key that may encrypt only would make wrapped keys that nothing unwraps."""
    import pkcs11  # noqa: PLC0415 - it may be missing

    hsm.key("sealed", f"only {use}", capabilities=getattr(pkcs11.MechanismFlag, use))
    assert "CKA_ENCRYPT, CKA_DECRYPT" in refused(at(hsm, key=f"only {use}"), ProviderDeniedError)


@pytest.mark.parametrize("value", ["", "secret \udcff", None, b"bytes"], ids=ascii)
@pytest.mark.parametrize("name", ["token", "key", "pin"])
def test_an_argument_is_a_text(hsm: Hsm, name: str, value: object) -> None:
    """An empty label or PIN is a mistake in the settings; so is one that is not Unicode."""
    with pytest.raises(OptionError, match="texts that are not empty") as caught:
        at(hsm, **{name: value})
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_without_its_package_it_says_what_to_install(
    hsm: Hsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is named where the provider is made, and not at the first key."""
    monkeypatch.setitem(sys.modules, "pkcs11.exceptions", None)
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(MissingExtraError, match=r"sqlalchemy-sealed\[pkcs11\]"):
        at(hsm)


# -- logins


@pytest.fixture
def out(hsm: Hsm) -> Hsm:
    """Return the module with nobody logged in, as a process finds it."""
    hsm.log_out()
    return hsm


@pytest.mark.parametrize("pin", ["1234", "x" * 300], ids=len)
def test_a_wrong_pin_is_refused(out: Hsm, pin: str) -> None:
    """The error does not show it."""
    with pytest.raises(ProviderLoginError, match="the token refuses the PIN") as caught:
        at(out, pin=pin).version()
    assert pin not in str(caught.value)


def test_a_wrong_pin_is_not_tried_again(out: Hsm) -> None:
    """A token is locked after a few wrong ones, so the process has to be started anew."""
    provider = at(out, token="changing", pin="87654321")
    with pytest.raises(ProviderLoginError, match="the token refuses the PIN"):
        provider.version()
    out.key("changing", "kek")
    with out.session("changing") as session:
        session.set_pin(out.pin, "87654321")
    try:
        # It would be taken now, if it were tried.
        with pytest.raises(ProviderLoginError, match="not tried again"):
            provider.version()
        assert at(out, token="changing", pin="87654321").version().startswith("pkcs11:1:")
    finally:
        with out.session("changing", pin="87654321") as session:
            session.set_pin("87654321", out.pin)


def test_two_providers_of_one_token(out: Hsm) -> None:
    """Both use the login of the process, whoever began."""
    one, another = at(out), at(out, key="another")
    for first, second in ((one, another), (another, one)):
        wrapped = first.wrap(KEY, BINDING)
        assert second.unwrap(second.wrap(KEY, BINDING), BINDING) == KEY
        assert first.unwrap(wrapped, BINDING) == KEY


def test_two_providers_on_threads(out: Hsm) -> None:
    """Modules are told that there are no threads, and see none."""
    providers = [at(out), at(out, key="another"), at(out), at(out, key="another")]

    def work(provider: Pkcs11) -> bool:
        return all(provider.unwrap(provider.wrap(KEY, BINDING), BINDING) == KEY for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, providers))


# -- what is lost and comes back


def test_a_login_that_another_session_ended(out: Hsm) -> None:
    """Other code of the process logs in and out again, and the next call logs in by itself."""
    provider = at(out)
    with out.session("sealed"):
        wrapped = provider.wrap(KEY, BINDING)
    assert provider.unwrap(wrapped, BINDING) == KEY


def test_a_module_that_was_initialised_anew(provider: Pkcs11, hsm: Hsm) -> None:
    """All sessions are gone then, and the next call opens one."""
    import pkcs11  # noqa: PLC0415 - it may be missing

    wrapped = provider.wrap(KEY, BINDING)
    hsm.log_out()
    assert provider.unwrap(wrapped, BINDING) == KEY
    pkcs11.lib(hsm.library).finalize()
    assert provider.unwrap(wrapped, BINDING) == KEY


def test_a_token_that_was_away_for_a_while(
    provider: Pkcs11, hsm: Hsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is away it is missed, and it is used as soon as it is back."""
    wrapped = provider.wrap(KEY, BINDING)
    (hsm.directory / "elsewhere").mkdir(exist_ok=True)
    empty = hsm.directory / "empty.conf"
    empty.write_text(f"directories.tokendir = {hsm.directory / 'elsewhere'}\n")
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, str(empty))
        hsm.log_out()
        for _ in range(2):
            with pytest.raises(ProviderUnavailableError, match="no token of this label"):
                provider.unwrap(wrapped, BINDING)
    hsm.log_out()
    assert provider.unwrap(wrapped, BINDING) == KEY


def test_a_key_that_was_replaced_is_told_from_the_old_one(hsm: Hsm) -> None:
    """A new key of the same label is another KEK, and the error names both."""
    hsm.key("sealed", "replaced")
    provider = at(hsm, key="replaced")
    old, wrapped = provider.version(), provider.wrap(KEY, BINDING)
    destroy(hsm, "replaced")
    with pytest.raises(ProviderKeyMissingError, match="no AES key"):
        provider.unwrap(wrapped, BINDING)
    hsm.key("sealed", "replaced")
    with pytest.raises(ProviderError, match="wrong KEK") as caught:
        provider.unwrap(wrapped, BINDING)
    assert provider.version() != old
    for version in old, provider.version():
        assert version.rpartition(":")[2] in str(caught.value)
    assert not provider.is_current(wrapped, provider.version())


def destroy(hsm: Hsm, label: str) -> None:
    """Delete a key of the token."""
    import pkcs11  # noqa: PLC0415 - it may be missing

    with hsm.session("sealed") as session:
        for key in list(session.get_objects({pkcs11.Attribute.LABEL: label})):
            key.destroy()


def test_a_damaged_key_does_not_disturb(provider: Pkcs11, hsm: Hsm) -> None:
    """After a key that does not authenticate, others unwrap as before."""
    wrapped = provider.wrap(KEY, BINDING)
    changed = wrapped[:-1] + ("A" if wrapped[-1] != "A" else "Q")
    for _ in range(3):
        with pytest.raises(ProviderError, match="damaged, or swapped"):
            provider.unwrap(changed, BINDING)
        assert provider.unwrap(wrapped, BINDING) == KEY


def test_the_form_is_that_of_the_specification(out: Hsm) -> None:
    """With a key whose bytes are known, AES-GCM alone opens what the module wrapped."""
    import pkcs11  # noqa: PLC0415 - it may be missing

    known = sha256(b"a key whose bytes are known").digest()
    with out.session("sealed") as session:
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                pkcs11.Attribute.LABEL: "known",
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.VALUE: known,
                pkcs11.Attribute.ENCRYPT: True,
                pkcs11.Attribute.DECRYPT: True,
            }
        )
    kek = AESGCM(known)
    fixed = kek.encrypt(bytes(12), bytes(32), b"sqlalchemy-sealed v1 kek fingerprint")
    fingerprint = sha256(fixed).hexdigest()[:16]
    provider = at(out, key="known")
    scheme, version, named, text = provider.wrap(KEY, BINDING).split(":")
    assert (scheme, version, named) == ("pkcs11", "1", fingerprint)
    data = from_text(text)
    assert kek.decrypt(data[:12], data[12:], BINDING) == KEY
    ours = bytes(11) + b"\1"
    sealed = to_text(ours + kek.encrypt(ours, KEY, BINDING))
    assert provider.unwrap(f"pkcs11:1:{fingerprint}:{sealed}", BINDING) == KEY


# -- forks


@forking
def test_children_of_a_process_with_two_providers(hsm: Hsm) -> None:
    """A child uses both in turns, and so does its own child."""
    one, another = at(hsm), at(hsm, key="another")
    wrapped = {provider: provider.wrap(KEY, BINDING) for provider in (one, another)}

    def work() -> bytes:
        for _ in range(3):
            for provider, text in wrapped.items():
                assert provider.unwrap(text, BINDING) == KEY
        return b"done"

    assert in_child(lambda: work() + in_child(work)) == b"donedone"
    assert work() == b"done"


@forking
def test_a_child_of_a_process_that_has_not_used_it(hsm: Hsm) -> None:
    """A provider may be made before a fork and used after it only."""
    provider = at(hsm)
    assert provider.unwrap(in_child(lambda: provider.wrap(KEY, BINDING).encode()).decode(), BINDING)


# -- as the KEK of a sealer


def test_a_sealer_over_a_module(hsm: Hsm, provider: Pkcs11) -> None:
    """Keys are made, rotated and rewrapped; values open with the key that sealed them."""
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create("default")
    sealer = get_sealer("pkcs11")
    sealer.configure(keystore=keystore, provider=provider, key_name="default")
    sealed = sealer.seal(b"ada@example.org", "patients.email")
    sealer.rotate()
    assert sealer.open(sealed, "patients.email") == b"ada@example.org"
    forget(sealer)


def test_its_repr_is_public(provider: Pkcs11) -> None:
    """It says which token and which key."""
    assert repr(provider) == "<Pkcs11 token='sealed' key='kek'>"
