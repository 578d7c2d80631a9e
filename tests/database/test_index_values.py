"""Searches by value, for every type: what is equal is found, what is wrong is refused."""

# ruff: noqa: DTZ001 - naive values are among those under test

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import (
    BlindIndex,
    Encrypted,
    EncryptedBoolean,
    EncryptedBytes,
    EncryptedDate,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedFloat,
    EncryptedInteger,
    EncryptedInterval,
    EncryptedNumeric,
    EncryptedString,
    EncryptedTime,
    EncryptedUUID,
    Sealer,
    execute_exact,
)
from sqlalchemy_sealed.errors import RefusedOperationError, ValueRefusedError


class Blood(enum.Enum):
    """An enumeration with a name beside another."""

    A = 1
    ZERO = 2
    NULL = ZERO


INDEX, FEW = BlindIndex(), BlindIndex(few_values=True)
BERLIN, EAST = ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=5, minutes=45))
A_UUID = UUID("5b2f6a3e-91d7-4c8e-b0a4-d3f1c2e45678")
TYPES: dict[str, Encrypted[Any]] = {
    "string": EncryptedString(5, index=INDEX),
    "folded": EncryptedString(5, index=BlindIndex(normalize=("strip", "casefold"))),
    "text_stored": EncryptedString(5, storage="text", index=INDEX),
    "padded": EncryptedString(5, pad=16, index=INDEX),
    "bytes": EncryptedBytes(5, index=INDEX),
    "integer": EncryptedInteger(index=INDEX),
    "numeric": EncryptedNumeric(6, 2, index=INDEX),
    "float": EncryptedFloat(index=INDEX),
    "boolean": EncryptedBoolean(index=FEW),
    "date": EncryptedDate(index=INDEX),
    "datetime": EncryptedDateTime(index=INDEX),
    "aware_datetime": EncryptedDateTime(timezone=True, index=INDEX),
    "time": EncryptedTime(index=INDEX),
    "aware_time": EncryptedTime(timezone=True, index=INDEX),
    "interval": EncryptedInterval(index=INDEX),
    "uuid": EncryptedUUID(index=INDEX),
    "uuid_text": Encrypted(sa.Uuid(as_uuid=False), index=INDEX),
    "enum": EncryptedEnum(Blood, index=FEW),
    "names": EncryptedEnum("red", "green", index=FEW),
}
VALUES = sa.Table(
    "every",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(name, type_) for name, type_ in TYPES.items()),
)


@pytest.fixture
def connection(engine: sa.Engine, sealer: Sealer) -> Iterator[sa.Connection]:
    """Return a connection to a database with an empty table."""
    VALUES.create(engine)
    with engine.connect() as connection:
        yield connection


def found(connection: sa.Connection, name: str, value: Any) -> bool:
    """Return whether a value is found in a column, in every way the same."""
    column = VALUES.c[name]
    counts = [
        connection.scalar(sa.select(sa.func.count()).select_from(VALUES).where(condition))
        for condition in (
            column == value,
            column.in_([value]),
            column.in_([value, None, value]),
            column.is_not_distinct_from(value),
            ~(column != value),
            ~column.not_in([value]),
        )
    ]
    assert len(set(counts)) == 1
    return bool(counts[0])


MOMENT = datetime(2025, 1, 31, 23, 30, tzinfo=UTC)
NEXT_DAY = datetime(2025, 2, 1, 5, 15, tzinfo=EAST)
SUMMER_ENDS = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)

EQUAL: list[tuple[str, Any, list[Any]]] = [
    ("string", "a\0b", ["a\0b"]),
    ("string", "", [""]),
    ("folded", "Straß", ["strass", "\tSTRASS "]),
    ("text_stored", "é", ["\xe9"]),
    ("padded", "", [""]),
    ("bytes", b"a\0", [bytearray(b"a\0"), memoryview(b"a\0")]),
    ("bytes", b"", [b""]),
    ("integer", 10**40, [10**40]),
    ("integer", 0, [-0]),
    ("numeric", Decimal(1), [Decimal("1.0"), Decimal("1.00000"), Decimal("1E+0"), 1]),
    ("numeric", Decimal("1E+2"), [100, Decimal("100.00")]),
    ("numeric", Decimal("-0.0"), [0, Decimal("0E+9"), -0]),
    ("numeric", Decimal("-Infinity"), [Decimal("-Inf")]),
    ("float", -0.0, [0.0, 0]),
    ("float", 1e16, [10**16, 10000000000000000.0]),
    ("float", float("inf"), [float("inf")]),
    ("boolean", False, [False]),
    ("date", date.min, [date(1, 1, 1)]),
    ("datetime", datetime(2025, 1, 31, fold=1), [datetime(2025, 1, 31)]),
    ("aware_datetime", MOMENT, [NEXT_DAY, MOMENT.astimezone(BERLIN)]),
    ("aware_time", time(23, 30, tzinfo=EAST), [time(17, 45, tzinfo=UTC)]),
    ("interval", timedelta(days=-1), [timedelta(hours=-24), -timedelta(1)]),
    ("uuid", A_UUID, [UUID(int=A_UUID.int)]),
    ("uuid_text", str(A_UUID), [str(A_UUID)]),
    ("enum", Blood.ZERO, [Blood.NULL]),
    ("names", "red", ["red"]),
]


@pytest.mark.parametrize(("name", "stored", "searched"), EQUAL)
def test_an_equal_value_is_found(
    connection: sa.Connection, name: str, stored: Any, searched: list[Any]
) -> None:
    """However it is written: other zeros, another offset, another type that is equal in Python."""
    connection.execute(sa.insert(VALUES).values({name: stored}))
    for value in (stored, *searched):
        assert found(connection, name, value)


OTHER: list[tuple[str, Any, list[Any]]] = [
    ("string", "a", ["A", "a ", "", "a" * 6, "a" * 1_000_000]),
    ("folded", "a", ["b", " a b ", "a" * 6]),
    ("text_stored", "a", ["b", "a" * 6]),
    ("bytes", b"a", [b"", b"A", b"a" * 6, b"a" * 1_000_000]),
    ("integer", 1, [0, -1, 10, 10**4300 - 1]),
    ("numeric", Decimal(1), [Decimal("1.001"), Decimal("1E+9999"), 12345678, Decimal(-1)]),
    ("float", 0.1, [0.1 + 2**-56, -0.1, float("-inf")]),
    ("datetime", datetime(2025, 1, 31), [datetime(2025, 1, 31, microsecond=1)]),
    ("aware_datetime", MOMENT, [MOMENT.replace(tzinfo=EAST), MOMENT + timedelta.resolution]),
    # The same clock hand, and the same moment on the next day: Python says these differ.
    ("aware_time", time(0, 30, tzinfo=EAST), [time(0, 30, tzinfo=UTC), time(18, 45, tzinfo=UTC)]),
    ("uuid", A_UUID, [UUID(int=0)]),
    ("enum", Blood.A, [Blood.ZERO]),
]


@pytest.mark.parametrize(("name", "stored", "searched"), OTHER)
def test_another_value_is_not_found(
    connection: sa.Connection, name: str, stored: Any, searched: list[Any]
) -> None:
    """Nor is one that is too long or too precise for the column: nobody has it."""
    connection.execute(sa.insert(VALUES).values({name: stored}))
    for value in searched:
        assert not found(connection, name, value)


def test_the_hour_that_is_there_twice_is_two_moments(connection: sa.Connection) -> None:
    """The offset is stored and the zone is not: they differ, as what is read back differs."""
    first, second = SUMMER_ENDS, SUMMER_ENDS.replace(fold=1)
    connection.execute(sa.insert(VALUES).values(aware_datetime=first))
    assert found(connection, "aware_datetime", first)
    assert not found(connection, "aware_datetime", second)
    read = connection.scalar(sa.select(VALUES.c.aware_datetime))
    assert read == first.astimezone(UTC) != second.astimezone(UTC)


SECRET = "canary value"
REFUSED: list[tuple[str, list[Any]]] = [
    ("string", [5, SECRET.encode(), 4.25, Blood.A, [SECRET], f"{SECRET}\ud800"]),
    ("folded", [5, SECRET.encode(), [SECRET], f"{SECRET}\ud800"]),
    ("bytes", [SECRET, 5]),
    ("integer", [SECRET, True, 4.25, Decimal(1), 10**4300]),
    ("numeric", [SECRET, True, 4.25, Decimal("NaN"), Decimal("sNaN"), Decimal("-NaN")]),
    ("float", [SECRET, True, Decimal(1), float("nan"), 2**53 + 1, 10**400]),
    ("boolean", [SECRET, 1, 0]),
    ("date", [SECRET, datetime(2025, 1, 31), 5]),
    ("datetime", [SECRET, date(2025, 1, 31), MOMENT]),
    ("aware_datetime", [SECRET, date(2025, 1, 31), datetime(2025, 1, 31)]),
    ("time", [SECRET, time(1, tzinfo=UTC), datetime(2025, 1, 31)]),
    ("aware_time", [SECRET, time(1), time(1, tzinfo=BERLIN)]),
    ("interval", [SECRET, 5, 4.25]),
    ("uuid", [SECRET, str(A_UUID), A_UUID.bytes]),
    ("uuid_text", [SECRET, A_UUID, str(A_UUID).upper(), A_UUID.hex]),
    ("enum", [SECRET, "A", 1]),
    ("names", [SECRET, Blood.A, "blue"]),
]


@pytest.mark.parametrize(("name", "values"), REFUSED)
def test_a_value_that_the_column_cannot_have_is_refused(
    connection: sa.Connection, name: str, values: list[Any]
) -> None:
    """Of another type, or not equal to itself: the error names the column, and not the value."""
    column = VALUES.c[name]
    for value in values:
        for condition in (column == value, column != value, column.in_([value])):
            with pytest.raises(ValueRefusedError, match=rf"^every\.{name}: ") as caught:
                connection.execute(sa.select(VALUES.c.id).where(condition))
            assert caught.value.where == f"every.{name}"
            assert not any(part in str(caught.value) for part in ("canary", "4.25", "2025"))
            assert {caught.value.__context__, caught.value.__cause__} <= {None, caught.value}


def test_a_truncated_search_refuses_the_same(connection: sa.Connection) -> None:
    """What `execute_exact` compares is normalised by the same rules."""
    table = sa.Table(
        "short", sa.MetaData(), sa.Column("x", EncryptedInteger(index=BlindIndex(bits=4)))
    )
    table.create(connection)
    connection.execute(sa.insert(table), [{"x": number} for number in range(100)])
    statement = sa.select(table.c.x).where(table.c.x.in_([5, 77, 500]))
    assert sorted(execute_exact(connection, statement).scalars()) == [5, 77]
    for value in (True, "5", 5.0):
        with pytest.raises(ValueRefusedError, match=r"^short\.x: expects int"):
            execute_exact(connection, sa.select(table.c.x).where(table.c.x == value))
    with pytest.raises(RefusedOperationError):
        connection.execute(statement)
