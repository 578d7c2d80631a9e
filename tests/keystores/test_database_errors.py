"""What a `DatabaseKeystore` says when the database refuses, or is not there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import URL, Engine, create_engine, event, text

from keystores.databases import ON_SERVERS, refused
from sqlalchemy_sealed.errors import KeystoreConflictError, KeystoreError
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.table import TABLE
from sqlalchemy_sealed.testing import record


@pytest.fixture
def store(engine: Engine) -> DatabaseKeystore:
    """Return a keystore with one record."""
    keystore = DatabaseKeystore(engine)
    keystore.create()
    keystore.add(record())
    return keystore


def read(store: DatabaseKeystore) -> object:
    """Read keys."""
    return store.load("default")


def write(store: DatabaseKeystore) -> None:
    """Make a key."""
    store.add(record(generation=2))


def change(store: DatabaseKeystore) -> None:
    """Change a key."""
    store.update(record(), record().destroyed())


USES = (read, write, change, DatabaseKeystore.names)


# -- the table


@ON_MARIADB_TOO
def test_a_missing_table_is_explained(engine: Engine) -> None:
    """The message says how to make one, by hand or by a migration."""
    for use in USES:
        with refused(r"no such table.*DatabaseKeystore\.create.*op\.create_sealed_keys_table"):
            use(DatabaseKeystore(engine))


@ON_MARIADB_TOO
def test_a_missing_schema_is_explained(engine: Engine) -> None:
    """A schema is not made along the way."""
    with refused("no such table|may not do this"):
        DatabaseKeystore(engine, schema="absent").load("default")


@ON_MARIADB_TOO
def test_a_table_of_another_version_is_explained(store: DatabaseKeystore, engine: Engine) -> None:
    """A column that is missing, or one that must be filled, is said."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE sealed_keys DROP COLUMN due"))
    for use in (read, write, change):
        with refused("does not have the columns"):
            use(store)


# -- rights


@pytest.fixture
def with_rights(request: pytest.FixtureRequest, engine: Engine, store: Any) -> Iterator[Any]:
    """Return what makes a user with these rights on the table, and a keystore under its name."""
    user, made = f"u{os.urandom(6).hex()}", []
    on_mariadb = engine.dialect.name == "mariadb"
    name = f"{user}@'127.0.0.1'" if on_mariadb else user

    def execute(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def make(*rights: str) -> DatabaseKeystore:
        made.append(name)
        if on_mariadb:
            execute(f"CREATE USER {name} IDENTIFIED BY 'secret'")
        else:
            with engine.connect() as connection:
                schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
            execute(
                f"CREATE USER {name} PASSWORD 'secret'", f"GRANT USAGE ON SCHEMA {schema} TO {name}"
            )
        execute(f"GRANT {', '.join(rights)} ON {TABLE} TO {name}")
        return DatabaseKeystore(engine.url.set(username=user, password="secret"))

    yield make
    if not on_mariadb:
        execute(f"DROP OWNED BY {name}")
    execute(f"DROP USER {name}")


@ON_SERVERS
def test_who_may_only_read_cannot_make_keys(with_rights: Callable[..., DatabaseKeystore]) -> None:
    """SELECT is enough to use keys. The message names the rights that changes need."""
    store = with_rights("SELECT")
    assert store.load("default") == (record(),)
    for use in (write, change):
        with refused("may not do this: SELECT is needed to use keys, INSERT and UPDATE"):
            use(store)


@ON_SERVERS
def test_who_may_not_read_gets_no_keys(with_rights: Callable[..., DatabaseKeystore]) -> None:
    """The rights of others are not told apart further."""
    store = with_rights("INSERT")
    for use in (read, DatabaseKeystore.names):
        with refused("may not do this"):
            use(store)


@ON_SERVERS
def test_three_rights_are_enough_for_all(with_rights: Callable[..., DatabaseKeystore]) -> None:
    """Nothing is ever deleted from the table."""
    store = with_rights("SELECT", "INSERT", "UPDATE")
    write(store)
    change(store)
    assert len(store.load("default")) == 2
    with pytest.raises(KeystoreConflictError):
        write(store)


@ON_SERVERS
def test_a_wrong_password_is_not_shown(store: DatabaseKeystore, database_url: URL) -> None:
    """Neither the password nor what the server says of it."""
    stranger = DatabaseKeystore(database_url.set(password="wr0ng"))
    with refused("refuses"):
        stranger.load("default")
    with pytest.raises(KeystoreError) as caught:
        stranger.load("default")
    assert "wr0ng" not in str(caught.value)


# -- a database that is away, read-only, locked, damaged


@ON_SERVERS
def test_a_database_that_is_down_is_told(database_url: URL) -> None:
    """Nobody listens at the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = DatabaseKeystore(database_url.set(port=free.getsockname()[1]))
        for use in (*USES, DatabaseKeystore.create):
            with refused("cannot be reached or refuses"):
                use(down)


READ_ONLY = {
    "postgresql": "SET default_transaction_read_only = on",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = on",
}


@ON_MARIADB_TOO
def test_a_read_only_database_is_read_and_not_written(
    store: DatabaseKeystore, database_url: URL
) -> None:
    """A replica serves applications; the message says that keys are changed elsewhere."""
    engine = create_engine(database_url)

    def close_to_writes(dbapi: Any, _record: Any) -> None:
        cursor = dbapi.cursor()
        cursor.execute(READ_ONLY[engine.dialect.name])
        dbapi.commit()

    event.listen(engine, "connect", close_to_writes)
    replica = DatabaseKeystore(engine)
    assert replica.load("default") == (record(),)
    for use in (write, change):
        with refused("read-only"):
            use(replica)
    engine.dispose()


def test_a_read_only_file_of_sqlite_is_read(tmp_path: Path) -> None:
    """A file that was opened read-only, too."""
    DatabaseKeystore(f"sqlite:///{tmp_path / 'test.db'}").create()
    store = DatabaseKeystore(f"sqlite:///file:{tmp_path / 'test.db'}?mode=ro&uri=true")
    assert store.load("default") == ()
    with refused("read-only"):
        write(store)


def test_a_folder_of_sqlite_that_is_missing_is_told(tmp_path: Path) -> None:
    """SQLite makes files, not folders."""
    with refused("file of the database cannot be opened"):
        DatabaseKeystore(f"sqlite:///{tmp_path / 'absent' / 'test.db'}").create()


def test_a_file_that_is_not_sqlite_is_told(tmp_path: Path) -> None:
    """It is neither read nor overwritten."""
    (tmp_path / "test.db").write_bytes(b"something else " * 100)
    for use in (*USES, DatabaseKeystore.create):
        with refused("damaged, or not one of SQLite"):
            use(DatabaseKeystore(f"sqlite:///{tmp_path / 'test.db'}"))
    assert (tmp_path / "test.db").read_bytes() == b"something else " * 100


LOCK_TIMEOUT = {
    "postgresql": "SET lock_timeout = '50ms'",
    "mariadb": "SET innodb_lock_wait_timeout = 1",
    "sqlite": "PRAGMA busy_timeout = 50",
}


@ON_MARIADB_TOO
def test_a_lock_that_is_not_given_up_is_a_conflict(
    store: DatabaseKeystore, database_url: URL
) -> None:
    """It is not about a key: the message says so, and nothing was written."""
    engine = create_engine(database_url)

    def wait_shortly(dbapi: Any, _record: Any) -> None:
        dbapi.cursor().execute(LOCK_TIMEOUT[engine.dialect.name])
        dbapi.commit()

    event.listen(engine, "connect", wait_shortly)
    with engine.connect() as connection:
        connection.execute(store.table.update().values(wrapped="theirs"))
        with refused("a lock of the database.*nothing was written", KeystoreConflictError):
            change(DatabaseKeystore(engine))
    engine.dispose()
    assert store.load("default") == (record(),)
