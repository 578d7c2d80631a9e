"""Values that Python has no value for: each is a bad row with its key, and the others are done."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import MARIADB

from sqlalchemy_sealed import (
    Encrypted,
    EncryptedBytes,
    EncryptedDate,
    EncryptedDateTime,
    EncryptedFloat,
    EncryptedInterval,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    EncryptedTime,
    EncryptedUUID,
    Sealer,
)
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.reseal import Summary, encrypt, verify

from .moved import ON_POSTGRESQL

BINARY = {"postgresql": "bytea", "sqlite": "blob", "mariadb": "longblob"}
TEN = datetime(2020, 1, 1, 10)  # noqa: DTZ001 - as the column has it
NOT_READ = "the driver cannot read the value as "


def declared(type_: Encrypted[Any]) -> sa.Table:
    """Return the table as the application declares it."""
    id_ = sa.Column("id", sa.Integer, primary_key=True)
    return sa.Table("t", sa.MetaData(), id_, sa.Column("sealed", type_.copy()))


def fill(engine: sa.Engine, sql_type: str, *values: str) -> None:
    """Make the table with values that are written in SQL."""
    with engine.begin() as connection:
        binary = BINARY[engine.dialect.name]
        if engine.dialect.name == "mariadb":  # As servers are set that have old rows.
            connection.exec_driver_sql("SET sql_mode = ''")
        connection.exec_driver_sql("DROP TABLE IF EXISTS t")
        connection.exec_driver_sql(
            f"CREATE TABLE t (id int PRIMARY KEY, plain {sql_type}, sealed {binary})"
        )
        for number, value in enumerate(values, 1):
            connection.exec_driver_sql(f"INSERT INTO t VALUES ({number}, {value}, NULL)")


def moved(
    engine: sa.Engine, sql_type: str, type_: Encrypted[Any], *values: str
) -> tuple[dict[int, Any], dict[int, str]]:
    """Encrypt values, and return those that were sealed, and what is said of the others, by id."""
    fill(engine, sql_type, *values)
    table = declared(type_)
    summary = encrypt(engine, table, "t.sealed", "plain")
    assert summary.finished
    checked_by_verify(engine, table, summary)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table).where(table.c.sealed.is_not(None)))
        sealed = {id_: value for id_, value in rows}  # noqa: C416 - rows are no pairs to a checker
    assert summary.changed == len(sealed)
    return sealed, {row.key[0]: row.problem for row in summary.bad_rows}


def checked_by_verify(engine: sa.Engine, table: sa.Table, done: Summary) -> None:
    """Comparing finds the same rows bad, for which no value was sealed."""
    [compared] = verify(engine, table, ["t.sealed"], "plain")
    assert compared.finished
    assert [row.key for row in compared.bad_rows] == [row.key for row in done.bad_rows]


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ON_MARIADB = pytest.mark.parametrize("database_url", [MARIADB], indirect=True)


@ON_POSTGRESQL
@pytest.mark.parametrize("sql_type", ["date", "timestamp", "timestamptz"])
def test_moments_that_are_infinite_or_before_christ(
    sql_type: str, engine: sa.Engine, sealer: Sealer
) -> None:
    """Python's years go from 1 to 9999."""
    type_: Encrypted[Any] = {
        "date": EncryptedDate(),
        "timestamp": EncryptedDateTime(),
        "timestamptz": EncryptedDateTime(timezone=True),
    }[sql_type]
    values = ("'2020-01-01'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'20000-01-01'")
    sealed, bad = moved(engine, sql_type, type_, *values, "'1582-10-04'")
    assert {id_: (value.year, value.day) for id_, value in sealed.items()} == {
        1: (2020, 1),
        6: (1582, 4),
    }
    said = NOT_READ + ("Date" if sql_type == "date" else "DateTime")
    assert bad == dict.fromkeys((2, 3, 4, 5), said)


@ON_POSTGRESQL
def test_numbers_that_are_none(engine: sa.Engine, sealer: Sealer) -> None:
    """Python's decimals have NaN, infinity and any number of digits, so they are sealed."""
    values = ("1.50", "'NaN'", "'infinity'", "1e500")
    sealed, bad = moved(engine, "numeric", EncryptedNumeric(), *values)
    assert (repr(sealed.pop(2)), bad) == ("Decimal('NaN')", {})
    assert sealed == {1: Decimal("1.50"), 3: Decimal("Infinity"), 4: Decimal(10) ** 500}
    sealed, bad = moved(engine, "float8", EncryptedFloat(), *values[:3], "'-infinity'", "'-0'")
    assert list(map(repr, sealed.values())) == ["1.5", "nan", "inf", "-inf", "-0.0"]
    assert not bad


@ON_POSTGRESQL
def test_intervals(engine: sa.Engine, sealer: Sealer) -> None:
    """
    Months and years are sealed as the days that psycopg gives to the application.

    Of too many it gives a wrong number, and does not say so.
    """
    values = ("'1 day -2 hours'", "'178000000 years'", "'1 mon'", "'-178000000 years'", "'3 years'")
    sealed, bad = moved(engine, "interval", EncryptedInterval(), *values)
    assert sealed == {1: timedelta(hours=22), 3: timedelta(days=30), 5: timedelta(days=3 * 365)}
    assert bad == dict.fromkeys((2, 4), "the value is out of the range of Interval")


@ON_POSTGRESQL
def test_the_end_of_the_day(engine: sa.Engine, sealer: Sealer) -> None:
    """24:00 is a time of PostgreSQL, and none of Python."""
    sealed, bad = moved(engine, "time", EncryptedTime(), "'10:00'", "'24:00'", "'23:59:59.999999'")
    assert sealed == {1: time(10), 3: time(23, 59, 59, 999999)}
    assert bad == {2: f"{NOT_READ}Time"}


@ON_SQLITE
@pytest.mark.parametrize(
    ("sql_type", "case"),
    [
        ("date", (EncryptedDate(), "'2020-01-01'", "'infinity'", date(2020, 1, 1))),
        ("datetime", (EncryptedDateTime(), "'2020-01-01 10:00:00'", "12", TEN)),
        ("time", (EncryptedTime(), "'10:00:00'", "'24:00:00'", time(10))),
        ("numeric", (EncryptedNumeric(), "1.5", "'abc'", Decimal("1.5"))),
        ("json", (EncryptedJSON(), "'[1]'", "'{'", [1])),
    ],
)
def test_sqlite_holds_anything(sql_type: str, case: Any, engine: sa.Engine, sealer: Sealer) -> None:
    """A value that its type cannot read is a bad row, and is not quoted."""
    type_, good, wrong, expected = case
    sealed, bad = moved(engine, sql_type, type_, good, wrong, "NULL")
    assert sealed == {1: expected}
    assert list(bad) == [2]
    assert bad[2].startswith("SQLAlchemy (")
    assert f"cannot read the value as {type(type_.inner).__name__}" in bad[2]
    assert wrong.strip("'") not in bad[2]


@ON_SQLITE
def test_text_that_is_not_utf_8(engine: sa.Engine, sealer: Sealer) -> None:
    """SQLite stores any bytes as text; its driver decodes UTF-8."""
    values = ("'Zürich'", "CAST(X'C3' AS TEXT)", "X'00'", "'b'")
    sealed, bad = moved(engine, "text", EncryptedString(), *values)
    assert sealed == {1: "Zürich", 4: "b"}
    assert bad == {2: f"{NOT_READ}String", 3: "expects str, got bytes"}


@ON_SQLITE
def test_text_in_place_that_is_not_utf_8(engine: sa.Engine, sealer: Sealer) -> None:
    """The same where envelopes take the place of plaintext, and when they are resealed."""
    fill(engine, "text", "'a'", "CAST(X'C3' AS TEXT)", "'b'")
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", EncryptedString(storage="text", check=False)),
    )
    summary = encrypt(engine, table, "t.plain")
    assert (summary.changed, summary.left) == (2, 1)
    said = [(row.key, row.problem) for row in summary.bad_rows]
    assert said == [((2,), "the driver cannot read the value")]
    [opened] = verify(engine, table)
    assert [(row.key, row.problem) for row in opened.bad_rows] == said


@ON_MARIADB
def test_times_and_dates_of_mariadb(engine: sa.Engine, sealer: Sealer) -> None:
    """It has a date of zeros, and times that are none of a day, which its driver wraps around."""
    sealed, bad = moved(engine, "date", EncryptedDate(), "'2020-01-01'", "'0000-00-00'")
    assert (sealed, bad) == ({1: date(2020, 1, 1)}, {2: "expects date, got str"})
    values = ("'10:00:00'", "'838:00:00'", "'-10:00:00'", "'24:00:00'", "'23:59:59'")
    sealed, bad = moved(engine, "time", EncryptedTime(), *values)
    assert sealed == {1: time(10), 5: time(23, 59, 59)}
    assert bad == dict.fromkeys((2, 3, 4), "the value is out of the range of Time")


@pytest.mark.parametrize("database_url", ["sqlite", MARIADB], indirect=True)
def test_bad_values_are_found_among_many(engine: sa.Engine, sealer: Sealer) -> None:
    """Wherever they are in their pages: the first, the last, several in a row."""
    bad = {1, 2, 499, 500, 501, 777, 1500}
    texts = ["'{'" if number in bad else "'[1]'" for number in range(1, 1501)]
    plain = "json" if engine.dialect.name == "sqlite" else "text"
    fill(engine, plain, *texts)
    table = declared(EncryptedJSON())
    summary = encrypt(engine, table, "t.sealed", "plain")
    assert (summary.changed, summary.bad, summary.left) == (1500 - len(bad), len(bad), len(bad))
    assert {row.key[0] for row in summary.bad_rows} == bad


@ON_POSTGRESQL
def test_bad_values_are_found_among_many_dates(engine: sa.Engine, sealer: Sealer) -> None:
    """The same on PostgreSQL, where a page is one result."""
    bad = {1, 2, 499, 500, 501, 777, 1500}
    values = ["'infinity'" if number in bad else "'2020-01-01'" for number in range(1, 1501)]
    sealed, problems = moved(engine, "date", EncryptedDate(), *values)
    assert problems.keys() == bad
    assert len(sealed) == 1500 - len(bad)


@ON_SQLITE
def test_uuids(engine: sa.Engine, sealer: Sealer) -> None:
    """Texts that are none."""
    good = "'7b1c2fe4a9d94c6e8f00000000000001'"
    sealed, bad = moved(engine, "text", EncryptedUUID(), good, "'x'", "''")
    assert (list(sealed), list(bad)) == ([1], [2, 3])


@ON_SQLITE
def test_a_column_of_another_kind_is_refused_at_once(engine: sa.Engine, sealer: Sealer) -> None:
    """None of its first values fits: it is not a bad row, but the wrong column."""
    fill(engine, "text", *["'x'"] * 20)
    with pytest.raises(ConfigurationError, match="cannot be read as Date"):
        encrypt(engine, declared(EncryptedDate()), "t.sealed", "plain")
    fill(engine, "blob", *["X'00'"] * 3)
    assert encrypt(engine, declared(EncryptedBytes()), "t.sealed", "plain").changed == 3
