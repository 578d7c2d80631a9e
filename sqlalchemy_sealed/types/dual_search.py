"""
The search condition of a column that may hold plaintext: of its index, or of the value as it is.

The value is compared by its bytes, whatever the collation of the column: a row is found by the same
values before and after it was encrypted. The plain comparison that stands beside that is for an
index of the database over the column.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from ..bytewise import bytewise_sql
from .dual import PlainType
from .search import BlindMatch
from .slots import MatchType


class DualMatch(BlindMatch):
    """`slot IN (slots) OR column IN (values)`, or the negation of it."""

    inherit_cache = True


def searching(slot: ColumnElement[Any], values: BindParameter[Any], *, negated: bool) -> BlindMatch:
    """Return the condition that searches a slot for values."""
    source = cast("MatchType", values.type).slot.source
    kind = DualMatch if source.settings.is_dual else BlindMatch
    return kind(slot, values, negated=negated)


@compiles(DualMatch)
def _compile_dual(element: DualMatch, compiler: SQLCompiler, **kw: Any) -> str:
    negated = element.operator is operators.not_in_op
    values = cast("BindParameter[Any]", element.right)
    # Before the other one: it is this that takes the place of the parameter in the end.
    blind = compiler.process(BlindMatch(element.left, values, negated=negated), **kw)
    match_type = cast("MatchType", values.type)
    kw["within_columns_clause"] = False
    column = compiler.process(element.searched, **kw)
    value = _parameter(element, match_type, compiler, **kw)
    exact = column
    if match_type.slot.source.settings.is_text:
        exact = bytewise_sql(column, compiler.dialect)
    if negated:
        operator = "NOT IN" if match_type.many else "<>"
        # On SQLite, a part of an empty blob is NULL.
        return f"(coalesce({blind}, 1 = 1) AND ({exact} {operator} {value}))"
    operator = "IN" if match_type.many else "="
    found = f"({column} {operator} {value})"
    if exact != column:
        found = f"({found} AND ({exact} {operator} {value}))"
    return f"({blind} OR {found})"


def _parameter(element: DualMatch, match_type: MatchType, compiler: SQLCompiler, **kw: Any) -> str:
    """Return the SQL of the values as they are: a parameter beside that of their slots."""
    key: Any = cast("Any", element.right).key
    current = compiler.binds.get(key)
    plain: Any = element.right._clone(maintain_key=True)
    plain.type = PlainType(match_type.slot.source)
    if match_type.many:
        plain.expanding, plain.expand_op = True, element.operator
    name = None if current is None else compiler.bind_names.get(current)
    if current is not None and name is not None:  # Literals have none.
        compiler.bind_names[plain] = f"{name}__plain"
        plain.callable = lambda: compiler.binds[key].effective_value
    sql = compiler.process(plain, **kw)
    if current is not None and name is not None:
        compiler.binds[key] = compiler.binds[name] = current
    return sql
