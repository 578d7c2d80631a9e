"""
Pages of rows by key: each begins after the last row of the one before.

The database walks its index on the key; nothing is skipped by OFFSET, and rows that come or go
meanwhile do not shift the pages.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import sqlalchemy as sa

from .changes import Change
from .outcome import Key
from .table import MovedTable

_TEXTS = ("text", "character varying")
_LIMIT = "sealed_limit"
"""The execution option that says how many bytes of values are fetched of a page."""
_MANY = 256
"""The most rows that are fetched at once of a page that is ended by its bytes."""


@dataclass(frozen=True, slots=True)
class Range:
    """Rows whose key is above *after* and not above *through*; None stands for no bound."""

    after: Key | None = None
    through: Key | None = None


def page(  # noqa: PLR0913 - what a page is of
    connection: sa.Connection,
    table: MovedTable,
    changes: Sequence[Change],
    range_: Range,
    size: int,
    *,
    all_rows: bool = False,
    limit: int | None = None,
    is_narrow: bool = False,
) -> sa.Select[Any]:
    """
    Return the SELECT of the next rows that are left to do, in the order of their key.

    The columns are those of the key; then, for each change, the stored value as it is compared when
    it is replaced; after these, for each change that reads by a type, the value by that type; and,
    if there is more than one change, for each of them 1 if the row is left to do by it, else 0.

    Args:
        connection: to the database of the table.
        table: what is read.
        changes: what will be done.
        range_: where to read; *after* is the key of the last row that was read.
        size: the most rows.
        all_rows: whether rows are read that are not left to do, too. It is not told then which.
        limit: the page ends about where its values fill so many bytes, so that it may be short
            though others follow. PostgreSQL ends it; elsewhere `fetched` does.
        is_narrow: whether the rows are taken to be so narrow that all of them are within the limit.
            One that is not has NULL for its value, and the page has to be read again. It spares
            the server to add the sizes up. Only if `can_be_narrow`.
    """
    column = partial(_column, table.selectable)
    key = [column(name) for name in table.key]
    read = [compared(connection, table, change, column(change.source)) for change in changes]
    if is_narrow and limit is not None:
        widest = sa.bindparam("widest", limit // size, sa.Integer())
        is_within = _size(table, column, changes) <= widest
        read, limit = [sa.case((is_within, value)) for value in read], None
    typed = [
        sa.type_coerce(column(change.source), change.reads)
        for change in changes
        if change.reads is not None
    ]
    todo = [] if all_rows else [_todo(connection, column, change) for change in changes]
    flags = [sa.case((each, sa.literal_column("1")), else_=sa.literal_column("0")) for each in todo]
    parts = [*key, *read, *typed, *(flags if len(flags) > 1 else [])]
    named: list[Any] = [part.label(f"c{n}") for n, part in enumerate(parts)]
    statement: sa.Select[Any] = _select(named).order_by(*key)
    statement = statement.limit(sa.bindparam("rows", size, sa.Integer()))
    if range_.after is not None:
        statement = statement.where(beyond(key, range_.after, "after"))
    if range_.through is not None:
        statement = statement.where(sa.not_(beyond(key, range_.through, "through")))
    if not all_rows:
        statement = statement.where(sa.or_(*todo))
    if limit is None:
        return statement
    if connection.dialect.name != "postgresql":
        return statement.execution_options(stream_results=True, **{_LIMIT: limit})
    return _limited(statement, len(key), _size(table, column, changes), limit)


def can_be_narrow(dialect: sa.Dialect, table: MovedTable, changes: Sequence[Change]) -> bool:
    """Whether a page of narrow rows can be asked for: NULL stands for nothing else there."""
    return (
        dialect.name == "postgresql"
        and len(changes) == 1
        and changes[0].reads is None
        and table.sql_types[changes[0].source] in ("bytea", *_TEXTS)
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """A page that was made before for other rows, and the values of its parameters."""

    statement: sa.Select[Any]
    parameters: dict[str, Any]


class Pages:
    """
    Makes pages as `page` does, but each kind of page once, and gives it other parameters.

    It is made anew if a primary is another one: conditions depend on nothing else that changes.
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, sa.Select[Any]] = {}

    def __call__(
        self,
        connection: sa.Connection,
        table: MovedTable,
        changes: Sequence[Change],
        range_: Range,
        size: int,
        **options: Any,
    ) -> Ready:
        """Return a page; see `page`."""
        kind = (
            range_.after is None,
            range_.through is None,
            *(each.keyset.primary.key_id for change in changes for each in change.sealers),
            *options.items(),
        )
        found = self._made.get(kind)
        if found is None:
            found = page(connection, table, changes, range_, size, **options)
            self._made[kind] = found
        parameters: dict[str, Any] = {"rows": size}
        if options.get("is_narrow"):
            parameters["widest"] = options["limit"] // size
        for name, key in (("after", range_.after), ("through", range_.through)):
            parameters |= {f"{name}{n}": value for n, value in enumerate(key or ())}
        return Ready(found, parameters)


def fetched(result: sa.CursorResult[Any]) -> Sequence[Any]:
    """
    Return the rows of a page, as far as its limit in bytes lets.

    They are fetched a few at a time, the more the narrower they are, and what is beyond the limit
    is never in memory. That is for databases that would have to look at each value twice to end a
    page by its bytes.
    """
    limit = result.context.execution_options.get(_LIMIT)
    with closing(result):  # Also if a value cannot be read, and others are left.
        return result.all() if limit is None else _until(result, limit)


def _until(result: sa.CursorResult[Any], limit: int) -> Sequence[Any]:
    found: list[Any] = []
    size, many = 0, 1
    while size < limit and (rows := result.fetchmany(many)):
        new = sum(map(_bytes, zip(*rows, strict=True)))
        size += new
        found += rows
        # As many as would, at this width, take a part of what there is room for.
        many = max(1, min(_MANY, many * 2, limit * len(rows) // (8 * max(new, 1))))
    return found


def _bytes(values: Sequence[Any]) -> int:
    """Return the bytes of values, or letters; of what is no text, nothing."""
    try:
        return sum(map(len, values))
    except TypeError:
        return sum(len(value) for value in values if isinstance(value, bytes | str))


def _limited(
    statement: sa.Select[Any], keys: int, size: sa.ColumnElement[Any], limit: int
) -> sa.Select[Any]:
    """Return a page that ends with the row that is the first to fill a number of bytes."""
    rows = statement.add_columns(size.label("size")).subquery("p")
    columns: list[Any]
    *columns, own = rows.c
    so_far = sa.func.sum(own).over(order_by=columns[:keys], rows=(None, 0)) - own
    summed = sa.select(*columns, so_far.label("before")).subquery("s")
    *columns, before = summed.c
    found: sa.Select[Any] = _select(columns)
    return found.where(before < limit).order_by(*columns[:keys])


def _size(table: MovedTable, column: Any, changes: Sequence[Change]) -> sa.ColumnElement[Any]:
    """Return the SQL of the bytes of a row's values; of what is compressed and no text, so."""
    sizes: list[Any] = []
    for change in changes:
        has_length = table.sql_types[change.source] in ("bytea", *_TEXTS)
        size = sa.func.octet_length if has_length else sa.func.pg_column_size
        sizes.append(sa.func.coalesce(size(column(change.source)), 0))
    return reduce(operator.add, sizes)


def _select(columns: Sequence[Any]) -> Any:
    return sa.select(*columns)


def left(
    connection: sa.Connection, table: MovedTable, changes: Sequence[Change]
) -> sa.ColumnElement[bool]:
    """Return the condition that a row is left to do by one of the changes."""
    column = partial(_column, table.selectable)
    return sa.or_(*(_todo(connection, column, change) for change in changes))


def _todo(connection: sa.Connection, column: Any, change: Change) -> sa.ColumnElement[bool]:
    return change.todo(connection, column(change.source), column(change.target))


def beyond(
    key: Sequence[sa.ColumnElement[Any]], values: Key, name: str, at: int = 0
) -> sa.ColumnElement[bool]:
    """
    Return the condition that a key is above another one, in the order of its columns.

    Args:
        key: the columns.
        values: of the other key.
        name: with which the names of the parameters begin; a number follows.
        at: the number of the first column that is compared.
    """
    first = key[at]
    value = sa.bindparam(f"{name}{at}", values[at], first.type)
    if at == len(key) - 1:
        return first > value
    # Not `(a, b) > (1, 2)`: MariaDB does not use an index for that. The outer bound is for the
    # planner, to which the OR alone says nothing.
    return sa.and_(
        first >= value,
        sa.or_(first > value, beyond(key, values, name, at + 1)),
    )


def compared(
    connection: sa.Connection, table: MovedTable, change: Change, column: sa.ColumnElement[Any]
) -> sa.ColumnElement[Any]:
    """
    Return a column in the form in which its old value is compared.

    What is no text is compared as the text that the database writes of it: as numbers, 1.0 and
    1.00 are the same, and not all that a driver gives is, bound again, what it was.
    """
    if change.is_text and connection.dialect.name == "postgresql" and needs_cast(table, change):
        return sa.cast(column, sa.Text())
    if change.is_text and connection.dialect.name in ("mysql", "mariadb"):
        return sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")))
    return column


def needs_cast(table: MovedTable, change: Change) -> bool:
    """Whether the column that is read is none that PostgreSQL compares as a text."""
    return table.sql_types[change.source] not in _TEXTS


def _column(selectable: sa.TableClause, name: str) -> sa.ColumnElement[Any]:
    return selectable.c[name]
