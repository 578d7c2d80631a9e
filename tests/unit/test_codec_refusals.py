"""Codecs: what they refuse to seal, and what they refuse to read."""

# ruff: noqa: DTZ001 - naive values are among those under test

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import EncryptedString
from sqlalchemy_sealed.codecs import Codec, TextCodec, codec_for
from sqlalchemy_sealed.codecs.binary import BytesCodec, UuidCodec
from sqlalchemy_sealed.codecs.enum import EnumCodec
from sqlalchemy_sealed.codecs.json import JSONCodec
from sqlalchemy_sealed.codecs.numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from sqlalchemy_sealed.codecs.temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from sqlalchemy_sealed.errors import DecodingError, OptionError, ValueRefusedError


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


REFUSED: list[tuple[Codec[Any], Any, str]] = [
    (TextCodec(), "\ud800 secret", "lone surrogate"),
    (TextCodec(5), "secret", "too long: 6 characters, the column takes 5"),
    (TextCodec(1), "é\u0301", "too long: 2 characters, the column takes 1"),
    (BytesCodec(5), b"secret", "too long: 6 bytes, the column takes 5"),
    (UuidCodec(as_uuid=False), "secret", "not the text of a UUID"),
    (UuidCodec(as_uuid=False), SOME_UUID.hex, "not the text of a UUID"),
    (UuidCodec(as_uuid=False), str(SOME_UUID).upper(), "not the text of a UUID"),
    (IntegerCodec(), 10**4300, "more than 4300 decimal digits"),
    (IntegerCodec(), -(10**4300), "more than 4300 decimal digits"),
    (IntegerCodec(), 1 << 1_000_000, "more than 4300 decimal digits"),
    (FloatCodec(), 2**53 + 1, "no float holds exactly"),
    (FloatCodec(), 10**400, "no float holds exactly"),
    (DecimalCodec(), Decimal("sNaN"), "NaN"),
    (DecimalCodec(), Decimal("-NaN"), "NaN"),
    (DecimalCodec(), Decimal("NaN123"), "NaN"),
    (DecimalCodec(), 10**4300, "more than 4300 decimal digits"),
    (DecimalCodec(4, 2), Decimal("1.234"), "3 digits after the decimal point, the column takes 2"),
    (DecimalCodec(4, 2), Decimal("0.000"), "3 digits after the decimal point, the column takes 2"),
    (DecimalCodec(4, 2), Decimal(100), "3 digits before the decimal point, the column takes 2"),
    (DecimalCodec(4, 2), Decimal("1E+2"), "3 digits before the decimal point, the column takes 2"),
    (DecimalCodec(4), Decimal("12.345"), "5 significant digits, the column takes 4"),
    (DecimalCodec(4), 12345, "5 digits before the decimal point, the column takes 4"),
    (DateTimeCodec(), datetime(2024, 1, 1, tzinfo=UTC), "declare it with timezone=True"),
    (DateTimeCodec(timezone=True), datetime(2024, 1, 1), "has no UTC offset"),
    (TimeCodec(), time(1, tzinfo=UTC), "declare it with timezone=True"),
    (TimeCodec(timezone=True), time(1), "has no UTC offset"),
    (TimeCodec(timezone=True), time(1, tzinfo=ZoneInfo("Europe/Paris")), "no fixed UTC offset"),
    (TimeCodec(), time(1, tzinfo=ZoneInfo("Europe/Paris")), "no fixed UTC offset"),
    (COLOURS, "blue", "not one of the names"),
    (COLOURS, "", "not one of the names"),
    (JSONCodec(), {"a": float("nan")}, "NaN or infinity"),
    (JSONCodec(), float("-inf"), "NaN or infinity"),
    (JSONCodec(), [10**4300], "more than 4,300 digits"),
    (JSONCodec(), {"a": [{1: "secret"}]}, "str as the key of every JSON object, got int"),
    (JSONCodec(), ({None: 1},), "str as the key of every JSON object, got NoneType"),
    (JSONCodec(), [{True: 1}], "str as the key of every JSON object, got bool"),
    (JSONCodec(), {"a": "\udfff"}, "lone surrogate"),
    (JSONCodec(), {"\udfff": 1}, "lone surrogate"),
    (JSONCodec(), {"a": b"secret"}, "another Python type"),
    (JSONCodec(), {"a": {1, 2}}, "another Python type"),
    (JSONCodec(), {"a": sa.JSON.NULL}, "another Python type"),
]


@pytest.mark.parametrize(("codec", "value", "message"), REFUSED, ids=kinds)
def test_what_would_come_back_changed_is_refused(
    codec: Codec[Any], value: Any, message: str
) -> None:
    """A value without an exact form is refused with its reason, and the reason shows no value."""
    with pytest.raises(ValueRefusedError) as caught:
        codec.encode(value)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


ONE_OF_EACH: dict[type, Any] = {
    str: "x",
    bytes: b"x",
    int: 7,
    bool: True,
    float: 7.5,
    Decimal: Decimal("7.5"),
    date: date(2024, 1, 1),
    datetime: datetime(2024, 1, 1),
    time: time(1),
    timedelta: timedelta(1),
    UUID: SOME_UUID,
    Blood: Blood.A,
    list: ["x"],
    object: object(),
}

TAKES: list[tuple[Codec[Any], set[type]]] = [
    (TextCodec(), {str}),
    (BytesCodec(), {bytes}),
    (UuidCodec(), {UUID}),
    (IntegerCodec(), {int}),
    (BooleanCodec(), {bool}),
    (FloatCodec(), {float, int}),
    (DecimalCodec(), {Decimal, int}),
    (DateCodec(), {date}),
    (DateTimeCodec(), {datetime}),
    (TimeCodec(), {time}),
    (IntervalCodec(), {timedelta}),
    (BLOOD, {Blood}),
    (EnumCodec(None, ("x",)), {str}),
    (JSONCodec(), {str, int, bool, float, list}),
]


@pytest.mark.parametrize("kind", ONE_OF_EACH, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("codec", "takes"), TAKES, ids=kinds)
def test_only_values_of_the_right_python_type_are_taken(
    codec: Codec[Any], takes: set[type], kind: type
) -> None:
    """A bool is no int, a datetime no date, a str no bytes: the other type is named."""
    if kind in takes:
        codec.encode(ONE_OF_EACH[kind])
        return
    with pytest.raises(ValueRefusedError) as caught:
        codec.encode(ONE_OF_EACH[kind])
    assert kind.__name__ in str(caught.value) or "another Python type" in str(caught.value)


NOT_DECODED: list[tuple[Codec[Any], bytes]] = [
    (TextCodec(), b"\xff"),
    (TextCodec(), b"\xed\xa0\x80"),  # a surrogate in UTF-8
    (UuidCodec(), b"short"),
    (UuidCodec(), SOME_UUID.bytes + b"\0"),
    (IntegerCodec(), b""),
    (IntegerCodec(), b"-0"),
    (IntegerCodec(), b"007"),
    (IntegerCodec(), b"+7"),
    (IntegerCodec(), b" 7"),
    (IntegerCodec(), b"1_000"),
    (IntegerCodec(), "٣".encode()),
    (IntegerCodec(), b"9" * 4301),
    (BooleanCodec(), b"2"),
    (BooleanCodec(), b"true"),
    (FloatCodec(), b"1"),
    (FloatCodec(), b"1e1"),
    (FloatCodec(), b"Infinity"),
    (FloatCodec(), b"-nan"),
    (DecimalCodec(), b"1e1"),
    (DecimalCodec(), b"inf"),
    (DecimalCodec(), b"x"),
    (DecimalCodec(4, 2), b"1e1"),
    (DecimalCodec(4, 2), b"sNaN"),
    (DateCodec(), b"2024-1-1"),
    (DateCodec(), b"20240101"),
    (DateCodec(), b"2024-02-30"),
    (DateTimeCodec(), b"2024-01-01T00:00:00"),
    (DateTimeCodec(), b"2024-01-01 00:00:00.000000"),
    (DateTimeCodec(), b"2024-01-01T00:00:00.000000+00:00"),
    (DateTimeCodec(timezone=True), b"2024-01-01T00:00:00.000000Z"),
    (DateTimeCodec(timezone=True), b"2024-01-01T00:00:00.000000"),
    (TimeCodec(), b"00:00"),
    (TimeCodec(), b"00:00:00.000000+00:00"),
    (TimeCodec(timezone=True), b"00:00:00.000000"),
    (IntervalCodec(), b"-0"),
    (IntervalCodec(), b"9" * 30),
    (IntervalCodec(), b"1.5"),
    (BLOOD, b"NULL"),
    (BLOOD, b"A+"),
    (COLOURS, b"gr\xfcn"),
    (JSONCodec(), b""),
    (JSONCodec(), b"{"),
    (JSONCodec(), b"\xff\xfe"),
    (JSONCodec(), b"NaN"),
    (JSONCodec(), b"[-Infinity]"),
    (JSONCodec(), "{}".encode("utf-16")),
]


@pytest.mark.parametrize(("codec", "data"), NOT_DECODED, ids=kinds)
def test_what_the_codec_would_not_write_is_not_read(codec: Codec[Any], data: bytes) -> None:
    """Another form of a value, and the value of another kind of column, are refused."""
    with pytest.raises(DecodingError) as caught:
        codec.decode(data)
    assert "sealed by a column of another type" in str(caught.value)
    assert caught.value.__context__ is None


def test_a_document_that_contains_itself_is_refused() -> None:
    """A cycle ends in a refusal, not in a recursion."""
    document: dict[str, Any] = {"a": []}
    document["a"].append(document)
    with pytest.raises(ValueRefusedError, match="contains itself"):
        JSONCodec().encode(document)


@pytest.mark.parametrize(
    "inner",
    [sa.ARRAY(sa.Integer), sa.PickleType(), sa.types.NullType(), EncryptedString()],
    ids=kinds,
)
def test_a_type_without_a_codec_is_refused_by_name(inner: Any) -> None:
    """Values that have no exact form cannot be sealed, and the error names those that have."""
    with pytest.raises(OptionError, match=f"{type(inner).__name__} cannot be sealed; use one of"):
        codec_for(inner)


def test_an_enumeration_needs_a_name() -> None:
    """An enumeration without members could hold no value."""
    with pytest.raises(OptionError, match="at least one name"):
        codec_for(sa.Enum(enum.Enum("Empty", {})))
