"""One table of keys and several processes: two that rotate at once, and one that is killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import URL

from sqlalchemy_sealed import KeyManager, LocalRootKey
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import KeystoreConflictError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.testing import record

from .places import FORK, FORKING, at_work, run

pytestmark = [ON_MARIADB_TOO, FORKING]

ROUNDS = 10
KILLS = 30


class MeetingKeystore(DatabaseKeystore):
    """A keystore whose users have all loaded before the first of them adds."""

    def __init__(self, url: URL, barrier: Any) -> None:
        super().__init__(url)
        self.barrier = barrier

    def add(self, *records: KeyRecord) -> None:
        self.barrier.wait(60)
        super().add(*records)


@pytest.fixture
def store(database_url: URL) -> DatabaseKeystore:
    """Return an empty keystore."""
    keystore = DatabaseKeystore(database_url)
    keystore.create()
    return keystore


@pytest.fixture
def manager(store: DatabaseKeystore) -> KeyManager:
    """Return the manager of a keystore with a key named "default"."""
    manager = KeyManager(store, LocalRootKey(random_key()))
    manager.create("default")
    return manager


@pytest.mark.parametrize("index", [False, True], ids=["data key", "index key too"])
def test_of_two_processes_that_rotate_at_once_one_wins_each_time(
    index: bool, manager: KeyManager, database_url: URL
) -> None:
    """Both load the same keys; one makes the new primary, the other gets a conflict. Ten times."""
    rounds = 1 if index else ROUNDS
    barrier, told = FORK.Barrier(2), FORK.SimpleQueue()

    def rotate_often() -> None:
        own = KeyManager(MeetingKeystore(database_url, barrier), manager.provider)
        for number in range(rounds):
            try:
                told.put((number, own.rotate("default", index=index).primary.key_id))
            except KeystoreConflictError:
                told.put((number, None))
            barrier.wait(60)

    run(2, rotate_often)
    results = [told.get() for _ in range(2 * rounds)]
    won = {number: key_id for number, key_id in results if key_id is not None}
    lost = Counter(number for number, key_id in results if key_id is None)
    assert won.keys() == lost.keys() == set(range(rounds))
    assert set(lost.values()) == {1}
    records = manager.keyset("default").records
    data = [each for each in records if each.kind is KeyKind.DATA]
    assert [each.key_id for each in data[1:]] == [won[number] for number in range(rounds)]
    assert [each.generation for each in data] == list(range(1, rounds + 2))
    assert len(records) - len(data) == 1 + index
    for each in records:
        assert len(manager.provider.unwrap(each.wrapped, each.binding)) == 32


def test_names_that_are_made_at_once_are_all_there(
    store: DatabaseKeystore, database_url: URL
) -> None:
    """Changes of different keys by four processes do not stand in each other's way."""

    def add_five() -> None:
        own = DatabaseKeystore(database_url)
        for number in range(5):
            name = f"{os.getpid()} {number}"
            own.add(record(name, kind=KeyKind.INDEX), record(name))

    run(4, add_five)
    assert len(store.names()) == 20


def test_a_keystore_is_used_across_a_fork(store: DatabaseKeystore) -> None:
    """No connection of the parent is used by the child, as none is kept."""
    store.add(record())
    run(3, lambda: store.add(record(str(os.getpid()))))
    assert len(store.names()) == 4


def test_of_processes_that_change_all_records_each_wins_or_loses_as_a_whole(
    store: DatabaseKeystore, database_url: URL
) -> None:
    """Two that rewrap the same records do not mix theirs, and do not wait for each other."""
    olds = [record("many", n) for n in range(1, 101)]
    store.add(*olds)
    barrier, told = FORK.Barrier(2), FORK.SimpleQueue()

    def rewrap() -> None:
        own, mine = DatabaseKeystore(database_url), f"by {os.getpid()}"
        pairs = [(old, old.with_wrapped(mine)) for old in olds]
        random.Random(os.getpid()).shuffle(pairs)
        barrier.wait(60)
        try:
            own.update_many(pairs)
            told.put(mine)
        except KeystoreConflictError:
            told.put(None)

    run(2, rewrap)
    [winner] = {told.get(), told.get()} - {None}
    assert {each.wrapped for each in store.load("many")} == {winner}


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_or_the_new(
    store: DatabaseKeystore, database_url: URL
) -> None:
    """Killed thirty times while it adds or changes 300 records, all of them are there, or none."""
    chance = random.Random(11)
    store.add(*(replace(record("many", n), wrapped="first") for n in range(1, 301)))
    seen: set[str] = {"first"}

    def write(begun: Callable[[], object]) -> None:
        own = DatabaseKeystore(database_url)
        for number in range(1_000_000):
            olds = own.load("many")
            own.update_many([(old, old.with_wrapped(f"{os.getpid()} {number}")) for old in olds])
            if not number:
                begun()
            start = len(own.load("added"))
            own.add(*(record("added", start + n) for n in range(1, 301)))

    for number in range(KILLS):
        child = at_work(write)
        time.sleep(chance.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        [text] = {each.wrapped for each in store.load("many")}
        seen.add(text)
        assert len(store.load("added")) % 300 == 0
        # And whoever comes next is not kept from writing.
        store.add(record(f"after kill {number}"))
    assert len(seen) == KILLS + 1, "each of them was writing when it was killed"
