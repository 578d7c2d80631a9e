"""The keystore in a database table: what it takes from an engine, and what it leaves alone."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import URL, Column, Engine, Integer, MetaData, Table, create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool, StaticPool

from keystores.databases import ON_POSTGRESQL
from sqlalchemy_sealed.errors import ConfigurationError, KeystoreConflictError
from sqlalchemy_sealed.keys import KeyRecord
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.testing import KeystoreSuite, record


@pytest.fixture
def store(engine: Engine) -> DatabaseKeystore:
    """Return an empty keystore in a new table."""
    keystore = DatabaseKeystore(engine)
    keystore.create()
    return keystore


def pair(*generations: int, wrapped: str) -> list[tuple[KeyRecord, KeyRecord]]:
    """Return the pairs of an update that gives records another wrapped key."""
    return [(old, old.with_wrapped(wrapped)) for n in generations for old in [record(generation=n)]]


@ON_MARIADB_TOO
class TestDatabaseKeystore(KeystoreSuite):
    """It does what every keystore does."""


@ON_MARIADB_TOO
def test_an_id_is_taken_in_all_names(store: DatabaseKeystore) -> None:
    """A key id names one key in the whole table."""
    store.add(record())
    taken = replace(record("other"), key_id=record().key_id)
    with pytest.raises(KeystoreConflictError) as caught:
        store.add(record("other", 2), taken)
    assert caught.value.key_id == record().key_id.hex()
    assert store.names() == ("default",)


@ON_MARIADB_TOO
def test_many_records_are_one_transaction(store: DatabaseKeystore) -> None:
    """A conflict in one key name undoes what the same call did to another."""
    store.add(record())
    store.add(record("pii"))
    absent = record("pii", 2)
    with pytest.raises(KeystoreConflictError):
        store.update_many([*pair(1, wrapped="new"), (absent, absent.destroyed())])
    assert store.load("default") == (record(),)


def test_a_mysql_url_keeps_names_apart_too(mariadb_url: URL) -> None:
    """SQLAlchemy has two names for the same server; the table is exact under both."""
    store = DatabaseKeystore(mariadb_url.set(drivername="mysql+pymysql"))
    store.create()
    for name in ("a", "A", "a "):
        store.add(record(name))
    assert store.names() == ("A", "a", "a ")
    assert store.load("a ") == (record("a "),)


@pytest.mark.parametrize("name", ["é" * 501, "x" * 1001, "nul\0", "\ud800"], ids=ascii)
def test_a_name_that_does_not_fit_is_refused(name: str, store: DatabaseKeystore) -> None:
    """A key name is never cut off, nor replaced by another."""
    for use in (lambda: store.add(replace(record(), name=name)), lambda: store.load(name)):
        with pytest.raises(ConfigurationError, match="key name"):
            use()
    assert store.names() == ()


# -- not in the transaction of the application


@pytest.fixture
def notes(engine: Engine) -> Table:
    """Return a table of the application."""
    table = Table("notes", MetaData(), Column("id", Integer, primary_key=True))
    table.create(engine)
    return table


@ON_MARIADB_TOO
def test_a_rollback_does_not_undo_a_new_key(
    store: DatabaseKeystore, notes: Table, engine: Engine
) -> None:
    """The keystore shares engine and thread with a transaction, and nothing else."""
    with engine.connect() as connection:
        assert connection.execute(notes.select()).all() == []
        store.add(record())
        store.update(record(), record().with_wrapped("new"))
        connection.execute(notes.insert().values(id=1))
        connection.rollback()
        assert connection.execute(notes.select()).all() == []
    assert store.load("default") == (record().with_wrapped("new"),)


@ON_MARIADB_TOO
def test_a_call_commits_nothing_of_the_application(
    store: DatabaseKeystore, notes: Table, engine: Engine
) -> None:
    """What a transaction has written so far is still its own when keys were read."""
    with engine.connect() as connection:
        connection.execute(notes.insert().values(id=1))
        store.load("default")
        connection.rollback()
    with engine.connect() as connection:
        assert connection.execute(notes.select()).all() == []


@ON_MARIADB_TOO
def test_a_call_does_not_wait_for_a_connection_of_the_pool(
    store: DatabaseKeystore, database_url: URL
) -> None:
    """A thread that holds the last connection of the pool can still read a key."""
    engine = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    beside = DatabaseKeystore(engine)
    with engine.connect():
        beside.add(record())
        assert beside.load("default") == (record(),)
    engine.dispose()


@ON_MARIADB_TOO
def test_no_connection_is_kept(store: DatabaseKeystore, engine: Engine) -> None:
    """Each call closes what it has opened; the listeners of the engine's pool see it."""
    seen: list[str] = []
    event.listen(engine, "connect", lambda *_: seen.append("connect"))
    event.listen(engine, "close_detached", lambda *_: seen.append("close"))
    beside = DatabaseKeystore(engine)
    beside.add(record())
    beside.load("default")
    with pytest.raises(KeystoreConflictError):
        beside.add(record())
    assert seen == ["connect", "close"] * 4


@ON_POSTGRESQL
def test_a_failed_transaction_does_not_matter(store: DatabaseKeystore, engine: Engine) -> None:
    """Where PostgreSQL ignores all commands until a rollback, keys can be read and made."""
    with engine.connect() as connection:
        with pytest.raises(Exception, match="division by zero"):
            connection.execute(text("SELECT 1/0"))
        store.add(record())
        assert store.load("default") == (record(),)
        with pytest.raises(Exception, match="transaction is aborted"):
            connection.execute(text("SELECT 1"))


def test_a_writer_of_sqlite_is_waited_for_and_then_named(tmp_path: Path) -> None:
    """SQLite lets one write at a time. What is not the keystore's to end is a conflict."""
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}", connect_args={"timeout": 0.05})
    store = DatabaseKeystore(engine)
    store.create()
    with engine.connect() as connection:
        connection.execute(store.table.delete())
        with pytest.raises(KeystoreConflictError, match="a lock of the database") as caught:
            store.add(record())
    assert caught.value.key_id is None
    engine.dispose()
    store.add(record())
    assert store.load("default") == (record(),)


# -- engines as applications have them


@ON_MARIADB_TOO
def test_an_engine_in_autocommit_is_no_harm(store: DatabaseKeystore, database_url: URL) -> None:
    """All or none holds whatever isolation level the engine of the application has."""
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    for option in ({}, {"isolation_level": "AUTOCOMMIT"}):
        beside = DatabaseKeystore(engine.execution_options(**option))
        beside.add(*(record(generation=n) for n in (1, 2) if not option))
        with pytest.raises(KeystoreConflictError):
            beside.add(record(generation=3), record(generation=2))
        with pytest.raises(KeystoreConflictError):
            beside.update_many(pair(1, 3, wrapped="new"))
        assert set(beside.load("default")) == {record(), record(generation=2)}
    engine.dispose()


def test_an_engine_that_begins_by_itself_is_no_harm(tmp_path: Path) -> None:
    """The recipe for savepoints in SQLite takes transactions away from the driver."""
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    event.listen(engine, "connect", lambda dbapi, _: setattr(dbapi, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    store = DatabaseKeystore(engine)
    store.create()
    store.add(record())
    with pytest.raises(KeystoreConflictError):
        store.add(record(generation=2), record())
    with pytest.raises(KeystoreConflictError):
        store.update_many(pair(1, 2, wrapped="new"))
    assert store.load("default") == (record(),)


@ON_POSTGRESQL
def test_a_schema_of_postgresql_is_named(engine: Engine) -> None:
    """The table may lie in a schema of its own, whatever the search path."""
    with engine.connect() as connection:
        schema = connection.scalar(text("SELECT current_schema()"))
    elsewhere = engine.url.update_query_dict({"options": "-csearch_path=pg_catalog"})
    in_schema(DatabaseKeystore(elsewhere, table="wrapped", schema=schema), schema)


@ON_POSTGRESQL
def test_a_schema_that_the_engine_translates_is_used(engine: Engine) -> None:
    """Options of the engine, such as the schema of a tenant, hold for the keystore, too."""
    with engine.connect() as connection:
        schema = connection.scalar(text("SELECT current_schema()"))
    elsewhere = create_engine(
        engine.url.update_query_dict({"options": "-csearch_path=pg_catalog"}),
        execution_options={"schema_translate_map": {"tenant": schema}},
    )
    in_schema(DatabaseKeystore(elsewhere, table="wrapped", schema="tenant"), "tenant")


def test_a_schema_of_mariadb_is_a_database(mariadb_url: URL) -> None:
    """There a schema is another database of the same server."""
    elsewhere = mariadb_url.set(database="information_schema")
    in_schema(
        DatabaseKeystore(elsewhere, table="wrapped", schema=mariadb_url.database),
        mariadb_url.database,
    )


def test_a_schema_of_sqlite_is_attached(tmp_path: Path) -> None:
    """The engine attaches a second file to each connection; the keystore's are no exception."""
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    attach = f"ATTACH '{tmp_path / 'keys.db'}' AS keys"
    event.listen(engine, "connect", lambda dbapi, _: dbapi.execute(attach))
    in_schema(DatabaseKeystore(engine, table="wrapped", schema="keys"), "keys")
    with sqlite3.connect(tmp_path / "keys.db") as connection:
        assert connection.execute("SELECT count(*) FROM wrapped").fetchone() == (1,)
    connection.close()


def in_schema(store: DatabaseKeystore, schema: str | None) -> None:
    """Use a keystore whose table has a schema."""
    store.create()
    store.create()
    store.add(record())
    with pytest.raises(KeystoreConflictError):
        store.add(record())
    assert store.load("default") == (record(),)
    assert f"{schema}.wrapped" in repr(store)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    """Connections of its own would see a database of their own."""
    engine = create_engine(url, poolclass=StaticPool)
    for each in (engine, url):
        with pytest.raises(ConfigurationError, match="MemoryKeystore"):
            DatabaseKeystore(each)


def test_a_shared_database_in_memory_will_do() -> None:
    """Connections that name it see the same one, while one of them is open."""
    url = "sqlite:///file:shared?mode=memory&cache=shared&uri=true"
    engine = create_engine(url, poolclass=QueuePool)
    with engine.connect():
        store = DatabaseKeystore(engine)
        store.create()
        store.add(record())
        assert DatabaseKeystore(engine.url).load("default") == (record(),)
    engine.dispose()


def test_an_async_engine_is_refused(async_engine: AsyncEngine) -> None:
    """The message says what to give instead."""
    for each in (async_engine, async_engine.sync_engine, None):
        with pytest.raises(ConfigurationError, match="synchronous engine or a URL"):
            DatabaseKeystore(each)


# -- nothing is shown


def test_its_repr_shows_no_login() -> None:
    """Neither user nor password nor the query of the URL, where passwords may stand as well."""
    url = "postgresql+psycopg://ada:s3cret@db.example.org:5433/app?sslpassword=s4cret"
    shown = repr(DatabaseKeystore(url))
    assert shown == (
        "DatabaseKeystore('postgresql+psycopg://db.example.org:5433/app', table='sealed_keys')"
    )


@ON_MARIADB_TOO
def test_a_log_of_statements_shows_no_wrapped_key(
    database_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    """The SQL is logged, the parameters are not."""
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    store = DatabaseKeystore(database_url)
    store.create()
    store.add(record())
    store.update(record(), record().with_wrapped("local:1:0011223344556677:new"))
    store.load("default")
    assert "INSERT INTO sealed_keys" in caplog.text
    assert "0011223344556677" not in caplog.text


def test_a_destroyed_key_is_not_left_in_the_file_of_sqlite(tmp_path: Path) -> None:
    """What SQLite frees it would keep until it is used again; here it is overwritten."""
    file = tmp_path / "test.db"
    store = DatabaseKeystore(f"sqlite:///{file}")
    store.create()
    many = [replace(record(generation=n), wrapped=f"wrapped-{n}-" * 20) for n in range(1, 50)]
    store.add(*many)
    assert b"wrapped-25-" in file.read_bytes()
    for each in many[20:30]:
        store.update(each, each.destroyed())
    left = file.read_bytes()
    assert b"wrapped-31-" in left
    assert not any(f"wrapped-{n}-".encode() in left for n in range(21, 31))
