"""While a column is encrypted in place, a search uses the old index and the new one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine, event, select

from sqlalchemy_sealed import Sealer, blind_index

from .shop import Customer, make_tables

ROWS = 2_000
TABLE: Any = Customer.metadata.tables["customers"].to_metadata(sa.MetaData())
"""One of its own, since it has an index that the others have not."""


def fill(engine: Engine) -> None:
    """Make a table with both indexes, half of whose rows are encrypted."""
    make_tables(engine)
    rows = [{"id": n, "email": f"c{n}@example.org"} for n in range(1, 2 * ROWS)]
    with engine.begin() as connection:
        is_mariadb = engine.dialect.name == "mariadb"
        if is_mariadb:  # It has no index over a TEXT.
            connection.exec_driver_sql("ALTER TABLE customers MODIFY email VARCHAR(500)")
        connection.exec_driver_sql("CREATE INDEX ix_old ON customers (email)")
        sa.Index("ix_new", blind_index(TABLE.c.email)).create(connection)
        plain = sa.text("INSERT INTO customers (id, email) VALUES (:id, :email)")
        connection.execute(plain, rows[:ROWS])
        connection.execute(sa.insert(TABLE), rows[ROWS:])
        connection.exec_driver_sql("ANALYZE TABLE customers" if is_mariadb else "ANALYZE")


def plan(engine: Engine, query: Any) -> str:
    """Return what the database says of how it finds the rows of a query."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    event.listen(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        connection.execute(query).all()
        statement, parameters = next(each for each in reversed(sent) if "customers" in each[0])
        return str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())


@ON_MARIADB_TOO
def test_both_indexes_are_used(engine: Engine, sealer: Sealer) -> None:
    """For one value and for several, no database goes over all rows."""
    fill(engine)
    for condition in (
        TABLE.c.email == "c7@example.org",
        TABLE.c.email.in_(["c7@example.org", f"c{ROWS + 7}@example.org"]),
    ):
        said = plan(engine, select(TABLE.c.id).where(condition))
        assert "ix_old" in said
        assert "ix_new" in said
        assert "SCAN customers" not in said
        assert "Seq Scan" not in said
    TABLE.drop(engine)
