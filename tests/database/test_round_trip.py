"""Every type on every database: what goes in comes out, and the database holds envelopes only."""

# ruff: noqa: DTZ001, DTZ901 - naive values are among those under test

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, registry

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
from sqlalchemy_sealed.envelope import SUITE_PADDED, SUITE_PLAIN, from_text, parse


class Fruit(enum.Enum):
    """An enumeration of long names."""

    POMEGRANATE = 1
    BLACKCURRANT = 2


EAST = timezone(timedelta(hours=5, minutes=45))
A_UUID = UUID("5b2f6a3e-91d7-4c8e-b0a4-d3f1c2e45678")
# How to make the type, and its values: a long one that would be seen in a dump, then edges.
TYPES: dict[str, tuple[Callable[..., Encrypted[Any]], list[Any]]] = {
    "string": (
        partial(EncryptedString, 40),
        ["canary-string", "", "a\0b", "é\U0001f512'\"\\%:x", "x" * 40],
    ),
    "masked": (partial(EncryptedString, masked=True), ["canary-masked", ""]),
    "padded": (partial(EncryptedString, pad=64), ["canary-padded", "", "x" * 63, "x" * 64]),
    "text": (EncryptedText, ["canary-text", "x" * (1 << 20)]),
    "bytes": (EncryptedBytes, [b"canary-bytes", b"", b"\0\xff" * 500]),
    "integer": (EncryptedInteger, [987654321987654321, 0, -1, 2**200, 1 - 10**4300]),
    "numeric": (
        EncryptedNumeric,
        [Decimal("1357924680.00"), Decimal("-0.0"), Decimal("1E+30"), Decimal("Infinity")],
    ),
    "float": (EncryptedFloat, [1.2345678987654321, -0.0, 5e-324, float("-inf"), float("nan")]),
    "boolean": (EncryptedBoolean, [True, False]),
    "date": (EncryptedDate, [date(1815, 12, 10), date.min, date.max]),
    "datetime": (
        EncryptedDateTime,
        [datetime(1815, 12, 10, 1, 2, 3, 4), datetime.min, datetime.max],
    ),
    "aware_datetime": (
        partial(EncryptedDateTime, timezone=True),
        [datetime(1815, 12, 10, tzinfo=EAST), datetime.max.replace(tzinfo=UTC)],
    ),
    "time": (EncryptedTime, [time(11, 22, 33, 444555), time.min, time.max]),
    "aware_time": (partial(EncryptedTime, timezone=True), [time(11, 22, 33, 444555, EAST)]),
    "interval": (
        EncryptedInterval,
        [timedelta(days=13579, microseconds=246), timedelta(microseconds=-1), timedelta.min],
    ),
    "uuid": (EncryptedUUID, [A_UUID, UUID(int=0)]),
    "enumeration": (partial(EncryptedEnum, Fruit), list(Fruit)),
    "names": (partial(EncryptedEnum, "canary-name", "other"), ["canary-name", "other"]),
    "json": (
        EncryptedJSON,
        [{"canary-json": ["é", 1, None, {"a": True}]}, {}, [], "", 0, False, [[[-0.0]]]],
    ),
    "untracked": (partial(EncryptedJSON, tracked=False), [{"canary-untracked": []}, [1.5]]),
    "inner": (partial(Encrypted, sa.Numeric(10, 2)), [Decimal("13579246.80"), Decimal(5)]),
}
STORAGES = ("binary", "text")


@pytest.fixture
def table(engine: sa.Engine, sealer: Sealer) -> sa.Table:
    """Return an empty table with a column of each type in each storage."""
    columns = [
        sa.Column(f"{name}_{storage}", make(storage=storage))
        for name, (make, _) in TYPES.items()
        for storage in STORAGES
    ]
    table = sa.Table(
        "everything", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *columns
    )
    table.create(engine)
    return table


@pytest.fixture
def class_(table: sa.Table) -> Any:
    """Return a class that is mapped to the table."""
    class_ = type("Everything", (), {})
    registry().map_imperatively(class_, table)
    return class_


def row(number: int = 0, **more: Any) -> dict[str, Any]:
    """Return a value for each column: the values of a type in turn."""
    return {
        f"{name}_{storage}": values[number % len(values)]
        for name, (_, values) in TYPES.items()
        for storage in STORAGES
    } | more


def exact(value: Any) -> Any:
    """Return what tells 1 from True, 1.0 from 1.00, and one time zone from another."""
    if isinstance(value, str | dict | list):
        return value
    return type(value), repr(value)


def differences(values: Any, expected: Any) -> dict[str, tuple[Any, Any]]:
    """Return the columns whose value is another one than expected."""
    return {
        name: (values[name], value)
        for name, value in expected.items()
        if exact(values[name]) != exact(value)
    }


COUNT = max(len(values) for _, values in TYPES.values())
ROWS = [row(number, id=number + 1) for number in range(COUNT)]


def test_one_row_at_a_time(engine: sa.Engine, table: sa.Table) -> None:
    """Every value of every type comes back from an INSERT, an UPDATE and their RETURNING."""
    with engine.begin() as connection:
        for values in ROWS:
            inserted = connection.execute(sa.insert(table).values(values).returning(table)).one()
            assert not differences(inserted._mapping, values)
        for values, stored in zip(ROWS, connection.execute(table.select()).all(), strict=True):
            assert not differences(stored._mapping, values)
        for values in ROWS:
            update = sa.update(table).where(table.c.id == 1).values({**values, "id": 1})
            updated = connection.execute(update.returning(table)).one()
            assert not differences(updated._mapping, {**values, "id": 1})


@pytest.mark.parametrize("returning", [False, True])
def test_many_rows_at_once(returning: bool, engine: sa.Engine, table: sa.Table) -> None:
    """An executemany and an insertmanyvalues store every value of every type."""
    insert = sa.insert(table)
    with engine.begin() as connection:
        if returning:
            insert = insert.returning(table, sort_by_parameter_order=True)
            for inserted, values in zip(connection.execute(insert, ROWS), ROWS, strict=True):
                assert not differences(inserted._mapping, values)
        else:
            connection.execute(insert, ROWS)
        select = sa.select(table).order_by(table.c.id)
        for stored, values in zip(connection.execute(select), ROWS, strict=True):
            assert not differences(stored._mapping, values)


def test_a_multi_row_values_clause(engine: sa.Engine, table: sa.Table) -> None:
    """One INSERT with several rows in its VALUES seals each of them."""
    with engine.begin() as connection:
        connection.execute(sa.insert(table).values(ROWS[:3]))
        select = sa.select(table).order_by(table.c.id)
        for stored, values in zip(connection.execute(select), ROWS, strict=False):
            assert not differences(stored._mapping, values)


def test_objects_of_the_orm(engine: sa.Engine, class_: Any) -> None:
    """The ORM writes, expires, changes and reads every value of every type."""
    with Session(engine) as session:
        for values in ROWS:
            item = class_()
            for name, value in values.items():
                setattr(item, name, value)
            session.add(item)
        session.commit()
        for values in ROWS:
            item = session.get_one(class_, values["id"])
            assert not differences(vars(item) | {"id": item.id}, values)
            assert not session.is_modified(item)
        first = session.get_one(class_, 1)
        for name, value in row(1).items():
            setattr(first, name, value)
        session.commit()
        session.refresh(first)
        assert not differences(vars(first), row(1))


@pytest.mark.parametrize("how", ["insert", "insert returning", "mappings", "objects", "update"])
def test_bulk_operations_of_the_orm(how: str, engine: sa.Engine, class_: Any) -> None:
    """Bulk inserts and updates by the ORM seal every value."""
    with Session(engine) as session:
        match how:
            case "insert":
                session.execute(sa.insert(class_), ROWS)
            case "insert returning":
                session.scalars(sa.insert(class_).returning(class_), ROWS).all()
            case "mappings":
                session.bulk_insert_mappings(class_, ROWS)
            case "objects":
                items = [class_() for _ in ROWS]
                for item, values in zip(items, ROWS, strict=True):
                    vars(item).update(values)
                session.bulk_save_objects(items)
            case "update":
                session.execute(sa.insert(class_), [{"id": values["id"]} for values in ROWS])
                session.execute(sa.update(class_), ROWS)
        session.commit()
        for values in ROWS:
            item = session.get_one(class_, values["id"])
            assert not differences(vars(item), values)


def test_null_stays_null(engine: sa.Engine, table: sa.Table, class_: Any) -> None:
    """None is NULL in the database, by Core and ORM, on the way in and back; IS NULL finds it."""
    nothing = dict.fromkeys(row(), None)
    with Session(engine) as session:
        session.execute(sa.insert(table), [nothing])
        session.add(class_())
        session.commit()
        rows = session.connection().exec_driver_sql("SELECT * FROM everything").mappings().all()
        assert [set(row.values()) for row in rows] == [{1, None}, {2, None}]
        for item in session.scalars(sa.select(class_)):
            assert not differences(vars(item), nothing)
        for name in nothing:
            found = sa.select(sa.func.count()).where(table.c[name].is_(None))
            assert session.scalar(found) == 2


def envelopes(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return the rows as the driver gives them, read past the types."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM everything ORDER BY id")
        return [dict(row._mapping) for row in rows]


def test_the_database_holds_envelopes(engine: sa.Engine, table: sa.Table, sealer: Sealer) -> None:
    """Each stored value is an envelope in its storage form, for its own column, of its own size."""
    with engine.begin() as connection:
        connection.execute(sa.insert(table), ROWS)
    seen = set()
    for stored, values in zip(envelopes(engine), ROWS, strict=True):
        for column in list(table.c)[1:]:
            value = stored[column.name]
            assert type(value) is (str if column.name.endswith("_text") else bytes)
            data = from_text(value) if isinstance(value, str) else value
            envelope = parse(data)
            pad = column.type.settings.pad
            assert envelope.suite == (SUITE_PLAIN if pad is None else SUITE_PADDED)
            assert envelope.key_id == sealer.keyset.primary.key_id
            plaintext = column.type.codec.encode(values[column.name])
            assert sealer.open(data, f"everything.{column.name}") == plaintext
            if pad is None:
                assert len(data) == 52 + len(plaintext)
            else:
                assert (len(data) - 52) % pad == 0
            seen.add(data)
    assert len(seen) == len(ROWS) * 2 * len(TYPES)


def test_plaintext_is_nowhere_in_the_database(
    engine: sa.Engine, table: sa.Table, tmp_path: Path
) -> None:
    """No value is found in the rows as text, nor in the files of the database."""
    with engine.begin() as connection:
        connection.execute(sa.insert(table), ROWS[:1])
    needles = {b"canary"}
    for column in list(table.c)[1:]:
        plaintext = column.type.codec.encode(ROWS[0][column.name])
        needles |= {plaintext, plaintext.hex().encode()} if len(plaintext) > 8 else set()
    assert len(needles) > len(TYPES)
    held = repr(envelopes(engine)).encode()
    if engine.dialect.name == "sqlite":
        files = b"".join(path.read_bytes() for path in tmp_path.glob("test.db*"))
        assert b"CREATE TABLE everything" in files
        held += files
    else:
        with engine.connect() as connection:
            dump = connection.exec_driver_sql(
                "SELECT everything::text FROM everything"
            ).scalar_one()
            held += dump.encode()
    assert [needle for needle in needles if needle in held] == []


@pytest.mark.parametrize("connected", [True, False])
def test_literals_in_sql_text(connected: bool, engine: sa.Engine, table: sa.Table) -> None:
    """SQL rendered with literal_binds runs, also if it was rendered without a connection."""
    dialect = engine.dialect if connected else type(engine.dialect)()
    options = {"literal_binds": True}
    statements = [
        str(sa.insert(table).values(values).compile(dialect=dialect, compile_kwargs=options))
        for values in (ROWS[0], ROWS[2])
    ]
    with engine.begin() as connection:
        for statement in statements:
            assert "canary" not in statement
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)
        stored = connection.execute(sa.select(table).order_by(table.c.id)).all()
    assert not differences(stored[0]._mapping, ROWS[0])
    assert not differences(stored[1]._mapping, ROWS[2])
