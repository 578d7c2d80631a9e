"""
Nothing that is sealed is written anywhere in plaintext: not to the database, a log or an error.

Each situation of `leak_search` runs with the loudest logging that SQLAlchemy has, and what was
written is searched for the secret and for the keys. What the search leaves out, by design, stands
at the head of `leak_search.canaries`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from leak_search import OTHER_SEALER, PEOPLE, SITUATIONS, Base, Search, Situation, canary, row
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sqlalchemy_sealed import (
    EncryptedString,
    EncryptedText,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    get_sealer,
)
from sqlalchemy_sealed.aead import derive
from sqlalchemy_sealed.context import pack

LOUDEST = {"echo": "debug", "logging_name": "people", "pool_logging_name": "pool"}
MODES = {
    "quiet": {},
    "echo": {"echo": True},
    "echo debug": {"echo": "debug"},
    "parameters hidden": {**LOUDEST, "hide_parameters": True},
}
every_situation = pytest.mark.parametrize("situation", SITUATIONS, ids=str)


@pytest.fixture
def secret() -> str:
    """Return a secret text."""
    return canary()


@pytest.fixture(autouse=True)
def keys(sealer: Sealer, keystore: MemoryKeystore, provider: LocalRootKey) -> list[bytes]:
    """Configure the default sealer and one of other keys; return the keys of both."""
    others = MemoryKeystore()
    KeyManager(others, provider).create(OTHER_SEALER)
    get_sealer(OTHER_SEALER).configure(keystore=others, provider=provider, replace=True)
    records = [*keystore.load("default"), *others.load(OTHER_SEALER)]
    material = [provider.unwrap(record.wrapped, record.binding) for record in records]
    index = b"sqlalchemy-sealed v1 index\x00" + pack(("leak_people.code", "equal"))
    infos = (b"sqlalchemy-sealed v1 aead", index)
    return [*material, *(derive(key, info) for key in material for info in infos)]


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """Take away the handler that `echo` gives to SQLAlchemy's logger."""
    logger = logging.getLogger("sqlalchemy")
    handlers = list(logger.handlers)
    yield
    logger.handlers = handlers


@pytest.fixture
def people(database_url: URL) -> URL:
    """Make the table, and return the URL of its database."""
    engine = create_engine(database_url, poolclass=NullPool)
    Base.metadata.create_all(engine)
    return database_url


def prepare(url: URL, situation: Situation, secret: str) -> None:
    """Do what comes before a situation, unsearched."""
    if situation.prepare is not None:
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            situation.prepare(connection, secret)


@contextmanager
def ending_in(situation: Situation, search: Search) -> Iterator[None]:
    """Expect the error of a situation, and take it into the search."""
    if situation.error is None:
        yield
        return
    with pytest.raises(situation.error) as caught:
        yield
    search.exception(caught.value)


def run(url: URL, mode: dict[str, Any], situation: Situation, secret: str) -> Search:
    """Run a situation on an engine of its own, and return what was written."""
    prepare(url, situation, secret)
    search = Search()
    with search.logs_and_warnings():
        engine = create_engine(url, poolclass=NullPool, **mode)
        with engine.connect() as connection, ending_in(situation, search):
            situation.deed(connection.execution_options(logging_token="token"), secret)
    return search


def run_async(url: URL, mode: dict[str, Any], situation: Situation, secret: str) -> Search:
    """Run a situation on an async engine of its own, and return what was written."""
    if url.drivername == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")
    search = Search()

    async def main() -> None:
        engine: AsyncEngine = create_async_engine(url, poolclass=NullPool, **mode)
        async with engine.connect() as connection:
            await connection.execution_options(logging_token="token")
            with ending_in(situation, search):
                await connection.run_sync(situation.deed, secret)

    prepare(url.set(drivername=url.drivername.removesuffix("+aiosqlite")), situation, secret)
    with search.logs_and_warnings():
        asyncio.run(main())
    return search


runs = pytest.mark.parametrize("run_it", [run, run_async], ids=["sync", "async"])


@every_situation
@runs
def test_nothing_written_shows_a_secret(
    situation: Situation,
    run_it: Callable[..., Search],
    people: URL,
    secret: str,
    keys: list[bytes],
) -> None:
    """Neither logs nor warnings, nor the error in any of its forms, hold a value or a key."""
    assert run_it(people, LOUDEST, situation, secret).places(secret, *keys) == []


@every_situation
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_no_setting_of_the_engine_shows_a_secret(
    situation: Situation, mode: dict[str, Any], people: URL, secret: str, keys: list[bytes]
) -> None:
    """Echo, the names of loggers and hidden parameters make no difference."""
    assert run(people, mode, situation, secret).places(secret, *keys) == []


def dump(engine: sa.Engine) -> Search:
    """Return everything that a database stores of the table, and what its planner keeps of it."""
    search = Search()
    if engine.dialect.name == "sqlite":
        engine.dispose()
        database = Path(engine.url.database)
        for file in database.parent.glob(f"{database.name}*"):
            search.bytes(f"file {file.suffix}", file.read_bytes())
        return search
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE leak_people")
        connection.exec_driver_sql("CHECKPOINT")
        for table in ("leak_people", "pg_stats"):
            rows = connection.exec_driver_sql(f"SELECT row_to_json(x)::text FROM {table} x")
            search.text(table, "\n".join(rows.scalars()))
        cursor = connection.connection.cursor()
        with cursor.copy("COPY leak_people TO STDOUT (FORMAT binary)") as copied:
            search.bytes("binary dump", b"".join(copied))
        path = connection.exec_driver_sql("SELECT pg_relation_filepath('leak_people')").scalar_one()
        pages = connection.exec_driver_sql(f"SELECT pg_read_binary_file('{path}')").scalar_one()
        search.bytes("file of the table", bytes(pages))
    return search


def test_the_database_holds_no_plaintext(engine: sa.Engine, secret: str, keys: list[bytes]) -> None:
    """
    Files and dumps hold nothing readable, also after updates, deletions and a rollback.

    The plain column beside the sealed ones is found, so the search would have found them.
    """
    Base.metadata.create_all(engine)
    plain = canary("PLAIN")
    with engine.begin() as connection:
        connection.execute(PEOPLE.insert(), row(secret, key=plain))
        connection.execute(PEOPLE.insert(), [row(secret) for _ in range(200)])
    with engine.begin() as connection:
        connection.execute(PEOPLE.update().values(note=secret, document=[secret]))
        connection.execute(PEOPLE.delete().where(PEOPLE.c.id > 100))
    with engine.connect() as connection:
        connection.execute(PEOPLE.insert(), row(secret))
        connection.rollback()
    search = dump(engine)
    assert search.places(plain) != []
    assert search.places(secret, *keys) == []


CHECKED = sa.Table(
    "checked_people",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("secret", EncryptedString()),
    sa.Column("note", EncryptedText(storage="text")),
)


@pytest.mark.parametrize("column", ["secret", "note"])
@pytest.mark.parametrize(
    "write",
    [
        "UPDATE checked_people SET {} = :value",
        "INSERT INTO checked_people (id, {}) VALUES (2, :value)",
        "INSERT INTO checked_people (id, {}) SELECT 2, :value",
    ],
)
def test_plaintext_past_the_type_is_refused_by_the_database(
    write: str, column: str, engine: sa.Engine, secret: str
) -> None:
    """The CHECK of a table made from its metadata takes envelopes only, also from raw SQL."""
    CHECKED.create(engine)
    with engine.begin() as connection:
        connection.execute(CHECKED.insert(), {"id": 1, "secret": secret, "note": secret})
    raw = sa.text(write.format(column))
    for value in (secret, ""):
        plaintext = value.encode() if column == "secret" else value
        with engine.connect() as connection, pytest.raises(IntegrityError) as caught:
            connection.execute(raw, {"value": plaintext})
        assert f"checked_people_{column}_sealed" in str(caught.value.orig)
    with engine.begin() as connection:
        stored = connection.exec_driver_sql(f"SELECT {column} FROM checked_people").scalar_one()
        connection.execute(raw, {"value": stored})
        connection.execute(raw.bindparams(value=None)) if "UPDATE" in write else None
        found = connection.scalars(sa.select(CHECKED.c[column])).all()
    assert set(found) == ({None} if "UPDATE" in write else {secret})


@pytest.mark.parametrize("storage", ["secret", "note"])
def test_equal_values_are_stored_as_different_bytes(
    storage: str, engine: sa.Engine, secret: str
) -> None:
    """Who sees the database cannot tell which rows hold the same value."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(PEOPLE.insert(), [row(secret) for _ in range(20)])
        stored = connection.exec_driver_sql(f"SELECT {storage} FROM leak_people").scalars()
        assert len({bytes(each) if storage == "secret" else each for each in stored}) == 20
