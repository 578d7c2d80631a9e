"""Fixtures: tokens with few rights, logins of machines, and a network that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from counted import Clock
from servers.openbao import OpenBao
from servers.relay import Relay, relaying

from sqlalchemy_sealed.vault.auth import AppRoleAuth, TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.policies import policy

Tokens = Callable[..., str]


@pytest.fixture
def token_with(root: Any) -> Tokens:
    """Return what makes a token with one policy only, and other settings by name."""

    def make(hcl: str, **settings: Any) -> str:
        name = f"policy-{uuid4().hex}"
        root.sys.create_or_update_policy(name, hcl)
        made = root.auth.token.create(policies=[name], no_default_policy=True, **settings)
        return made["auth"]["client_token"]

    return make


@pytest.fixture
def acting(bao: OpenBao, mount: str, token_with: Tokens) -> Callable[..., Vault]:
    """Return what connects to Vault in a role, with the policy for the key of this test."""

    def act(role: str, **names: Any) -> Vault:
        hcl = policy(role, **({"mount": mount} | names))
        return Vault(bao.url, auth=TokenAuth(token_with(hcl)))

    return act


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the limits of keys are measured with."""
    return Clock(monkeypatch)


@pytest.fixture
def relay(bao: OpenBao) -> Iterator[Relay]:
    """Return a way to the server that can be cut."""
    with relaying(bao.url) as relay:
        yield relay


@pytest.fixture
def approle(root: Any, mount: str) -> Callable[..., AppRoleAuth]:
    """Return what makes an AppRole with the policy of an application, and a login for it."""
    if "approle/" not in root.sys.list_auth_methods()["data"]:
        root.sys.enable_auth_method("approle")

    def make(**settings: Any) -> AppRoleAuth:
        name = f"role-{uuid4().hex}"
        root.sys.create_or_update_policy(name, policy("application", mount=mount))
        role = root.auth.approle
        role.create_or_update_approle(
            name, token_policies=[name], token_no_default_policy=True, **settings
        )
        role_id = role.read_role_id(name)["data"]["role_id"]
        return AppRoleAuth(role_id, role.generate_secret_id(name)["data"]["secret_id"])

    return make


@pytest.fixture
def revoked(root: Any) -> Callable[[Vault], None]:
    """Return what ends the token of a connection behind its back."""
    return lambda vault: root.auth.token.revoke(vault._login.client.token)
