"""
Reading pages in which a driver cannot read a value: a date of PostgreSQL may be infinite, one of
SQLite any text at all.

A page fails as a whole then. It is read again in halves, until the row stands alone; its values are
said to be unreadable, and the run goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from ..errors import SealedError
from .changes import Change
from .failures import UnreadableError
from .pages import Range, Ready, page
from .unreadable import Unreadable

Part = Callable[[sa.Connection], sa.Select[Any] | Ready]
"""Makes a statement for a connection."""
Reading = Callable[[Part], Sequence[Any]]
"""Returns the rows of a statement."""

_BY_TYPE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What types of SQLAlchemy raise when a value is none of theirs. They quote it."""
_DAYS = 1 << 31
"""Psycopg gives more days than fit into 32 bits as a wrong number of days."""
_PART = re.compile(r"(-?\d+) (year|mon|day)").findall
_IN_DAYS = {"year": 365, "mon": 30, "day": 1}
_OF_A_DAY = re.compile(r"([01]\d|2[0-3]):").match


def carefully(read: Reading, part: Part) -> Sequence[Any]:
    """
    Return the rows of a page. A value that cannot be read is an `Unreadable`.

    If one value of a row cannot be read, all those are Unreadable that the row was read for.

    Args:
        read: returns the rows of a statement.
        part: a partial of `pages.page` or of a `Pages`, by keywords.
    """
    changes: Sequence[Change] = part.keywords["changes"]  # type: ignore[attr-defined]
    rows = _rows(read, part, part.keywords["range_"], part.keywords["size"])  # type: ignore[attr-defined]
    return _exact(rows, len(part.keywords["table"].key), changes)  # type: ignore[attr-defined]


def _rows(read: Reading, part: Any, range_: Range, size: int) -> Sequence[Any]:
    try:
        return read(partial(part, range_=range_, size=size))
    except SealedError as error:
        if not isinstance(error, UnreadableError):
            raise
        reader = "the driver"
    except _BY_TYPE as error:
        reader = f"SQLAlchemy ({type(error).__name__})"
    if size == 1:
        return _unreadable(read, part, range_, reader)
    half = size // 2
    first = _rows(read, part, range_, half)
    if len(first) < half:
        return first
    last = tuple(first[-1][: len(part.keywords["table"].key)])
    return [*first, *_rows(read, part, Range(last, range_.through), size - half)]


def _unreadable(read: Reading, part: Any, range_: Range, reader: str) -> Sequence[Any]:
    """Return the row that cannot be read, of which only the key is read now."""
    table, changes = part.keywords["table"], part.keywords["changes"]
    width = len(table.key)

    def only_key(connection: sa.Connection) -> sa.Select[Any]:
        statement = page(
            connection,
            table,
            changes,
            range_,
            1,
            all_rows=part.keywords.get("all_rows", False),
        )
        return statement.with_only_columns(*list(statement.selected_columns)[:width])

    typed = [change.reads for change in changes if change.reads is not None]
    said = f" as {type(typed[0]).__name__}" if typed else ""
    mark = Unreadable(f"{reader} cannot read the value{said}")
    marks = [mark] * (len(changes) + len(typed))
    flags = [1] * len(changes) if len(changes) > 1 else []
    return [(*row, *marks, *flags) for row in read(only_key)]


def _exact(rows: Sequence[Any], width: int, changes: Sequence[Change]) -> Sequence[Any]:
    """Return rows; a value that a driver gives as another one is an `Unreadable`."""
    typed = [(n, change) for n, change in enumerate(changes) if change.reads is not None]
    for at, (n, change) in enumerate(typed):
        is_same = _SAME.get(change.reads._type_affinity) if change.reads is not None else None
        if is_same is None:
            continue
        raw, place = width + n, width + len(changes) + at
        mark = Unreadable(f"the value is out of the range of {type(change.reads).__name__}")
        rows = [
            row
            if not isinstance(row[raw], str) or is_same(row[raw])
            else (*row[:place], mark, *row[place + 1 :])
            for row in rows
        ]
    return rows


def _is_interval(text: str) -> bool:
    """Whether psycopg gives an interval of PostgreSQL, in its text, as what it is."""
    return abs(sum(int(number) * _IN_DAYS[unit] for number, unit in _PART(text))) < _DAYS


def _is_time(text: str) -> bool:
    """Whether a time is one of a day. MariaDB has times of up to 838 hours, and below zero."""
    return _OF_A_DAY(text) is not None


def _is_finite(text: str) -> bool:
    """Whether a moment is one. Some drivers make 9999-12-31 of one that is infinite."""
    return not text.endswith("infinity")


_SAME: dict[Any, Callable[[str], bool]] = {
    sa.Date: _is_finite,
    sa.DateTime: _is_finite,
    sa.Interval: _is_interval,
    sa.Time: _is_time,
}
