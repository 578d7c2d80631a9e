"""A column that is checked before a run, and what is found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.types import TypeEngine

from ..types import Encrypted
from .models import SealedColumn
from .moves import Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What was found.

    Attributes:
        where: the table or `table.column`.
        problem: what it is and what to do.
        is_warning: whether a run can do its work nevertheless.
    """

    where: str
    problem: str
    is_warning: bool = False

    def __str__(self) -> str:
        """Return the place and the problem."""
        return f"{self.where}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Place:
    """One column that is checked."""

    connection: sa.Connection
    inspector: Inspector
    kind: Kind
    column: SealedColumn
    types: dict[str, TypeEngine[Any]]
    other: str | None

    @property
    def label(self) -> str:
        """`schema.table.column`, or `table.column`."""
        return self.column.label

    @property
    def type(self) -> Encrypted[Any]:
        """The sealed type in this database."""
        return self.column.type_for(self.connection.dialect.name)

    @property
    def is_in_place(self) -> bool:
        """Whether envelopes and plaintext are in the same column."""
        return self.kind in (Kind.ENCRYPT, Kind.DECRYPT) and self.other in (None, self.column.name)

    @property
    def table(self) -> sa.TableClause:
        """Its table in SQL."""
        return sa.table(self.column.table, schema=self.column.schema)

    def found(self, problem: str, *, is_warning: bool = False) -> Finding:
        """Return a finding about the column."""
        return Finding(self.label, problem, is_warning)
