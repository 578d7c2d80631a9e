"""What is left of plaintext after a column was sealed: findings, steps that clean, the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa


class State(StrEnum):
    """What is known of a place where plaintext may be."""

    NONE = "none"
    """Nothing is there, as far as the database says."""
    LEFT = "left"
    """Something is there that is not sealed."""
    MAYBE = "may be left"
    """It may be there, and the database does not say."""
    UNSEEN = "not seen"
    """It could not be looked at, or never can be."""
    CLEANED = "cleaned"
    """This call cleaned it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What is known of one place.

    Attributes:
        place: its name, such as "table" or "wal".
        state: what is known.
        found: what is there: names, numbers and sizes, never a value.
        advice: what to do, or why nothing can be done; may be empty.
        facts: the same numbers for programs. Sizes are bytes.
    """

    place: str
    state: State
    found: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """
    One thing that cleaning does.

    Attributes:
        name: "table", "statistics", "catalog", "statements", "wal" or "journal".
        statements: what is executed, as SQL.
        effect: what others notice of it: locks and sizes.
        cleans: the places that are clean if it succeeds.
        done: whether it was done.
        problem: why it was not, or not wholly.
    """

    name: str
    statements: tuple[str, ...]
    effect: str
    cleans: tuple[str, ...]
    done: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is looked at. Text or bytes can be sealed; else *is_text* is None."""

    name: str
    is_text: bool | None


@dataclass(frozen=True, slots=True)
class Target:
    """
    The table that is looked at.

    Attributes:
        schema: as it was given, or None for the default one.
        name: of the table.
        columns: those that are looked at.
        quoted: the table in SQL.
    """

    schema: str | None
    name: str
    columns: tuple[Column, ...]
    quoted: str

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def label(self) -> str:
        """The table, and the column if it is one, for errors."""
        return f"{self.name}.{self.names[0]}" if len(self.columns) == 1 else self.name

    @property
    def clause(self) -> sa.TableClause:
        """The table in SQL."""
        return sa.table(self.name, schema=self.schema)


@dataclass(frozen=True, slots=True)
class Residue:
    """
    The report.

    Attributes:
        database: which server it is, with its version.
        table: its name.
        columns: the names of those that were looked at.
        findings: one for each place.
        steps: what cleaning does, or did.
        cleaned: whether it was told to clean.
    """

    database: str
    table: str
    columns: tuple[str, ...]
    findings: tuple[Finding, ...]
    steps: tuple[Step, ...] = ()
    cleaned: bool = False

    @property
    def failed(self) -> tuple[Step, ...]:
        """The steps that were not done, or not wholly."""
        return tuple(step for step in self.steps if step.problem)

    def at(self, place: str) -> Finding:
        """Return the finding of a place; KeyError if it was not looked at."""
        for finding in self.findings:
            if finding.place == place:
                return finding
        raise KeyError(place)


def size(number: int | None) -> str:
    """Return a number of bytes for people, in powers of 1024."""
    if number is None:
        return "unknown size"
    amount = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def listed(names: list[str], most: int = 10) -> str:
    """Return names in a sentence, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def many(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def settled(findings: Sequence[Finding], done: Sequence[Step]) -> list[Finding]:
    """Return findings, with the places that were cleaned marked so."""
    cleaned = {place for step in done if step.done and not step.problem for place in step.cleans}
    return [
        replace(each, state=State.CLEANED, advice="")
        if each.place in cleaned and each.state is State.MAYBE
        else each
        for each in findings
    ]
