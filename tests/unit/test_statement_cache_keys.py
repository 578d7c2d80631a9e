"""The statement cache and keys: what changed about keys takes effect at the next statement."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from fix_keys import forget
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    EncryptedString,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    get_sealer,
)
from sqlalchemy_sealed.errors import NotConfiguredError, UnknownKeyError


def label_of(stored: bytes) -> bytes:
    """Return the key id in an envelope."""
    return stored[4:12]


class Base(DeclarativeBase):
    """The models of this file."""


class Person(Base):
    """One sealed column."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedString())


people = Person.__table__
INSERT = sa.insert(people)
SELECT = sa.select(people.c.email).order_by(people.c.id)


@pytest.fixture
def stats(sqlite_engine: sa.Engine) -> list[CacheStats]:
    """Return the list to which each execution adds whether its statement was cached."""
    stats: list[CacheStats] = []
    sa.event.listen(
        sqlite_engine, "before_cursor_execute", lambda *args: stats.append(args[4].cache_hit)
    )
    return stats


@pytest.fixture
def connection(sqlite_engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection to a database with an empty table."""
    Base.metadata.create_all(sqlite_engine)
    with sqlite_engine.connect() as connection:
        yield connection


def stored_keys(connection: sa.Connection) -> list[bytes]:
    """Return the key ids of all rows."""
    rows = connection.exec_driver_sql("SELECT email FROM people ORDER BY id").scalars()
    return [label_of(row) for row in rows]


def primary(sealer: Sealer) -> bytes:
    """Return the key id of the primary."""
    return sealer.keyset.primary.key_id


def test_a_rotated_key_is_used_by_a_cached_statement(
    sealer: Sealer, connection: sa.Connection, stats: list[CacheStats]
) -> None:
    """After a rotation the same compiled statement seals under the new key, and reads both."""
    keys = []
    for number in range(3):
        connection.execute(INSERT, {"email": f"{number}@x"})
        keys.append(primary(sealer))
        sealer.rotate()
    assert stats.count(CacheStats.CACHE_HIT) == 2
    assert len(set(keys)) == 3
    assert stored_keys(connection) == keys
    assert connection.scalars(SELECT).all() == ["0@x", "1@x", "2@x"]


def test_a_key_that_another_process_rotated_is_found(
    sealer: Sealer, keystore: MemoryKeystore, provider: LocalRootKey, connection: sa.Connection
) -> None:
    """A cached statement reads a value under a key that was made elsewhere in the meantime."""
    connection.execute(INSERT, {"email": "0@x"})
    assert connection.scalars(SELECT).all() == ["0@x"]
    KeyManager(keystore, provider).rotate("default")
    other = Sealer("default")
    other.configure(keystore=keystore, provider=provider)
    value = other.seal(b"1@x", "people.email")
    connection.exec_driver_sql("INSERT INTO people (email) VALUES (?)", (value,))
    assert connection.scalars(SELECT).all() == ["0@x", "1@x"]
    assert primary(sealer) == primary(other)


def test_a_sealer_that_is_configured_anew_is_used_by_a_cached_statement(
    sealer: Sealer, provider: LocalRootKey, connection: sa.Connection, stats: list[CacheStats]
) -> None:
    """With replace=True the next execution seals under the new keys, and knows no other."""
    connection.execute(INSERT, {"email": "0@x"})
    assert connection.scalars(SELECT).all() == ["0@x"]
    old = primary(sealer)
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create("default")
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    connection.execute(INSERT, {"email": "1@x"})
    assert stored_keys(connection) == [old, primary(sealer)]
    with pytest.raises(UnknownKeyError, match=rf"^people\.email: .*{old.hex()}"):
        connection.execute(SELECT).all()
    connection.exec_driver_sql("DELETE FROM people WHERE id = 1")
    assert connection.scalars(SELECT).all() == ["1@x"]
    assert stats.count(CacheStats.CACHE_HIT) == 3


def test_a_sealer_that_is_configured_late_is_used_by_a_cached_statement(
    keystore: MemoryKeystore, provider: LocalRootKey, connection: sa.Connection
) -> None:
    """A statement that failed for want of keys works as soon as there are some."""
    forget(get_sealer())
    with pytest.raises(NotConfiguredError, match=r"^people\.email: "):
        connection.execute(INSERT, {"email": "0@x"})
    get_sealer().configure(keystore=keystore, provider=provider)
    connection.execute(INSERT, {"email": "0@x"})
    assert connection.scalars(SELECT).all() == ["0@x"]
    forget(get_sealer())
    with pytest.raises(NotConfiguredError, match=r"^people\.email: "):
        connection.execute(SELECT).all()


def test_a_processor_that_was_kept_follows_the_sealer(
    sealer: Sealer, sqlite_engine: sa.Engine
) -> None:
    """The very function that SQLAlchemy memoized for a dialect uses the new primary."""
    dialect = sqlite_engine.dialect
    type_ = people.c.email.type
    bind = type_._cached_bind_processor(dialect)
    result = type_._cached_result_processor(dialect, None)
    before = bind("0@x")
    old, new = primary(sealer), primary_after_rotation(sealer)
    after = bind("1@x")
    assert type_._cached_bind_processor(dialect) is bind
    assert (label_of(before), label_of(after)) == (old, new)
    assert (result(before), result(after)) == ("0@x", "1@x")


def primary_after_rotation(sealer: Sealer) -> bytes:
    """Rotate, and return the key id of the new primary."""
    return sealer.rotate().primary.key_id


def test_a_rotation_between_two_flushes(
    sealer: Sealer, connection: sa.Connection, sqlite_engine: sa.Engine
) -> None:
    """The ORM, whose statements are cached with the mapper, seals under the new primary, too."""
    old = primary(sealer)
    with Session(sqlite_engine) as session:
        session.add_all([Person(email="0@x"), Person(email="1@x")])
        session.commit()
        new = primary_after_rotation(sealer)
        first = session.get_one(Person, 1)
        first.email = "changed@x"
        session.add(Person(email="2@x"))
        session.commit()
        assert stored_keys(session.connection()) == [new, old, new]
        assert session.scalars(SELECT).all() == ["changed@x", "1@x", "2@x"]


THREADS, BATCHES, ROWS = 4, 40, 500


@pytest.fixture
def forced_switches() -> Iterator[None]:
    """Switch threads as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def sealers(provider: LocalRootKey) -> Iterator[list[Sealer]]:
    """Return a sealer for each thread, with keys of its own."""
    sealers = []
    for number in range(THREADS):
        keystore = MemoryKeystore()
        KeyManager(keystore, provider).create(f"tenant {number}")
        sealers.append(get_sealer(f"tenant {number}"))
        sealers[-1].configure(keystore=keystore, provider=provider)
    yield sealers
    for sealer in sealers:
        forget(sealer)


def test_each_thread_seals_under_its_own_key(sealers: list[Sealer], forced_switches: None) -> None:
    """Four threads, one SQL text, one cache, 80,000 rows: each row is under its thread's key."""
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    start = Barrier(THREADS)

    def write(sealer: Sealer) -> Any:
        def table() -> Any:
            # A new type at each statement: all of them compile to one text.
            type_ = EncryptedString(context="people.email", sealer=sealer)
            return sa.table("people", sa.column("id"), sa.column("email", type_))

        with engine.connect() as connection:  # A database of its own, in memory.
            connection.exec_driver_sql("CREATE TABLE people (id INTEGER PRIMARY KEY, email BLOB)")
            start.wait()
            for batch in range(BATCHES):
                rows = [{"email": f"{sealer.name} {batch} {row}"} for row in range(ROWS)]
                connection.execute(sa.insert(table()), rows)
            keys = set(stored_keys(connection))
            read = connection.scalars(sa.select(table().c.email)).all()
        return keys, len(read), all(text.startswith(f"{sealer.name} ") for text in read)

    with ThreadPoolExecutor(THREADS) as threads:
        results = list(threads.map(write, sealers))
    assert results == [({primary(sealer)}, BATCHES * ROWS, True) for sealer in sealers]
    assert THREADS * BATCHES * ROWS == 80_000
    assert len({primary(sealer) for sealer in sealers}) == THREADS
