"""What Vault is asked in tests of failures and logins, and what the answer must be."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from servers.relay import Relay

from sqlalchemy_sealed.errors import ProviderError
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import Auth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.transit import TransitKey

LOGIN = "POST /v1/auth/approle/login"
LOOKUP = "GET /v1/auth/token/lookup-self"
RENEWAL = "POST /v1/auth/token/renew-self"
KEY, BINDING = b"canary of a data key, 32 bytes..", b"binding"


def fails(error: type[ProviderError], *calls: Callable[[], Any]) -> ProviderError:
    """Check that calls fail with this error and no other, and that it shows nothing."""
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            call()
        assert type(caught.value) is error, caught.value
        assert caught.value.__context__ is None
        assert "canary" not in f"{caught.value!r} {vars(caught.value)}"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value


def calls(provider: VaultTransit, wrapped: str) -> list[Callable[[], Any]]:
    """Return every way to ask Vault something."""
    return [
        lambda: provider.unwrap(wrapped, BINDING),
        lambda: provider.wrap(KEY, BINDING),
        lambda: provider.rewrap(wrapped, BINDING),
        provider.version,
    ]


def goes_on(provider: VaultTransit, wrapped: str) -> None:
    """Check that the same provider works, as if nothing had been."""
    assert provider.unwrap(wrapped, BINDING) == KEY
    assert provider.unwrap(provider.wrap(KEY, BINDING), BINDING) == KEY


def key_by(relay: Relay, auth: Auth, mount: str) -> TransitKey:
    """Return the key of a test, through the relay, with its own login."""
    return TransitKey(Vault(relay.url, auth=auth), "sealed", mount)


def kinds(relay: Relay) -> list[str]:
    """Return what was asked so far about logins."""
    return [each for each in relay.requests if "/auth/" in each]
