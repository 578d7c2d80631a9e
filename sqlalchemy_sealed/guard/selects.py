"""Clauses of a SELECT: ORDER BY, GROUP BY, DISTINCT, and those that join several SELECTs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import Table
from sqlalchemy.sql import elements, selectable

from ..types.comparator import refuse
from .expressions import check_grouped, refuse_any, refuse_sealed
from .findings import ORDER, OTHER_CONTEXT, Findings
from .kinds import are_alike, bare, identity, is_null, is_untyped_parameter

_NAME_IN_TEXT = re.compile(
    r"""\s*(?:["`\[]?(?P<table>\w+)["`\]]?\.)?["`\[]?(?P<name>\w+)["`\]]?
    \s*(?:(?:asc|desc)\b)?\s*(?:nulls\s+\w+)?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
"""A clause of raw SQL that is one name, or the position of a column."""


def examine_select(node: selectable.Select[Any], found: Findings) -> None:
    """Check the clauses of one SELECT."""
    columns = list(node.selected_columns)
    distinct_on = list(_resolved(node, columns, _distinct_on(node)))
    grouped = list(_resolved(node, columns, node._group_by_clauses))
    ordered = list(_resolved(node, columns, node._order_by_clauses))
    refuse_sealed(ordered, "ORDER BY", ORDER)
    together = [bare(expr) for expr in (*distinct_on, *grouped)]
    # Rows that are put together by a slot may have to be in its order.
    refuse_any((e for e in ordered if not any(bare(e).compare(t) for t in together)), "ORDER BY")
    check_grouped(_undetermined(grouped), "GROUP BY", found)
    check_grouped(distinct_on, "DISTINCT ON", found)
    if node._distinct and not distinct_on:
        check_grouped(_undetermined(columns), "DISTINCT", found)
    refuse_any((*node._where_criteria, *node._having_criteria), "a bare condition")
    refuse_any(_onclauses(node), "a bare ON condition")
    limits = (node._limit_clause, node._offset_clause, node._fetch_clause)
    refuse_any((each for each in limits if each is not None), "LIMIT")


def _distinct_on(node: selectable.Select[Any]) -> list[Any]:
    """Return the expressions of DISTINCT ON, those of SQLAlchemy 2.1's extension, too."""
    clause = getattr(node, "_pre_columns_clause", None)
    extensions = getattr(clause, "clauses", (clause,))
    more = [expr for each in extensions for expr in getattr(each, "_distinct_on", ())]
    return [*node._distinct_on, *more]


def _onclauses(node: selectable.Select[Any]) -> Iterator[Any]:
    for _target, onclause, _from, _flags in node._setup_joins:
        if isinstance(onclause, elements.ColumnElement):
            yield onclause


def _undetermined(exprs: Iterable[Any]) -> list[Any]:
    """
    Leave out columns of a table whose primary key is among the expressions.

    Then all rows that the key puts together hold the very same sealed bytes.
    """
    exprs = [bare(expr) for expr in exprs]
    known = {hash(expr) for expr in exprs if isinstance(expr, elements.ColumnClause)}

    def is_determined(expr: Any) -> bool:
        table = source = getattr(expr, "table", None)
        while isinstance(source, selectable.Alias):
            source = source.element
        if not isinstance(source, Table) or table is None:
            return False
        keys = list(table.primary_key)
        return bool(keys) and all(hash(key) in known for key in keys)

    return [expr for expr in exprs if not is_determined(expr)]


# -- columns by name and by position


def _resolved(node: Any, columns: list[Any], exprs: Iterable[Any]) -> Iterator[Any]:
    """Yield the expressions of a clause, and the columns in place of names and positions."""
    for expr in exprs:
        inner = bare(expr)
        if isinstance(inner, elements._textual_label_reference):
            yield from _named(node, columns, str(inner.element), None)
        elif (text := _raw(inner)) is not None and (match := _NAME_IN_TEXT.fullmatch(text)):
            name = match["name"]
            if name.isdecimal():
                yield from columns[int(name) - 1 :][:1]
            else:
                yield from _named(node, columns, name, match["table"])
        else:
            yield inner


def _raw(expr: Any) -> str | None:
    if isinstance(expr, elements.TextClause):
        return str(expr.text)
    if isinstance(expr, elements.ColumnClause) and (expr.is_literal or expr.table is None):
        return str(expr.name)
    return None


def _named(node: Any, columns: list[Any], name: str, table: str | None) -> Iterator[Any]:
    """Yield the columns that a name may stand for: selected ones, else those of the tables."""
    selected = [
        column
        for column in columns
        if name in (getattr(column, "key", None), column._tq_label, getattr(column, "name", None))
    ]
    for column in selected or (c for each in _froms(node) for c in each.columns):
        owner = getattr(getattr(bare(column), "table", None), "name", None)
        if selected or (name in (column.key, column.name) and table in (None, owner)):
            yield bare(column)


def _froms(node: Any) -> Iterator[Any]:
    for child in node.get_children():
        yield from getattr(child, "_from_objects", ())


# -- several SELECTs


def examine_compound(node: selectable.CompoundSelect[Any], found: Findings) -> None:
    """Check that the rows of all SELECTs can be read and searched as those of the first."""
    keyword = str(node.keyword.value).upper()
    columns = list(node.selected_columns)
    if keyword != "UNION ALL":
        check_grouped(columns, keyword, found)
    for clauses in (node._order_by_clauses, node._group_by_clauses):
        resolved = list(_resolved(node, columns, clauses))
        refuse_sealed(resolved, "ORDER BY", ORDER)
        refuse_any(resolved, "ORDER BY")
    for group in zip(*(list(s.selected_columns) for s in node.selects), strict=False):
        filled = [column for column in group if not is_null(column)]
        special = next((c for c in filled if identity(bare(c).type) is not None), None)
        if special is None:
            continue
        # The first SELECT says how the rows of all of them are read.
        types = [bare(column).type for column in filled]
        if _is_untyped(group[0]) or not all(are_alike(types[0], type_) for type_ in types):
            clause = f"{keyword} with a column of another context"
            raise refuse(bare(special).type, clause, OTHER_CONTEXT)


def _is_untyped(column: Any) -> bool:
    inner = bare(column)
    return is_untyped_parameter(inner) or (is_null(column) and identity(inner.type) is None)


EXAMINERS: tuple[tuple[type[Any], Callable[[Any, Findings], None]], ...] = (
    (selectable.Select, examine_select),
    (selectable.CompoundSelect, examine_compound),
)
