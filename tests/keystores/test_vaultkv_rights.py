"""Engines of Vault that will not do for keys, and what each login may do with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from servers.openbao import OpenBao

from sqlalchemy_sealed.errors import KeystoreError
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.testing import record
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault


@pytest.fixture
def store(vault: Vault) -> VaultKV:
    """Return an empty keystore below a path of its own."""
    return VaultKV(vault, path=f"keystores/{uuid4().hex}")


@pytest.fixture
def engines(root: Any) -> Any:
    """Mount engines that will not do."""
    names = {kind: f"{kind}-{uuid4().hex}" for kind in ("kv1", "bare", "transit")}
    root.sys.enable_secrets_engine("kv", path=names["kv1"], options={"version": "1"})
    root.sys.enable_secrets_engine("kv", path=names["bare"])
    root.sys.enable_secrets_engine("transit", path=names["transit"])
    return names


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("kv1", "type 'kv', version 1; keys need the KV engine, version 2"),
        ("bare", "type 'kv', version 1; keys need the KV engine, version 2"),
        ("transit", "type 'transit'"),
        ("absent", "no engine is mounted there"),
    ],
)
def test_another_engine_is_refused(
    kind: str, told: str, engines: dict[str, str], vault: Vault, root: Any
) -> None:
    """KV of version 1 would answer as an empty one, take the keys, and let them be overwritten."""
    mount = engines.get(kind, kind)
    store = VaultKV(vault, mount=mount)
    for use in (lambda: store.load("default"), store.names, lambda: store.add(record())):
        with pytest.raises(KeystoreError, match=told) as caught:
            use()
        assert f"mount {mount!r}" in str(caught.value.where)
        assert caught.value.__context__ is None
    if kind in ("kv1", "bare"):
        with pytest.raises(Exception, match="None"):
            root.secrets.kv.v1.list_secrets(path="data", mount_point=mount)


@pytest.fixture
def with_rights(bao: OpenBao, root: Any, store: VaultKV) -> Callable[..., VaultKV]:
    """Return what opens the keystore with a login that may do so much."""

    def make(**rights: str) -> VaultKV:
        policy = "\n".join(
            f'path "secret/{kind}/{store.path}{end}" {{ capabilities = {allowed!s} }}'.replace(
                "'", '"'
            )
            for kind, names in rights.items()
            for allowed in [names.split()]
            for end in ("", "/*")
        )
        policy += '\npath "auth/token/lookup-self" { capabilities = ["read"] }'
        name = f"policy-{uuid4().hex}"
        root.sys.create_or_update_policy(name, policy)
        made = root.auth.token.create(policies=[name], no_default_policy=True)
        return VaultKV(
            Vault(bao.url, auth=TokenAuth(made["auth"]["client_token"])), path=store.path
        )

    return make


TOKEN = {"data": "read", "metadata": "read list"}


def test_who_may_only_read_cannot_make_keys(
    store: VaultKV, with_rights: Callable[..., VaultKV]
) -> None:
    """What is missing is said, without what was sent."""
    store.add(record())
    reader = with_rights(**TOKEN)
    assert reader.load("default") == (record(),)
    assert reader.load("absent") == ()
    assert reader.names() == ("default",)
    for change in (
        lambda: reader.add(record(generation=2)),
        lambda: reader.add(record("other")),
        lambda: reader.update(record(), record().with_wrapped("new")),
    ):
        with pytest.raises(KeystoreError, match="Vault denies access to KV secrets") as caught:
            change()
        assert type(caught.value) is KeystoreError
        assert caught.value.__context__ is None
    assert store.load("default") == (record(),)
    assert store.names() == ("default",)


def test_who_may_not_read_gets_no_keys(store: VaultKV, with_rights: Callable[..., VaultKV]) -> None:
    """Denied is not empty. Without `metadata`, an absent name cannot be told from a deleted one."""
    store.add(record())
    for stranger, name in (
        (with_rights(metadata="read list"), "default"),
        (with_rights(data="read"), "absent"),
    ):
        with pytest.raises(KeystoreError, match="Vault denies access"):
            stranger.load(name)
    with pytest.raises(KeystoreError, match="Vault denies access"):
        with_rights(data="read").names()


def test_who_cannot_destroy_versions_cannot_destroy_a_key(
    store: VaultKV, with_rights: Callable[..., VaultKV]
) -> None:
    """The key would be left in older versions. All else can be done."""
    writer = with_rights(data="create read update", metadata="read list")
    writer.add(record())
    writer.update(record(), record().with_wrapped("new"))
    with pytest.raises(KeystoreError, match=r"nothing was changed.*'update' on secret/destroy/"):
        writer.update(record().with_wrapped("new"), record().destroyed())
    assert store.load("default") == (record().with_wrapped("new"),)
    rotator = with_rights(data="create read update", metadata="read list", destroy="update")
    rotator.update(record().with_wrapped("new"), record().destroyed())
    assert store.load("default") == (record().destroyed(),)
