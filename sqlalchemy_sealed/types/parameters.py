"""The two sides of a search: the expression, and what it is compared with as a parameter."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy.orm import MappedColumn
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BindParameter, ClauseElement
from sqlalchemy.sql.lambdas import PyWrapper
from sqlalchemy.types import TypeEngine


def element_of(value: Any) -> Any:
    """Return the SQL expression that a value is, or None."""
    if isinstance(value, PyWrapper):
        return None
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    return value if isinstance(value, ClauseElement) else None


def expression_of(column: Any) -> Any:
    """Return the SQL expression of a column, a mapped attribute or a `mapped_column()`."""
    expr = column.column if isinstance(column, MappedColumn) else column
    return expr.__clause_element__() if hasattr(expr, "__clause_element__") else expr


def parameter(expr: Any, value: Any, type_: TypeEngine[Any]) -> BindParameter[Any]:
    """
    Return the parameter for a value that *expr* is compared with.

    Args:
        expr: the expression on the left.
        value: a Python value, a bound parameter, or a closure variable of a lambda statement.
        type_: the type that the parameter gets.
    """
    if isinstance(value, PyWrapper):
        # It makes the parameter, and makes it again with each new value, so the type has to be
        # that of its own.
        literal: BindParameter[Any] = value._sa__py_wrapper_literal(expr, operators.eq)
        object.__getattribute__(value, "_param").type = literal.type = type_
        return literal
    element = element_of(value)
    if element is not None:
        clone = element._clone(maintain_key=True)
        clone.type, clone.expanding = type_, False
        return cast("BindParameter[Any]", clone)
    return BindParameter(None, value, type_=type_, unique=True)
