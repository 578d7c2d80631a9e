"""Connections of a `DatabaseKeystore`: made as those of the application are, and shared by none."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.engine import URL, Connection

from ..errors import KeystoreError

_ISOLATION = {"sqlite": "SERIALIZABLE", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ"}
"""What is atomic whatever the engine of the application is set to, such as AUTOCOMMIT."""


def beside(engine: Engine) -> Engine:
    """Return an engine that makes connections as another one does, and shares none with it."""
    dialect = engine.dialect
    options = {
        **engine.get_execution_options(),
        "isolation_level": _ISOLATION.get(dialect.name, "READ COMMITTED"),
    }
    return Engine(
        engine.pool.recreate(),
        dialect,
        engine.url,
        execution_options=options,
        hide_parameters=True,
    )


def connected(engine: Engine, where: str) -> Connection:
    """
    Return a new connection, which is closed in the end and not kept.

    Args:
        engine: of `beside`.
        where: what the error is about.

    Raises:
        KeystoreError: the driver does not know an option.
        SQLAlchemyError: the database refuses, or cannot be reached.
    """
    try:
        connection = engine.connect()
    except (TypeError, ValueError) as error:
        # Of a driver, in place of an error of its own. It may quote what it was given.
        kind = type(error).__name__
    else:
        if connection.dialect.default_schema_name is None:
            # Another thread is connecting for the first time; SQLAlchemy does not wait for it.
            connection.dialect.initialize(connection)
            connection.rollback()
        connection.detach()
        return connection
    raise KeystoreError(
        f"the driver does not take the URL or the `connect_args` of the database ({kind})",
        where=where,
    )


def shown(url: URL) -> str:
    """Return a URL without its login and its query, where passwords may stand as well."""
    return str(URL.create(url.drivername, None, None, url.host, url.port, url.database))


def is_in_memory(url: URL) -> bool:
    """Whether a database is SQLite's in memory, and not one that connections share by its name."""
    if url.get_backend_name() != "sqlite":
        return False
    database = url.database or ":memory:"
    in_memory = ":memory:" in database or url.query.get("mode") == "memory"
    return in_memory and url.query.get("cache") != "shared"
