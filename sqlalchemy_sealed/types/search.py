"""The condition that searches a slot, and its SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ColumnElement

from ..errors import RefusedOperationError, ValueRefusedError
from .loose import given
from .slots import MatchType, Slot

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

_BOOLEAN = Boolean()
"""One for all conditions: it keeps its part of the cache key."""


class BlindMatch(BinaryExpression[bool]):
    """
    `slot IN (slots)` or `slot NOT IN (slots)`.

    A BinaryExpression, so that the ORM can adapt it to aliases; its SQL is ours.
    """

    inherit_cache = True

    def __init__(
        self, slot: ColumnElement[Any], values: BindParameter[Any], *, negated: bool
    ) -> None:
        ops = (operators.not_in_op, operators.in_op)
        super().__init__(slot, values, ops[not negated], negate=ops[negated], type_=_BOOLEAN)

    @property
    def is_loose(self) -> bool:
        """Whether the index is truncated, so that other values match, too."""
        return cast("MatchType", self.right.type).slot.index.is_truncated

    @property
    def searched(self) -> ColumnElement[Any]:
        """The column whose value decides."""
        return cast("Slot", self.left).column

    def accepts(self, parameters: Mapping[str, Any]) -> Callable[[Any], bool]:
        """Return the function that compares an opened value with the searched ones."""
        type_ = cast("MatchType", self.right.type)
        wanted = given(cast("BindParameter[Any]", self.right), parameters)
        normalized = partial(type_.slot.index.normalized, type_.slot.source.codec)
        values = wanted or () if type_.many else (wanted,)
        try:
            known = {normalized(value) for value in values if value is not None}
        except ValueRefusedError as error:
            problem = error
        else:
            return lambda value: value is not None and normalized(value) in known
        raise problem.at(str(type_.slot.source.context))

    def __bool__(self) -> bool:
        """Return what a comparison with `==` or `!=` says of a column and a value in Python."""
        if cast("MatchType", self.right.type).many:
            raise TypeError("Boolean value of this clause is not defined")
        return self.operator is operators.not_in_op

    def _negate(self) -> BlindMatch:
        if self.is_loose:
            raise RefusedOperationError(
                "a truncated blind index cannot tell which values are different; select the "
                "equal ones with execute_exact() and leave them out",
                where=cast("MatchType", self.right.type).slot.source.label,
            )
        negated = self.operator is operators.in_op
        return type(self)(self.left, self.right, negated=negated)  # type: ignore[arg-type]


@compiles(BlindMatch)
def _compile_match(element: BlindMatch, compiler: SQLCompiler, **kw: Any) -> str:
    slot_type: Any = element.right.type
    size = slot_type.slot.size
    slot = compiler.process(element.left, **kw)
    values = compiler.process(element.right, **kw)
    operator = "IN" if element.operator is operators.in_op else "NOT IN"
    # One row a slot. A last part that is too short stands for NULL, and so does a NULL.
    return (
        f"{slot} {operator} (WITH RECURSIVE sealed_values(slots) AS (SELECT {values}), "  # noqa: S608
        "sealed_parts(slots, start) AS ("
        "SELECT slots, 1 FROM sealed_values WHERE slots IS NULL OR length(slots) > 0 UNION ALL "
        f"SELECT slots, start + {size} FROM sealed_parts WHERE start + {size} <= length(slots)) "
        f"SELECT CASE WHEN start + {size - 1} <= length(slots) "
        f"THEN substr(slots, start, {size}) END FROM sealed_parts)"
    )


@compiles(BlindMatch, "postgresql")
def _compile_match_postgresql(element: BlindMatch, compiler: SQLCompiler, **kw: Any) -> str:
    slot = compiler.process(element.left, **kw)
    values = compiler.process(element.right, **kw)
    found = element.operator is operators.in_op
    match_type: Any = element.right.type
    # A parameter that is None has no type of its own.
    type_ = "text" if match_type.slot.source.settings.is_text else "bytea"
    if match_type.many:
        return f"{slot} {'= ANY' if found else '<> ALL'} (CAST({values} AS {type_}[]))"
    # PostgreSQL makes a new plan each time for an array of few. There are at most two index keys
    # in use; with one, both parts are the same, and the index is searched once.
    size = match_type.slot.size
    values = f"CAST({values} AS {type_})"
    parts = f"substr({values}, 1, {size}), substr({values}, {size + 1}, {size})"
    return f"{slot} {'IN' if found else 'NOT IN'} ({parts})"
