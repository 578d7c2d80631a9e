"""
Fixtures: databases.

A test that asks for `engine` or `async_engine` runs on SQLite and PostgreSQL, on an empty database
each time; with `@ON_MARIADB_TOO`, `engine` is also one on MariaDB. A test that asks for
`mariadb_engine` runs on MariaDB only, and is marked `mariadb`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from servers import mariadb, postgres
from servers.server import Server, ServiceMissingError
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    StaticPool,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.exc import NotSupportedError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)
ON_MARIADB_TOO = pytest.mark.parametrize("database_url", [*DATABASES, MARIADB], indirect=True)
SERVERS = pytest.StashKey[list[Server]]()


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start a PostgreSQL server, and return the URL of its superuser for psycopg 3."""
    with postgres.running() as server:
        request.config.stash.setdefault(SERVERS, []).append(server)
        yield server.url


@contextmanager
def required_in_ci() -> Iterator[None]:
    """Skip what needs a service that is not there. In CI it must be there."""
    try:
        yield
    except ServiceMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


def have(connection: Connection, statement: str) -> None:
    """
    Create what not every build of PostgreSQL has; skip the test where the server says so.

    The server of the test dependency has no ICU. In CI, one that is a process has to have
    everything, so that such tests run somewhere.
    """
    try:
        connection.exec_driver_sql(statement)
    except NotSupportedError as problem:
        if os.environ.get("CI") == "true" and postgres.kind() == "process":
            raise
        pytest.skip(f"this PostgreSQL server says: {problem.orig}")


def any_case(locale: str) -> str:
    """Return what creates the collation any_case: different texts are equal, as only in ICU."""
    options = f"provider=icu, locale='{locale}', deterministic=false"
    return f"CREATE COLLATION any_case ({options})"


@pytest.fixture(scope="session")
def mariadb_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start a MariaDB server. In CI there must be one; elsewhere there may be none."""
    with required_in_ci():
        mariadb.installation()
    with mariadb.running() as server:
        request.config.stash.setdefault(SERVERS, []).append(server)
        yield server


@pytest.fixture
def mariadb_url(mariadb_server: Server) -> Iterator[URL]:
    """Return the URL of an empty database of a MariaDB server, for PyMySQL."""
    with empty_database(mariadb_server.url) as url:
        yield url


@pytest.fixture
def mariadb_engine(mariadb_url: URL) -> Iterator[Engine]:
    """Return an engine on an empty database of a MariaDB server."""
    engine = create_engine(mariadb_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine() -> Iterator[Engine]:
    """Return an engine on an empty SQLite database in memory, one for all threads."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    yield engine
    engine.dispose()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """Return the URL of an empty database: a SQLite file, then a schema in PostgreSQL."""
    if request.param == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "test.db"))
    elif request.param == "mariadb":
        yield request.getfixturevalue("mariadb_url")
    else:
        with empty_schema(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """Return an engine on an empty database, of each kind in turn."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def async_engine(database_url: URL) -> AsyncEngine:
    """
    Return an async engine on an empty database, of each kind in turn.

    It keeps no connections: a test may use it in more than one event loop.
    """
    if database_url.drivername == "sqlite":
        database_url = database_url.set(drivername="sqlite+aiosqlite")
    return create_async_engine(database_url, poolclass=NullPool)


@contextmanager
def empty_schema(server_url: str) -> Iterator[URL]:
    """Make a schema, yield a URL on which it is the default one, and drop it."""
    schema = f"test_{uuid4().hex}"
    admin = create_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        yield make_url(server_url).update_query_dict({"options": f"-csearch_path={schema}"})
    finally:
        with admin.connect() as connection:
            # A transaction that a test forgot would block this for ever.
            connection.execute(text("SET lock_timeout = '10s'"))
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@contextmanager
def empty_database(server_url: str) -> Iterator[URL]:
    """Make a database of a MariaDB server, yield its URL, and drop it."""
    name = f"test_{uuid4().hex}"
    admin = create_engine(server_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(server_url).set(database=name)
    finally:
        with admin.connect() as connection:
            # A transaction that a test forgot would block this for ever.
            connection.execute(text("SET lock_wait_timeout = 10"))
            connection.execute(text(f"DROP DATABASE {name}"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which servers the tests ran on."""
    for server in config.stash.get(SERVERS, []):
        terminalreporter.write_line(f"Tests ran on {server.description}.")
