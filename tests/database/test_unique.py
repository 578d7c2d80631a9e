"""Unique blind indexes on a database: conflicts at each step of a rotation, upserts, processes."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_keys import forget
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    FileKeystore,
    KeyManager,
    LocalRootKey,
    Sealer,
    blind_index,
    get_sealer,
)
from sqlalchemy_sealed.keys import Keyset

# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


def people_table(**options: Any) -> sa.Table:
    """Return a table with a unique sealed column, and a plain one."""
    email = EncryptedString(index=BlindIndex(unique=True, normalize="casefold"), **options)
    return sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", email),
        sa.Column("visits", sa.Integer, default=0),
    )


STORED = {storage: people_table(storage=storage) for storage in ("binary", "text")}
PEOPLE = STORED["binary"]


@pytest.fixture(params=STORED)
def people(request: pytest.FixtureRequest, engine: sa.Engine) -> sa.Table:
    """Return the table, made anew, with bytes and with text in its column."""
    table = STORED[request.param]
    table.create(engine)
    return table


@pytest.fixture
def manager(sealer: Sealer) -> KeyManager:
    """Return the manager of the sealer's keys."""
    return sealer.kept().manager


def accepts(engine: sa.Engine, table: sa.Table, *emails: str) -> list[bool]:
    """Store rows one by one; say which of them the database took."""
    taken = []
    for email in emails:
        try:
            with engine.begin() as connection:
                connection.execute(sa.insert(table).values(email=email))
        except IntegrityError:
            taken.append(False)
        else:
            taken.append(True)
    return taken


def rows(engine: sa.Engine, table: sa.Table) -> list[tuple[str, int]]:
    """Return the values of all rows."""
    with engine.connect() as connection:
        return sorted(
            (email, visits) for _, email, visits in connection.execute(sa.select(table)).all()
        )


def reseal(engine: sa.Engine, table: sa.Table) -> None:
    """Write every value anew."""
    with engine.begin() as connection:
        for number, email in connection.execute(sa.select(table.c.id, table.c.email)).all():
            connection.execute(sa.update(table).where(table.c.id == number).values(email=email))


# -- a rotation


def test_a_value_that_is_there_is_refused_at_each_step(
    engine: sa.Engine, people: sa.Table, sealer: Sealer, manager: KeyManager
) -> None:
    """Values from before, from the midst and from after the rotation are all unique together."""
    first = sealer.keyset.primary.key_id
    there: list[str] = []

    def step(name: str) -> None:
        assert accepts(engine, people, name) == [True]
        there.append(name)
        for email in there:
            assert accepts(engine, people, email, email.upper()) == [False, False], name

    step("before")
    manager.announce_index("default")
    sealer.refresh()
    step("announced")
    sealer.rotate()
    step("rotated while announced")
    sealer.rotate(index=True)
    step("rotated")
    sealer.rotate()
    step("rotated in the midst")
    reseal(engine, people)
    step("resealed")
    second = sealer.keyset
    for record in second.records:
        if record.kind == "data" and record.generation < second.primary.generation:
            manager.destroy("default", record.key_id, unscanned=True)
    sealer.refresh()
    step("destroyed")
    sealer.rotate()
    step("rotated at the end")
    reseal(engine, people)
    step("resealed at the end")
    manager.destroy("default", second.primary.key_id, unscanned=True)
    sealer.refresh()
    step("destroyed at the end")
    sealer.rotate(index=True)
    step("rotated a second time")
    assert first not in {record.key_id for record in sealer.keyset._living_data()}
    assert [email for email, _ in rows(engine, people)] == sorted(there)


def test_an_update_to_a_value_that_is_there_is_refused(
    engine: sa.Engine, people: sa.Table, sealer: Sealer
) -> None:
    """Under whichever keys the two rows are, and for many rows at once, too."""
    accepts(engine, people, "old", "other")
    sealer.rotate(index=True)
    accepts(engine, people, "new")
    for before, after in (("new", "old"), ("old", "new"), ("other", "OLD")):
        statement = sa.update(people).where(people.c.email == before).values(email=after)
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(statement)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(people), [{"email": "a"}, {"email": "b"}, {"email": "OLD"}])
    with engine.begin() as connection:
        connection.execute(sa.delete(people).where(people.c.email == "OLD"))
    assert accepts(engine, people, "old") == [True]
    assert [email for email, _ in rows(engine, people)] == ["new", "old", "other"]


def test_none_is_not_unique(engine: sa.Engine, people: sa.Table, sealer: Sealer) -> None:
    """As in any unique index, several rows may have no value; the empty text is one."""
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(sa.insert(people), [{"email": None}, {"email": None}])
        sealer.rotate(index=True) if sealer.keyset.primary.generation == 1 else None
    assert accepts(engine, people, "", "") == [True, False]


def test_a_row_whose_key_was_destroyed_keeps_its_place_until_the_rotation_ends(
    engine: sa.Engine, people: sa.Table, sealer: Sealer, manager: KeyManager
) -> None:
    """Its value is lost, but its slots are there: delete such rows."""
    accepts(engine, people, "lost")
    old = sealer.keyset.primary.key_id
    sealer.rotate(index=True)
    manager.destroy("default", old, unscanned=True)
    sealer.refresh()
    assert accepts(engine, people, "lost") == [False]
    sealer.rotate()
    assert accepts(engine, people, "lost", "lost") == [True, False]


# -- upserts


def insert(engine: sa.Engine, table: sa.Table) -> Any:
    """Return an INSERT that has ON CONFLICT."""
    makers: dict[str, Any] = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}
    return makers[engine.dialect.name](table)


def upsert(engine: sa.Engine, table: sa.Table, email: str) -> None:
    """Store a person with 1 visit, or add 10 visits to the one that is there."""
    statement = insert(engine, table).values(email=email, visits=1)
    statement = statement.on_conflict_do_update(
        index_elements=[blind_index(table.c.email)], set_={"visits": table.c.visits + 10}
    )
    with engine.begin() as connection:
        connection.execute(statement)


def test_an_upsert_during_a_rotation_updates_or_raises(
    engine: sa.Engine, people: sa.Table, sealer: Sealer
) -> None:
    """It never makes a second row: for a row under the old key, the database raises."""
    upsert(engine, people, "ada")
    upsert(engine, people, "ADA")
    assert rows(engine, people) == [("ada", 11)]
    sealer.rotate(index=True)
    for _ in range(2):
        with pytest.raises(IntegrityError, match="bridge"):
            upsert(engine, people, "Ada")
    upsert(engine, people, "bob")
    upsert(engine, people, "Bob")
    assert rows(engine, people) == [("ada", 11), ("bob", 11)]
    reseal(engine, people)
    upsert(engine, people, "Ada")
    assert rows(engine, people) == [("ada", 21), ("bob", 11)]
    sealer.rotate()
    upsert(engine, people, "Ada")
    assert rows(engine, people) == [("ada", 31), ("bob", 11)]


def test_an_insert_that_does_nothing_on_any_conflict_works_throughout(
    engine: sa.Engine, people: sa.Table, sealer: Sealer
) -> None:
    """Without a target it looks at both indexes; with one, the bridge raises for old rows."""
    missing = insert(engine, people).on_conflict_do_nothing()
    targeted = insert(engine, people).on_conflict_do_nothing(
        index_elements=[blind_index(people.c.email)]
    )

    def stored(statement: Any, *emails: str) -> list[str]:
        with engine.begin() as connection:
            for email in emails:
                connection.execute(statement.values(email=email))
        return [email for email, _ in rows(engine, people)]

    assert stored(missing, "ada", "ADA") == ["ada"]
    sealer.rotate(index=True)
    assert stored(missing, "ada", "Ada", "bob", "BOB") == ["ada", "bob"]
    sealer.rotate()
    assert stored(missing, "ada", "bob", "eve", "EVE") == ["ada", "bob", "eve"]
    assert stored(targeted, "Bob", "EVE") == ["ada", "bob", "eve"]
    with pytest.raises(IntegrityError, match="bridge"):
        stored(targeted, "Ada")


# -- processes at the same time

COUNT = 150
WAIT = 60.0


@pytest.fixture
def file_keystore(tmp_path: Path) -> Iterator[FileKeystore]:
    """Return a keystore file; the default sealer is forgotten after the test."""
    yield FileKeystore(tmp_path / "keys.json")
    forget(get_sealer())


@pytest.mark.parametrize("work", ["insert", "update"])
def test_processes_under_different_keys_take_each_value_once(
    engine: sa.Engine, database_url: sa.URL, file_keystore: FileKeystore, work: str
) -> None:
    """
    Three processes write the same values at once, in an order of their own.

    One never reads the keystore again, one knows the keys after the rotation of the index key,
    and one those after another rotation. Each value is there once in the end.
    """
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    manager = KeyManager(file_keystore, provider)
    manager.create("default")
    PEOPLE.create(engine)
    barrier, ready, told = FORK.Barrier(3), FORK.Queue(), FORK.Queue()
    if database_url.drivername == "sqlite":
        database_url = database_url.update_query_dict({"timeout": "60"})

    def write(number: int, keyset: Keyset) -> None:
        sealer = get_sealer()
        sealer.configure(keystore=file_keystore, provider=provider, replace=True)
        assert sealer.keyset.records == keyset.records
        own = sa.create_engine(database_url)
        mine = [f"{number}: {each}" for each in range(COUNT)]
        if work == "update":
            assert all(accepts(own, PEOPLE, *mine))
        shared = [f"person {each}" for each in range(COUNT)]
        random.Random(number).shuffle(shared)
        ready.put(number)
        barrier.wait(WAIT)
        if work == "insert":
            told.put(accepts(own, PEOPLE, *shared).count(True))
        else:
            told.put(sum(renames(own, old, new) for old, new in zip(mine, shared, strict=True)))
        own.dispose()

    engine.dispose()
    processes = []
    for number, index in enumerate((None, True, False)):
        if index is not None:
            manager.rotate("default", index=index)
        process = FORK.Process(target=write, args=(number, manager.keyset("default")), daemon=True)
        process.start()
        assert ready.get(timeout=WAIT) == number, "it has read the keystore and will not again"
        processes.append(process)
    won = [told.get(timeout=WAIT) for _ in processes]
    for process in processes:
        process.join(WAIT)
        assert process.exitcode == 0
    assert sum(won) == COUNT
    get_sealer().configure(keystore=file_keystore, provider=provider, replace=True)
    emails = [email for email, _ in rows(engine, PEOPLE)]
    assert len(emails) == len(set(emails)) == COUNT * (1 if work == "insert" else 3)
    assert {f"person {each}" for each in range(COUNT)} <= set(emails)
    if work == "update":
        with engine.connect() as connection:
            labels = connection.scalars(sa.text("SELECT DISTINCT substr(email, 5, 8) FROM people"))
            assert len(labels.all()) == 3, "all of them wrote, under keys of their own"


def renames(engine: sa.Engine, old: str, new: str) -> bool:
    """Give a person another address; say whether that was possible."""
    statement = sa.update(PEOPLE).where(PEOPLE.c.email == old).values(email=new)
    try:
        with engine.begin() as connection:
            return connection.execute(statement).rowcount == 1
    except IntegrityError:
        return False
