"""Keys: rows of every kind of key are paged and found, each once."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO, any_case, have
from sqlalchemy.dialects import mysql

from sqlalchemy_sealed import EncryptedString, Sealer
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.reseal import moved_table

from .moved import ON_POSTGRESQL, insert, key_ids, left_over, move, opened_rows, resealing

ROWS = 20
DAY = date(2026, 1, 1)
MIDNIGHT = datetime.combine(DAY, time())
KEYS: dict[str, tuple[Any, Any]] = {
    "int": (sa.Integer(), lambda n: n - 5),
    "int beyond int4": (sa.BigInteger(), lambda n: (1 << 31) - 10 + n),
    "int near the end of int8": (sa.BigInteger(), lambda n: (1 << 63) - 1 - n),
    "smallint": (sa.SmallInteger(), lambda n: n * 1000 - 10_000),
    "numeric": (sa.Numeric(30, 10), lambda n: Decimal(n * 10**9) / 3),
    "text": (sa.String(40), lambda n: f"{'aAäÄ'[n % 4]}'%(x)s:b\\{n} "),
    "uuid": (sa.Uuid(), lambda n: UUID(int=n * (2**128 // 20 - 7), version=4)),
    "date": (sa.Date(), lambda n: DAY + timedelta(days=n * 100)),
    "timestamp": (
        sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
        lambda n: MIDNIGHT + timedelta(microseconds=n * 7),
    ),
    "bytes": (sa.LargeBinary(20), lambda n: bytes((n * 13 % 256, 0, 39, 92, n))),
}


def table_of(*keys: sa.types.TypeEngine[Any]) -> sa.Table:
    """Return a table with a key and a sealed column."""
    columns = [
        sa.Column(f"k{n}", type_, primary_key=True, autoincrement=False)
        for n, type_ in enumerate(keys)
    ]
    return sa.Table(
        "t", sa.MetaData(), *columns, sa.Column("c", EncryptedString()), sa.Column("n", sa.Integer)
    )


def check(engine: sa.Engine, table: sa.Table, sealer: Sealer, *rows: dict[str, Any]) -> None:
    """Insert rows, reseal them, and check that they hold what they held."""
    for number, row in enumerate(rows):
        row |= {"c": f"value {number}", "n": number}
    insert(engine, table, *rows)
    before = opened_rows(engine, table)
    sealer.rotate()
    outcome = move(engine, table, resealing(table))
    assert (outcome.read, outcome.changed, outcome.lost, outcome.bad) == (
        len(rows),
        len(rows),
        0,
        0,
    )
    assert opened_rows(engine, table) == before
    assert key_ids(engine, table, "c") == {sealer.keyset.primary.key_id.hex()}
    assert left_over(engine, table, resealing(table)) == 0


@ON_MARIADB_TOO
@pytest.mark.parametrize("kind", KEYS)
def test_rows_are_found_by_a_key_of_each_type(kind: str, engine: sa.Engine, sealer: Sealer) -> None:
    """Whatever the type of the key, a pass changes every row once."""
    type_, value = KEYS[kind]
    if kind == "bytes" and engine.dialect.name in ("mysql", "mariadb"):
        type_ = mysql.VARBINARY(20)
    if kind == "numeric" and engine.dialect.name == "sqlite":
        value = lambda n: Decimal(n) / 4  # noqa: E731 - what a float there holds exactly
    check(engine, table_of(type_), sealer, *({"k0": value(n)} for n in range(ROWS)))


@ON_MARIADB_TOO
def test_rows_are_found_by_a_key_of_three_columns(engine: sa.Engine, sealer: Sealer) -> None:
    """Pages of a composite key begin and end in the midst of equal first parts."""
    table = table_of(sa.String(5), sa.Integer(), sa.Date())
    rows = [
        {"k0": first, "k1": second, "k2": DAY + timedelta(days=third)}
        for first in ("a", "b")
        for second in range(3)
        for third in range(5)
    ]
    check(engine, table, sealer, *rows)


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("sql_type", "values"),
    [
        ("date", ["-infinity", "0044-03-15 BC", "2026-01-01", "99999-01-01", "infinity"]),
        ("timestamptz", ["-infinity", "2026-01-01 00:00:00.000001+00", "infinity"]),
        ("mood", ["sad", "ok", "happy"]),
        ("pair", ["(1,a)", "(1,b)", '(2,"x,y")']),
        ("box_id", ["a", "b", "c"]),
        ("char(5)", ["a", "ab", "abc"]),
        ("bit(3)", ["001", "010", "111"]),
        ("boolean", ["false", "true"]),
        ("double precision", ["-Infinity", "0.1", "1e300", "NaN"]),
        ("numeric", ["-Infinity", "1.00", "2.000000000000000000000000000001", "NaN"]),
        ("text COLLATE any_case", ["A", "b", "C", "d"]),
        ("citext", ["A", "b", "C", "d"]),
        ("interval", ["1 day", "1 mon", "2 mons"]),
        ("int[]", ["{1}", "{1,2}", "{2}"]),
        ("inet", ["10.0.0.1", "10.0.0.2", "::1"]),
    ],
)
def test_rows_are_found_by_what_drivers_do_not_know(
    sql_type: str, values: list[str], engine: sa.Engine, sealer: Sealer
) -> None:
    """Keys are exact that Python has no values for, or that mean something else there."""
    table = table_of(sa.Text())
    cast = f"CAST('{{}}' AS {sql_type.partition(' COLLATE')[0]})"
    with engine.begin() as connection:
        if sql_type.endswith("any_case"):
            have(connection, any_case("und-u-ks-level2"))
        if sql_type == "citext":
            have(connection, "CREATE EXTENSION citext")
        for statement in (
            "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
            "CREATE TYPE pair AS (a int, b text)",
            "CREATE DOMAIN box_id AS varchar(3) CHECK (VALUE <> 'zzz')",
            f"CREATE TABLE t (k0 {sql_type} PRIMARY KEY, c bytea, n int)",
        ):
            connection.exec_driver_sql(statement)
        for number, value in enumerate(values):
            connection.execute(
                sa.insert(table)
                .inline()
                .values(k0=sa.literal_column(cast.format(value)), c=f"value {number}", n=number)
            )
    sealer.rotate()
    assert move(engine, table, resealing(table), rows=2).changed == len(values)
    assert key_ids(engine, table, "c") == {sealer.keyset.primary.key_id.hex()}
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table.c.c, table.c.n).order_by(table.c.n)).all()
    assert rows == [(f"value {number}", number) for number in range(len(values))]


def test_a_table_without_a_key_is_refused(engine: sa.Engine) -> None:
    """The error says what to do; a unique constraint that is named will do."""
    metadata = sa.MetaData()
    columns = [sa.Column("alpha", sa.Integer, nullable=False), sa.Column("b", sa.Integer)]
    sa.Table("keyless", metadata, *columns, sa.UniqueConstraint("alpha"))
    metadata.create_all(engine)
    with engine.connect() as connection:
        with pytest.raises(ConfigurationError, match="no primary key"):
            moved_table(connection, "keyless")
        assert moved_table(connection, "keyless", key=["alpha"]).key == ("alpha",)
        with pytest.raises(ConfigurationError, match="may be NULL"):
            moved_table(connection, "keyless", key=["b"])
        with pytest.raises(ConfigurationError, match="did you mean 'alpha'"):
            moved_table(connection, "keyless", key=["Alpha"])
        with pytest.raises(ConfigurationError, match="did you mean 'keyless'"):
            moved_table(connection, "keyles")


def test_an_index_over_some_rows_is_no_key(engine: sa.Engine) -> None:
    """Rows that a partial unique index leaves out may be the same in its columns."""
    metadata = sa.MetaData()
    table = sa.Table("p", metadata, sa.Column("a", sa.Integer, nullable=False))
    condition = table.c.a > 5
    sa.Index("u", table.c.a, unique=True, sqlite_where=condition, postgresql_where=condition)
    metadata.create_all(engine)
    with engine.connect() as connection, pytest.raises(ConfigurationError, match="exactly a"):
        moved_table(connection, "p", key=["a"])


def test_a_key_that_is_null_in_a_row_is_refused(sqlite_engine: sa.Engine) -> None:
    """SQLite lets a primary key be NULL; such a row would be passed over."""
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (k text PRIMARY KEY, c blob)")
        connection.exec_driver_sql("INSERT INTO t VALUES (NULL, NULL)")
        with pytest.raises(ConfigurationError, match="key is NULL"):
            moved_table(connection, "t")


@pytest.mark.mariadb
@pytest.mark.parametrize("sql_type", ["ENUM('b', 'a')", "FLOAT", "BIT(4)"])
def test_a_key_that_sorts_otherwise_than_it_compares_is_refused(
    sql_type: str, mariadb_engine: sa.Engine
) -> None:
    """MariaDB sorts an ENUM by its position, and compares it as a text: pages would skip rows."""
    with mariadb_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE t (k {sql_type} PRIMARY KEY)")
        with pytest.raises(ConfigurationError, match="cannot be paged"):
            moved_table(connection, "t")


NAMES = ["select", "MixedCase", 'quo"te', "per%cent", "per%(x)s", "co:lon", "a b", "ünï", "x'y"]


@ON_MARIADB_TOO
@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_as_they_are(name: str, engine: sa.Engine, sealer: Sealer) -> None:
    """Tables and columns may have any name that their database lets them have."""
    if engine.dialect.name == "mariadb" and "%" in name:
        pytest.skip("PyMySQL cannot create it in the same way")
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column(f"{name} id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(name, EncryptedString(context="x", check=False)),
        sa.Column(f"{name} 2", EncryptedString(context="y", check=False)),
    )
    insert(engine, table, *({f"{name} id": n, name: "a", f"{name} 2": "b"} for n in range(9)))
    sealer.rotate()
    assert move(engine, table, resealing(table)).changed == 9
    sealer.rotate()
    assert move(engine, table, resealing(table, name)).changed == 9
    assert {row[1:] for row in opened_rows(engine, table)} == {("a", "b")}


@ON_POSTGRESQL
def test_a_table_of_another_schema(engine: sa.Engine, sealer: Sealer) -> None:
    """Schemas are part of the name; the table of the same name elsewhere is not touched."""
    schema = "Other %s schema"
    columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("c", EncryptedString())]
    table = sa.Table("t", sa.MetaData(), *columns, schema=schema)
    here = sa.Table("t", sa.MetaData(), *(column._copy() for column in columns))
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    try:
        insert(engine, table, *({"id": n, "c": "there"} for n in range(9)))
        insert(engine, here, {"id": 1, "c": "here"})
        old = key_ids(engine, here, "c")
        sealer.rotate()
        assert move(engine, table, resealing(table)).changed == 9
        assert key_ids(engine, here, "c") == old
        assert opened_rows(engine, table) == [(n, "there") for n in range(9)]
    finally:
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(schema, cascade=True))
