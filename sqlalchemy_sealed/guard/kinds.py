"""What an expression is to the guard: sealed, a slot, NULL, or plain; and which of them agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ARRAY, TypeDecorator
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BindParameter,
    Cast,
    ColumnElement,
    Grouping,
    Label,
    Null,
    TypeCoerce,
    UnaryExpression,
    _label_reference,
)

from ..types.base import Encrypted
from ..types.slots import SlotType

_ORDERING = (
    operators.asc_op,
    operators.desc_op,
    operators.nulls_first_op,
    operators.nulls_last_op,
)


def bare(expr: Any) -> Any:
    """Return the expression under labels, parentheses, ASC, DESC and NULLS FIRST."""
    while isinstance(expr, Label | Grouping | _label_reference) or (
        isinstance(expr, UnaryExpression) and expr.modifier in _ORDERING
    ):
        expr = expr.element
    return expr


def sealed_type(type_: Any) -> Encrypted[Any] | None:
    """Return the sealed type that a type is, wraps, holds or has as a variant."""
    if isinstance(type_, Encrypted):
        return type_
    inner: list[Any] = []
    if isinstance(type_, TypeDecorator):
        inner.append(type_.impl_instance)
    elif isinstance(type_, ARRAY):
        inner.append(type_.item_type)
    inner += getattr(type_, "_variant_mapping", {}).values()
    return next((found for each in inner if (found := sealed_type(each)) is not None), None)


def sealed_results(compiled: Any) -> Iterator[Encrypted[Any]]:
    """Yield the sealed types of the columns that a compiled statement returns."""
    columns = getattr(compiled, "_result_columns", None) or ()
    types = (sealed_type(column.type) for column in columns)
    yield from (type_ for type_ in types if type_ is not None)


def sealed(expr: Any) -> Any:
    """Return the bare expression if its type is a sealed one, else None."""
    expr = bare(expr)
    if isinstance(expr, ColumnElement) and sealed_type(expr.type) is not None:
        return expr
    return None


def slot_type(expr: Any) -> SlotType | None:
    """Return the type of an expression that is a slot of a blind index, else None."""
    expr = bare(expr)
    if isinstance(expr, ColumnElement) and isinstance(expr.type, SlotType):
        return expr.type
    return None


def is_null(expr: Any) -> bool:
    """Whether this is NULL, with or without a type and a name."""
    expr = bare(expr)
    if isinstance(expr, TypeCoerce | Cast):
        expr = bare(expr.clause)
    return isinstance(expr, Null)


def is_untyped_parameter(expr: Any) -> bool:
    """Whether this is a bound parameter that takes the type of the column it is written to."""
    return isinstance(expr, BindParameter) and expr.type._isnull


# -- which agree


def identity(type_: Any) -> tuple[object, ...] | None:
    """Return what two types must share for one to read what the other wrote; None if plain."""
    if isinstance(type_, SlotType):
        return type_.identity
    found = sealed_type(type_)
    if found is None:
        return None
    is_array = isinstance(type_, ARRAY)
    return (
        is_array,
        found.label,
        found.settings.sealer,
        found.settings.storage,
        type(found.codec),
    )


def layout(type_: Any) -> tuple[object, ...]:
    """Return what two sealed types must share for one search to find the values of both."""
    found = sealed_type(type_)
    if found is None:
        return ()
    indexes = (
        (i.name, i.context or found.label, i.form(found.codec), i.bits, i.slots)
        for i in found.settings.index
    )
    return (*indexes, found.settings.match, found.settings.plaintext_until)


def are_alike(first: Any, second: Any) -> bool:
    """Whether values of two types can stand in one column of a result."""
    return identity(first) == identity(second) and layout(first) == layout(second)


def can_be_stored(value: Any, column: Any) -> bool:
    """Whether what one type wrote can be stored in a column of another, and be found there."""
    found = sealed_type(column)
    if identity(value) != identity(column):
        return False
    if found is None or not (found.settings.index or found.settings.match):
        return True
    return layout(value) == layout(column)
