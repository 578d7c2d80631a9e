"""Fixtures: the proof of a context, from what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import Sealer

Check = Callable[[sa.Column[Any], str], None]


@pytest.fixture
def stored_under(sealer: Sealer, sqlite_engine: sa.Engine) -> Check:
    """Return a check: what a column stores opens under this label, and is read back."""

    def check(column: Any, label: str) -> None:
        table = column.table
        needed = (c for c in table.c if c.primary_key or not c.nullable)
        values = {c: 1 if c.primary_key else "other" for c in needed}
        table.metadata.create_all(sqlite_engine)
        with sqlite_engine.begin() as connection:
            connection.execute(sa.delete(table))
            connection.execute(sa.insert(table).values({**values, column: "canary"}))
            sql = f'SELECT "{column.name}" FROM "{table.name}"'
            stored = connection.exec_driver_sql(sql).scalar_one()
            assert sealer.open(stored, label) == b"canary"
            assert connection.scalar(sa.select(column)) == "canary"

    return check
