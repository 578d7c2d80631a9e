"""Whether values fit: plaintext a sealed type, and envelopes a column."""

from __future__ import annotations

import warnings
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, SAWarning, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from ..columntypes import holds_bytes, holds_text, innermost
from ..errors import SealedError
from ..types import Encrypted
from .forms import looks_sealed

_SIZES: dict[type[TypeEngine[Any]], int] = {
    mysql.TINYTEXT: 255,
    mysql.TINYBLOB: 255,
    mysql.TEXT: 65_535,
    sa.BLOB: 65_535,
    mysql.MEDIUMTEXT: 16_777_215,
    mysql.MEDIUMBLOB: 16_777_215,
}
"""Bytes of the types of MariaDB and MySQL that have a limit without saying it."""
_LOOKED_AT = 10
"""How many values are looked at, if none before fits."""
_UNREADABLE = (SQLAlchemyError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


def room_of(connection: sa.Connection, type_: TypeEngine[Any]) -> int | None:
    """Return how long values of a column may be, in characters or bytes; None for any length."""
    if connection.dialect.name == "sqlite":
        return None
    type_ = innermost(type_)
    length = getattr(type_, "length", None)
    if isinstance(length, int):
        return length
    if connection.dialect.name in ("mysql", "mariadb"):
        return next((size for kind, size in _SIZES.items() if type(type_) is kind), None)
    return None


def sealed_rows(
    connection: sa.Connection, table: sa.TableClause, name: str, type_: TypeEngine[Any]
) -> int:
    """Return how many values of a column look sealed, in the form that fits it."""
    if not (holds_text(type_) or holds_bytes(type_)):
        return 0
    column: sa.ColumnClause[Any] = sa.column(name, _selectable=table)
    looks = looks_sealed(connection, column, is_text=holds_text(type_))
    rows = sa.select(sa.func.count()).select_from(table).where(looks)
    return int(connection.scalar(rows) or 0)


def problem_of_values(
    connection: sa.Connection,
    table: sa.TableClause,
    name: str,
    type_: Encrypted[Any],
    *,
    is_in_place: bool,
) -> str | None:
    """
    Return what is wrong with plaintext for a sealed type, by the first values that are there.

    None if it fits, or if there is no value. It says nothing of the value. One value that does not
    fit is a bad row of the run; it is a column of another kind if none of the first ten does.

    Args:
        connection: to the database.
        table: whose column.
        name: that of the column.
        type_: by which its values would be sealed.
        is_in_place: whether some of the values may be sealed already.
    """
    column = sa.column(name, type_.inner, _selectable=table)
    raw: sa.ColumnClause[Any] = sa.column(name, _selectable=table)
    statement = sa.select(column).select_from(table).where(raw.is_not(None)).limit(1)
    if is_in_place:
        looks = looks_sealed(connection, raw, is_text=type_.settings.is_text)
        statement = statement.where(sa.not_(looks))
    problems = []
    for number in range(_LOOKED_AT):
        problem = _problem_of_value(connection, statement.offset(number), type_)
        if problem is None:
            return None
        if not problem:
            break
        problems.append(problem)
    return problems[0] if problems else None


def _problem_of_value(
    connection: sa.Connection, statement: sa.Select[Any], type_: Encrypted[Any]
) -> str | None:
    """Return what is wrong with the value of a statement, or nothing; "" if there is no value."""
    inner = type(type_.inner).__name__
    try:
        with warnings.catch_warnings(), connection.begin_nested():
            warnings.simplefilter("ignore", SAWarning)  # SQLite has no decimals.
            row = connection.execute(statement).first()
        if row is None:
            return ""
        if row[0] is not None:
            type_.codec.encode(row[0])
    except SealedError as error:
        return f"a value of it cannot be sealed as {inner}: {error.problem}"
    except _UNREADABLE as error:
        orig = error.orig if isinstance(error, DBAPIError) else None
        kind = type(error if orig is None else orig).__name__
        return f"its values cannot be read as {inner} ({kind}); declare a type that fits them"
    return None
