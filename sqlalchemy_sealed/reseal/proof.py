"""
The state of sealed columns, counted by SQL alone: no value is fetched, and no key is needed.

It says how many values are sealed as they would be now, under older keys, under keys that nobody
here knows, or not at all. The proof that a move is complete is that the last three are zero.

Synopsis:

    columns = sealed_columns(Base)
    proven = status(engine, columns, {"default": keyset}).is_proven
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any

import sqlalchemy as sa

from ..bytewise import bytewise
from ..envelope import SUITES, from_text, suite_of
from ..keys import Keyset, KeyState
from ..keystores.connecting import shown
from ..latches import turned_latches
from ..types import Encrypted
from .forms import label, looks_sealed
from .models import SealedColumn, by_table
from .retries import Patience
from .sessions import Session, own_engine

Sink = Callable[[Mapping[str, Any]], None]
"""Takes a result as a document, for an audit trail, say. A document never holds a value."""

_TOGETHER = 6
"""Columns that one statement groups by, at most: it counts each combination of their states."""
_SETTINGS = {"row_security": "off", "statement_timeout": "0"}
"""On PostgreSQL: it sees all rows or fails, and a large table takes its time."""


class State(StrEnum):
    """How the values under one label stand."""

    CURRENT = "current"
    """Sealed as a value would be sealed now."""
    OTHER_FORM = "other form"
    """Under the primary, but with other options: padding, number of slots, match tokens."""
    OLDER = "older key"
    DISABLED = "disabled key"
    DESTROYED = "destroyed key"
    FOREIGN = "foreign"
    """Looks like an envelope, and no key of this id, or no such suite, is known."""
    UNKNOWN = "unknown"
    """No keyset was given to judge by."""


_STALE = {State.OTHER_FORM, State.OLDER, State.DISABLED, State.DESTROYED}


@dataclass(frozen=True, slots=True)
class LabelCount:
    """
    The values under one label.

    Attributes:
        state: how they stand.
        key_id: 8 bytes.
        suite: 1 to 15.
        slots: 0 to 15.
        rows: how many there are.
    """

    state: State
    key_id: bytes
    suite: int
    slots: int
    rows: int


@dataclass(frozen=True, slots=True)
class ColumnStatus:
    """
    The values of one column.

    Attributes:
        column: which one.
        labels: those that look sealed, the most frequent label first.
        plaintext: those that do not.
        nulls: rows without a value.
        is_known: whether there was a keyset to judge by.
        latched: since when its latch is turned, in ISO 8601, in UTC; None if it is not.
    """

    column: SealedColumn
    labels: tuple[LabelCount, ...]
    plaintext: int
    nulls: int
    is_known: bool
    latched: str | None = None

    def count(self, *states: State) -> int:
        """Return how many values are in one of these states."""
        return sum(each.rows for each in self.labels if each.state in states)

    @property
    def rows(self) -> int:
        """How many rows the table has."""
        return sum(each.rows for each in self.labels) + self.plaintext + self.nulls

    @property
    def current(self) -> int:
        """Values that are sealed as they would be now."""
        return self.count(State.CURRENT)

    @property
    def stale(self) -> int:
        """Values that are under another key than the primary, or sealed with other options."""
        return self.count(*_STALE)

    @property
    def foreign(self) -> int:
        """Values that look sealed, under a key that is not known."""
        return self.count(State.FOREIGN)

    @property
    def is_proven(self) -> bool:
        """Whether every value is sealed as it would be now."""
        return self.is_known and not (self.stale or self.plaintext or self.foreign)

    def document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {
            "column": self.column.label,
            "sealer": self.column.type.settings.sealer,
            "context": self.column.type.label,
            "rows": self.rows,
            "current": self.current if self.is_known else None,
            "stale": self.stale if self.is_known else None,
            "foreign": self.foreign if self.is_known else None,
            "plaintext": self.plaintext,
            "null": self.nulls,
            "latched": self.latched,
            "labels": [
                {
                    "key_id": each.key_id.hex(),
                    "suite": each.suite,
                    "slots": each.slots,
                    "state": str(each.state),
                    "rows": each.rows,
                }
                for each in self.labels
            ],
            "proven": self.is_proven,
        }


@dataclass(frozen=True, slots=True)
class Status:
    """
    The state of columns of one database.

    Attributes:
        database: its URL, without login.
        moment: when the count began, in UTC.
        columns: each of them.
    """

    database: str
    moment: datetime
    columns: tuple[ColumnStatus, ...]

    @property
    def is_proven(self) -> bool:
        """Whether every value of every column is sealed as it would be now."""
        return all(each.is_proven for each in self.columns)

    def document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {
            "kind": "status",
            "database": self.database,
            "time": self.moment.isoformat(),
            "columns": [each.document() for each in self.columns],
            "proven": self.is_proven,
        }


def status(
    engine: sa.Engine,
    columns: Sequence[SealedColumn],
    keysets: Mapping[str, Keyset],
    *,
    sink: Sink | None = None,
) -> Status:
    """
    Count how the values of columns are sealed: one pass over each table, for six columns each.

    Args:
        engine: of PostgreSQL, SQLite, MariaDB or MySQL, with a driver that is not async.
        columns: whose values.
        keysets: those of the sealers, by the names of these. The values of a sealer that has none
            here are counted by key id, and not judged.
        sink: gets the result as a document.

    Raises:
        ConfigurationError: an async engine.
        ResealError: the database refuses, as where row-level security would hide rows.
    """
    moment = datetime.now(UTC)
    counted: list[ColumnStatus] = []
    with own_engine(engine) as own:
        for table in by_table(columns).values():
            for start in range(0, len(table), _TOGETHER):
                counted += _counted(own, table[start : start + _TOGETHER], keysets)
    found = Status(shown(engine.url), moment, tuple(counted))
    if sink is not None:
        sink(found.document())
    return found


def _counted(
    engine: sa.Engine, columns: Sequence[SealedColumn], keysets: Mapping[str, Keyset]
) -> list[ColumnStatus]:
    settings = _SETTINGS if engine.dialect.name == "postgresql" else {}
    session = Session(engine, Patience(), columns[0].table_label, settings)
    try:
        rows = session.run(partial(_grouped, columns))
        latches = session.run(turned_latches)
    finally:
        session.close()
    found = []
    for at, column in enumerate(columns):
        counts: Counter[bytes | str | None] = Counter()
        for row in rows:
            counts[_plain(row[at])] += row[-1]
        type_ = column.type_for(engine.dialect.name)
        judged = _judged(column, type_, counts, keysets.get(type_.settings.sealer))
        found.append(replace(judged, latched=latches.get(str(type_.label))))
    return found


def _grouped(columns: Sequence[SealedColumn], connection: sa.Connection) -> Sequence[Any]:
    """Return how often each combination of labels is there."""
    table = sa.table(
        columns[0].table,
        *(sa.column(column.name) for column in columns),
        schema=columns[0].schema,
    )
    labels = [
        _state(connection, table.c[each.name], each.type_for(connection.dialect.name)).label(
            f"l{n}"
        )
        for n, each in enumerate(columns)
    ]
    states = sa.select(*labels).select_from(table).subquery("states")
    statement = sa.select(*states.c, sa.func.count()).group_by(*states.c)
    return connection.execute(statement).all()


def _state(
    connection: sa.Connection, column: sa.ColumnElement[Any], type_: Encrypted[Any]
) -> sa.ColumnElement[Any]:
    """Return the SQL of a value's label: NULL for NULL, nothing for plaintext."""
    is_text = type_.settings.is_text
    found = label(column, is_text=is_text)
    nothing: sa.ColumnElement[Any] = sa.literal(b"", sa.LargeBinary())
    if is_text:
        found, nothing = (bytewise(each) for each in (found, sa.literal("", sa.Text())))
    is_sealed = looks_sealed(connection, column, is_text=is_text)
    return sa.case((column.is_(None), sa.null()), (is_sealed, found), else_=nothing)


def _plain(value: Any) -> bytes | str | None:
    """Return what a driver gives as str, or else as bytes."""
    return value if value is None or isinstance(value, str) else bytes(value)


def _judged(
    column: SealedColumn,
    type_: Encrypted[Any],
    counts: Mapping[bytes | str | None, int],
    keyset: Keyset | None,
) -> ColumnStatus:
    labels = []
    plaintext = nulls = 0
    for stored, rows in counts.items():
        if stored is None:
            nulls += rows
        elif not stored:
            plaintext += rows
        else:
            head = _label_bytes(stored)
            suite, slots, key_id = head[0] >> 4, head[0] & 15, head[1:]
            state = _state_of(type_, suite, slots, key_id, keyset)
            labels.append(LabelCount(state, key_id, suite, slots, rows))
    labels.sort(key=lambda each: (-each.rows, each.key_id, each.suite, each.slots))
    return ColumnStatus(column, tuple(labels), plaintext, nulls, keyset is not None)


def _label_bytes(stored: bytes | str) -> bytes:
    """Return the nine bytes of a label."""
    return from_text(stored) if isinstance(stored, str) else stored


def _state_of(
    type_: Encrypted[Any], suite: int, slots: int, key_id: bytes, keyset: Keyset | None
) -> State:
    if keyset is None:
        return State.UNKNOWN
    record = keyset.get(key_id)
    if record is None or suite not in SUITES:
        return State.FOREIGN
    settings = type_.settings
    now = suite_of(padded=settings.pad is not None, tokens=settings.match is not None)
    if record == keyset.primary:
        return State.CURRENT if (suite, slots) == (now, settings.slots) else State.OTHER_FORM
    return _STATES.get(record.state, State.OLDER)


_STATES = {KeyState.DISABLED: State.DISABLED, KeyState.DESTROYED: State.DESTROYED}
