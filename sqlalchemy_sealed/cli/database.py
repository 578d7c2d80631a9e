"""Connections for commands that are given a database URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from ..errors import ConfigurationError, MissingExtraError
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


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ValueError:  # A port that is no number.
        raise _not_a_url() from None
    except ArgumentError:
        raise _not_a_url() from None
    return parsed.set(drivername=OURS.get(parsed.drivername, parsed.drivername))


def _connection(url: URL) -> Connection:
    place = url.render_as_string()  # With *** in place of a password.
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
    except DBAPIError as error:
        problem = ConfigurationError(f"no connection: {str(error.orig).strip()}", where=place)
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
