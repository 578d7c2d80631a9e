"""Sealed columns on a real MariaDB server: every type round trips, and plaintext is kept out."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, registry

import sqlalchemy_sealed
from sqlalchemy_sealed import (
    Encrypted,
    EncryptedBoolean,
    EncryptedBytes,
    EncryptedDate,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedFloat,
    EncryptedInteger,
    EncryptedInterval,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    EncryptedText,
    EncryptedTime,
    EncryptedUUID,
    Sealer,
)
from sqlalchemy_sealed.envelope import from_text, parse

pytestmark = pytest.mark.mariadb


class Fruit(enum.Enum):
    """An enumeration."""

    POMEGRANATE = 1
    BLACKCURRANT = 2


VALUES: dict[Callable[..., Encrypted[Any]], tuple[Any, Any]] = {
    partial(Encrypted, sa.Numeric(10, 2)): (Decimal("13579246.80"), Decimal(5)),
    EncryptedBoolean: (True, False),
    EncryptedBytes: (b"\0\xff%s'\"\\" * 20_000, b""),
    EncryptedDate: (date(1815, 12, 10), date.min),
    partial(EncryptedDateTime, timezone=True): (datetime(1815, 12, 10, tzinfo=UTC), None),
    EncryptedDateTime: (datetime(1815, 12, 10, 1, 2, 3, 4), datetime.max),  # noqa: DTZ001, DTZ901
    partial(EncryptedEnum, Fruit): (Fruit.POMEGRANATE, Fruit.BLACKCURRANT),
    EncryptedFloat: (1.2345678987654321, float("-inf")),
    EncryptedInteger: (2**200, -1),
    EncryptedInterval: (timedelta(days=13579, microseconds=246), timedelta.min),
    EncryptedJSON: ({"canary": ["é", 1, None, {"a": True}]}, []),
    EncryptedNumeric: (Decimal("1357924680.00"), Decimal("1E+30")),
    EncryptedString: ("canary é\U0001f512'\"\\%:x %s", ""),
    EncryptedText: ("canary" * 200_000, " trailing blanks  "),
    EncryptedTime: (time(11, 22, 33, 444555), time.max),
    EncryptedUUID: (UUID("5b2f6a3e-91d7-4c8e-b0a4-d3f1c2e45678"), UUID(int=0)),
}
STORAGES = ("binary", "text")
COLUMNS = {
    f"c{number}_{storage}": (partial(make, storage=storage), values)
    for number, (make, values) in enumerate(VALUES.items())
    for storage in STORAGES
}
FIRST, SECOND = ({name: values[n] for name, (_, values) in COLUMNS.items()} for n in (0, 1))


def test_every_type_is_among_them() -> None:
    """The table below has a column of each sealed type."""
    makers = {make.func if isinstance(make, partial) else make for make in VALUES}
    names = {n for n in sqlalchemy_sealed.types.__all__ if n.startswith("Encrypted")}
    assert {maker.__name__ for maker in makers} == names


@pytest.fixture
def table(mariadb_engine: sa.Engine, sealer: Sealer) -> sa.Table:
    """Return an empty table with a column of each type in each storage."""
    columns = [sa.Column(name, make()) for name, (make, _) in COLUMNS.items()]
    table = sa.Table(
        "everything", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *columns
    )
    table.create(mariadb_engine)
    return table


def assert_same(stored: Any, values: dict[str, Any]) -> None:
    """Compare the values of a row with what they should be, types included."""
    assert {n: repr(stored[n]) for n in values} == {n: repr(values[n]) for n in values}


def test_core_statements(mariadb_engine: sa.Engine, table: sa.Table) -> None:
    """INSERT with and without RETURNING, executemany and UPDATE write what SELECT reads."""
    with mariadb_engine.begin() as connection:
        returned = connection.execute(table.insert().returning(table), FIRST).mappings().one()
        assert_same(returned, FIRST)
        connection.execute(table.insert(), [FIRST, SECOND])
        rows = connection.execute(table.select().order_by(table.c.id)).mappings().all()
        for stored, values in zip(rows, (FIRST, FIRST, SECOND), strict=True):
            assert_same(stored, values)
        connection.execute(table.update().where(table.c.id == 1).values(SECOND))
        first = connection.execute(table.select().where(table.c.id == 1)).mappings().one()
        assert_same(first, SECOND)
        gone = connection.execute(table.delete().where(table.c.id == 1).returning(table))
        assert_same(gone.mappings().one(), SECOND)
        connection.execute(table.insert().values([FIRST, SECOND]))
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 4


def test_objects_of_the_orm(mariadb_engine: sa.Engine, table: sa.Table) -> None:
    """The ORM writes, expires, changes and reads every value of every type; None is NULL."""
    class_: Any = type("Everything", (), {})
    registry().map_imperatively(class_, table)
    with Session(mariadb_engine) as session:
        session.execute(sa.insert(class_), [FIRST, SECOND])
        item = class_()
        session.add(item)
        session.commit()
        assert_same(vars(session.get_one(class_, 1)), FIRST)
        assert_same(vars(session.get_one(class_, 2)), SECOND)
        session.refresh(item)
        assert_same(vars(item), dict.fromkeys(COLUMNS))
        for name, value in FIRST.items():
            setattr(item, name, value)
        session.commit()
        session.refresh(item)
        assert_same(vars(item), FIRST)


def test_the_database_holds_envelopes(
    mariadb_engine: sa.Engine, table: sa.Table, sealer: Sealer
) -> None:
    """Read past the types, each value is an envelope in its storage form, for its own column."""
    with mariadb_engine.begin() as connection:
        connection.execute(table.insert(), FIRST)
        stored = connection.exec_driver_sql("SELECT * FROM everything").mappings().one()
    for column in list(table.c)[1:]:
        value = stored[column.name]
        assert type(value) is (str if column.name.endswith("_text") else bytes)
        data = from_text(value) if isinstance(value, str) else value
        assert parse(data).key_id == sealer.keyset.primary.key_id
        plaintext = column.type.codec.encode(FIRST[column.name])
        assert sealer.open(data, f"everything.{column.name}") == plaintext
        assert "canary" not in str(value)


def test_the_storage_is_large_and_compared_byte_by_byte(
    mariadb_engine: sa.Engine, table: sa.Table
) -> None:
    """Values may take 4 GiB, and the text form has a collation that tells cases apart."""
    columns = sa.text(
        "SELECT column_name, data_type, collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND column_name LIKE 'c%'"
    )
    with mariadb_engine.connect() as connection:
        seen = {tuple(row[1:]) for row in connection.execute(columns)}
    assert seen == {("longblob", None), ("longtext", "ascii_bin")}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(
    "value", ["plaintext", "", "SEAL", "Sealed", "\u00b1\u00e6\u00a5", "s\u00e9al"]
)
def test_plaintext_by_raw_sql_is_refused(
    storage: str, value: str, mariadb_engine: sa.Engine, table: sa.Table
) -> None:
    """The CHECK constraint stops what is not an envelope; it looks at bytes, not at letters."""
    row = {f"c0_{storage}": value}
    insert = sa.text(f"INSERT INTO everything ({next(iter(row))}) VALUES (:{next(iter(row))})")
    with mariadb_engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as refused:
        connection.execute(insert, row)
    assert "CONSTRAINT" in str(refused.value) or "Incorrect string value" in str(refused.value)


def test_plaintext_by_a_raw_update_is_refused(mariadb_engine: sa.Engine, table: sa.Table) -> None:
    """Neither does an UPDATE put plaintext in the place of an envelope; NULL is allowed."""
    with mariadb_engine.connect() as connection:
        connection.execute(table.insert(), FIRST)
        for name in ("c0_binary", "c0_text"):
            connection.execute(sa.text(f"UPDATE everything SET {name} = NULL"))
            with pytest.raises(sa.exc.OperationalError, match=f"everything_{name}_sealed"):
                connection.execute(sa.text(f"UPDATE everything SET {name} = 'plaintext'"))


@pytest.mark.parametrize("connected", [True, False])
def test_literals_in_sql_text(connected: bool, mariadb_engine: sa.Engine, table: sa.Table) -> None:
    """SQL rendered with literal_binds runs, also if it was rendered without a connection."""
    dialect = mariadb_engine.dialect if connected else type(mariadb_engine.dialect)()
    compiled = (
        table.insert()
        .values(FIRST)
        .compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    )
    assert "canary" not in str(compiled)
    with mariadb_engine.begin() as connection:
        connection.execution_options(no_parameters=True).exec_driver_sql(str(compiled))
        assert_same(connection.execute(table.select()).mappings().one(), FIRST)
