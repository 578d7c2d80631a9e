"""Many rows of a table of keys are replaced at once, each only if all of it is what it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine, event

from sqlalchemy_sealed.errors import KeystoreConflictError
from sqlalchemy_sealed.keys import KeyRecord, KeyState
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.testing import record

KEYS = 30
OLDS = [record(name, n) for name in ("a", "b \N{KEY} \"'\\") for n in range(1, KEYS // 2 + 1)]
CHANGES = {
    "another wrapped key": lambda old: old.with_wrapped("other"),
    "disabled": lambda old: old.with_state(KeyState.DISABLED),
    "destroyed": lambda old: old.destroyed(),
    "another time": lambda old: replace(old, created=datetime(2025, 1, 1, tzinfo=UTC)),
    "due": lambda old: replace(old, due=datetime(2027, 1, 1, tzinfo=UTC)),
    "no index key": lambda old: replace(old, index_key_id=None),
    "another index key": lambda old: replace(old, index_key_id=b"another."),
    "a bridge": lambda old: replace(old, bridge_key_id=b"another."),
}


@pytest.fixture
def store(engine: Engine) -> DatabaseKeystore:
    """Return a keystore with all records."""
    keystore = DatabaseKeystore(engine)
    keystore.create()
    keystore.add(*OLDS)
    return keystore


def stored(store: DatabaseKeystore) -> list[KeyRecord]:
    """Return all records, in order."""
    found = [each for name in store.names() for each in store.load(name)]
    return sorted(found, key=lambda each: (each.name, each.generation))


def test_many_rows_are_one_statement(store: DatabaseKeystore) -> None:
    """Which the driver of SQLite repeats; one that PostgreSQL gets once."""
    seen: list[bool] = []

    @event.listens_for(store._engine, "before_cursor_execute")
    def see(*given) -> None:
        statement, executemany = given[2], given[5]
        if statement.startswith("UPDATE"):
            seen.append(executemany)

    store.update_many([(old, old.with_wrapped("new")) for old in OLDS])
    assert seen == [store._engine.dialect.name == "sqlite"]
    assert stored(store) == [old.with_wrapped("new") for old in OLDS]


@ON_MARIADB_TOO
@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_is_not_what_it_was_stops_all(change: str, store: DatabaseKeystore) -> None:
    """Whatever column another process changed; the error says of which key."""
    changed = CHANGES[change](OLDS[20])
    store.update(OLDS[20], changed)
    before = stored(store)
    with pytest.raises(KeystoreConflictError) as caught:
        store.update_many([(old, old.with_wrapped("new")) for old in OLDS])
    assert caught.value.key_id == OLDS[20].key_id.hex()
    assert stored(store) == before
    store.update_many([(old, old.with_wrapped("new")) for old in before if old.wrapped])
    assert {each.wrapped for each in stored(store)} <= {"new", ""}


@ON_MARIADB_TOO
def test_rows_are_changed_in_different_ways_at_once(store: DatabaseKeystore) -> None:
    """Each column goes to its row, and the rest stay."""
    news = [change(old) for change, old in zip(CHANGES.values(), OLDS, strict=False)]
    store.update_many(zip(OLDS[: len(news)], news, strict=True))
    assert stored(store) == [*news, *OLDS[len(news) :]]
    store.update_many(zip(news, OLDS[: len(news)], strict=True))
    assert stored(store) == OLDS


@ON_MARIADB_TOO
def test_two_that_change_the_same_rows_do_not_wait_for_each_other(
    engine: Engine, store: DatabaseKeystore
) -> None:
    """Whatever order they come in: one is first, and the other one is told."""
    together, told = Barrier(2), []

    def change(number: int) -> int:
        mine, done = DatabaseKeystore(engine), 0
        for turn in range(10):
            now = stored(mine)
            together.wait(60)
            pairs = [(old, old.with_wrapped(f"{number}.{turn}")) for old in now]
            try:
                mine.update_many(pairs[::-1] if number else pairs)
                done += 1
            except KeystoreConflictError as error:
                told.append(error.key_id)
            together.wait(60)
        return done

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(change, range(2))) == 10
    assert len(told) == 10
    assert None not in told  # as a lock that was not had would be
    assert len({each.wrapped for each in stored(store)}) == 1
