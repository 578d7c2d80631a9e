"""Assignments: what INSERT and UPDATE write to sealed columns, wherever it stands in them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.sql import dml, elements, selectable

from ..types.comparator import refuse
from .expressions import refuse_any, refuse_sealed
from .findings import OTHER_CONTEXT, OTHER_INDEX, PLAINTEXT, Findings
from .kinds import bare, can_be_stored, identity, is_null, is_untyped_parameter, sealed_type

_UNIQUE = (
    "every seal is randomised, so the database never finds two equal values there; declare the "
    "column with BlindIndex(unique=True) and pass blind_index(column)"
)
_KEY = (
    "no column of the table has this key, so its type would not be used; take the key of the "
    "column, or the column itself"
)
_TYPE = (
    "the value would be sent unsealed; pass the value itself, or bindparam(name) without a value "
    "or with the type of the column"
)
_COPIED = (
    "rows of that column may still hold plaintext, which would be copied as it is; read the value "
    "and write it through Python"
)
_NEW_ROWS = ("excluded", "inserted")
"""How upserts call the row that was to be inserted."""
_UPSERTS = (
    ("postgresql", "OnConflictClause"),
    ("sqlite", "OnConflictClause"),
    ("mysql", "OnDuplicateClause"),
)
_MISMATCH = (
    "not every column of the SELECT can be told by its position; name as many columns as it has"
)


def examine_dml(node: dml.UpdateBase, found: Findings) -> None:
    """Check an INSERT, UPDATE or DELETE."""
    if isinstance(node, dml.ValuesBase):
        is_upsert = getattr(node, "_post_values_clause", None) is not None
        for column, value, takes_type in _assignments(node):
            if identity(column.type) is not None and _may_be_plaintext(value, is_upsert=is_upsert):
                raise refuse(column, "a value out of the database as its new value", _COPIED)
            _check(column, value, found, takes_type=takes_type)
    for condition in getattr(node, "_where_criteria", ()):
        refuse_any((condition,), "a bare condition")
    upsert = getattr(node, "_post_values_clause", None)
    if isinstance(node, dml.Insert) and upsert is not None:
        _check_upsert(node, upsert)


def _assignments(node: dml.ValuesBase) -> Iterator[tuple[Any, Any, bool]]:
    """Yield columns, what is assigned to them, and whether parameters take the column's type."""
    values: Any = node._values or {}
    pairs: list[tuple[Any, Any]] = [*values.items()]
    pairs += getattr(node, "_ordered_values", None) or ()
    pairs += _upserted(getattr(node, "_post_values_clause", None))
    for key, value in pairs:
        for column in _columns(node, key):
            yield column, value, True
    for key, value in _of_many_rows(node):
        for column in _columns(node, key):
            yield column, value, False  # SQLAlchemy sees to that in the first row only.
    if isinstance(node, dml.Insert) and node.select is not None:
        yield from _from_select(node)


def _of_many_rows(node: dml.ValuesBase) -> Iterator[tuple[Any, Any]]:
    table: Any = node.table
    row: Any
    for rows in node._multi_values or ():
        for row in rows:
            is_dict = isinstance(row, dict)
            yield from row.items() if is_dict else zip(table.c, row, strict=False)


def _from_select(node: dml.Insert) -> Iterator[tuple[Any, Any, bool]]:
    names, select = list(node._select_names or ()), node.select
    # Raw SQL text shows no columns; there the CHECK constraint is the last line.
    selected: list[Any] = list(getattr(select, "selected_columns", ()))
    targets = [column for name in names for column in _columns(node, name)]
    sealed = [column for column in targets if identity(column.type) is not None]
    if selected and len(selected) != len(names) and sealed:
        raise refuse(sealed[0], "INSERT FROM SELECT", _MISMATCH)
    for name, value in zip(names, selected, strict=False):
        for column in _columns(node, name):
            yield column, value, False


def _columns(node: Any, key: Any) -> list[Any]:
    """
    Return the columns that a key of VALUES or SET may stand for.

    A text may be the key of a column, the name of one, or a mapped attribute; a column of
    another table stands for the one of its key.
    """
    if hasattr(key, "__clause_element__"):
        key = key.__clause_element__()
    name = key if isinstance(key, str) else getattr(key, "key", None)
    table: Any = node.table
    columns = [column for column in table.c if name in (column.key, column.name)]
    mapper = table._annotations.get("parentmapper")
    mapped = None if mapper is None else mapper.c.get(name)
    own = [key] if isinstance(key, elements.ColumnClause) else []
    return [*own, *columns, *([] if mapped is None else [mapped])]


def _check(column: Any, value: Any, found: Findings, *, takes_type: bool) -> None:
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    if not isinstance(value, elements.ClauseElement) or is_null(value):
        return
    if takes_type and is_untyped_parameter(value):
        return
    type_ = getattr(bare(value), "type", None)
    if identity(column.type) is None:
        if identity(type_) is not None:
            raise refuse(type_, "an assignment to a plain column", OTHER_CONTEXT)
        return
    is_parameter = isinstance(value, elements.BindParameter)
    if (problem := _problem(column.type, type_, is_parameter=is_parameter)) is not None:
        raise refuse(column, *problem)
    if not is_parameter:
        found.written = column


def _may_be_plaintext(value: Any, *, is_upsert: bool) -> bool:
    """Whether an expression may give plaintext that rows still hold; not the new row of upserts."""
    inner = bare(value.__clause_element__() if hasattr(value, "__clause_element__") else value)
    if not isinstance(inner, elements.ColumnElement) or isinstance(inner, elements.BindParameter):
        return False
    table = getattr(inner, "table", None)
    if is_upsert and isinstance(table, selectable.Alias) and table.name in _NEW_ROWS:
        return False
    type_ = sealed_type(inner.type)
    return type_ is not None and type_.settings.is_dual


def _problem(column: Any, value: Any, *, is_parameter: bool) -> tuple[str, str] | None:
    """Return what is wrong with a value for a sealed column, by their types, and the remedy."""
    source = identity(value)
    if source is None and is_parameter:
        return "a parameter of another type as its new value", _TYPE
    if source is None:
        return "an SQL expression as its new value", PLAINTEXT
    if source != identity(column):
        return "the value of a column of another context", OTHER_CONTEXT
    if not can_be_stored(value, column):
        return "the value of a column of another blind index", OTHER_INDEX
    return None


# -- upserts


def _check_upsert(node: dml.Insert, upsert: Any) -> None:
    """Check what ON CONFLICT compares, and keys of its SET that are no column's."""
    for target in getattr(upsert, "inferred_target_elements", None) or ():
        columns = _columns(node, target) if isinstance(target, str) else [target]
        refuse_sealed(columns, "ON CONFLICT", _UNIQUE)
    for key, _value in _upserted(upsert):
        if isinstance(key, str) and key not in node.table.c:
            # SQLAlchemy would take it for a column without a type, and an error would quote the
            # value. Which column is meant is not known.
            refuse_sealed(node.table.c, f"SET with the key {key!r}", _KEY)


def _upserted(upsert: Any) -> list[tuple[Any, Any]]:
    pairs = getattr(upsert, "update_values_to_set", None) or getattr(upsert, "update", None) or ()
    return list(pairs.items() if isinstance(pairs, dict) else pairs)


def examine_upsert(node: Any, _found: Findings) -> None:
    """Check the conditions of ON CONFLICT; its SET is looked at with the INSERT."""
    conditions = (
        getattr(node, "inferred_target_whereclause", None),
        getattr(node, "update_whereclause", None),
    )
    refuse_any((each for each in conditions if each is not None), "a bare condition")


# -- VALUES


def examine_values(node: selectable.Values, found: Findings) -> None:
    """Check that what is SQL in the rows is of the type of its column."""
    for rows in node._data:
        for row in rows:
            for column, value in zip(node._column_args, row, strict=False):
                _check(column, value, found, takes_type=False)


EXAMINERS: tuple[tuple[type[Any], Callable[[Any, Findings], None]], ...] = (
    (dml.UpdateBase, examine_dml),
    (selectable.Values, examine_values),
)


def upsert_examiners() -> Iterator[tuple[type[Any], Callable[[Any, Findings], None]]]:
    """Yield the same for upserts, of the dialects that are imported: others have no statements."""
    for dialect, name in _UPSERTS:
        # Another thread may be about to import it; nobody has such a clause before that is done.
        clause = getattr(sys.modules.get(f"sqlalchemy.dialects.{dialect}.dml"), name, None)
        if clause is not None:
            yield clause, examine_upsert
