"""The sealed types: their options, what they show of themselves, and what they are made of."""

# ruff: noqa: DTZ901 - naive values are among those under test

from __future__ import annotations

import copy
import enum
import pickle
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

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
    get_sealer,
)
from sqlalchemy_sealed.errors import ConfigurationError, OptionError


class Fruit(enum.Enum):
    """An enumeration whose names differ in length."""

    FIG = 1
    POMEGRANATE = 2


TYPES: list[tuple[Encrypted[Any], type]] = [
    (EncryptedString(), str),
    (EncryptedString(30), str),
    (EncryptedText(), str),
    (EncryptedBytes(), bytes),
    (EncryptedBytes(16), bytes),
    (EncryptedInteger(), int),
    (EncryptedNumeric(), Decimal),
    (EncryptedNumeric(10, 2), Decimal),
    (EncryptedFloat(), float),
    (EncryptedBoolean(), bool),
    (EncryptedDate(), date),
    (EncryptedDateTime(), datetime),
    (EncryptedDateTime(timezone=True), datetime),
    (EncryptedTime(), time),
    (EncryptedTime(timezone=True), time),
    (EncryptedInterval(), timedelta),
    (EncryptedUUID(), UUID),
    (EncryptedEnum("FIG", "POMEGRANATE"), str),
    (EncryptedEnum("FIG", pad=None), str),
    (EncryptedJSON(), dict),
    (EncryptedJSON(tracked=False), dict),
    (Encrypted(sa.Numeric(10, 2)), Decimal),
    (Encrypted(sa.String), str),
    (EncryptedString(9, context="a.b", sealer="pii", storage="text", pad=32, masked=True), str),
]
every_type = pytest.mark.parametrize("type_", [type_ for type_, _ in TYPES], ids=repr)


def as_written(text: str) -> Encrypted[Any]:
    """Return the type of a rendered call, as a migration file would make it."""
    names = {**vars(sa), **vars(sqlalchemy_sealed)}
    return eval(text, names)


@pytest.mark.parametrize(("type_", "python_type"), TYPES, ids=repr)
def test_the_python_type_is_that_of_the_values(type_: Encrypted[Any], python_type: type) -> None:
    """SQLAlchemy is told what a column holds, not what is stored."""
    assert type_.python_type is python_type


def test_an_enumeration_is_its_own_python_type() -> None:
    """A column of an enumeration holds its members."""
    assert EncryptedEnum(Fruit).python_type is Fruit


@every_type
def test_the_repr_makes_the_same_type(type_: Encrypted[Any]) -> None:
    """What is rendered into a migration gives a type with the same codec, options and storage."""
    again = as_written(repr(type_))
    assert type(again) is type(type_)
    assert (again.codec, again.settings) == (type_.codec, type_.settings)
    assert repr(again) == repr(type_)
    assert type(again.impl_instance) is type(type_.impl_instance)
    assert getattr(again, "tracked", None) is getattr(type_, "tracked", None)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (EncryptedString(), "EncryptedString()"),
        (EncryptedString(30, pad=16), "EncryptedString(length=30, pad=16)"),
        (EncryptedNumeric(10, 2), "EncryptedNumeric(precision=10, scale=2)"),
        (EncryptedDateTime(timezone=True), "EncryptedDateTime(timezone=True)"),
        (EncryptedJSON(tracked=False), "EncryptedJSON(tracked=False)"),
        (EncryptedText(sealer=get_sealer("pii")), "EncryptedText(sealer='pii')"),
        (EncryptedEnum(Fruit), "EncryptedEnum('FIG', 'POMEGRANATE', pad=16)"),
        (EncryptedEnum("a", pad=None), "EncryptedEnum('a', pad=None)"),
        (
            Encrypted(sa.Numeric(10, 2), context="a.b"),
            "Encrypted(inner=Numeric(precision=10, scale=2), context='a.b')",
        ),
    ],
)
def test_the_repr_says_what_is_not_the_default(type_: Encrypted[Any], text: str) -> None:
    """A type shows its own name, its arguments and options; of keys it knows a name only."""
    assert repr(type_) == text


def test_the_repr_spells_out_the_context_of_the_column() -> None:
    """A migration keeps the context that a column has now, also after a later rename."""
    column = sa.Column("email", EncryptedString(30))
    assert repr(column.type) == "EncryptedString(length=30)"
    table = sa.Table("people", sa.MetaData(), column)
    assert repr(table.c.email.type) == "EncryptedString(length=30, context='people.email')"
    assert as_written(repr(table.c.email.type)).label == "people.email"


@every_type
@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_a_copy_is_the_same_type(type_: Encrypted[Any], how: Any) -> None:
    """Pickled or copied, a type keeps its codec, options and statement cache key."""
    again = how(type_)
    if isinstance(again, bytes):
        again = pickle.loads(again)
    assert again is not type_
    assert repr(again) == repr(type_)
    assert (again.codec, again.settings) == (type_.codec, type_.settings)
    assert again._static_cache_key == type_._static_cache_key
    assert again.binding is not type_.binding


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": 1}, "EncryptedString has no option 'colour' (options: check, context, index"),
        ({"contxt": "a.b"}, "did you mean 'context'?"),
        ({"storage": "json"}, "storage must be one of binary, text"),
        ({"storage": None}, "storage must be one of binary, text"),
        ({"context": ""}, "context must be a text that is not empty"),
        ({"context": 5}, "context must be a text that is not empty"),
        ({"sealer": ""}, "sealer must be a name or a Sealer"),
        ({"sealer": None}, "sealer must be a name or a Sealer"),
        ({"pad": 1}, "pad must be a whole number of bytes from 2 to 65536"),
        ({"pad": 65537}, "pad must be a whole number of bytes from 2 to 65536"),
        ({"pad": True}, "pad must be a whole number of bytes"),
        ({"pad": 16.0}, "pad must be a whole number of bytes"),
        ({"masked": 1}, "masked must be True or False"),
        ({"length": "30"}, "length must be"),
        ({"length": -1}, "length must be"),
        ({"length": True}, "length must be"),
    ],
    ids=repr,
)
def test_a_wrong_option_is_refused_where_it_is_written(given: Any, message: str) -> None:
    """An option that does not exist, or cannot have this value, fails at the declaration."""
    with pytest.raises(OptionError) as caught:
        EncryptedString(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize("arguments", [("10", 2), (10, "2"), (0,), (4, -1), (2, 4)], ids=repr)
def test_a_precision_that_no_number_fits_is_refused(arguments: Any) -> None:
    """Precision and scale are whole numbers, and the scale is not more than the precision."""
    with pytest.raises(OptionError):
        EncryptedNumeric(*arguments)


def test_pad_takes_its_bounds() -> None:
    """Blocks of 2 and of 65,536 bytes are allowed."""
    assert EncryptedString(pad=2).settings.pad == 2
    assert EncryptedString(pad=1 << 16).settings.pad == 1 << 16


@pytest.mark.parametrize("type_", [EncryptedInteger, EncryptedBytes, EncryptedUUID, EncryptedJSON])
def test_only_texts_can_be_masked(type_: type[Any]) -> None:
    """Another value than a text has no masked form, so the option is refused."""
    with pytest.raises(OptionError, match="only texts can be read masked"):
        type_(masked=True)


def test_an_enumeration_of_texts_can_be_masked() -> None:
    """A text of a fixed list is a text."""
    assert EncryptedEnum("a", "b", masked=True).settings.masked


def test_a_sealer_is_held_by_name(sealer: Sealer, other_sealer: Sealer) -> None:
    """A type given a sealer, or its name, looks the same one up; without either, the default."""
    assert EncryptedString(sealer=other_sealer).settings.sealer == other_sealer.name
    assert EncryptedString(sealer=other_sealer).sealer is other_sealer
    assert EncryptedString(sealer=other_sealer.name).sealer is other_sealer
    assert EncryptedString().sealer is sealer


@pytest.mark.parametrize("members", [("a", "b"), (Fruit,)], ids=repr)
def test_the_names_of_an_enumeration_are_padded_by_default(members: Any) -> None:
    """The block holds the longest name and its mark: 16 bytes up to 15, then 32."""
    assert EncryptedEnum(*members).settings.pad == 16
    assert EncryptedEnum("x" * 15).settings.pad == 16
    assert EncryptedEnum("x" * 16, "y").settings.pad == 32
    assert EncryptedEnum("é" * 8).settings.pad == 32
    assert EncryptedEnum(*members, pad=8).settings.pad == 8
    assert EncryptedEnum(*members, pad=None).settings.pad is None


def test_an_enumeration_without_names_is_refused() -> None:
    """There is nothing that such a column could hold."""
    with pytest.raises(OptionError, match="at least one name"):
        EncryptedEnum(enum.Enum("Nothing", {}))


# -- storage


@pytest.mark.parametrize(
    ("dialect", "binary", "text"),
    [
        (sqlite.dialect(), "BLOB", "TEXT"),
        (postgresql.dialect(), "BYTEA", "TEXT"),
        (mysql.dialect(), "LONGBLOB", "LONGTEXT CHARACTER SET ascii COLLATE ascii_bin"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
@every_type
def test_what_the_database_stores_is_bytes_or_text(
    type_: Encrypted[Any], dialect: Any, binary: str, text: str
) -> None:
    """The DDL of every type is that of its storage, without the length of the plaintext."""
    expected = text if type_.settings.is_text else binary
    assert type_.compile(dialect) == expected


# -- variants


def test_a_variant_must_be_sealed() -> None:
    """A type that stores plaintext on one database is refused, as an instance and as a class."""
    for plain in (sa.String(30), sa.Text):
        with pytest.raises(OptionError, match="a variant for mysql, oracle must be sealed"):
            EncryptedString().with_variant(plain, "mysql", "oracle")


def test_a_sealed_variant_is_used_on_its_dialect() -> None:
    """On one database the storage is text, elsewhere it is binary."""
    type_ = EncryptedString().with_variant(EncryptedString(storage="text"), "postgresql")
    assert type_.compile(postgresql.dialect()) == "TEXT"
    assert type_.compile(sqlite.dialect()) == "BLOB"


def test_a_sealed_variant_has_the_context_of_the_column() -> None:
    """The variant is bound to the same column as the type around it."""
    variant = EncryptedString(storage="text")
    type_ = EncryptedString().with_variant(variant, "postgresql")
    table = sa.Table("people", sa.MetaData(), sa.Column("email", type_))
    [bound] = table.c.email.type._variant_mapping.values()
    assert bound.label == table.c.email.type.label == "people.email"


def test_a_type_with_a_variant_can_be_copied_to_other_columns() -> None:
    """Two columns and a second MetaData may share the declaration; each has its own context."""
    type_ = EncryptedString().with_variant(EncryptedString(storage="text"), "postgresql")
    table = sa.Table("people", sa.MetaData(), sa.Column("email", type_), sa.Column("phone", type_))
    copied = table.to_metadata(sa.MetaData(), name="archive")
    labels = [
        [inner.label for inner in column.type._variant_mapping.values()]
        for column in (*table.c, *copied.c)
    ]
    assert labels == [["people.email"], ["people.phone"], ["archive.email"], ["archive.phone"]]


# -- context


def test_an_explicit_context_wins() -> None:
    """The label of a column is that of its type, if the type has one."""
    table = sa.Table("t", sa.MetaData(), sa.Column("a", EncryptedString(context="people.email")))
    assert table.c.a.type.label == "people.email"


@pytest.mark.parametrize("context", ["\ud800", "x" * 65536], ids=["surrogate", "too long"])
def test_a_context_that_cannot_be_packed_is_refused(context: str, sealer: Sealer) -> None:
    """A label is at most 65,535 bytes of UTF-8."""
    with pytest.raises(ConfigurationError, match="65535 bytes of UTF-8"):
        EncryptedString(context=context).bind_processor(sqlite.dialect())("x")


# -- padding


@pytest.mark.parametrize("storage", ["binary", "text"])
@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (EncryptedString(pad=32, context="a.b"), ["", "a", "x" * 31]),
        (EncryptedEnum(Fruit, context="a.b"), list(Fruit)),
        (EncryptedInteger(pad=24, context="a.b"), [0, -(10**20)]),
        (EncryptedJSON(pad=64, context="a.b"), [{}, {"allergies": ["latex"]}, None]),
        (EncryptedBoolean(context="a.b"), [True, False]),
        (EncryptedDate(context="a.b"), [date.min, date.max]),
        (EncryptedDateTime(context="a.b"), [datetime.min, datetime.max]),
        (EncryptedTime(context="a.b"), [time.min, time.max]),
        (EncryptedUUID(context="a.b"), [UUID(int=0), UUID(int=2**128 - 1)]),
    ],
    ids=repr,
)
def test_stored_sizes_do_not_tell_values_apart(
    type_: Encrypted[Any], values: list[Any], storage: str, sealer: Sealer
) -> None:
    """Padded texts and types of a fixed width store all these values in the same size."""
    arguments = type_.settings.arguments() | {"storage": storage}
    stored = Encrypted(type_.inner, **arguments)
    bind = stored.bind_processor(sqlite.dialect())
    values = [sa.JSON.NULL if value is None else value for value in values]
    assert len({len(bind(value)) for value in values}) == 1


def test_a_padded_value_grows_by_whole_blocks(sealer: Sealer) -> None:
    """A value that fills its block takes one more, for the mark."""
    bind = EncryptedString(pad=32, context="a.b").bind_processor(sqlite.dialect())
    assert [len(bind("x" * size)) - 52 for size in (0, 31, 32, 63, 64)] == [32, 32, 64, 64, 96]
