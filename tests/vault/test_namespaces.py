"""A namespace of Vault: engines, keys, policies and logins of its own, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import hvac
import pytest
from servers.openbao import OpenBao

from sqlalchemy_sealed import Context, KeyManager, MemoryKeystore, Sealer
from sqlalchemy_sealed.errors import (
    ProviderDeniedError,
    ProviderKeyMissingError,
    ProviderLoginError,
)
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import AppRoleAuth, TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply, plan
from sqlalchemy_sealed.vault.policies import policy

CONTEXT = Context("patients.email")
Connect = Callable[..., Vault]


@pytest.fixture
def team(root: Any) -> str:
    """Return a new namespace."""
    name = f"team-{uuid4().hex}"
    root.adapter.post(f"/v1/sys/namespaces/{name}", json={})
    return name


@pytest.fixture
def inside(bao: OpenBao, team: str) -> Vault:
    """Return a connection into the namespace, with a root token."""
    return Vault(bao.url, auth=TokenAuth(bao.token), namespace=team)


@pytest.fixture
def machine(bao: OpenBao, team: str) -> Connect:
    """Return what logs in as a machine of the namespace, into that or another one."""
    admin = hvac.Client(url=bao.url, token=bao.token, namespace=team)
    admin.sys.enable_auth_method("approle")
    for role in ("application", "rotator"):
        admin.sys.create_or_update_policy(role, policy(role))
        admin.auth.approle.create_or_update_approle(role, token_policies=[role])

    def connect(role: str, namespace: str | None = team) -> Vault:
        role_id = admin.auth.approle.read_role_id(role)["data"]["role_id"]
        secret_id = admin.auth.approle.generate_secret_id(role)["data"]["secret_id"]
        return Vault(bao.url, auth=AppRoleAuth(role_id, secret_id), namespace=namespace)

    return connect


def test_from_a_plan_to_rewrapped_keys(inside: Vault, machine: Connect) -> None:
    """Machines with a login of the namespace seal, open and rewrap; each does what it may."""
    assert [each.subject for each in plan(inside, DesiredKey())] == ["mount", "key"]
    apply(inside, DesiredKey())
    assert plan(inside, DesiredKey()) == []
    keystore, application = MemoryKeystore(), VaultTransit(machine("application"))
    KeyManager(keystore, application).create("default")
    sealer = Sealer(uuid4().hex)
    sealer.configure(keystore=keystore, provider=application, key_name="default")
    envelope = sealer.seal(b"x", CONTEXT)

    rotator = VaultTransit(machine("rotator"))
    rotator.transit.rotate()
    done = KeyManager(keystore, rotator).rewrap()
    assert (done.version, done.rewrapped) == ("vault:transit/sealed:v2", 2)
    sealer.configure(keystore=keystore, provider=application, key_name="default", replace=True)
    assert sealer.open(envelope, CONTEXT) == b"x"
    record = keystore.load("default")[0]
    with pytest.raises(ProviderDeniedError, match="namespace team-"):
        rotator.unwrap(record.wrapped, record.binding)


def test_a_login_of_a_namespace_is_none_elsewhere(machine: Connect, vault: Vault) -> None:
    """Neither in another namespace nor in that of the root."""
    other = f"other-{uuid4().hex}"
    vault.call("x", lambda root: root.adapter.post(f"/v1/sys/namespaces/{other}", json={}))
    for namespace in (other, None):
        with pytest.raises(ProviderLoginError):
            VaultTransit(machine("application", namespace)).version()


def test_a_namespace_that_is_not_there_is_said(inside: Vault, machine: Connect, team: str) -> None:
    """To an administrator and to a machine, by name; nothing is made there."""
    apply(inside, DesiredKey())
    nowhere = f"{team}/nowhere"
    strays = [machine("application", nowhere)]
    strays.append(Vault(inside.address, auth=inside.auth, namespace=nowhere))
    for stray in strays:
        with pytest.raises(ProviderKeyMissingError, match=f"{nowhere}.*no such namespace"):
            VaultTransit(stray).version()
    with pytest.raises(ProviderKeyMissingError, match="no such namespace"):
        plan(strays[1], DesiredKey())
    with pytest.raises(ProviderKeyMissingError, match="no such namespace"):
        apply(strays[1], DesiredKey())
