"""
What a database refuses in a run: what passes by itself, and one error of ours for the rest.

Drivers tell causes by number. Their texts quote rows and parameters, and are never shown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import exc
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from ..drivercodes import code_of
from ..errors import ResealError


class Cause(StrEnum):
    """Why a statement failed. The first two pass by themselves."""

    LOCKED = "others have held locks for too long"
    LOST = "the database is away, or takes no connections"
    FULL = "the disk of the database is full; make room"
    TEMPORARY = (
        "the database cannot use its temporary files; look for room in its tmpdir, and for another "
        "server with the same tmpdir, which empties it when it starts"
    )
    DENIED = "the database user may not do this; a run needs SELECT and UPDATE of the table"
    ROWS_HIDDEN = (
        "row-level security hides rows from the database user; run as the owner of the table or "
        "as a user with BYPASSRLS"
    )
    READ_ONLY = "the database is read-only, as a replica is; run where it can be written"
    REFUSED = "a constraint of the table refuses the new values; change the constraint first"
    NARROW = "the column is too narrow for the new values; widen it first"
    CHANGED = "the table or a column was renamed, dropped or changed meanwhile"
    SLOW = "the database ended a statement because it took too long; raise statement_timeout"
    POOL = "the pool of the engine has too few connections; a run takes up to five"
    UNREADABLE = "the driver cannot read a value"
    OTHER = "the database refuses"


_POSTGRESQL = {  # PostgreSQL: Appendix A, error codes
    "40001": Cause.LOCKED,
    "40P01": Cause.LOCKED,
    "55P03": Cause.LOCKED,
    "55006": Cause.LOCKED,
    "53300": Cause.LOST,
    "57P01": Cause.LOST,
    "57P02": Cause.LOST,
    "57P03": Cause.LOST,
    "57P05": Cause.LOST,
    "25P03": Cause.LOST,
    "53100": Cause.FULL,
    "25006": Cause.READ_ONLY,
    "22001": Cause.NARROW,
    "44000": Cause.REFUSED,
    "42P01": Cause.CHANGED,
    "42703": Cause.CHANGED,
    "42804": Cause.CHANGED,
    "42883": Cause.CHANGED,
    "0A000": Cause.CHANGED,
    "57014": Cause.SLOW,
}
_MYSQL = {  # MariaDB: error codes
    1205: Cause.LOCKED,
    1213: Cause.LOCKED,
    1020: Cause.LOCKED,
    1040: Cause.LOST,
    1053: Cause.LOST,
    1158: Cause.LOST,
    1159: Cause.LOST,
    1160: Cause.LOST,
    1161: Cause.LOST,
    1927: Cause.LOST,
    2002: Cause.LOST,
    2003: Cause.LOST,
    2006: Cause.LOST,
    2013: Cause.LOST,
    1: Cause.TEMPORARY,
    2: Cause.TEMPORARY,
    3: Cause.TEMPORARY,
    6: Cause.TEMPORARY,
    1021: Cause.FULL,
    1114: Cause.FULL,
    1142: Cause.DENIED,
    1143: Cause.DENIED,
    1290: Cause.READ_ONLY,
    1792: Cause.READ_ONLY,
    1836: Cause.READ_ONLY,
    1048: Cause.REFUSED,
    1062: Cause.REFUSED,
    4025: Cause.REFUSED,
    1406: Cause.NARROW,
    1146: Cause.CHANGED,
    1054: Cause.CHANGED,
    1969: Cause.SLOW,
    3024: Cause.SLOW,
}
_SQLITE = {  # SQLite: result codes
    5: Cause.LOCKED,
    6: Cause.LOCKED,
    13: Cause.FULL,
    8: Cause.READ_ONLY,
    19: Cause.REFUSED,
}


class HeldError(ResealError):
    """Others have held locks for longer than a run waits."""


class UnreadableError(ResealError):
    """The driver does not make a Python value of what the database has."""


_RAISED = {Cause.LOCKED: HeldError, Cause.UNREADABLE: UnreadableError}


def cause_of(error: BaseException) -> Cause:
    """Return why a statement failed, as its driver tells it."""
    if isinstance(error, exc.TimeoutError):  # No connection of the pool became free.
        return Cause.POOL
    if not isinstance(error, DBAPIError):
        return Cause.OTHER
    number = code_of(error)
    if _is_of_driver(error, number):
        return Cause.UNREADABLE
    if isinstance(number, str):
        return _of_postgresql(error, number)
    if isinstance(number, int):
        if hasattr(error.orig, "sqlite_errorcode"):
            return _SQLITE.get(number & 0xFF, Cause.OTHER)
        if number in _MYSQL:
            return _MYSQL[number]
    if error.connection_invalidated or number in (None, 0):
        # A driver that has lost its connection, or cannot make one, has no number to tell.
        is_lost = isinstance(error, OperationalError | InterfaceError)
        return Cause.LOST if is_lost or error.connection_invalidated else Cause.OTHER
    return Cause.OTHER


def _is_of_driver(error: DBAPIError, number: int | str | None) -> bool:
    """Whether a driver says that it cannot convert a value; it has no number for that."""
    if number is None and isinstance(error, DataError):
        return True
    if not isinstance(error, DatabaseError):
        return False
    return number is None and str(error.orig).startswith("Could not decode to UTF-8")


def _of_postgresql(error: DBAPIError, number: str) -> Cause:
    if number == "42501":
        is_hidden = "row-level security" in str(error.orig)
        return Cause.ROWS_HIDDEN if is_hidden else Cause.DENIED
    if number.startswith("08"):
        return Cause.LOST
    if number.startswith("23"):
        return Cause.REFUSED
    return _POSTGRESQL.get(number, Cause.LOST if error.connection_invalidated else Cause.OTHER)


def passes_by_itself(error: BaseException) -> bool:
    """Whether the same statement may succeed later."""
    return cause_of(error) in (Cause.LOCKED, Cause.LOST)


def problem_of(error: SQLAlchemyError, where: str) -> ResealError:
    """Return the error of ours for what a database raised. It quotes no row and no parameter."""
    cause = cause_of(error)
    driver: Any = error.orig if isinstance(error, DBAPIError) else None
    told = [type(error if driver is None else driver).__name__]
    number = code_of(error) if isinstance(error, DBAPIError) else None
    if isinstance(number, str):
        told.append(f"SQLSTATE {number}")
    elif number is not None:
        told.append(f"error {number}")
    constraint = getattr(getattr(driver, "diag", None), "constraint_name", None)
    if constraint:
        told.append(f"constraint {constraint}")
    raised = _RAISED.get(cause, ResealError)
    return raised(
        f"{cause} ({', '.join(told)}); what was done stays done, and the same run, started "
        "again, goes on",
        where=where,
    )
