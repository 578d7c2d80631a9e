"""Fixtures: a database with the table of the matrix, one for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fix_db import DATABASES, MARIADB, empty_database, empty_schema
from search.matrix import SEALER, Base, fill
from sqlalchemy import Connection, Engine, StaticPool, create_engine, event

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore, Sealer, get_sealer

ALL_DATABASES = [*DATABASES, MARIADB]


@pytest.fixture(scope="session")
def matrix_sealer() -> Sealer:
    """Return the sealer of the matrix; it has keys of its own."""
    keystore, provider = MemoryKeystore(), LocalRootKey.from_text(LocalRootKey.generate())
    KeyManager(keystore, provider).create(SEALER)
    sealer = get_sealer(SEALER)
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    return sealer


def with_savepoints(engine: Engine) -> None:
    """Let SQLAlchemy begin transactions; the driver would begin them too late for a savepoint."""

    @event.listens_for(engine, "connect")
    def do_not_begin(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


@pytest.fixture(scope="module", params=ALL_DATABASES)
def world(request: pytest.FixtureRequest, matrix_sealer: Sealer) -> Iterator[Engine]:
    """Return an engine on a database that holds the matrix. Whoever changes it rolls back."""
    with ExitStack() as stack:
        options = {}
        match request.param:
            case "sqlite":
                url = "sqlite://"
                options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
            case "postgresql":
                url = stack.enter_context(empty_schema(request.getfixturevalue("postgres_url")))
            case "mariadb":
                server = request.getfixturevalue("mariadb_server")
                url = stack.enter_context(empty_database(server.url))
        engine = create_engine(url, enable_from_linting=False, **options)
        if engine.dialect.name == "sqlite":
            with_savepoints(engine)
        stack.callback(engine.dispose)
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            fill(connection)
        yield engine


@pytest.fixture
def connection(world: Engine) -> Iterator[Connection]:
    """Return a connection whose transaction is rolled back."""
    with world.connect() as connection:
        yield connection
