"""
Compare-and-swap of rows of a keystore: each is replaced if all of it is still what it was.

Many rows are one statement on PostgreSQL, where they travel as one JSON text, and one statement
that the driver repeats on SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Integer, Table, Text, Update, bindparam, cast, column, func, select
from sqlalchemy.engine import Connection

from ..keys import KeyRecord
from .document import line
from .rows import check_wrapped, row_of

CHANGING = ("wrapped", "created", "index_key_id", "bridge_key_id", "state", "due")
"""What may be replaced: all but the key."""
_OLD, _NEW = "old_", "new_"

Row = dict[str, Any]
Rows = Iterable[tuple[Row, Row]]
Pairs = Sequence[tuple[KeyRecord, KeyRecord]]


def swap(connection: Connection, table: Table, rows: Rows) -> int:
    """
    Replace rows that are still what they were, and return how many were.

    Args:
        connection: in a transaction, that the caller rolls back if it were too few.
        table: the table of a keystore.
        rows: old and new ones, all columns of each.
    """
    dialect = connection.dialect
    if dialect.name == "postgresql":
        given = (json.dumps(old | _named(_NEW, new)) for old, new in rows)
        return _at_once(connection, table, given, CHANGING)
    statement = _one_row(table, CHANGING)
    values = [_named(_OLD, old) | _named(_NEW, new) for old, new in rows]
    if dialect.supports_sane_multi_rowcount:
        return connection.execute(statement, values).rowcount
    return sum(connection.execute(statement, each).rowcount for each in values)


def swap_wrapped(connection: Connection, table: Table, pairs: Pairs) -> int | None:
    """
    As `swap`, of records that were rewrapped and nothing else, for less work.

    Returns None, and does nothing, on a database that knows no such way.
    """
    name = connection.dialect.name
    if name == "postgresql":
        return _at_once(connection, table, map(_json, pairs), ("wrapped",))
    return _repeated(connection, table, pairs) if name == "sqlite" else None


def _named(prefix: str, row: Row) -> Row:
    return {prefix + name: value for name, value in row.items()}


@lru_cache(16)
def _one_row(table: Table, changes: tuple[str, ...]) -> Update:
    """Return the replacement of a row."""
    columns = table.columns
    return _replacement(
        table,
        {each.name: bindparam(_OLD + each.name, type_=each.type) for each in columns},
        {name: bindparam(_NEW + name, type_=columns[name].type) for name in changes},
    )


def _replacement(table: Table, old: dict[str, Any], new: dict[str, Any]) -> Update:
    """Return the replacement of a row that is as *old* in all columns; by name of a column."""
    same = [
        each.is_not_distinct_from(old[each.name]) if each.nullable else each == old[each.name]
        for each in table.columns
    ]
    return table.update().where(*same).values(new)


# -- SQLite


def _repeated(connection: Connection, table: Table, pairs: Pairs) -> int:
    """Let the driver repeat the statement: SQLAlchemy would take twice as long to name values."""
    compiled: Any = _one_row(table, ("wrapped",)).compile(dialect=connection.dialect)
    places = [*(_OLD + name for name in table.columns.keys()), f"{_NEW}wrapped"]  # noqa: SIM118
    in_order = itemgetter(*map(places.index, compiled.positiontup))
    values = [in_order((*row_of(old), _wrapped(new))) for old, new in pairs]
    return connection.exec_driver_sql(str(compiled), values).rowcount


# -- PostgreSQL


def _json(pair: tuple[KeyRecord, KeyRecord]) -> str:
    """Return the JSON text of a row and its new wrapped key."""
    old, new = pair
    return f'{line(old)[:-1]}, "{_NEW}wrapped": {json.dumps(_wrapped(new))}}}'


def _wrapped(record: KeyRecord) -> str:
    check_wrapped(record)
    return record.wrapped


def _at_once(
    connection: Connection, table: Table, rows: Iterable[str], changes: tuple[str, ...]
) -> int:
    given = list(rows)
    if len(given) > 1:
        # One statement takes its rows in an order of its own, so two of them could wait for each
        # other. A change of one row waits for no second one, and needs no turn.
        turn = func.hashtext(f"sqlalchemy-sealed {table.fullname}")
        connection.execute(select(func.pg_advisory_xact_lock(turn)))
    statement = _many_rows(table, changes)
    return connection.execute(statement, {"rows": f"[{','.join(given)}]"}).rowcount


@lru_cache(64)
def _many_rows(table: Table, changes: tuple[str, ...]) -> Update:
    """Return the replacement of all rows of a JSON text, of which these columns change."""
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - half of the time of this import

    names = [*table.columns.keys(), *(_NEW + name for name in changes)]
    columns = [column(name, Integer() if name == "generation" else Text()) for name in names]
    rows = cast(bindparam("rows", type_=Text()), postgresql.JSON())
    given = func.json_to_recordset(rows).table_valued(*columns)
    old = given.render_derived(name="given", with_types=True).c
    return _replacement(table, dict(old.items()), {name: old[_NEW + name] for name in changes})
