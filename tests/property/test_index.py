"""Blind indexes over all values: equal values have equal slots, others do not."""

from __future__ import annotations

import enum
import sys
import unicodedata
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from property.strategies import texts, untimed

from sqlalchemy_sealed import BlindIndex
from sqlalchemy_sealed.codecs import Codec, TextCodec
from sqlalchemy_sealed.codecs.binary import BytesCodec, UuidCodec
from sqlalchemy_sealed.codecs.enum import EnumCodec
from sqlalchemy_sealed.codecs.numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from sqlalchemy_sealed.codecs.temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from sqlalchemy_sealed.index import SLOT_BITS
from sqlalchemy_sealed.normalizers import normalized

Pairs = st.SearchStrategy[tuple[Any, Any]]


class Fruit(enum.Enum):
    """Members, one of them with two names."""

    APPLE = 1
    PEAR = 2
    POMME = APPLE


class Level(int, enum.Enum):
    """Members that equal plain numbers."""

    LOW = 1
    HIGH = 10**30


def near(values: st.SearchStrategy[Any]) -> Pairs:
    """Return pairs of any two values, and pairs of one value with itself."""
    return st.tuples(values, values) | values.map(lambda value: (value, value))


@st.composite
def decimals(draw: st.DrawFn) -> tuple[Decimal, Decimal]:
    """Return two decimals, often of one number written with more and with fewer zeros."""
    sign, digits = draw(st.integers(0, 1)), draw(st.lists(st.integers(0, 9), min_size=1))
    exponent, zeros = draw(st.integers(-30, 30)), draw(st.integers(0, 30))
    one = Decimal((sign, tuple(digits), exponent))
    other = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    return one, draw(st.sampled_from([other, -other, other * 10, other + 1]))


def finite_ints(value: float) -> tuple[float, Any]:
    """Return a float, and the int that equals it if there is one."""
    return value, int(value) if value.is_integer() else value


# Whole seconds: Python compares times of day without the microseconds of their offsets.
offsets = st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets)  # noqa: DTZ001
aware_times = st.times(timezones=offsets)


@st.composite
def same_moment(draw: st.DrawFn) -> tuple[datetime, datetime]:
    """Return one moment at two offsets."""
    moment = draw(moments)
    return moment, moment.astimezone(draw(offsets))


@st.composite
def same_time(draw: st.DrawFn) -> tuple[time, time]:
    """Return a time of day and the one that a clock at another offset shows, or shows at a wrap."""
    one, offset = draw(aware_times), draw(offsets)
    other = datetime.combine(date(2000, 1, 2), one).astimezone(offset)
    return one, other.timetz()


FAMILIES: dict[str, tuple[Codec[Any], Pairs]] = {
    "text": (TextCodec(5), near(texts)),
    "bytes": (
        BytesCodec(5),
        near(st.binary())
        | st.binary().map(lambda value: (value, bytearray(value)))
        | st.binary().map(lambda value: (memoryview(value), value)),
    ),
    "uuid": (UuidCodec(), near(st.uuids())),
    "uuid text": (UuidCodec(as_uuid=False), near(st.uuids().map(str))),
    "integer": (
        IntegerCodec(),
        near(st.integers() | st.sampled_from(Level) | st.sampled_from([1, 10**30])),
    ),
    "boolean": (BooleanCodec(), near(st.booleans())),
    "float": (
        FloatCodec(),
        near(st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 0, 1, 1.0]))
        | st.floats(allow_nan=False, allow_infinity=False).map(finite_ints),
    ),
    "decimal": (
        DecimalCodec(4, 2),
        decimals()
        | near(st.decimals(allow_nan=False))
        | st.integers().map(lambda value: (value, Decimal(value))),
    ),
    "date": (DateCodec(), near(st.dates())),
    "datetime": (DateTimeCodec(), near(st.datetimes())),
    "aware datetime": (DateTimeCodec(timezone=True), near(moments) | same_moment()),
    "time": (TimeCodec(), near(st.times())),
    "aware time": (TimeCodec(timezone=True), near(aware_times) | same_time()),
    "interval": (IntervalCodec(), near(st.timedeltas())),
    "enum": (EnumCodec(Fruit, ("APPLE", "PEAR")), near(st.sampled_from([*Fruit, Fruit.POMME]))),
    "list of texts": (EnumCodec(None, ("a", "", "ß")), near(st.sampled_from(["a", "", "ß"]))),
}


@pytest.mark.parametrize("family", FAMILIES)
@untimed
@given(data=st.data())
def test_slots_are_equal_exactly_where_values_are(family: str, data: st.DataObject) -> None:
    """Two values have the same bytes to hash if and only if Python says that they are equal."""
    codec, pairs = FAMILIES[family]
    one, other = data.draw(pairs)
    assert (codec.index_bytes(one) == codec.index_bytes(other)) is bool(one == other)


LONG: dict[str, Codec[Any]] = {
    "text": TextCodec(),
    "bytes": BytesCodec(),
    "decimal": DecimalCodec(),
}


@pytest.mark.parametrize("family", FAMILIES)
@untimed
@given(data=st.data())
def test_a_value_that_was_read_has_the_slot_that_was_written(
    family: str, data: st.DataObject
) -> None:
    """What comes out of the column hashes like what went in: offsets, zeros and types included."""
    codec, pairs = FAMILIES[family]
    codec = LONG.get(family, codec)
    value, _ = data.draw(pairs)
    assert codec.index_bytes(codec.decode(codec.encode(value))) == codec.index_bytes(value)


@untimed
@given(texts, st.integers(1, SLOT_BITS), st.binary(min_size=32, max_size=32))
@example("", 1, bytes(32))
@example("a", 119, bytes(32))
def test_a_truncated_slot_is_the_start_of_the_whole_one(text: str, bits: int, key: bytes) -> None:
    """The first bits are those of the index of 120 bits, and all bits after them are zero."""
    data = text.encode()
    whole = int.from_bytes(BlindIndex().hashing("a.b", key)(data), "big")
    short = BlindIndex(bits=bits).hashing("a.b", key)(data)
    assert len(short) == SLOT_BITS // 8
    assert int.from_bytes(short, "big") == whole >> (SLOT_BITS - bits) << (SLOT_BITS - bits)


@untimed
@given(
    st.binary(min_size=32, max_size=32),
    st.lists(st.tuples(texts.filter(bool), texts.filter(bool)), min_size=2, max_size=2),
)
@example(bytes(32), [("ab", "c"), ("a", "bc")])
def test_indexes_of_another_context_or_name_have_other_slots(
    key: bytes, places: list[tuple[str, str]]
) -> None:
    """The same value under one key does not show as equal, unless context and name are equal."""
    one, other = (BlindIndex(name).hashing(label, key)(b"x") for label, name in places)
    assert (one == other) is (places[0] == places[1])


ASSIGNED = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) not in ("Cs", "Cn", "Co")
]
LETTERS = st.text(st.characters(codec="utf-8", categories=["L", "M", "N"]))


def folded(text: str) -> str:
    """Return a text as the normalizer "casefold" leaves it."""
    return normalized(("casefold",), text)


@untimed
@given(LETTERS)
@example("\u03b1\u0323\u0345")
@example("\u1fb4\u0323")
def test_casefold_sees_no_canonical_form(text: str) -> None:
    """Composed, decomposed and upper-case writings of a text are one."""
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, text)) == folded(text)
    assert folded(folded(text)) == folded(text)
    decomposed = unicodedata.normalize("NFD", text)
    assert unicodedata.normalize("NFD", folded(text)) == unicodedata.normalize(
        "NFD", decomposed.casefold()
    )


def test_casefold_sees_no_case_of_any_character() -> None:
    """Upper, lower and title case of a character are one, wherever Unicode folds them together."""
    for character in ASSIGNED:
        for other in (character.upper(), character.lower(), character.title()):
            if other.casefold() == character.casefold():
                assert folded(other) == folded(character), hex(ord(character))


@untimed
@given(LETTERS)
@example("ßa")
@example("SSa")
def test_what_folds_together_begins_alike(text: str) -> None:
    """Texts that an index over the folded text finds equal have the same first letter, too."""
    first = normalized(("first_letter",), text)
    assert first == normalized(("first_letter",), folded(text))
    assert len(first) == min(len(folded(text)), 1)


def test_digits_are_the_decimal_digits_of_every_script() -> None:
    """Each decimal digit becomes its ASCII digit; nothing else is one, not even a superscript."""
    digits = {c: normalized(("digits",), c) for c in ASSIGNED}
    assert {c for c, digit in digits.items() if digit} == {
        c for c in ASSIGNED if unicodedata.category(c) == "Nd"
    }
    assert all(int(digit) == unicodedata.decimal(c) for c, digit in digits.items() if digit)
    assert (digits["٣"], digits["²"], digits["½"], digits["Ⅷ"]) == ("3", "", "", "")


@untimed
@given(st.text(st.characters(codec="utf-8") | st.sampled_from(" \t\x1c\u2003\u200b\ufeffa")))
def test_strip_takes_white_space_off_both_ends(text: str) -> None:
    """White space is what Unicode says by class or category; a joiner or a BOM is none."""

    def is_white(character: str) -> bool:
        return (
            unicodedata.bidirectional(character) in ("WS", "B", "S")
            or unicodedata.category(character) == "Zs"
        )

    characters = list(text)
    while characters and is_white(characters[0]):
        del characters[0]
    while characters and is_white(characters[-1]):
        del characters[-1]
    assert normalized(("strip",), text) == "".join(characters)


@untimed
@given(texts, texts.filter(lambda text: "@" not in text))
@example("a@b", "EXAMPLE.org")
@example("", "Straße.de")
def test_email_domain_takes_an_address_or_a_domain(local: str, domain: str) -> None:
    """What is searched may be the domain alone."""
    assert normalized(("email_domain",), f"{local}@{domain}") == folded(domain)
    assert normalized(("email_domain",), domain) == folded(domain)


def test_utc_and_an_offset_of_zero_are_one() -> None:
    """The name of a time zone says nothing."""
    codec = DateTimeCodec(timezone=True)
    zero = datetime(2025, 1, 1, tzinfo=timezone(timedelta(0), "Z"))
    assert codec.index_bytes(zero) == codec.index_bytes(datetime(2025, 1, 1, tzinfo=UTC))
