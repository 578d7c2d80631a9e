"""Connections for commands that are given a database URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from ..errors import ConfigurationError, MissingExtraError
from ..keystores.connecting import shown
from ..locators import EXTRAS, OURS


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """
    Yield a connection to a database that is there, for reading, and close it.

    Args:
        url: as SQLAlchemy takes it, with a driver that is not async.

    Raises:
        MissingExtraError: the driver is not installed, and an extra of ours has it.
        ConfigurationError: not such a URL, no driver, or no connection.
    """
    connection = _connection(_parsed(url))
    try:
        yield connection
    finally:
        connection.close()
        connection.engine.dispose()


@contextmanager
def reached(url: str) -> Iterator[Engine]:
    """
    Yield an engine of a database that is there, and close its connections.

    Raises:
        MissingExtraError, ConfigurationError: as `connected`.
    """
    engine = engine_of(url)
    try:
        yield engine
    finally:
        engine.dispose()


def engine_of(url: str) -> Engine:
    """
    Return an engine of a database that is there.

    Raises:
        MissingExtraError, ConfigurationError: as `connected`.
    """
    connection = _connection(_parsed(url))
    connection.close()
    return connection.engine


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ValueError:  # A port that is no number.
        raise _not_a_url() from None
    except ArgumentError:
        raise _not_a_url() from None
    return parsed.set(drivername=OURS.get(parsed.drivername, parsed.drivername))


def _connection(url: URL) -> Connection:
    place = shown(url)
    try:
        if url.get_dialect().is_async:
            raise ConfigurationError("this driver is async; give a URL without it", where=place)
        if not _is_there(url):
            raise ConfigurationError("there is no such file", where=place)
        return create_engine(url).connect().execution_options(postgresql_readonly=True)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        if extra:
            problem: ConfigurationError = MissingExtraError.named(extra, f"a {extra} URL")
        else:
            problem = ConfigurationError(f"the database driver {error.name!r} is not installed")
    except ArgumentError:
        problem = _not_a_url()
    except (TypeError, ValueError) as error:  # Of a driver; it may quote what it was given.
        kind = type(error).__name__
        problem = ConfigurationError(f"the driver does not take this URL ({kind})", where=place)
    except DBAPIError as error:
        # That the URL is wrong is no operational error, and quotes it.
        is_told = isinstance(error, OperationalError)
        reason = str(error.orig).strip() if is_told else type(error.orig).__name__
        problem = ConfigurationError(f"no connection: {reason}", where=place)
    raise problem


def _is_there(url: URL) -> bool:
    """Whether there is a database: SQLite makes a file that is not there."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return True
    return str(url.database).startswith("file:") or Path(str(url.database)).exists()


def _not_a_url() -> ConfigurationError:
    return ConfigurationError(
        "this is not a database URL; examples: sqlite:///app.sqlite, "
        "postgresql://user:password@localhost/database"
    )
