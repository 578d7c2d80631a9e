"""One key name in Vault and several processes, and a server that keeps secrets on its disk."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import Durable, OpenBao

from sqlalchemy_sealed import KeyManager, LocalRootKey
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import KeystoreConflictError, KeystoreError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord
from sqlalchemy_sealed.keystores.kvsecrets import Secrets
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.testing import record
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault

from .places import FORK, FORKING, at_work, in_child, run

pytestmark = FORKING

ROUNDS = 10
KILLS = 30


class MeetingKeystore(VaultKV):
    """A keystore whose users have all loaded before the first of them adds."""

    def __init__(self, vault: Vault, path: str, barrier: Any) -> None:
        super().__init__(vault, path=path)
        self.barrier = barrier

    def add(self, *records: KeyRecord) -> None:
        self.barrier.wait(60)
        super().add(*records)


@pytest.fixture
def store(vault: Vault) -> VaultKV:
    """Return an empty keystore."""
    return VaultKV(vault, path=uuid4().hex)


@pytest.fixture
def manager(store: VaultKV) -> KeyManager:
    """Return the manager of a keystore with a key named "default"."""
    manager = KeyManager(store, LocalRootKey(random_key()))
    manager.create("default")
    return manager


def test_of_two_processes_that_rotate_at_once_one_wins_each_time(
    manager: KeyManager, bao: OpenBao
) -> None:
    """Both load the same keys; one makes the new primary, the other gets a conflict. Ten times."""
    barrier, told = FORK.Barrier(2), FORK.SimpleQueue()

    def rotate_often() -> None:
        vault = Vault(bao.url, auth=TokenAuth(bao.token))
        own = KeyManager(MeetingKeystore(vault, manager.keystore.path, barrier), manager.provider)
        for number in range(ROUNDS):
            try:
                told.put((number, own.rotate("default").primary.key_id))
            except KeystoreConflictError:
                told.put((number, None))
            barrier.wait(60)

    run(2, rotate_often)
    results = [told.get() for _ in range(2 * ROUNDS)]
    won = {number: key_id for number, key_id in results if key_id is not None}
    lost = Counter(number for number, key_id in results if key_id is None)
    assert won.keys() == lost.keys() == set(range(ROUNDS))
    assert set(lost.values()) == {1}
    data = [each for each in manager.keyset("default").records if each.kind is KeyKind.DATA]
    assert [each.key_id for each in data[1:]] == [won[number] for number in range(ROUNDS)]


def test_what_processes_add_at_once_is_all_there(store: VaultKV) -> None:
    """Four processes make five keys each in one secret, over connections of their own."""

    def add_five() -> None:
        for number in range(5):
            key_id = os.urandom(8)
            generation = int.from_bytes(key_id[:3]) * 10 + number + 1
            mine = replace(record("shared"), key_id=key_id, generation=generation)
            store.add(mine)

    run(4, add_five)
    assert len(store.load("shared")) == 20


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_or_the_new(store: VaultKV) -> None:
    """Killed thirty times while it changes 300 records, all of them are changed, or none."""
    chance = random.Random(11)
    store.add(*(replace(record("many", n), wrapped="first") for n in range(1, 301)))
    seen: set[str] = {"first"}

    def write(begun: Callable[[], object]) -> None:
        for number in range(1_000_000):
            olds = store.load("many")
            store.update_many([(old, old.with_wrapped(f"{os.getpid()} {number}")) for old in olds])
            if not number:
                begun()

    for _ in range(KILLS):
        child = at_work(write)
        time.sleep(chance.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        [text] = {each.wrapped for each in store.load("many")}
        seen.add(text)
    assert len(seen) == KILLS + 1, "each of them was writing when it was killed"


def test_a_destruction_that_was_killed_is_finished_by_the_next_one(
    manager: KeyManager, store: VaultKV, monkeypatch: pytest.MonkeyPatch, root: Any
) -> None:
    """Killed before it came to the older versions of the secret, it does so when run again."""
    old = manager.keyset("default").primary
    manager.rotate("default")
    monkeypatch.setattr(Secrets, "destroy_older", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    child = in_child(lambda: manager.destroy("default", old.key_id, unscanned=True))
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    monkeypatch.undo()

    def versions_that_hold_it() -> list[int]:
        kv, path = root.secrets.kv.v2, f"{store.path}/default"
        versions = kv.read_secret_metadata(path=path)["data"]["versions"]
        return [
            int(number)
            for number, each in versions.items()
            if not each["destroyed"]
            and old.wrapped
            in str(
                kv.read_secret_version(
                    path=path, version=int(number), raise_on_deleted_version=False
                )
            )
        ]

    assert manager.keyset("default").get(old.key_id) == old.destroyed()
    assert versions_that_hold_it() == [1, 2]
    manager.destroy("default", old.key_id, unscanned=True)
    assert versions_that_hold_it() == []
    assert manager.keyset("default").get(old.key_id) == old.destroyed()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Durable]:
    """Start a server with raft storage, unsealed."""
    skip_if_missing(openbao.installation)
    server = Durable(tmp_path)
    with server.running():
        server.initialize()
        server.unseal()
        yield server


def made(server: Durable) -> tuple[VaultKV, Any]:
    """Return a keystore in a new KV engine, and a client that may do everything."""
    import hvac  # noqa: PLC0415 - it may be missing

    root = hvac.Client(url=server.url, token=server.token)
    root.sys.enable_secrets_engine("kv", path="keys", options={"version": "2"})
    store = VaultKV(Vault(server.url, auth=TokenAuth(server.token)), mount="keys")
    for _ in range(3000):
        try:
            store.load("default")
        except KeystoreError as error:
            assert "is being made ready; try again" in str(error)  # noqa: PT017 - it may be ready
            time.sleep(0.01)
        else:
            break
    return store, root


def test_a_secret_that_is_too_large_is_told(durable: Durable) -> None:
    """Vault's own storage takes a mebibyte. What was there stays, and there is another way."""
    store, _ = made(durable)
    store.add(*(record(generation=n) for n in range(1, 3001)))
    with pytest.raises(KeystoreError, match=r"take 1,\d+,\d+ bytes.*1,048,576.*DatabaseKeystore"):
        store.add(*(record(generation=n) for n in range(3001, 5001)))
    assert len(store.load("default")) == 3000


def test_a_sealed_vault_and_one_that_is_down_are_told(tmp_path: Path) -> None:
    """A keystore that cannot be asked is not empty, and goes on when it can be."""
    skip_if_missing(openbao.installation)
    server = Durable(tmp_path)
    with server.running():
        server.initialize()
        server.unseal()
        store, root = made(server)
        store.add(record())
        root.sys.seal()
        for use in (lambda: store.load("default"), store.names, lambda: store.add(record("b"))):
            with pytest.raises(KeystoreError, match="sealed") as caught:
                use()
            assert caught.value.__context__ is None
        server.unseal()
        assert store.load("default") == (record(),)
    for use in (lambda: store.load("default"), store.names, lambda: store.add(record("b"))):
        with pytest.raises(KeystoreError, match="cannot be reached"):
            use()
    with server.running():
        server.unseal()
        assert store.names() == ("default",)
