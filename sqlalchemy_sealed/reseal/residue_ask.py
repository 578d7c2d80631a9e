"""
Questions to a database, each on its own: that one is refused does not hinder the next.

What a driver says of a refusal may quote rows and statements. Only its number is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .residue_model import Finding, State

_REASONS: dict[int | str, str] = {
    "42501": "this database user may not do this",
    "55P03": "others held locks for too long",
    "57014": "the statement was ended because it took too long",
    "53100": "the disk of the database is full",
    "25006": "the database is read-only, as a replica is",
    "55000": "the database is not set up for it",
    "0A000": "this server does not offer it",
    "42883": "this server does not offer it",
    1044: "this database user may not do this",
    1142: "this database user may not do this",
    1143: "this database user may not do this",
    1227: "this database user may not do this",
    1205: "others held locks for too long",
    5: "others held locks for too long",
    6: "others held locks for too long",
    8: "the database is read-only",
    13: "the disk of the database is full",
}


class RefusedError(Exception):
    """The database refused a statement. The text has the reason, and quotes nothing."""


class Asking:
    """
    A connection on which each statement is a transaction of its own.

    Args:
        connection: with the isolation level AUTOCOMMIT.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    def rows(self, statement: str | sa.Executable, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement; RefusedError if the database refuses."""
        told = sa.text(statement) if isinstance(statement, str) else statement
        with _told():
            return [tuple(row) for row in self.connection.execute(told, parameters)]

    def row(self, statement: str | sa.Executable, **parameters: Any) -> tuple[Any, ...]:
        """Return the only row of a statement."""
        (row,) = self.rows(statement, **parameters)
        return row

    def value(self, statement: str | sa.Executable, **parameters: Any) -> Any:
        """Return the first value of the first row, or None if there is no row."""
        rows = self.rows(statement, **parameters)
        return rows[0][0] if rows else None

    def do(self, statement: str) -> None:
        """Execute a statement without parameters; RefusedError if the database refuses."""
        with _told():
            self.connection.exec_driver_sql(statement.replace("%", "%%"))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        problem = RefusedError(reason(error))
    else:
        return
    raise problem


def reason(error: SQLAlchemyError) -> str:
    """Return why a database refuses, without what it quotes."""
    driver: Any = error.orig if isinstance(error, DBAPIError) else error
    code: Any = getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None)
    if code is None and hasattr(driver, "sqlite_errorcode"):
        code = driver.sqlite_errorcode & 0xFF
    elif code is None and driver.args and isinstance(driver.args[0], int):
        code = driver.args[0]
    name = type(driver).__name__
    told = f"{name}, {code}" if isinstance(code, int | str) else name
    known = _REASONS.get(code) if isinstance(code, int | str) else None
    return f"{known or 'the database refuses'} ({told})"


def seen(place: str, look: Callable[[], Finding], remedy: str) -> Finding:
    """Return what a look at a place finds, or that it could not be looked at, and the remedy."""
    try:
        return look()
    except RefusedError as refused:
        return Finding(place, State.UNSEEN, f"not looked at: {refused}", remedy)
