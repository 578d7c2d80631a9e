"""
Slots in SQL: the expression that takes one out of a column, and the types of what it is compared
with.

The positions stand in the SQL text as literals: with bound positions neither PostgreSQL (in a
generic plan) nor SQLite finds the expression index.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, Text, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeEngine

from ..codecs.base import refuse_type
from ..envelope import HEADER_SIZE, SLOT_SIZE, to_text
from ..errors import NotConfiguredError, RefusedOperationError, ValueRefusedError
from ..index import BlindIndex, search_function
from .changed import changing
from .literals import rendering

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.type_api import _BindProcessorType, _LiteralProcessorType

    from .base import Encrypted

TEXT_SLOT_SIZE = 20
"""Characters of a slot in the text form: 4 for each 3 bytes."""


class SlotType(TypeDecorator[Any]):
    """
    The type of a slot expression: 15 bytes of one column's index, or 20 characters of text.

    Attributes:
        source: the type of the column.
        number: which of its blind indexes this is.
        index: that blind index.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = LargeBinary
    cache_ok = True

    def __init__(self, source: Encrypted[Any], number: int) -> None:
        super().__init__()
        self.source = source
        self.number = number
        self.index: BlindIndex = source.settings.index[number]
        self.impl = Text() if source.settings.is_text else LargeBinary()
        self._matches: dict[bool, MatchType] = {}

    @property
    def size(self) -> int:
        """How long a slot is in the column's storage form."""
        return TEXT_SLOT_SIZE if self.source.settings.is_text else SLOT_SIZE

    def match_type(self, *, many: bool) -> MatchType:
        """Return the type of what is searched in this slot: one value, or many."""
        found = self._matches.get(many)
        if found is None:
            found = self._matches[many] = MatchType(self, many=many)
        return found

    @property
    def identity(self) -> tuple[object, ...]:
        """What two slots must share for their equality to mean equal values."""
        index = self.index
        return (
            self.source.settings.sealer,
            index.context or str(self.source.context),
            index.name,
            index.form(self.source.codec),
            index.bits,
            self.source.settings.is_text,
            self.source.settings.plaintext_until,
        )

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Return a function that refuses all values: they would be sent as they are."""
        label = self.source.label

        def process(value: Any) -> None:
            if value is not None:
                raise RefusedOperationError(
                    "a blind index is searched with == and in_(), not with a value beside it, as "
                    "in a tuple; compare each column by itself",
                    where=label,
                )

        return process

    def literal_processor(self, dialect: Dialect) -> _LiteralProcessorType[Any]:
        """Return the function that renders the refusal into SQL text; it does not raise."""
        return rendering(self.bind_processor(dialect), dialect)

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (type(self), self.source._static_cache_key, self.number)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Return this type: what is compared with a slot is a slot."""
        return self


class MatchType(TypeDecorator[Any]):
    """
    The type of what is searched: values in, their slots under every index key in use out.

    The slots are made when the statement runs, so one compiled statement serves all values, any
    number of them, and one or two index keys. They are bound as one string, with one more byte
    if None was among the values. For PostgreSQL, one value is bound as two slots, and several as
    the text of an array, which costs drivers less than a list.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = LargeBinary
    cache_ok = True

    def __init__(self, slot: SlotType, *, many: bool) -> None:
        super().__init__()
        self.slot = slot
        self.many = many
        self.impl = slot.impl

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return text where PostgreSQL gets several values."""
        return Text() if self._binds_array(dialect) else self.impl_instance

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Return the function from the searched values to their slots."""
        is_text = self.slot.source.settings.is_text
        many = self.many
        # Beside the slots the values themselves are sought, so they are gone through twice.
        is_twice = many and self.slot.source.settings.is_dual
        join = _joined
        if dialect.name == "postgresql":
            join = _as_array if many else _as_pair
        match: Callable[[Any], Sequence[bytes | None]] | None = None

        def process(value: Any) -> Any:
            nonlocal match
            if value is None:
                if not many:
                    return None
                value = ()  # As SQLAlchemy has it.
            if match is None:
                match = changing(self.slot.source, dialect, self._matching())
            slots: Sequence[bytes | None]
            try:
                if many:
                    if isinstance(value, str | bytes) or (
                        is_twice and not isinstance(value, Collection)
                    ):
                        refuse_type("a list of values", value)
                    slots = [
                        slot
                        for item in value
                        for slot in (match(item) if item is not None else (None,))
                    ]
                else:
                    slots = match(value)
            except (ValueRefusedError, NotConfiguredError) as error:
                problem = error
            else:
                return join(slots, is_text=is_text)
            raise problem.at(str(self.slot.source.context))

        return process

    def literal_processor(self, dialect: Dialect) -> _LiteralProcessorType[Any]:
        """Return the function that renders the slots into SQL text; it does not raise."""
        return rendering(self.bind_processor(dialect), dialect)

    def _binds_array(self, dialect: Dialect) -> bool:
        return self.many and dialect.name == "postgresql"

    def _matching(self) -> Callable[[Any], list[bytes]]:
        source = self.slot.source
        label = str(source.context)
        return source.sealer.matching(
            partial(search_function, self.slot.index, source.codec, label)
        )

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        slot = self.slot
        return (type(self), slot.source._static_cache_key, slot.number, self.many)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Return this type."""
        return self


def _joined(slots: Sequence[bytes | None], *, is_text: bool) -> bytes | str:
    known = slots if None not in slots else [slot for slot in slots if slot is not None]
    nulls = len(known) < len(slots)
    joined = b"".join(known)  # type: ignore[arg-type]
    return to_text(joined) + "-" * nulls if is_text else joined + b"\0" * nulls


def _as_pair(slots: Sequence[bytes | None], *, is_text: bool) -> bytes | str:
    """Return both slots, or the only one twice."""
    pair = slots[0] + slots[-1]  # type: ignore[operator]
    return to_text(pair) if is_text else pair


def _as_array(slots: Sequence[bytes | None], *, is_text: bool) -> str:
    """Return the slots as PostgreSQL writes an array."""
    if is_text:
        items = ["NULL" if slot is None else to_text(slot) for slot in slots]
    else:
        items = ["NULL" if slot is None else f'"\\\\x{slot.hex()}"' for slot in slots]
    return "{" + ",".join(items) + "}"


class Slot(ColumnElement[Any]):
    """SQL that takes one slot out of a sealed column, or out of another expression of its type."""

    __visit_name__ = "sealed_slot"
    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - as SQLAlchemy reads it
        ("column", InternalTraversal.dp_clauseelement),
        ("number", InternalTraversal.dp_plain_obj),
        ("bridge", InternalTraversal.dp_boolean),
    ]

    def __init__(
        self,
        column: ColumnElement[Any],
        source: Encrypted[Any],
        number: int,
        *,
        bridge: bool = False,
    ) -> None:
        self.column = column
        self.number = number
        self.bridge = bridge
        self.type = SlotType(source, number)

    @property
    def _from_objects(self) -> Any:
        return self.column._from_objects

    @property
    def bridged(self) -> Slot:
        """The second slot of this index."""
        type_: Any = self.type
        return Slot(self.column, type_.source, self.number, bridge=True)

    @property
    def position(self) -> int:
        """Which slot of the envelope this is, counted from 0."""
        type_: Any = self.type
        return int(type_.source.settings.position(self.number)) + self.bridge

    def taken_out_of(self, stored: str) -> str:
        """Return the SQL that takes the slot out of the SQL of a stored value."""
        type_: Any = self.type
        start = HEADER_SIZE * type_.size // SLOT_SIZE + self.position * type_.size + 1
        return f"substr({stored}, {start}, {type_.size})"


@compiles(Slot)
def compile_slot(element: Slot, compiler: SQLCompiler, **kw: Any) -> str:
    """Return the SQL of a slot."""
    kw["within_columns_clause"] = False
    return element.taken_out_of(compiler.process(element.column, **kw))


def slot_expression(column: Any, source: Encrypted[Any], number: int) -> Slot:
    """Return the slot of an expression, the same one each time it is asked for."""
    memo: dict[int, Slot] = column.__dict__.setdefault("_sealed_slots", {})
    slot = memo.get(number)
    # A clone of the expression comes with a copy of its memo.
    if slot is None or slot.column is not column:
        column.__dict__["_sealed_slots"] = {**memo, number: (slot := Slot(column, source, number))}
    return slot
