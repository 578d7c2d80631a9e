"""What the guard finds in one statement, and what it says when it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..latches import latches_of
from ..types.base import Encrypted
from ..types.comparator import refuse
from ..types.dual import COLUMNS
from ..types.loose import EXACT
from ..types.slots import SlotType

BYTES = (
    "the database would work on the sealed bytes; do it in Python after reading, or say "
    "type_coerce(column, LargeBinary) if the stored bytes are meant"
)
ORDER = (
    "sealed values have no order in the database; sort after reading, or keep a coarse plain "
    "column for it"
)
DISTINCT = (
    "every seal is randomised, so equal values are not equal in the database; use "
    "blind_index(column) there"
)
PLAINTEXT = (
    "the database would compute it and store it unsealed; compute it in Python and pass a value"
)
OTHER_CONTEXT = (
    "a value is bound to its column and would not open in this one; read it and write it through "
    "Python, or give both columns one context="
)
OTHER_INDEX = (
    "its blind indexes are others than those of this column, so the value would not be found; "
    "read it and write it through Python"
)
OTHER_SIDE = "put the sealed column on the left side, and a value or blind_index() on the right"
TRUNCATED = (
    "its blind index is truncated, so different values are equal there; do it in Python after "
    "reading"
)
_ROTATING = (
    "their index key is being rotated, so equal values may have different index values; reseal "
    "the rows and destroy the old data keys first"
)
_LOOSE = "execute it with execute_exact(session, statement), which drops the rows that do not match"


@dataclass(slots=True)
class Findings:
    """
    What was found in a statement.

    Attributes:
        grouped: types whose slots are compared with other slots, by a join, GROUP BY, DISTINCT:
            all rows must be under one index key then.
        loose: conditions that match too much.
        claimed: expressions that are of a sealed type because the program says so.
        written: a sealed column that is written by an SQL expression.
        is_dual: whether columns are read or searched that may hold plaintext.
    """

    grouped: list[Encrypted[Any]] = field(default_factory=list)
    loose: list[Any] = field(default_factory=list)
    claimed: list[Any] = field(default_factory=list)
    written: Any = None
    is_dual: bool = False

    def add_grouped(self, slot: SlotType, clause: str) -> None:
        """
        Note that slots are compared with one another.

        Raises:
            RefusedOperationError: the index is truncated, so different values are equal there, or
                rows may hold plaintext, which has no slot.
        """
        if slot.source.settings.is_dual:
            raise refuse(slot.source, clause, COLUMNS)
        if slot.index.is_truncated:
            raise refuse(slot.source, clause, TRUNCATED)
        self.grouped.append(slot.source)

    def check(self) -> None:
        """
        Check what only the whole statement shows.

        Raises:
            RefusedOperationError: what is written to a sealed column comes from an expression
                whose sealed type is only a claim.
        """
        if self.written is not None and self.claimed:
            raise refuse(self.written, "an SQL expression as its new value", PLAINTEXT)

    def check_execution(self, context: Any) -> None:
        """
        Check what depends on the moment and on who executes the statement.

        Raises:
            RefusedOperationError: a rotation is under way, or rows that do not match would be
                returned.
            DBAPIError: plaintext may be read, and the latches cannot be.
        """
        if self.is_dual:
            latches_of(context.dialect).attend(context.root_connection)
        for type_ in self.grouped:
            if len(type_.sealer.keyset.index_key_ids) > 1:
                raise refuse(type_, "a comparison of sealed values with one another", _ROTATING)
        if not self.loose:
            return
        exact = context.execution_options.get(EXACT)
        if exact is None or not exact.covers(len(self.loose)):
            searched = self.loose[0].searched
            raise refuse(searched, "a search through an index that matches too much", _LOOSE)
