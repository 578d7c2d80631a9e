"""What a blind index is declared with: options, bits, slots, its repr, pickles and cache keys."""

from __future__ import annotations

import enum
import pickle
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa

import sqlalchemy_sealed
from sqlalchemy_sealed import (
    BlindIndex,
    Encrypted,
    EncryptedBoolean,
    EncryptedBytes,
    EncryptedDate,
    EncryptedEnum,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    EncryptedUUID,
    Sealer,
    blind_index,
)
from sqlalchemy_sealed.errors import OptionError, RefusedOperationError
from sqlalchemy_sealed.index import FEWEST_VALUES, SLOT_BITS

KEY = bytes(range(32))
Sixteen = enum.Enum("Sixteen", [f"MEMBER_{number}" for number in range(16)])
Fifteen = enum.Enum("Fifteen", [f"MEMBER_{number}" for number in range(15)])


# -- options


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"name": ""}, "name of a blind index must be a text that is not empty"),
        ({"name": 5}, "name of a blind index"),
        ({"name": "\ud800"}, "name of a blind index"),
        ({"name": "x" * 65536}, "name of a blind index"),
        ({"context": ""}, "context of a blind index must be a text that is not empty"),
        ({"context": 5}, "context of a blind index"),
        ({"context": "\ud800"}, "context of a blind index"),
        ({"bits": 0}, "bits must be a whole number from 1 to 120"),
        ({"bits": 121}, "bits must be"),
        ({"bits": 8.0}, "bits must be"),
        ({"bits": True}, "bits must be"),
        ({"bits": None}, "bits must be"),
        ({"unique": 1}, "unique must be True or False"),
        ({"few_values": "yes"}, "few_values must be True or False"),
        ({"bridge": None}, "bridge must be True or False"),
        ({"bits": 119, "unique": True}, "of fewer bits cannot be unique"),
        ({"bits": 119, "bridge": True}, "of fewer bits cannot be unique"),
        ({"normalize": "upper"}, r"no normalizer 'upper' \(there are casefold, .*register"),
        ({"normalize": ("nfc", "upper")}, "no normalizer 'upper'"),
        ({"normalize": ("nfc", str.upper)}, "no normalizer <method"),
        ({"normalize": ([],)}, r"no normalizer \[\]"),
        ({"normalize": 5}, "normalize must be the name of a normalizer"),
        ({"normalize": None}, "normalize must be"),
    ],
)
def test_an_option_that_an_index_cannot_have_is_refused(
    options: dict[str, Any], problem: str
) -> None:
    """Each wrong option has its own words, where the model is declared."""
    with pytest.raises(OptionError, match=problem):
        BlindIndex(**options)


@pytest.mark.parametrize(
    ("type_", "options", "problem"),
    [
        (EncryptedJSON, {"index": BlindIndex()}, "a document has no blind index"),
        (EncryptedString, {"index": "equal"}, "index must be a BlindIndex"),
        (EncryptedString, {"index": BlindIndex}, "index must be a BlindIndex"),
        (EncryptedString, {"index": [BlindIndex(), None]}, "index must be a BlindIndex"),
        (EncryptedString, {"index": [BlindIndex(), BlindIndex(bits=8)]}, "different names"),
        (EncryptedInteger, {"index": BlindIndex(normalize="digits")}, "only texts"),
        (EncryptedBytes, {"index": BlindIndex(normalize="strip")}, "only texts"),
        (EncryptedUUID, {"index": [BlindIndex(), BlindIndex("x", "nfc")]}, "only texts"),
        (EncryptedBoolean, {"index": BlindIndex()}, "over 2 different values gives them away"),
        (EncryptedBoolean, {"index": BlindIndex(bits=1)}, r"say BlindIndex\(few_values=True\)"),
    ],
)
def test_a_type_refuses_an_index_that_its_values_cannot_have(
    type_: type[Encrypted[Any]], options: dict[str, Any], problem: str
) -> None:
    """Documents, normalised numbers and indexes of equal names are refused, with the type."""
    with pytest.raises(OptionError, match=problem) as caught:
        type_(**options)
    assert str(caught.value).startswith(f"{type_.__name__}: ")


def test_an_enumeration_of_few_members_needs_an_explicit_word() -> None:
    """Sixteen members are enough; with fewer, each index says that it is accepted."""
    assert FEWEST_VALUES == 16
    EncryptedEnum(Sixteen, index=BlindIndex())
    with pytest.raises(OptionError, match="over 15 different values"):
        EncryptedEnum(Fifteen, index=BlindIndex())
    with pytest.raises(OptionError, match="over 3 different values"):
        EncryptedEnum("a", "b", "c", index=BlindIndex())
    accepted = BlindIndex(few_values=True)
    with pytest.raises(OptionError, match="over 15 different values"):
        EncryptedEnum(Fifteen, index=[accepted, BlindIndex("second")])
    EncryptedEnum(Fifteen, index=accepted)
    EncryptedBoolean(index=accepted)


def test_there_are_fifteen_slots() -> None:
    """An index takes one slot, a unique one two, and so does one with a bridge; no more fit."""
    indexes = [BlindIndex(str(number)) for number in range(15)]
    assert EncryptedString(index=indexes).settings.slots == 15
    unique = [BlindIndex(f"{n}", unique=n % 2 == 0, bridge=n % 2 == 1) for n in range(7)]
    settings = EncryptedString(index=[*unique, BlindIndex("last")]).settings
    assert settings.slots == 15
    assert [settings.position(number) for number in range(8)] == [0, 2, 4, 6, 8, 10, 12, 14]
    with pytest.raises(OptionError, match="take 16 slots; there are 15"):
        EncryptedString(index=[*indexes, BlindIndex("one more")])
    with pytest.raises(OptionError, match="take 16 slots; there are 15"):
        EncryptedString(index=[*unique, BlindIndex("last", unique=True)])


def test_an_index_is_found_by_its_name(sealer: Sealer) -> None:
    """The first one is the default; a name that is not declared is refused with those that are."""
    type_ = EncryptedString(context="a.b", index=[BlindIndex("whole"), BlindIndex("last4")])
    column: sa.Column[str] = sa.Column("email", type_)
    assert blind_index(column).type.index.name == "whole"
    assert blind_index(column, "last4").type.index.name == "last4"
    with pytest.raises(RefusedOperationError, match="declares 'whole', 'last4'"):
        blind_index(column, "equal")
    with pytest.raises(RefusedOperationError, match="declares none"):
        blind_index(sa.Column("email", EncryptedString(context="a.b")))


# -- bits


@pytest.mark.parametrize("bits", range(1, SLOT_BITS + 1))
def test_bits_after_the_kept_ones_are_zero(bits: int) -> None:
    """Over many values every kept bit is sometimes set, and no other one ever is."""
    hashing = BlindIndex(bits=bits).hashing("people.email", KEY)
    seen = 0
    for number in range(64):
        seen |= int.from_bytes(hashing(b"%d" % number), "big")
    assert seen == (1 << SLOT_BITS) - (1 << (SLOT_BITS - bits))


@pytest.mark.parametrize("bits", [1, 4, 8, 11])
def test_values_fill_the_buckets_evenly(bits: int) -> None:
    """Chi-squared over all buckets stays within five deviations of what chance gives."""
    count, buckets = 1 << 15, 1 << bits
    hashing = BlindIndex(bits=bits).hashing("people.email", KEY)
    sizes = Counter(hashing(b"%d" % number) for number in range(count))
    assert len(sizes) == buckets
    expected = count / buckets
    chi_squared = sum((size - expected) ** 2 / expected for size in sizes.values())
    assert abs(chi_squared - (buckets - 1)) < 5 * (2 * buckets) ** 0.5


# -- repr, pickles, cache keys


INDEXES = [
    BlindIndex(),
    BlindIndex("other"),
    BlindIndex(normalize="casefold"),
    BlindIndex(normalize=("strip", "casefold")),
    BlindIndex(normalize=("casefold", "strip")),
    BlindIndex(context="people.email"),
    BlindIndex(bits=12),
    BlindIndex(unique=True),
    BlindIndex(few_values=True),
    BlindIndex(bridge=True),
    BlindIndex("it's", ("digits", "last4"), "a\n'b'\"", 7, few_values=True),
]
OPTIONS = [None, *INDEXES, [BlindIndex(), BlindIndex("last4", "last4")]]
OPTIONS.append([BlindIndex("last4", "last4"), BlindIndex()])
NAMES = {name: getattr(sqlalchemy_sealed, name) for name in sqlalchemy_sealed.__all__}


@pytest.mark.parametrize("index", INDEXES, ids=repr)
def test_the_repr_of_an_index_is_the_call_that_makes_it(index: BlindIndex) -> None:
    """It evaluates to an equal index, and says only what is not the default."""
    assert eval(repr(index), NAMES) == index
    assert repr(BlindIndex()) == "BlindIndex()"
    assert repr(BlindIndex("x", ("nfc",))) == "BlindIndex(name='x', normalize='nfc')"


def test_a_list_of_normalizers_is_as_good_as_a_tuple() -> None:
    """One name, a list and a tuple of it make equal indexes, which can be hashed."""
    indexes: set[Any] = {
        BlindIndex(normalize="nfc"),
        BlindIndex(normalize=["nfc"]),
        BlindIndex(normalize=("nfc",)),
    }
    assert len(indexes) == 1


TYPES = [
    *(EncryptedString(20, index=index, context="people.email") for index in OPTIONS),
    EncryptedInteger(index=BlindIndex(bits=8), context="people.age"),
    EncryptedNumeric(10, 2, index=BlindIndex(), storage="text", context="people.debt"),
    EncryptedDate(index=BlindIndex(unique=True), pad=32, context="people.born"),
    EncryptedEnum("a", "b", index=BlindIndex(few_values=True), context="people.blood"),
    Encrypted(sa.Numeric(8, 2), index=BlindIndex(), check=False, context="people.fee"),
]


@pytest.mark.parametrize("type_", TYPES, ids=repr)
def test_the_repr_of_a_type_makes_the_same_type_in_a_migration(type_: Encrypted[Any]) -> None:
    """Evaluated where the names are imported, it gives equal options, codec and cache key."""
    made = eval(repr(type_), {**NAMES, "Numeric": sa.Numeric})
    assert repr(made) == repr(type_)
    assert made.settings == type_.settings
    assert made.codec == type_.codec
    assert made._static_cache_key == type_._static_cache_key


def test_a_migration_names_the_context_of_the_column() -> None:
    """A type that took its context from its column renders it, so index values stay the same."""
    table = sa.Table("people", sa.MetaData(), sa.Column("email", EncryptedString(index=INDEXES[2])))
    rendered = repr(table.c.email.type)
    assert rendered == (
        "EncryptedString(index=BlindIndex(normalize='casefold'), context='people.email')"
    )
    made = eval(rendered, NAMES)
    assert made.label == "people.email"
    assert made.settings.index == table.c.email.type.settings.index


@pytest.mark.parametrize("index", INDEXES, ids=repr)
def test_an_index_survives_a_pickle(index: BlindIndex) -> None:
    """It and a type that has it come out equal, as where models go to other processes."""
    assert pickle.loads(pickle.dumps(index)) == index
    type_ = EncryptedString(index=index, context="people.email")
    made = pickle.loads(pickle.dumps(type_))
    assert made.settings == type_.settings
    assert made._static_cache_key == type_._static_cache_key


def test_types_that_differ_in_an_index_share_no_statement() -> None:
    """Each option of an index, their number and their order are part of the cache key."""
    types = [EncryptedString(20, index=index, context="people.email") for index in OPTIONS]
    for one, other in combinations(types, 2):
        assert one._static_cache_key != other._static_cache_key, (one, other)
    keys = []
    for type_ in types[1:]:
        column: sa.Column[str] = sa.Column("email", type_)
        for each in (column == "x", blind_index(column) == "x", column.in_(["x"])):
            keys.append(each._generate_cache_key().key)  # type: ignore[union-attr]
    assert len(set(keys)) == 2 * len(types[1:]), "the default index is that of the column"


COMPARABLE = [
    EncryptedString(index=BlindIndex(context="x")),
    EncryptedString(5, pad=16, index=[BlindIndex(context="x"), BlindIndex("second")]),
    EncryptedString(masked=True, index=BlindIndex(context="x", unique=True)),
    EncryptedEnum("a", "b", index=BlindIndex(context="x", few_values=True)),
]
OTHERS = [
    EncryptedString(index=BlindIndex(context="x", normalize="casefold")),
    EncryptedString(index=BlindIndex(context="x", normalize="nfc")),
    EncryptedString(index=BlindIndex("name", context="x")),
    EncryptedString(index=BlindIndex(context="y")),
    EncryptedString(index=BlindIndex(context="x"), storage="text"),
    EncryptedString(index=BlindIndex(context="x"), sealer="another"),
    EncryptedBytes(index=BlindIndex(context="x")),
    EncryptedInteger(index=BlindIndex(context="x")),
    EncryptedNumeric(index=BlindIndex(context="x")),
    EncryptedDate(index=BlindIndex(context="x")),
    EncryptedEnum(Sixteen, index=BlindIndex(context="x")),
    EncryptedEnum(Fifteen, index=BlindIndex(context="x", few_values=True)),
    EncryptedUUID(index=BlindIndex(context="x")),
    Encrypted(sa.DateTime(), index=BlindIndex(context="x")),
    Encrypted(sa.DateTime(timezone=True), index=BlindIndex(context="x")),
    Encrypted(sa.Time(), index=BlindIndex(context="x")),
    Encrypted(sa.Time(timezone=True), index=BlindIndex(context="x")),
]


def columns(*types: Encrypted[Any]) -> list[sa.Column[Any]]:
    """Return columns of these types in one table."""
    named = [sa.Column(f"c{number}", type_) for number, type_ in enumerate(types)]
    return list(sa.Table("people", sa.MetaData(), *named).c)


def test_columns_are_compared_where_equal_slots_mean_equal_values() -> None:
    """Length, padding, other indexes and a list of names do not matter."""
    for one, other in combinations(columns(*(type_.copy() for type_ in COMPARABLE)), 2):
        sa.select(one).where(one == other).compile()


@pytest.mark.parametrize("type_", OTHERS, ids=repr)
def test_columns_whose_slots_cannot_be_equal_are_not_compared(type_: Encrypted[Any]) -> None:
    """Another normal form or another type is refused: it would silently find nothing."""
    for one in COMPARABLE:
        left, right = columns(one.copy(), type_.copy())
        with pytest.raises(RefusedOperationError, match="different blind indexes"):
            sa.select(left).where(left == right).compile()
