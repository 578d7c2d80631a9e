"""Sessions of a PKCS#11 module, of which it has a bounded number: none is left open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from servers.softhsm import Hsm

from sqlalchemy_sealed.errors import ProviderError
from sqlalchemy_sealed.providers.pkcs11 import Pkcs11

KEY, BINDING = bytes(range(32)), b"binding"


@pytest.fixture
def at(hsm: Hsm) -> Callable[[str], Pkcs11]:
    """Return a function that makes the provider of a key, in a process without a login."""
    hsm.log_out()
    return lambda key: Pkcs11(hsm.library, token="sealed", key=key, pin=hsm.pin)


def damaged(provider: Pkcs11, wrapped: str) -> None:
    """Ask for keys that cannot be unwrapped: changed, swapped, and of another KEK."""
    scheme, one, fingerprint, text = wrapped.split(":")
    for bad, binding in (
        (f"{scheme}:{one}:{fingerprint}:{'B' if text[0] == 'A' else 'A'}{text[1:]}", BINDING),
        (wrapped, b"another"),
        (f"{scheme}:{one}:{'0' * 16}:{text}", BINDING),
    ):
        with pytest.raises(ProviderError):
            provider.unwrap(bad, binding)


def test_a_damaged_key_that_is_asked_for_again_and_again_takes_no_sessions(
    hsm: Hsm, at: Callable[[str], Pkcs11]
) -> None:
    """However often that is, there is the one session, and it goes on."""
    provider = at("kek")
    wrapped = provider.wrap(KEY, BINDING)
    assert hsm.sessions() == 1
    for _ in range(20):
        damaged(provider, wrapped)
    assert hsm.sessions() == 1
    assert provider.unwrap(wrapped, BINDING) == KEY


def test_a_provider_does_not_end_the_login_of_another_one(
    hsm: Hsm, at: Callable[[str], Pkcs11]
) -> None:
    """Damage that the first one meets is nothing to the second one, and the other way round."""
    providers = [at("kek"), at("another")]
    wrapped = [each.wrap(KEY, BINDING) for each in providers]
    before = hsm.sessions()
    for provider, text in zip(providers, wrapped, strict=True):
        damaged(provider, text)
    assert hsm.sessions() == before
    assert [p.unwrap(w, BINDING) for p, w in zip(providers, wrapped, strict=True)] == [KEY, KEY]


def test_a_lost_session_is_ended_before_the_next_one(hsm: Hsm, at: Callable[[str], Pkcs11]) -> None:
    """Other code of the process logs out a few times; a session is opened anew, and no more."""
    provider = at("kek")
    wrapped = provider.wrap(KEY, BINDING)
    for _ in range(5):
        hsm.log_out()
        assert provider.unwrap(wrapped, BINDING) == KEY
    assert hsm.sessions() == 1
