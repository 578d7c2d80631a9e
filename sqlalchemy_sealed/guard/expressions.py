"""
Expressions: where a sealed value or a slot may stand inside of another one.

A part that is not known here may not hold any: what SQLAlchemy or an application adds is
refused until it is known to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sqlalchemy import String
from sqlalchemy.sql import elements, functions, operators, selectable
from sqlalchemy.sql.sqltypes import _Binary

from ..types.comparator import refuse
from ..types.comparison import SlotComparison
from ..types.ours import is_ours
from .findings import BYTES, DISTINCT, OTHER_SIDE, PLAINTEXT, Findings
from .kinds import are_alike, bare, identity, is_null, sealed, sealed_type, slot_type
from .parts import children

_TRANSPARENT = (
    elements.Label,
    elements.Grouping,
    elements._label_reference,
    elements.TextClause,
    selectable.TextualSelect,
    selectable.ForUpdateArg,
    selectable.Exists,
    selectable.Values,
)
"""Parts that say nothing about what stands in them: the part around them is asked."""

_TRUSTED = (
    elements.BindParameter,
    selectable.ScalarSelect,
    getattr(elements, "DMLTargetCopy", elements.BindParameter),  # SQLAlchemy 2.1
)
"""Parts of a sealed type that are what they say, if what stands in them is."""

_NAMES = {
    elements.Cast: "CAST",
    elements.Extract: "EXTRACT",
    elements.Tuple: "a tuple",
    elements.BooleanClauseList: "a bare condition",
    elements.FunctionFilter: "FILTER",
    elements.CollationClause: "COLLATE",
    selectable.Join: "a bare ON condition",
}
_COMPARED = (
    operators.eq,
    operators.ne,
    operators.is_distinct_from,
    operators.is_not_distinct_from,
    operators.in_op,
    operators.not_in_op,
)


def refuse_sealed(exprs: Iterable[Any], clause: str, remedy: str) -> None:
    """Refuse a sealed expression among these."""
    for expr in exprs:
        if (found := sealed(expr)) is not None:
            raise refuse(found, clause, remedy)


def refuse_any(exprs: Iterable[Any], clause: str, remedy: str = BYTES) -> None:
    """Refuse a sealed expression or a slot among these."""
    for expr in exprs:
        refuse_sealed((expr,), clause, remedy)
        if (slot := slot_type(expr)) is not None:
            raise refuse(slot.source, f"{clause} of its blind index", BYTES)


def check_grouped(exprs: Iterable[Any], clause: str, found: Findings) -> None:
    """Check expressions whose equal values the database puts together."""
    for expr in exprs:
        refuse_sealed((expr,), clause, DISTINCT)
        if (slot := slot_type(expr)) is not None:
            found.add_grouped(slot, clause)


def examine_other(node: Any, found: Findings) -> None:
    """Refuse whatever is sealed in a part that is not known to work with it."""
    if isinstance(node, _TRANSPARENT) or is_ours(node) or hasattr(node, "_distinct_on"):
        return
    if inside := children(node):
        kind: Any = type(node)
        refuse_any(inside, _name_of(kind))
    if isinstance(node, elements.TableValuedColumn):
        refuse_any(node.scalar_alias.columns, "a whole row as a value")
    if sealed(node) is node and not isinstance(node, _TRUSTED):
        found.claimed.append(node)


@cache
def _name_of(kind: type[Any]) -> str:
    known = next((text for base, text in _NAMES.items() if issubclass(kind, base)), None)
    return known or f"an expression of {kind.__name__}"


# -- comparisons


def examine_binary(node: elements.BinaryExpression[Any], found: Findings) -> None:
    """Refuse a comparison that the column was not asked for, as it stands on the right."""
    if is_ours(node) and not (isinstance(node, SlotComparison) and node.search is None):
        return
    if sealed(node) is not None:
        found.claimed.append(node)
    if node.operator in (operators.is_, operators.is_not) and is_null(node.right):
        return
    sides = [_compared(node.left), _compared(node.right)]
    refuse_sealed(_flat(sides), "a comparison", OTHER_SIDE)
    slots = [[slot_type(expr) for expr in side] for side in sides]
    if not any(slot is not None for side in slots for slot in side):
        return
    (left, *more), rights = slots[0], slots[1]
    right = rights[0] if len(rights) == 1 and not more else None
    mine, other = getattr(left, "identity", None), getattr(right, "identity", None)
    if left is not None and mine == other and node.operator in _COMPARED:
        found.add_grouped(left, "a comparison")
        return
    source = next(slot.source for slot in _flat(slots) if slot is not None)
    raise refuse(source, "a comparison of its blind index with something else", OTHER_SIDE)


def _compared(side: Any) -> list[Any]:
    """Return what one side of a comparison compares: the columns, if it is a subquery."""
    select = side
    while isinstance(select, selectable.SelectStatementGrouping | selectable.ScalarSelect):
        select = select.element
    if isinstance(select, selectable.SelectBase):
        columns = list(select.selected_columns)
        # One column of a scalar subquery is what the subquery is.
        return (
            [side] if isinstance(side, selectable.ScalarSelect) and len(columns) == 1 else columns
        )
    return [side]


def _flat(lists: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for items in lists for item in items]


def examine_unary(node: elements.UnaryExpression[Any], found: Findings) -> None:
    """Check DISTINCT in front of a slot; ASC and DESC are for the clause that they stand in."""
    operator = node.operator or node.modifier
    if operator is operators.distinct_op:
        check_grouped((node.element,), "DISTINCT", found)
        return
    clause = getattr(operator, "__name__", "an operator").removesuffix("_op").upper()
    inner = _compared(node.element)
    refuse_sealed(inner, clause, BYTES)
    if bare(node) is node:
        refuse_any(inner, clause)


def examine_window(node: elements.Over[Any] | elements.WithinGroup[Any], found: Findings) -> None:
    """Check PARTITION BY; what has no order cannot order a window."""
    refuse_any(_listed(node.order_by), "the order of a window")
    if isinstance(node, elements.Over):
        check_grouped(_listed(node.partition_by), "PARTITION BY", found)
    refuse_any((node.element,), "a window")


def _listed(clauses: Any) -> Iterable[Any]:
    return () if clauses is None else getattr(clauses, "clauses", (clauses,))


# -- choices and functions


def examine_function(node: functions.FunctionElement[Any], found: Findings) -> None:
    """Let count() and coalesce() through; another function would work on the sealed bytes."""
    arguments = [part for part in children(node) if isinstance(part, elements.ClauseElement)]
    if isinstance(node, functions.count):
        # count(DISTINCT slot) is looked at where DISTINCT is.
        return
    if isinstance(node, functions.coalesce):
        _check_choice(arguments, node, "coalesce()")
        return
    if sealed(node) is not None:
        found.claimed.append(node)
        arguments = [each for each in arguments if not _is_value_of(each, node.type)]
    refuse_any(arguments, f"{str(getattr(node, 'name', 'a function')).lower()}()")


def examine_case(node: elements.Case[Any], _found: Findings) -> None:
    """Check that all results are of one type, and the conditions are conditions."""
    results = [result for _, result in node.whens]
    if node.else_ is not None:
        results.append(node.else_)
    _check_choice(results, node, "CASE")
    conditions = [condition for condition, _ in node.whens]
    refuse_any(conditions if node.value is None else [node.value, *conditions], "CASE", DISTINCT)


def _check_choice(results: list[Any], node: Any, clause: str) -> None:
    """Check that an expression which gives one of several results gives one sealed type."""
    results = [result for result in results if not is_null(result)]
    first = next((r for r in results if identity(bare(r).type) is not None), None)
    if first is None:
        return
    type_ = bare(first).type
    if not all(are_alike(type_, bare(result).type) for result in (*results, node)):
        raise refuse(type_, f"{clause} with values that are not of the same context", PLAINTEXT)


# -- changes of type


def examine_cast(node: elements.Cast[Any], found: Findings) -> None:
    """Let a value be cast to the type that it is sealed by."""
    inner = bare(node.clause)
    if _is_value_of(inner, node.type):
        return
    refuse_any((inner,), "CAST")
    if sealed(node) is not None and not is_null(inner):
        found.claimed.append(node)


def _is_value_of(expr: Any, type_: Any) -> bool:
    """Whether this is a value that is sealed as values of the type are."""
    expr = bare(expr)
    return isinstance(expr, elements.BindParameter) and are_alike(expr.type, type_)


def examine_coercion(node: elements.TypeCoerce[Any], found: Findings) -> None:
    """
    Check `type_coerce`, the way past the sealed types.

    It may say that stored bytes are meant, or that stored bytes are sealed; not that a sealed
    value is something that it cannot be.
    """
    inner, target = bare(node.clause), node.type
    is_text = _storage(inner.type) or _storage(target)
    kind = String if is_text else _Binary
    if identity(inner.type) is not None:
        if sealed_type(target) is None and not isinstance(target, kind):
            raise refuse(inner.type, "type_coerce() to another type", BYTES)
        return
    if sealed_type(target) is None or is_null(inner):
        return
    if not isinstance(inner, elements.BindParameter) and not isinstance(inner.type, kind):
        found.claimed.append(node)


def _storage(type_: Any) -> bool:
    """Whether a sealed type or a slot is stored as text."""
    found = getattr(type_, "source", None) or sealed_type(type_)
    return found is not None and bool(found.settings.is_text)


def examine_column(node: elements.ColumnClause[Any], found: Findings) -> None:
    """Note raw SQL, and what a function returns, that is said to be sealed."""
    is_raw = node.is_literal or isinstance(node.table, selectable.TableValuedAlias)
    if is_raw and sealed(node) is not None:
        found.claimed.append(node)


EXAMINERS: tuple[tuple[type[Any] | tuple[type[Any], ...], Callable[[Any, Findings], None]], ...] = (
    (elements.BinaryExpression, examine_binary),
    ((elements.Over, elements.WithinGroup), examine_window),
    (elements.Cast, examine_cast),
    (elements.TypeCoerce, examine_coercion),
    (functions.FunctionElement, examine_function),
    (elements.Case, examine_case),
    (selectable.Exists, examine_other),
    (elements.UnaryExpression, examine_unary),
    (elements.ColumnClause, examine_column),
)
