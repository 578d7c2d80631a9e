"""Codecs over all values: an exact round trip, and one form for each value."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqlalchemy_sealed.codecs import Codec, TextCodec
from sqlalchemy_sealed.codecs.binary import BytesCodec, UuidCodec
from sqlalchemy_sealed.codecs.enum import EnumCodec
from sqlalchemy_sealed.codecs.json import JSONCodec
from sqlalchemy_sealed.codecs.numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from sqlalchemy_sealed.codecs.temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from sqlalchemy_sealed.errors import DecodingError, ValueRefusedError

# A slow machine is not a failure.
untimed = settings(deadline=None)

Fruit = enum.Enum("Fruit", ["APPLE", "pear", "Élan"])

# Offsets of whole microseconds, which is more than any time zone of the world uses.
offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
fixed = st.builds(timezone, offsets) | st.just(UTC)
texts = st.text(st.characters(codec="utf-8"))
documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)

FAMILIES: dict[str, tuple[Codec[Any], st.SearchStrategy[Any]]] = {
    "text": (TextCodec(), texts),
    "bytes": (BytesCodec(), st.binary()),
    "uuid": (UuidCodec(), st.uuids()),
    "uuid text": (UuidCodec(as_uuid=False), st.uuids().map(str)),
    "integer": (IntegerCodec(), st.integers() | st.integers(1 - 10**4300, 10**4300 - 1)),
    "boolean": (BooleanCodec(), st.booleans()),
    "float": (FloatCodec(), st.floats()),
    "decimal": (
        DecimalCodec(),
        st.decimals().filter(lambda d: not d.is_nan()) | st.just(Decimal("NaN")),
    ),
    "date": (DateCodec(), st.dates()),
    "datetime": (DateTimeCodec(), st.datetimes()),
    "aware datetime": (DateTimeCodec(timezone=True), st.datetimes(timezones=fixed)),
    "time": (TimeCodec(), st.times()),
    "aware time": (TimeCodec(timezone=True), st.times(timezones=fixed)),
    "interval": (IntervalCodec(), st.timedeltas()),
    "enum": (EnumCodec(Fruit, tuple(Fruit.__members__)), st.sampled_from(Fruit)),
    "list of texts": (EnumCodec(None, ("a", "", "ß")), st.sampled_from(["a", "", "ß"])),
    "json": (JSONCodec(), documents),
}
NAMES = list(FAMILIES)


def exact(value: Any) -> Any:
    """Return what tells 1 from True and 1.0, 1.0 from 1.00, and 0.0 from -0.0."""
    if isinstance(value, datetime | time):
        value = value.replace(fold=0)  # Says nothing without a named time zone; not kept.
    return type(value), repr(value)


@pytest.mark.parametrize("family", NAMES)
@untimed
@given(data=st.data())
def test_every_value_comes_back_exactly(family: str, data: st.DataObject) -> None:
    """What a column's type can hold is read as it was written: type, digits, sign, offset."""
    codec, values = FAMILIES[family]
    value = data.draw(values)
    assert exact(codec.decode(codec.encode(value))) == exact(value)


@pytest.mark.parametrize("microseconds", [1, -1, 999_999, -999_999, 1_000_000, -1_000_001, 0])
def test_offsets_of_less_than_a_second_come_back(microseconds: int) -> None:
    """Python's own parser reads them as no offset at all."""
    offset = timezone(timedelta(microseconds=microseconds))
    for codec, value in (
        (DateTimeCodec(timezone=True), datetime(2000, 1, 1, tzinfo=offset)),
        (TimeCodec(timezone=True), time(12, tzinfo=offset)),
    ):
        assert exact(codec.decode(codec.encode(value))) == exact(value)


@pytest.mark.parametrize("family", [name for name in NAMES if name not in ("float", "decimal")])
@untimed
@given(data=st.data())
def test_equal_values_seal_equally_where_a_codec_says_so(family: str, data: st.DataObject) -> None:
    """An exact codec gives two values the same bytes if and only if they are equal."""
    codec, values = FAMILIES[family]
    one, other = data.draw(values), data.draw(values)
    if codec.exact:
        assert (codec.encode(one) == codec.encode(other)) is (one == other)
    else:
        assert codec.encode(one) != codec.encode(other) or one == other


# Bytes that look like a value of some type, and bytes that look like nothing.
foreign = st.binary(max_size=40) | st.one_of(
    *(values.map(codec.encode) for name, (codec, values) in FAMILIES.items())
)


@pytest.mark.parametrize("family", [name for name in NAMES if name != "json"])
@untimed
@given(data=foreign)
def test_a_codec_reads_only_what_it_writes(family: str, data: bytes) -> None:
    """Any bytes are either the one form of a value that the codec takes, or DecodingError."""
    codec, _ = FAMILIES[family]
    try:
        value = codec.decode(data)
    except DecodingError:
        return
    assert codec.encode(value) == data


@untimed
@given(data=foreign | documents.map(json.dumps).map(str.encode))
def test_json_that_is_not_readable_is_our_error(data: bytes) -> None:
    """Any bytes are a document or a DecodingError; another exception would fail this."""
    with suppress(DecodingError):
        JSONCodec().decode(data)


@untimed
@given(texts, st.integers(1, 20))
@example("", 1)
@example("\U0001f512" * 20, 20)
def test_length_counts_the_characters_of_a_text(text: str, length: int) -> None:
    """A text is refused exactly if it has more code points than the length."""
    assert accepts(TextCodec(length), text) is (len(text) <= length)


@untimed
@given(st.binary(max_size=30), st.integers(1, 20))
def test_length_counts_the_bytes_of_bytes(data: bytes, length: int) -> None:
    """Bytes are refused exactly if there are more of them than the length."""
    assert accepts(BytesCodec(length), data) is (len(data) <= length)


@untimed
@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.integers(-9999, 9999),
    st.integers(1, 8),
    st.integers(0, 4),
)
@example(Decimal("0E+5"), 1, 0)
@example(Decimal("9.99"), 3, 2)
@example(Decimal("99.9"), 3, 2)
def test_precision_and_scale_bound_a_decimal_as_sql_does(
    value: Decimal | int, precision: int, scale: int
) -> None:
    """Taken are the numbers below 10^(precision - scale) with at most scale decimal places."""
    if scale > precision:
        precision, scale = scale, precision
    places = -min(Decimal(value).as_tuple().exponent, 0)
    fits = abs(value) < 10 ** (precision - scale) and places <= scale
    assert accepts(DecimalCodec(precision, scale), value) is fits


@untimed
@given(st.integers())
def test_an_int_is_a_float_if_it_loses_nothing(value: int) -> None:
    """A float column takes exactly the ints that a double holds."""
    try:
        holds = math.isfinite(float(value)) and int(float(value)) == value
    except OverflowError:
        holds = False
    assert accepts(FloatCodec(), value) is holds


def accepts(codec: Codec[Any], value: Any) -> bool:
    """Return whether a codec takes a value."""
    encode: Callable[[Any], bytes] = codec.encode
    try:
        encode(value)
    except ValueRefusedError:
        return False
    return True
