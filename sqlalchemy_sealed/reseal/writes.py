"""
Writing a batch: one statement, and no row that was changed since it was read.

Each row is found by its key and by the value that was read. So what another transaction wrote
meanwhile stands, and a batch that is written twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import NullType

from .changes import Change
from .pages import compared, needs_cast
from .psycopgarrays import teach
from .setwise import Setwise, can_write, is_narrow
from .table import MovedTable


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Rows that are to be written, as columns, in the order of their key.

    Attributes:
        key: for each key column, its values.
        old: for each change, the values that were read.
        new: for each change, the values that take their place; None for one that stays.
    """

    key: tuple[Sequence[Any], ...]
    old: tuple[Sequence[Any], ...]
    new: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.key[0])


class Writer:
    """
    Writes batches to a table.

    Args:
        connection: in a transaction, which the caller begins and commits.
        table: where to write.
        changes: what is done, in the order of the rows' values.
    """

    def __init__(
        self, connection: sa.Connection, table: MovedTable, changes: Sequence[Change]
    ) -> None:
        self.connection = connection
        dialect = connection.dialect
        if dialect.name == "postgresql" and dialect.paramstyle in ("format", "pyformat"):
            self._sql: Any = _arrays_sql(connection, table, changes)
            self._write = self._write_arrays
            self._array = (
                teach(connection.connection.driver_connection)
                if dialect.driver == "psycopg"
                else list
            )
        else:
            self._setwise = None
            if dialect.name in ("mysql", "mariadb") and can_write(connection, table, changes):
                self._setwise = Setwise(connection, table, changes)
            # SQLAlchemy refuses parameters that have the name of a column.
            self._prefix = "p"
            while any(name.startswith(self._prefix) for name in table.types):
                self._prefix += "_"
            self._sql = _single_sql(connection, table, changes, self._prefix)
            self._write = self._write_many

    def write(self, batch: Batch) -> int:
        """Write rows, and return how many of them were as they were read."""
        return self._write(batch)

    def _write_arrays(self, batch: Batch) -> int:
        parameters = [
            *map(self._array, (*batch.key, *batch.old, *batch.new)),
            *(column[0] for column in batch.key),
            *(column[-1] for column in batch.key),
        ]
        return self.connection.exec_driver_sql(self._sql, tuple(parameters)).rowcount

    def _write_many(self, batch: Batch) -> int:
        if self._setwise is not None and is_narrow((*batch.key, *batch.old, *batch.new)):
            return self._setwise.write(batch.key, batch.old, batch.new)
        columns = [
            *((f"{self._prefix}k{n}", column) for n, column in enumerate(batch.key)),
            *((f"{self._prefix}o{n}", column) for n, column in enumerate(batch.old)),
            *((f"{self._prefix}n{n}", column) for n, column in enumerate(batch.new)),
        ]
        names = [name for name, _ in columns]
        rows = zip(*(column for _, column in columns), strict=True)
        parameters = [dict(zip(names, row, strict=True)) for row in rows]
        return self.connection.execute(self._sql, parameters).rowcount


_PARAMETER = "\0"
"""Stands for the percent sign of a parameter: no name has this character."""
_BINARY = {"bytea", "text", "character varying", "smallint", "integer", "bigint", "uuid"}
"""Types whose arrays psycopg sends as they are. As text, bytes take ten times longer."""


def _arrays_sql(connection: sa.Connection, table: MovedTable, changes: Sequence[Change]) -> str:
    """Return one UPDATE for any number of rows, whose columns are bound as arrays."""
    name = _quoted(table.name)
    if table.schema is not None:
        name = f"{_quoted(table.schema)}.{name}"
    key_types = [table.sql_types[column] for column in table.key]
    old_types = ["text" if change.is_text else table.sql_types[change.source] for change in changes]
    new_types = [table.sql_types[change.target] for change in changes]
    names = [
        *(f"k{n}" for n in range(len(table.key))),
        *(f"o{n}" for n in range(len(changes))),
        *(f"n{n}" for n in range(len(changes))),
    ]
    binary = _BINARY if connection.dialect.driver == "psycopg" else set()

    def parameter(type_: str, suffix: str = "") -> str:
        return f"{_PARAMETER}{'b' if type_ in binary else 's'}::{type_}{suffix}"

    # Not as arrays of their type: unnest takes arrays of arrays, and of composite types, apart.
    as_texts = [table.is_read_as_text(column) for column in table.key]
    sent = ["text" if as_text else t for as_text, t in zip(as_texts, key_types, strict=True)]
    types = (*sent, *old_types, *new_types)
    # In the list of a SELECT, unnest gives its rows one by one; in FROM, it keeps them all first.
    arrays = ", ".join(
        f"unnest({parameter(type_, '[]')}) AS {column}"
        for type_, column in zip(types, names, strict=True)
    )
    one = len(changes) == 1
    keys = [f"t.{_quoted(column)}" for column in table.key]
    settings, conditions = [], []
    for n, (key, type_, as_text) in enumerate(zip(keys, key_types, as_texts, strict=True)):
        conditions.append(f"{key} = v.k{n}{f'::{type_}' if as_text else ''}")
    for n, change in enumerate(changes):
        target, source = f"t.{_quoted(change.target)}", f"t.{_quoted(change.source)}"
        new = f"v.n{n}" if one else f"coalesce(v.n{n}, {target})"
        settings.append(f"{_quoted(change.target)} = {new}")
        same = f"{_comparable(table, change, source)} IS NOT DISTINCT FROM v.o{n}"
        if not change.is_in_place:
            same += f" AND {target} IS NULL"
        conditions.append(same if one else f"(v.n{n} IS NULL OR {same})")
    # Tells the planner which part of the table is meant.
    bound = ", ".join(map(parameter, key_types))
    conditions += [f"({', '.join(keys)}) {operator} ({bound})" for operator in (">=", "<=")]
    sql = (
        f"UPDATE {name} AS t SET {', '.join(settings)} "  # noqa: S608 - of quoted names
        f"FROM (SELECT {arrays}) AS v WHERE {' AND '.join(conditions)}"
    )
    # A name may have a percent sign, which the driver would take for a parameter.
    return sql.replace("%", "%%").replace(_PARAMETER, "%")


def _quoted(name: str) -> str:
    # A preparer of SQLAlchemy would double percent signs, too.
    return '"' + name.replace('"', '""') + '"'


def _comparable(table: MovedTable, change: Change, column: str) -> str:
    if not change.is_text:
        return column
    return f'{column}{"::text" if needs_cast(table, change) else ""} COLLATE "C"'


def _single_sql(
    connection: sa.Connection, table: MovedTable, changes: Sequence[Change], prefix: str
) -> sa.Update:
    """Return an UPDATE of one row, which is executed for each of them."""
    selectable = table.selectable
    statement = sa.update(selectable)
    values: dict[str, Any] = {}
    for n, change in enumerate(changes):
        source, target = selectable.c[change.source], selectable.c[change.target]
        new = _bound(f"{prefix}n{n}")
        same = _same(
            connection, compared(connection, table, change, source), f"{prefix}o{n}", change
        )
        if not change.is_in_place:
            same = sa.and_(same, target.is_(None))
        if len(changes) > 1:
            same = sa.or_(new.is_(None), same)
            values[change.target] = sa.func.coalesce(new, target)
        else:
            values[change.target] = new
        statement = statement.where(same)
    for n, name in enumerate(table.key):
        statement = statement.where(selectable.c[name] == _bound(f"{prefix}k{n}"))
    return statement.values(values | {name: selectable.c[name] for name in table.dated})


def _bound(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=NullType())


def _same(
    connection: sa.Connection, column: sa.ColumnElement[Any], name: str, change: Change
) -> sa.ColumnElement[bool]:
    """Return the condition that a value is exactly the old one, whatever the collation."""
    old = _bound(name)
    if not change.is_text:
        return column == old
    if connection.dialect.name in ("mysql", "mariadb"):
        text = sa.func.convert(old.op("USING")(sa.literal_column("utf8mb4")))
        return sa.cast(column, sa.BINARY) == sa.cast(text, sa.BINARY)
    if connection.dialect.name == "sqlite":  # To which 1 and 1.0 are equal.
        same_type = sa.func.typeof(column) == sa.func.typeof(old)
        return sa.and_(sa.collate(column, "BINARY") == old, same_type)
    return column == old
