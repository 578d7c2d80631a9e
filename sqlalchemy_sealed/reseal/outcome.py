"""What a run did: how many rows, and which ones it could not change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NAMED = 1000
"""How many bad rows an outcome names. The others are counted."""

Key = tuple[Any, ...]
"""The values of a row's key columns, as the driver gives them."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """
    A row that was left as it is. Holds its key, never its value.

    Attributes:
        key: the values of the key columns.
        column: `table.column`.
        code: that of the error.
        problem: its text.
    """

    key: Key
    column: str
    code: str
    problem: str


@dataclass(slots=True)
class Outcome:
    """
    Counts of rows.

    Attributes:
        read: rows that were fetched.
        changed: rows that were written.
        lost: rows that another transaction changed or deleted between reading and writing; what
            it wrote stands, and is looked at again.
        bad: rows that could not be changed.
        bad_rows: the first 1,000 of them.
        size: bytes of the values that were fetched.
        before: of the rows that were fetched, those that an earlier process had looked at.
    """

    read: int = 0
    changed: int = 0
    lost: int = 0
    bad: int = 0
    size: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    before: int = 0

    def add(self, other: Outcome) -> None:
        """Count what another outcome counted."""
        self.read += other.read
        self.changed += other.changed
        self.lost += other.lost
        self.size += other.size
        self.bad += other.bad
        self.before += other.before
        self.bad_rows += other.bad_rows[: NAMED - len(self.bad_rows)]

    def blame(self, row: BadRow) -> None:
        """Count a bad row."""
        self.bad += 1
        if len(self.bad_rows) < NAMED:
            self.bad_rows.append(row)
