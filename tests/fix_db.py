"""
Fixtures: databases.

A test that asks for `engine` or `async_engine` runs on every database, on an empty one each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from servers import postgres
from servers.server import Server
from sqlalchemy import URL, Engine, NullPool, StaticPool, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
SERVER = pytest.StashKey[Server]()


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start a PostgreSQL server, and return the URL of its superuser for psycopg 3."""
    with postgres.running() as server:
        request.config.stash[SERVER] = server
        yield server.url


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


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which PostgreSQL the tests ran on."""
    if server := config.stash.get(SERVER, None):
        terminalreporter.write_line(f"Tests ran on {server.description}.")
