"""What the tests of the engine's parts share: moving a table, and looking at what it has become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed.envelope import from_text, parse
from sqlalchemy_sealed.reseal import Change, Outcome, Range, Runner, moved_table, reseal_change
from sqlalchemy_sealed.reseal.pace import Pace
from sqlalchemy_sealed.reseal.pages import left
from sqlalchemy_sealed.types import Encrypted

ON_POSTGRESQL = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
BATCH = 7
"""Rows of a batch: few, so that a table of some rows has several pages."""


def move(
    engine: sa.Engine,
    table: sa.Table,
    changes: Sequence[Change],
    *,
    rows: int = BATCH,
    key: Sequence[str] | None = None,
) -> Outcome:
    """Go once over a table, and return what was done."""
    with engine.connect() as connection:
        found = moved_table(connection, table.name, table.schema, key=key)
    return Runner(engine, found, changes, pace=Pace(most=rows)).pass_over(Range())


def left_over(engine: sa.Engine, table: sa.Table, changes: Sequence[Change]) -> int:
    """Count the rows that are left to do."""
    with engine.connect() as connection:
        found = moved_table(connection, table.name, table.schema)
        condition = left(connection, found, changes)
        query = sa.select(sa.func.count()).select_from(found.selectable).where(condition)
        return int(connection.execute(query).scalar_one())


def resealing(table: sa.Table, *names: str) -> list[Change]:
    """Return the changes that reseal columns, by default all sealed ones."""
    columns = [table.c[name] for name in names] or sealed_columns(table)
    return [reseal_change(f"{table.name}.{c.name}", c.name, sealed_type(c)) for c in columns]


def sealed_columns(table: sa.Table) -> list[Any]:
    """Return the sealed columns of a table."""
    return [column for column in table.columns if isinstance(column.type, Encrypted)]


def sealed_type(column: Any) -> Encrypted[Any]:
    """Return the type of a sealed column."""
    assert isinstance(column.type, Encrypted)
    return column.type


def opened_rows(engine: sa.Engine, table: sa.Table) -> list[Any]:
    """Return all rows, opened, in an order that resealing does not change."""
    with engine.connect() as connection:
        return sorted(map(tuple, connection.execute(sa.select(table))), key=repr)


def stored(engine: sa.Engine, table: sa.Table, name: str) -> list[Any]:
    """Return the values of a column as they are stored, in the order of the table's key."""
    names = [column.name for column in table.primary_key.columns]
    columns = [sa.column(each) for each in (name, *names)]
    lightweight = sa.table(table.name, *columns, schema=table.schema)
    with engine.connect() as connection:
        query = sa.select(lightweight.c[name]).order_by(*(lightweight.c[each] for each in names))
        return list(connection.scalars(query))


def insert(engine: sa.Engine, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Make a table anew, with rows."""
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        if rows:
            connection.execute(sa.insert(table), list(rows))


def key_ids(engine: sa.Engine, table: sa.Table, name: str) -> set[str]:
    """Return the key ids, in hexadecimal, under which the values of a column are sealed."""
    values = [value for value in stored(engine, table, name) if value is not None]
    data = [from_text(value) if isinstance(value, str) else bytes(value) for value in values]
    return {parse(each).key_id.hex() for each in data}
