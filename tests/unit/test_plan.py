"""Planning a blind index: what is counted, what is recommended, and that no value is kept."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

import sqlalchemy_sealed
from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedEnum,
    EncryptedInteger,
    EncryptedString,
    IndexPlan,
    MaskedStr,
    errors,
    plan_index,
)

CITIES = [f"City {n}" for n in range(40) for _ in range(400 // (n + 1))]
EMAILS = [f"user{n}@example.org" for n in range(2000)]


def test_values_are_counted_and_null_apart() -> None:
    """A plan knows how many rows have a value, how many are NULL, and how often each is."""
    plan = plan_index([*CITIES, None, None])
    assert (plan.rows, plan.nulls, plan.distinct) == (len(CITIES), 2, 40)
    assert plan.counts[:3] == (400, 200, 133)
    assert plan.shares(2) == (400 / len(CITIES), 200 / len(CITIES))


def test_the_values_of_a_generator_are_read_once() -> None:
    """Values may come from a stream, as from a result with yield_per."""
    assert plan_index(city for city in CITIES) == plan_index(CITIES)


def test_a_plan_from_counts_is_the_same() -> None:
    """Who has the counts already, as from GROUP BY, needs no values."""
    counts = [400 // (n + 1) for n in range(40)]
    assert IndexPlan.from_counts(counts[::-1]) == plan_index(CITIES, pad=64)


def test_texts_are_counted_as_the_index_sees_them() -> None:
    """Normalised texts are one value: the plan is that of the index, not of the spelling."""
    spellings = ["Köln", "KÖLN", "ko\u0308ln"]
    assert plan_index(spellings).distinct == 3
    assert plan_index(spellings, BlindIndex(normalize="casefold")).distinct == 1
    phones = ["+49 171 1234567", "0049-171-1234567"]
    assert plan_index(phones, BlindIndex(normalize=("digits", "last4"))).distinct == 1


# -- Lengths


def test_lengths_are_counted_unless_they_are_padded() -> None:
    """Of forty cities ten have a one-digit number: two lengths, or one with padding."""
    plan = plan_index(CITIES)
    assert [sum(values for _, values in part) for part in plan.by_length] == [30, 10]
    assert plan.without_index == 400 + 36
    padded = plan_index(CITIES, pad=32)
    assert padded.by_length == (padded.frequencies,)
    assert padded.without_index == 400
    assert plan.exposure(4).with_length > padded.exposure(4).with_length
    assert plan.exposure(4).by_frequency == padded.exposure(4).by_frequency


def test_padding_adds_a_byte_at_least() -> None:
    """A text of 15 bytes takes one block of 16, one of 16 bytes takes two, as when it is sealed."""
    assert len(plan_index(["x" * 15, "x"], pad=16).by_length) == 1
    assert len(plan_index(["x" * 16, "x"], pad=16).by_length) == 2


def test_one_value_may_have_several_lengths() -> None:
    """Spellings that are one value to the index differ in the length that shows."""
    plan = plan_index(["Koln", "KÖLN", "köln"], BlindIndex(normalize="casefold"))
    assert plan.frequencies == ((2, 1), (1, 1))
    assert plan.by_length == (((1, 1),), ((2, 1),))


def test_lengths_that_help_are_said() -> None:
    """Where lengths tell values apart that an index hides, the plan says to pad the column."""
    cities = [f"{'x' * (n % 30)}{n:02}" for n in range(60) for _ in range(100)]
    assert any("Pad the column" in note for note in plan_index(cities).notes)
    assert not any("Pad the column" in note for note in plan_index(cities, pad=64).notes)
    with pytest.raises(errors.OptionError, match="pad must be"):
        plan_index(cities, pad=1)


class Ward(Enum):
    A = 1
    B = 2


@pytest.mark.parametrize(
    "values",
    [
        ["a", MaskedStr("a"), "b"],
        [b"a", bytearray(b"a"), b"b"],
        [1, 2**80, 1],
        [1.5, 0.0, -0.0],
        [Decimal("1.0"), Decimal("1.00"), Decimal(2)],
        [True, False, True],
        [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 2)],
        [datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2024, 1, 2)],  # noqa: DTZ001
        [
            datetime(2024, 1, 1, 12, tzinfo=UTC),
            datetime(2024, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
            datetime(2024, 1, 2, tzinfo=UTC),
        ],
        [time(1), time(2), time(2)],
        [timedelta(1), timedelta(hours=24), timedelta(2)],
        [UUID(int=1), UUID(int=2), UUID(int=2)],
        [Ward.A, Ward.B, Ward.B],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_that_are_equal_are_one_value(values: list[Any]) -> None:
    """Each type is counted as its columns compare it: two values in three rows."""
    plan = plan_index(values)
    assert (plan.rows, plan.distinct) == (3, 2)


def test_the_type_of_the_column_can_be_given() -> None:
    """A plain or a sealed type says how values are compared, and which are refused."""
    assert plan_index(["a", "b"], type_=sa.String(1)).distinct == 2
    assert plan_index([1, 2], type_=EncryptedInteger()).distinct == 2
    with pytest.raises(errors.ValueRefusedError, match="expects int, got str"):
        plan_index(["a"], type_=sa.Integer)


@pytest.mark.parametrize(
    ("values", "index", "error", "message"),
    [
        ([], None, errors.OptionError, "there are no values"),
        ([None], None, errors.OptionError, "there are no values"),
        (["secret", 5], None, errors.ValueRefusedError, "expects str, got int"),
        ([5, "secret"], None, errors.ValueRefusedError, "expects int, got str"),
        ([{"secret": 1}], None, errors.OptionError, "values of dict have no blind index"),
        ([5], BlindIndex(normalize="strip"), errors.OptionError, "only texts"),
        ([float("nan")], None, errors.ValueRefusedError, "NaN"),
        (["secret \ud800"], None, errors.ValueRefusedError, "lone surrogate"),
    ],
)
def test_what_cannot_be_planned_is_refused_without_the_value(
    values: list[Any], index: BlindIndex | None, error: type[Exception], message: str
) -> None:
    """An index is planned from values of one type that can be indexed."""
    with pytest.raises(error, match=message) as caught:
        plan_index(values, index)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("counts", [[1.5], [0], [-1], [True], ["3"], []])
def test_counts_that_are_none_are_refused(counts: list[Any]) -> None:
    """A count is a whole number of rows, at least one."""
    with pytest.raises(errors.OptionError):
        IndexPlan.from_counts(counts)


# -- The recommendation


def test_recurring_values_get_fewer_bits() -> None:
    """Forty cities: 4 bits, the most with which 2^bits is less than half of 40."""
    plan = plan_index(CITIES, BlindIndex(normalize="casefold"))
    assert plan.aws == (3, 4)
    assert plan.recommended == 4
    assert plan.recommended_index == BlindIndex(normalize="casefold", bits=4)


@pytest.mark.parametrize("distinct", [16, 17, 33, 64, 65, 1000, 4096, 4097])
def test_the_recommended_width_is_the_widest_by_aws(distinct: int) -> None:
    """It is the upper end of the rule; for 16 values, which have no such width, the bound alone."""
    plan = IndexPlan.from_counts([3] * distinct)
    assert plan.recommended == (plan.aws or (2, 2))[1]
    assert 2**plan.recommended < distinct / 2 <= 2 ** (plan.recommended + 1)


def test_unique_values_get_all_bits() -> None:
    """Where no value recurs, equality shows nothing, and fewer bits would only cost."""
    plan = plan_index(EMAILS, BlindIndex(unique=True))
    assert plan.is_unique_like
    assert plan.recommended_index == BlindIndex(unique=True)
    assert plan.widths() == (120,)
    assert plan.exposure().by_frequency == 1


def test_a_few_duplicates_are_still_unique_like() -> None:
    """Up to 1 % of the rows may have a value that another row has, too."""
    assert IndexPlan.from_counts([2] * 5 + [1] * 990).recommended == 120
    assert IndexPlan.from_counts([2] * 6 + [1] * 988).recommended == 8


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([True, False] * 50, None),
        ([f"{n % 15}" for n in range(1000)], None),
        (list(EMAILS[:15]), None),
        (["a", "b"], EncryptedEnum("a", "b", index=BlindIndex(few_values=True))),
    ],
    ids=["boolean", "15 values", "15 rows", "enum"],
)
def test_few_values_need_a_word(values: list[Any], type_: Any) -> None:
    """Fewer than 16 values: no index, unless it is said that they may be given away."""
    plan = plan_index(values, type_=type_)
    assert plan.is_refused
    assert plan.recommended is None
    assert plan.recommended_index is None
    assert "few_values" in plan.reason
    accepted = plan_index(values, BlindIndex(few_values=True), type_=type_)
    assert not accepted.is_refused
    assert accepted.recommended == 120


def test_an_enumeration_of_few_names_is_refused_by_its_type() -> None:
    """What the type can hold counts, however many names there are in the rows."""
    names = [f"n{n}" for n in range(20)]
    assert not plan_index(names * 3, type_=sa.Enum(*names)).is_refused
    assert plan_index(names[:10] * 3, type_=sa.Enum(*names)).is_refused
    assert plan_index(["n1"], type_=sa.Enum("n1", "n2")).population == 2


def test_a_wanted_width_is_judged() -> None:
    """A plan says whether the width that was asked about is wider or narrower than it should be."""
    wide = plan_index(CITIES, BlindIndex(bits=24))
    assert any("24 bits are more than recommended" in note for note in wide.notes)
    assert wide.exposure() == wide.exposure(24)
    narrow = plan_index(CITIES, BlindIndex(bits=2))
    assert any("2 bits are fewer than recommended" in note for note in narrow.notes)
    assert {2, 24, 120} <= {*wide.widths(), *narrow.widths()}
    with pytest.raises(errors.OptionError, match="1 to 120"):
        wide.exposure(121)


def test_a_value_that_stands_out_is_said() -> None:
    """A value in a tenth of the rows or more shows at any width, and so do the rows without it."""
    assert any("stands out" in note for note in plan_index(CITIES).notes)
    even = IndexPlan.from_counts([5] * 100)
    assert not any("stands out" in note for note in even.notes)


def test_a_rule_that_cannot_be_kept_is_said() -> None:
    """Where CipherSweet's rule asks for more bits, or for no index, the plan tells."""
    assert any("no width is worth" in note for note in IndexPlan.from_counts([9999] * 20).notes)
    assert any("at least 9 bits" in note for note in IndexPlan.from_counts([100] * 1000).notes)


# -- No value is kept


def test_a_plan_holds_and_shows_no_value() -> None:
    """Neither text nor pickle of a plan has a value; its repr is short."""
    plan = plan_index(["secret-city"] * 40 + CITIES)
    assert b"secret-city" not in pickle.dumps(plan)
    assert b"City" not in pickle.dumps(plan)
    assert "secret-city" not in f"{plan} {plan!r} {plan.notes} {plan.reason}"
    assert repr(plan) == f"<IndexPlan {len(CITIES) + 40} rows, 41 values, recommended: 4 bits>"
    assert str(plan).splitlines()[0] == f"{len(CITIES) + 40:,} values, 41 different ones, 0 NULL"


def test_values_are_counted_under_a_key_of_each_call() -> None:
    """What is in memory while counting are keyed hashes, which differ from one run to the next."""
    counting = [
        sqlalchemy_sealed.counting.Counting(BlindIndex()).add(["secret-city"]) for _ in range(2)
    ]
    first, second = ([*each._seen] for each in counting)
    assert [len(seen) for seen in first] == [15 + 4]
    assert b"secret" not in first[0]
    assert first != second


def test_a_value_that_could_not_be_sealed_is_refused() -> None:
    """A text longer than the column takes would not be in it."""
    with pytest.raises(errors.ValueRefusedError, match="the column takes 3"):
        plan_index(["long text"], type_=EncryptedString(3))


def test_rows_of_one_value_may_be_sealed_with_and_without_padding() -> None:
    """A length that is given, as that of a stored value, does not make two values of one."""
    counting = sqlalchemy_sealed.counting.Counting(BlindIndex())
    for length in (16, 3, 3):
        counting.count("Ada", length)
    assert counting.frequencies == ((3, 1),)
    assert counting.by_length == (((1, 1),), ((2, 1),))
