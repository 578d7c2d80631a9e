"""Runs by other drivers of PostgreSQL than psycopg 3, where they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from sqlalchemy import event

from sqlalchemy_sealed import EncryptedDate, EncryptedString, Sealer
from sqlalchemy_sealed.reseal import decrypt, encrypt, reseal, sealed_columns, status, verify

TABLE = sa.Table(
    "t",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sealed", EncryptedString()),
    sa.Column("note", EncryptedString(storage="text", check=False)),
    sa.Column("born", EncryptedDate()),
)
KEYS = {
    "int": ["1", "2", "3"],
    "text": ["a", "%s", "ä"],
    "date": ["2020-01-01", "0044-03-15 BC", "infinity"],
    "uuid": [f"00000000-0000-4000-8000-00000000000{n}" for n in range(3)],
    "numeric": ["1", "1.50", "NaN"],
}


@pytest.fixture(params=["psycopg2", "pg8000"])
def other(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[sa.Engine]:
    """Return an engine of another driver, on an empty schema."""
    pytest.importorskip(request.param)
    with empty_schema(postgres_url) as url:
        schema = str(url.query["options"]).partition("=")[2]
        plain = url.set(drivername=f"postgresql+{request.param}", query={})
        engine = sa.create_engine(plain)

        @event.listens_for(engine, "connect")
        def _in_schema(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET search_path = {schema}")
            connection.commit()

        yield engine
        engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("sql_type", KEYS)
def test_all_kinds_of_runs(sql_type: str, other: sa.Engine, sealer: Sealer) -> None:
    """Alone and shared, from another column and in place, with keys of several types."""
    with other.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE t (id {sql_type} PRIMARY KEY, plain text, day date, sealed bytea, "
            "note text, born bytea)"
        )
        insert = sa.text(
            f"INSERT INTO t VALUES (CAST(:k AS {sql_type}), 'plain', '2020-01-01', NULL, 'note')"
        )
        connection.execute(insert, [{"k": value} for value in KEYS[sql_type]])
        connection.exec_driver_sql(
            f"UPDATE t SET day = 'infinity' WHERE id = (SELECT max(id::text) FROM t)::{sql_type}"
        )
    done = [
        encrypt(other, TABLE, "t.sealed", "plain"),
        encrypt(other, TABLE, "t.note"),
    ]
    dates = encrypt(other, TABLE, "t.born", "day")
    assert (dates.changed, dates.bad) == (2, 1)
    sealer.rotate()
    names = ["t.sealed", "t.note"]
    done += reseal(other, TABLE, names, shared=True)
    assert all((each.changed, each.bad, each.finished) == (3, 0, True) for each in done)
    for shared in (False, True):
        [opened] = verify(other, TABLE, names, shared=shared)
        assert (opened.read, opened.bad, opened.finished) == (3, 0, True)
    keysets = {"default": sealer.keyset}
    assert status(other, sealed_columns(TABLE, names), keysets).is_proven
    assert decrypt(other, TABLE, "t.note").changed == 3
    with other.connect() as connection:
        assert connection.scalars(sa.text("SELECT note FROM t")).all() == ["note"] * 3
