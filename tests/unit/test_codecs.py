"""Codecs: the exact bytes of each value at its edges, and the value they give back."""

# ruff: noqa: DTZ001, DTZ901 - naive values are among those under test

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed.codecs import Codec, TextCodec, codec_for
from sqlalchemy_sealed.codecs.binary import BytesCodec, UuidCodec
from sqlalchemy_sealed.codecs.enum import EnumCodec
from sqlalchemy_sealed.codecs.json import JSONCodec
from sqlalchemy_sealed.codecs.numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from sqlalchemy_sealed.codecs.temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from sqlalchemy_sealed.errors import ValueRefusedError


class Blood(enum.Enum):
    """Names that are not the values, and an alias."""

    A = "A+"
    ZERO = "0-"
    NULL = ZERO


COLOURS = EnumCodec(None, ("red", "grün"))
BLOOD = EnumCodec(Blood, ("A", "ZERO"))
KIEV = timezone(timedelta(hours=5, minutes=30, seconds=15, microseconds=7))
SOME_UUID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def kinds(value: object) -> str:
    """Name a parameter by its kind; some values are a megabyte long."""
    return type(value).__name__


FORMS: list[tuple[Codec[Any], Any, bytes]] = [
    (TextCodec(), "", b""),
    (TextCodec(), "a\0b", b"a\0b"),
    (TextCodec(), "é\U0001f512", b"\xc3\xa9\xf0\x9f\x94\x92"),
    (TextCodec(), "e\u0301", b"e\xcc\x81"),  # not normalised
    (TextCodec(), "\ufeffx", b"\xef\xbb\xbfx"),
    (TextCodec(3), "ééé", "ééé".encode()),
    (TextCodec(), "x" * (1 << 20), b"x" * (1 << 20)),
    (BytesCodec(), b"", b""),
    (BytesCodec(), b"\0\xff", b"\0\xff"),
    (BytesCodec(2), b"ab", b"ab"),
    (UuidCodec(), SOME_UUID, bytes.fromhex("00112233445566778899aabbccddeeff")),
    (UuidCodec(as_uuid=False), str(SOME_UUID), SOME_UUID.bytes),
    (IntegerCodec(), 0, b"0"),
    (IntegerCodec(), -1, b"-1"),
    (IntegerCodec(), 2**64, b"18446744073709551616"),
    (IntegerCodec(), 1 - 10**4300, b"-" + b"9" * 4300),
    (BooleanCodec(), True, b"1"),
    (BooleanCodec(), False, b"0"),
    (FloatCodec(), 0.0, b"0.0"),
    (FloatCodec(), -0.0, b"-0.0"),
    (FloatCodec(), 5e-324, b"5e-324"),
    (FloatCodec(), 0.1, b"0.1"),
    (FloatCodec(), float("inf"), b"inf"),
    (FloatCodec(), float("-inf"), b"-inf"),
    (DecimalCodec(), Decimal("1.0"), b"1.0"),
    (DecimalCodec(), Decimal("1.00"), b"1.00"),
    (DecimalCodec(), Decimal("1E+1"), b"1E+1"),
    (DecimalCodec(), Decimal("-0.00"), b"-0.00"),
    (DecimalCodec(), Decimal("1E-9999"), b"1E-9999"),
    (DecimalCodec(), Decimal("Infinity"), b"Infinity"),
    (DecimalCodec(4, 2), Decimal("-99.99"), b"-99.99"),
    (DecimalCodec(4, 2), Decimal("0.0"), b"0.0"),
    (DecimalCodec(2, 2), Decimal("0.99"), b"0.99"),
    (DecimalCodec(4), Decimal("1.234"), b"1.234"),
    (DateCodec(), date.min, b"0001-01-01"),
    (DateCodec(), date.max, b"9999-12-31"),
    (DateTimeCodec(), datetime(1, 1, 1), b"0001-01-01T00:00:00.000000"),
    (DateTimeCodec(), datetime.max, b"9999-12-31T23:59:59.999999"),
    (
        DateTimeCodec(timezone=True),
        datetime.max.replace(tzinfo=UTC),
        b"9999-12-31T23:59:59.999999+00:00",
    ),
    (
        DateTimeCodec(timezone=True),
        datetime(2024, 2, 29, 1, 2, 3, 4, KIEV),
        b"2024-02-29T01:02:03.000004+05:30:15.000007",
    ),
    (TimeCodec(), time(0), b"00:00:00.000000"),
    (TimeCodec(), time.max, b"23:59:59.999999"),
    (
        TimeCodec(timezone=True),
        time(1, tzinfo=timezone(timedelta(hours=-8))),
        b"01:00:00.000000-08:00",
    ),
    (IntervalCodec(), timedelta(0), b"0"),
    (IntervalCodec(), timedelta(microseconds=-1), b"-1"),
    (IntervalCodec(), timedelta.min, b"-86399999913600000000"),
    (IntervalCodec(), timedelta.max, b"86399999999999999999"),
    (BLOOD, Blood.ZERO, b"ZERO"),
    (COLOURS, "grün", "grün".encode()),
    (JSONCodec(), {}, b"{}"),
    (
        JSONCodec(),
        {"b": [1, 2.5, None, True], "a": "é\0"},
        '{"b":[1,2.5,null,true],"a":"é\\u0000"}'.encode(),
    ),
    (JSONCodec(), "text", b'"text"'),
    (JSONCodec(), False, b"false"),
    (JSONCodec(), 10**100, b"1" + b"0" * 100),
    (JSONCodec(), -0.0, b"-0.0"),
]


@pytest.mark.parametrize(("codec", "value", "data"), FORMS, ids=kinds)
def test_a_value_has_one_form_and_comes_back_from_it(
    codec: Codec[Any], value: Any, data: bytes
) -> None:
    """The sealed bytes are exactly these, and give a value of the same type and text back."""
    assert codec.encode(value) == data
    back = codec.decode(data)
    assert (type(back), repr(back)) == (type(value), repr(value))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_is_sealed_as_bytes(kind: Any) -> None:
    """A bytearray and a memoryview are taken, and come back as bytes."""
    assert BytesCodec().encode(kind(b"abc")) == b"abc"


@pytest.mark.parametrize(
    ("codec", "given", "stored"),
    [
        (FloatCodec(), 2**53, float(2**53)),
        (DecimalCodec(), 10**4299, Decimal(10**4299)),
        (JSONCodec(), ({"a": (1,)},), [{"a": [1]}]),
        (JSONCodec(), sa.JSON.NULL, None),
        (BLOOD, Blood.NULL, Blood.ZERO),
    ],
    ids=kinds,
)
def test_a_few_values_come_back_as_their_plain_form(
    codec: Codec[Any], given: Any, stored: Any
) -> None:
    """An exact int, a tuple, JSON.NULL and an alias are taken for what they stand for."""
    back = codec.decode(codec.encode(given))
    assert back == stored
    assert type(back) is type(stored)


def test_a_plain_nan_is_a_value() -> None:
    """A NaN of Decimal and float is kept; the sign of a float's NaN is not."""
    assert DecimalCodec().decode(DecimalCodec().encode(Decimal("NaN"))).is_nan()
    assert DecimalCodec(3, 1).encode(Decimal("NaN")) == b"NaN"
    assert FloatCodec().encode(float("-nan")) == FloatCodec().encode(float("nan")) == b"nan"


@pytest.mark.parametrize(("month", "offset"), [(1, timedelta(hours=1)), (7, timedelta(hours=2))])
def test_a_named_time_zone_is_kept_as_its_offset(month: int, offset: timedelta) -> None:
    """A ZoneInfo value comes back equal, with the offset that it had on that day."""
    value = datetime(2024, month, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))
    codec = DateTimeCodec(timezone=True)
    back = codec.decode(codec.encode(value))
    assert back == value
    assert back.tzinfo == timezone(offset)


@pytest.mark.parametrize("fold", [0, 1])
def test_the_fold_of_an_aware_value_is_in_its_offset(fold: int) -> None:
    """Of the hour that comes twice in autumn, the right one is kept."""
    value = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=fold)
    codec = DateTimeCodec(timezone=True)
    assert codec.decode(codec.encode(value)).utcoffset() == timedelta(hours=2 - fold)


@pytest.mark.parametrize("data", [b"1.2345", b"-1234567.8", b"1E+20", b"0.000", b"12345.678"])
def test_a_decimal_that_was_sealed_when_the_column_took_more_is_read(data: bytes) -> None:
    """Precision and scale bound what is sealed; what is stored already stays readable."""
    narrow = DecimalCodec(4, 2)
    assert str(narrow.decode(data)) == data.decode()
    with pytest.raises(ValueRefusedError):
        narrow.encode(narrow.decode(data))


def test_a_renamed_value_of_an_enumeration_stays_readable() -> None:
    """The name is sealed, so an enumeration with other values reads what was sealed before."""
    renamed = enum.Enum("Blood", {"A": 1, "ZERO": 2})
    assert EnumCodec(renamed, ("A", "ZERO")).decode(BLOOD.encode(Blood.ZERO)) is renamed.ZERO


CODEC_FOR: list[tuple[Any, Codec[Any]]] = [
    (sa.String(5), TextCodec(5)),
    (sa.Text(), TextCodec()),
    (sa.Unicode(7), TextCodec(7)),
    (sa.LargeBinary(9), BytesCodec(9)),
    (sa.Integer(), IntegerCodec()),
    (sa.BigInteger(), IntegerCodec()),
    (sa.Numeric(10, 2), DecimalCodec(10, 2)),
    (sa.Numeric(asdecimal=False), FloatCodec()),
    (sa.Float(24), FloatCodec()),
    (sa.Double(53), FloatCodec()),
    (sa.Float(24, asdecimal=True), DecimalCodec()),
    (sa.Boolean(), BooleanCodec()),
    (sa.Date(), DateCodec()),
    (sa.DateTime(), DateTimeCodec()),
    (sa.TIMESTAMP(timezone=True), DateTimeCodec(timezone=True)),
    (sa.Time(timezone=True), TimeCodec(timezone=True)),
    (sa.Interval(), IntervalCodec()),
    (sa.Uuid(), UuidCodec()),
    (sa.Uuid(as_uuid=False), UuidCodec(as_uuid=False)),
    (sa.Enum("red", "grün"), COLOURS),
    (sa.Enum(Blood), BLOOD),
    (sa.JSON(), JSONCodec()),
]


@pytest.mark.parametrize(("inner", "codec"), CODEC_FOR, ids=kinds)
def test_each_type_of_sqlalchemy_has_its_codec(inner: Any, codec: Codec[Any]) -> None:
    """Arguments of the inner type become bounds of the codec."""
    assert codec_for(inner) == codec


@pytest.mark.parametrize(
    ("codec", "python_type"),
    [
        (TextCodec(), str),
        (UuidCodec(), UUID),
        (UuidCodec(as_uuid=False), str),
        (BLOOD, Blood),
        (COLOURS, str),
        (JSONCodec(), dict),
    ],
    ids=kinds,
)
def test_the_python_type_is_that_of_the_values(codec: Codec[Any], python_type: type) -> None:
    """What a codec says of its values is what it takes and gives."""
    assert codec.python_type is python_type
