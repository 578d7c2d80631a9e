"""An application over Vault: how often it asks, and what it does while nobody answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from servers.openbao import OpenBao
from servers.relay import Relay
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, select
from vault_stage import OLD, Stage

from sqlalchemy_sealed import (
    EncryptedString,
    KeyManager,
    MemoryKeystore,
    Sealer,
    get_sealer,
)
from sqlalchemy_sealed.errors import ProviderError, ProviderUnreachableError
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import AppRoleAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply
from sqlalchemy_sealed.vault.transit import TransitKey

ROWS = 500
PEOPLE = Table(
    "people",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", EncryptedString(sealer="vault")),
)


@pytest.fixture
def provider(relay: Relay, approle: Callable[..., AppRoleAuth], mount: str) -> VaultTransit:
    """Return the provider of an application, with its policy, through the relay."""
    return VaultTransit(Vault(relay.url, auth=approle(), timeout=1), mount=mount)


@pytest.fixture
def keystore(provider: VaultTransit) -> MemoryKeystore:
    """Return a keystore with a first data key."""
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create("vault")
    return keystore


@pytest.fixture
def application(keystore: MemoryKeystore, provider: VaultTransit) -> Iterator[Sealer]:
    """Return the sealer of an application that just started."""
    sealer = get_sealer("vault")
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    yield sealer
    sealer.keeper = None


@pytest.fixture
def stage(root: Any, relay: Relay, tmp_path: Path) -> Stage:
    """Return an application that has one of its two data keys at hand."""
    return Stage(root, relay, tmp_path)


def write(engine: Engine) -> None:
    """Seal many values."""
    with engine.begin() as connection:
        connection.execute(insert(PEOPLE), [{"name": f"person {n}"} for n in range(ROWS)])


def read(engine: Engine) -> int:
    """Open all values, and return how many there are."""
    with engine.connect() as connection:
        names = connection.scalars(select(PEOPLE.c.name)).all()
    assert all(name.startswith("person ") for name in names)
    return len(names)


def test_no_value_is_a_call(
    sqlite_engine: Engine, relay: Relay, keystore: MemoryKeystore, provider: VaultTransit
) -> None:
    """A process that seals and opens a thousand values unwraps one key, at its start."""
    PEOPLE.create(sqlite_engine)
    relay.requests.clear()
    sealer = get_sealer("vault")
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    assert relay.requests == [f"POST /v1/{provider.transit.mount}/decrypt/sealed"]
    write(sqlite_engine)
    assert read(sqlite_engine) == ROWS
    assert len(relay.requests) == 1
    sealer.keeper = None


def test_a_thousand_threads_make_one_call(stage: Stage) -> None:
    """A key that is not at hand is unwrapped once, however many need it at one moment."""
    data, barrier = stage.stored(1), Barrier(1000)
    stage.relay.delay = 0.2
    stage.asked()

    def read(_: int) -> bytes:
        barrier.wait()
        return stage.sealer.open(data, "people.name")

    with ThreadPoolExecutor(1000) as pool:
        assert set(pool.map(read, range(1000))) == {OLD.encode()}
    assert stage.asked() == ["POST decrypt/sealed"]


def test_without_vault_a_process_goes_on(
    sqlite_engine: Engine, relay: Relay, application: Sealer
) -> None:
    """What it has unwrapped serves until the limits of its keys; then it asks again."""
    PEOPLE.create(sqlite_engine)
    write(sqlite_engine)
    relay.cut()
    write(sqlite_engine)
    assert read(sqlite_engine) == 2 * ROWS
    with pytest.raises(ProviderUnreachableError):
        application.rotate()
    relay.mend()
    application.rotate()
    write(sqlite_engine)
    assert read(sqlite_engine) == 3 * ROWS


def test_after_the_kek_turned_and_a_rewrap_rows_are_as_they_were(
    sqlite_engine: Engine, application: Sealer, keystore: MemoryKeystore, transit: TransitKey
) -> None:
    """Old versions can be shut out then, also for a process that starts anew."""
    PEOPLE.create(sqlite_engine)
    write(sqlite_engine)
    transit.rotate()
    rotator = VaultTransit(transit.vault, mount=transit.mount)
    assert KeyManager(keystore, rotator).rewrap().failed == ()
    apply(transit.vault, DesiredKey(mount=transit.mount, min_decryption_version=2))
    provider = application.kept().manager.provider
    application.configure(keystore=keystore, provider=provider, replace=True)
    assert read(sqlite_engine) == ROWS


def test_a_keystore_of_another_installation_is_refused_at_the_start(
    keystore: MemoryKeystore, vault: Vault, mount: str
) -> None:
    """With another key, or another Vault, nothing is configured; no read has to fail first."""
    apply(vault, DesiredKey("another", mount))
    another = VaultTransit(vault, key="another", mount=mount)
    sealer = get_sealer("vault")
    with pytest.raises(ProviderError, match="does not authenticate"):
        sealer.configure(keystore=keystore, provider=another, replace=True)


def test_a_wrapped_key_that_was_swapped_is_refused(
    keystore: MemoryKeystore, provider: VaultTransit, bao: OpenBao
) -> None:
    """Vault refuses it, since it is bound to the name and the id of its key."""
    KeyManager(keystore, provider).create("other")
    (mine,) = [each for each in keystore.load("vault") if each.kind == "data"]
    (other,) = [each for each in keystore.load("other") if each.kind == "data"]
    keystore.update(mine, mine.with_wrapped(other.wrapped))
    with pytest.raises(ProviderError, match="swapped with the key of another name"):
        get_sealer("vault").configure(keystore=keystore, provider=provider, replace=True)
