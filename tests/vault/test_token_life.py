"""The life of a token: it is renewed in good time, and another one comes after it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from asking_vault import LOGIN, LOOKUP, RENEWAL, key_by, kinds
from servers.openbao import OpenBao
from servers.relay import Relay

from sqlalchemy_sealed.errors import ProviderLoginError, ProviderUnreachableError
from sqlalchemy_sealed.vault.auth import AppRoleAuth, TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.policies import policy
from sqlalchemy_sealed.vault.transit import TransitKey


@pytest.mark.slow
def test_a_token_is_renewed_and_replaced_at_its_greatest_age(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """A token of 3 seconds that can live 6 is renewed, then there is another one; no call fails."""
    key = key_by(relay, approle(token_ttl="3s", token_max_ttl="6s"), mount)
    end = time.monotonic() + 14
    while time.monotonic() < end:
        assert key.version() == 1
        time.sleep(0.2)
    asked = kinds(relay)
    assert asked.count(LOGIN) >= 2
    assert asked.count(RENEWAL) >= 2
    assert LOOKUP not in asked  # No call was refused: it was done in good time.


@pytest.mark.slow
def test_a_token_that_slept_too_long_is_replaced(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """After its end nothing is sent with it: there is a new login at once."""
    key = key_by(relay, approle(token_ttl="1s"), mount)
    key.version()
    time.sleep(1.5)
    relay.requests.clear()
    assert key.version() == 1
    assert relay.requests == [LOGIN, f"GET /v1/{mount}/keys/sealed"]


@pytest.mark.slow
def test_while_no_login_is_to_be_had_a_token_lives_on(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str, root: Any
) -> None:
    """A renewal that fails is tried again later, with the token of before."""
    auth = approle(token_ttl="4s", token_max_ttl="4s")
    key = key_by(relay, auth, mount)
    key.version()
    time.sleep(2.8)  # Time to renew it; it cannot be, and no new login is to be had.
    role = root.auth.approle
    name = next(
        name
        for name in role.list_roles()["data"]["keys"]
        if role.read_role_id(name)["data"]["role_id"] == auth.role_id
    )
    role.delete_role(name)
    assert key.version() == 1
    time.sleep(1.5)
    with pytest.raises(ProviderLoginError):
        key.version()


@pytest.mark.slow
def test_a_periodic_token_is_renewed_for_ever(
    relay: Relay, root: Any, token_with: Callable[..., str], mount: str
) -> None:
    """A token without a greatest age, which nobody can make anew, lives as long as it is used."""
    hcl = policy("application", mount=mount)
    key = key_by(relay, TokenAuth(token_with(hcl, period="2s")), mount)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert key.version() == 1
        time.sleep(0.2)
    assert kinds(relay).count(RENEWAL) >= 3


def test_a_renewal_that_nobody_answers_is_tried_again(
    relay: Relay, root: Any, token_with: Callable[..., str], mount: str
) -> None:
    """A token that could be renewed is not given up because Vault was away at that moment."""
    hcl = policy("application", mount=mount)
    key = key_by(relay, TokenAuth(token_with(hcl, period="1h")), mount)
    key.version()
    login = key.vault._login
    login.renews = 0.0  # It is time.
    relay.cut()
    with pytest.raises(ProviderUnreachableError):
        key.version()
    relay.mend()
    assert key.version() == 1
    assert RENEWAL not in relay.requests  # Not at once, but in time.
    assert login.renews < login.ends
    login.renews = 0.0
    assert key.version() == 1
    assert relay.requests.count(RENEWAL) == 1


def test_a_token_that_nears_its_end_is_said_once(
    bao: OpenBao, root: Any, token_with: Callable[..., str], mount: str, caplog: Any
) -> None:
    """Who looks at the log can act before it ends."""
    hcl = policy("application", mount=mount)
    token = token_with(hcl, ttl="1h", explicit_max_ttl="1h")
    key = TransitKey(Vault(bao.url, auth=TokenAuth(token)), "sealed", mount)
    key.version()
    key.vault._login.renews = 0.0
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert key.version() == 1
    (line,) = [r.getMessage() for r in caplog.records if r.name == "sqlalchemy_sealed.vault"]
    assert "cannot be renewed" in line
    assert token not in line
