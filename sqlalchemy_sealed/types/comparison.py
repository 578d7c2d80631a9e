"""How a slot is compared: with values, whose slots are made then, or with another slot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy import Boolean, TypeDecorator, and_, or_
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    CollectionAggregate,
    ColumnElement,
    Grouping,
    Label,
    Null,
)
from sqlalchemy.sql.lambdas import PyWrapper
from sqlalchemy.sql.selectable import ScalarSelect, SelectBase

from .changed import keeps_values
from .dual import search_problem
from .dual_search import searching
from .parameters import element_of, parameter
from .search import BlindMatch
from .slots import Slot, SlotType, slot_expression

EQUAL = (operators.eq, operators.in_op, operators.is_not_distinct_from)
UNEQUAL = (operators.ne, operators.not_in_op, operators.is_distinct_from)
_LISTS = (operators.in_op, operators.not_in_op)
_DISTINCT = (operators.is_distinct_from, operators.is_not_distinct_from)


def compare_slot(slot: ColumnElement[Any], op: Any, other: Any) -> Any:
    """
    Return the comparison of a slot, or None if it cannot be right.

    Args:
        slot: an expression of a slot's type.
        op: one of `EQUAL` or `UNEQUAL`.
        other: a value, or several; a bound parameter; another slot, a column with one, or a
            subquery of slots.
    """
    many = op in _LISTS
    element = element_of(other)
    if _dual_problem(slot, element) is not None:
        return None
    if _type(slot).index.is_truncated and not _can_be_compared_afterwards(slot, op, element):
        return None
    if element is not None and not isinstance(element, BindParameter):
        right = _as_slot(element, _type(slot), many=many)
        if right is None:
            return None
        if isinstance(right, Slot) and op in (operators.eq, operators.ne):
            return SlotComparison(slot, right, negated=op is operators.ne)
        return TypeDecorator.Comparator.operate(plain(slot), op, right)
    is_value = element is None and not isinstance(other, PyWrapper)
    if many and is_value and (other := listed(other)) is None:
        return None
    values = parameter(slot, other, _type(slot).match_type(many=many))
    if op in _DISTINCT:
        negated = op is operators.is_not_distinct_from
        return _distinct(slot, values, negated=negated, is_value=is_value)
    return searching(slot, values, negated=op in UNEQUAL)


class SlotComparison(BinaryExpression[bool]):
    """
    `slot = slot` or `slot != slot`.

    The ORM puts a parameter in the place of one column when it loads a relationship: then the
    slot of the other is searched, under every index key in use.
    """

    inherit_cache = True

    def __init__(self, left: ColumnElement[Any], right: Slot, *, negated: bool) -> None:
        ops = (operators.ne, operators.eq)
        super().__init__(left, right, ops[not negated], negate=ops[negated], type_=Boolean())

    @property
    def search(self) -> BlindMatch | None:
        """The search that this is, if one side is a parameter."""
        negated = self.operator is operators.ne
        for slot, other in ((self.left, self.right), (self.right, self.left)):
            value = getattr(other, "column", None)
            if isinstance(value, BindParameter):
                searched = parameter(slot, value, _type(slot).match_type(many=False))
                return BlindMatch(slot, searched, negated=negated)
        return None

    def _negate(self) -> SlotComparison:
        negated = self.operator is operators.eq
        return SlotComparison(self.left, cast("Slot", self.right), negated=negated)


@compiles(SlotComparison)
def _compile_comparison(element: SlotComparison, compiler: Any, **kw: Any) -> str:
    search = element.search
    if search is None:
        return str(compiler.visit_binary(element, **kw))
    return str(compiler.process(search, **kw))


def why_not(slot: ColumnElement[Any], op: Any, other: Any) -> str:
    """Return the reason for which `compare_slot` gave None."""
    if (problem := _dual_problem(slot, element_of(other))) is not None:
        return problem
    if _type(slot).index.is_truncated:
        return (
            "its blind index is truncated, so it only finds values that may be equal; use == or "
            "in_() with values, in execute_exact()"
        )
    if op in _LISTS and element_of(other) is None:
        return (
            "it is searched with a list of values, one bindparam() for the list, or a subquery "
            "of blind_index()"
        )
    return (
        "the two sides have different blind indexes, so equal values are not equal there; give "
        "both BlindIndex(context=...) of one context, and use blind_index() in a subquery"
    )


def plain(slot: Any) -> Any:
    """Return the comparator of the slot's bytes, without our refusals."""
    return TypeDecorator.Comparator(slot)


def is_null(value: Any) -> bool:
    """Whether an operator was given None or NULL."""
    return value is None or isinstance(value, Null)


def listed(other: Any) -> list[Any] | None:
    """Return the values that `in_` was given, or None if it was given something else, or SQL."""
    if isinstance(other, str | bytes | bytearray) or not isinstance(other, Iterable):
        return None
    values = list(other)
    return None if any(element_of(value) is not None for value in values) else values


def _dual_problem(slot: Any, element: Any) -> str | None:
    """Return why a column that may hold plaintext cannot be compared with this, or None."""
    type_ = _type(slot)
    is_value = element is None or isinstance(element, BindParameter)
    of_values = is_value and isinstance(slot, Slot)
    return search_problem(type_.source, type_.number, of_values=of_values)


def _type(slot: Any) -> SlotType:
    type_: SlotType = slot.type
    return type_


def _can_be_compared_afterwards(slot: Any, op: Any, element: Any) -> bool:
    """Whether `execute_exact` can drop the false matches: it has both values then."""
    while isinstance(slot, Label | Grouping):
        slot = slot.element
    return (
        op in (operators.eq, operators.in_op)
        and (element is None or isinstance(element, BindParameter))
        and isinstance(slot, Slot)
        and keeps_values(_type(slot).source)
    )


def _distinct(slot: Any, values: BindParameter[Any], *, negated: bool, is_value: bool) -> Any:
    """Return IS DISTINCT FROM, or IS NOT DISTINCT FROM if *negated*: never NULL."""
    match = searching(slot, values, negated=not negated)
    # Plaintext may have no slot.
    stored = plain(slot.column if _type(slot).source.settings.is_dual else slot)
    empty, filled = stored.is_(None), stored.is_not(None)
    if is_value:  # None came as IS NULL already.
        return and_(filled, match) if negated else or_(empty, match)
    # Whether a parameter is NULL is not known before the statement runs.
    given = sql_cast(values, _type(slot).impl_instance)
    compared = and_(filled, given.is_not(None), match)
    if negated:
        return or_(compared, and_(empty, given.is_(None)))
    return or_(compared, and_(empty, given.is_not(None)), and_(filled, given.is_(None)))


def _as_slot(element: Any, slot: SlotType, *, many: bool) -> Any:
    """Return the other side as SQL of comparable slots, or None."""
    if isinstance(element, SelectBase | ScalarSelect):
        columns: list[Any] = list(getattr(element, "selected_columns", ())) or [element]
        types = [column.type for column in columns]
        same = len(types) == 1 and _is_same(types[0], slot)
        return element if same else None
    if not isinstance(element, ColumnElement) or isinstance(element, CollectionAggregate):
        return None
    settings = getattr(element.type, "settings", None)
    if settings is not None and settings.index and not many:
        element = slot_expression(element, cast("Any", element.type), 0)
    return element if _is_same(element.type, slot) else None


def _is_same(type_: Any, slot: SlotType) -> bool:
    return isinstance(type_, SlotType) and type_.identity == slot.identity
