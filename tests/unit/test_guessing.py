"""What an attacker guesses from index values: the figures against counting out and trying out."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import pytest

from sqlalchemy_sealed import BlindIndex
from sqlalchemy_sealed.guessing import Exposure, exposure, min_entropy, shannon
from sqlalchemy_sealed.widths import aws_widths, ciphersweet_widths, coincidences

SMALL = [[7, 3, 2, 1], [4, 4, 2, 2], [9, 1, 1], [5, 4, 3, 2, 1]]
SKEWED = sorted((1 + 20_000 // (i + 1) for i in range(500)), reverse=True)


def placements(counts: Sequence[int], bits: int) -> list[tuple[int, ...]]:
    """Return every way in which the values can have index values; all are equally likely."""
    return list(itertools.product(range(2**bits), repeat=len(counts)))


def buckets(counts: Sequence[int], where: Sequence[int]) -> dict[int, list[int]]:
    """Return the values by their index value."""
    found = defaultdict(list)
    for value, place in enumerate(where):
        found[place].append(value)
    return dict(found)


def best_by_frequency(counts: Sequence[int], bits: int) -> float:
    """Return the rows that the best of all attackers names rightly who sees the sizes only."""
    seen: dict[tuple[tuple[int, ...], int], Counter[int]] = defaultdict(Counter)
    ways = placements(counts, bits)
    for where in ways:
        found = buckets(counts, where)
        sizes = {place: sum(counts[v] for v in values) for place, values in found.items()}
        shown = tuple(sorted(sizes.values()))
        for place, values in found.items():
            for value in values:
                seen[shown, sizes[place]][value] += counts[value]
    return sum(max(named.values()) for named in seen.values()) / len(ways)


@pytest.mark.parametrize("counts", SMALL, ids=str)
@pytest.mark.parametrize("bits", [1, 2])
def test_the_bound_is_that_of_the_most_frequent_value_in_each_bucket(
    counts: list[int], bits: int
) -> None:
    """Counted out over all placements: who knows the buckets names the largest value of each."""
    ways = placements(counts, bits)
    right = sum(
        max(counts[value] for value in values)
        for where in ways
        for values in buckets(counts, where).values()
    )
    assert exposure(counts, bits).at_most == pytest.approx(right / len(ways))


@pytest.mark.parametrize("counts", SMALL, ids=str)
@pytest.mark.parametrize("bits", [1, 2])
def test_what_frequency_tells_is_near_what_the_best_attacker_gets(
    counts: list[int], bits: int
) -> None:
    """The simulated attack gets at least four fifths of what any attack on frequencies can."""
    best = best_by_frequency(counts, bits)
    # Forty trials of a handful of values scatter by some percent.
    assert 0.8 * best <= exposure(counts, bits).by_frequency <= 1.1 * best


@pytest.mark.parametrize("counts", SMALL, ids=str)
@pytest.mark.parametrize("bits", [1, 2])
def test_the_cost_of_a_search_and_the_meaning_of_equality(counts: list[int], bits: int) -> None:
    """Counted out: rows read, rows read in vain, pairs of rows that are equal in both."""
    ways = placements(counts, bits)
    read = same = together = 0
    for where in ways:
        for values in buckets(counts, where).values():
            size = sum(counts[value] for value in values)
            read += size * len(values)
            same += sum(counts[value] * (counts[value] - 1) for value in values)
            together += size * (size - 1)
    shown = exposure(counts, bits)
    rows, searches = sum(counts), len(ways) * len(counts)
    assert shown.per_search == pytest.approx(read / searches)
    assert shown.false_matches == pytest.approx(read / searches - rows / len(counts))
    assert shown.same_value == pytest.approx(same / together)


def test_the_full_index_tells_values_apart_whose_counts_differ() -> None:
    """Of values that are equally often there, a guess is right for one; the bound is all rows."""
    shown = exposure([5, 3, 3, 3, 1, 1], 120)
    assert (shown.by_frequency, shown.at_most) == (5 + 3 + 1, 16)
    assert (shown.false_matches, shown.same_value) == (0, 1)


def test_values_that_are_there_once_cannot_be_guessed_by_frequency() -> None:
    """Of a thousand different values, one is named rightly by chance, at any width."""
    assert [exposure([1] * 1000, bits).by_frequency for bits in (4, 8, 120)] == [1, 1, 1]


def test_a_length_makes_a_column_of_its_own() -> None:
    """Who sees lengths attacks the values of each by themselves; a search costs the same."""
    short, long = [9, 5, 1], [9, 9, 5]
    both = sorted(short + long, reverse=True)
    for bits in (2, 120):
        apart = exposure(short, bits), exposure(long, bits)
        shown, blind = exposure(both, bits, [short, long]), exposure(both, bits)
        assert shown.with_length == pytest.approx(sum(each.by_frequency for each in apart))
        assert shown.at_most == pytest.approx(sum(each.at_most for each in apart))
        assert (shown.by_frequency, shown.per_search) == (blind.by_frequency, blind.per_search)
        assert blind.with_length == blind.by_frequency < shown.with_length


def real_buckets(counts: Sequence[int], bits: int) -> Iterator[dict[int, list[int]]]:
    """Yield the values by their real index value, under some keys."""
    for key in range(12):
        slot = BlindIndex(bits=bits).hashing("t.c", bytes([key]) * 32)
        slots = [int.from_bytes(slot(b"value %d" % value), "big") for value in range(len(counts))]
        yield buckets(counts, slots)


def by_rank(counts: Sequence[int], found: dict[int, list[int]]) -> int:
    """Return the rows named rightly by the textbook attack: n-th bucket, n-th value."""
    ranked = sorted(found.values(), key=lambda values: -sum(counts[value] for value in values))
    return sum(counts[n] for n, values in enumerate(ranked) if n in values)


@pytest.mark.parametrize("bits", [4, 6, 8, 11])
def test_an_attack_on_real_index_values_stays_below_the_figures(bits: int) -> None:
    """On index values as they are stored, matching ranks gets no more, and the bound holds."""
    shown = exposure(SKEWED, bits)
    found = list(real_buckets(SKEWED, bits))
    ranked = sum(by_rank(SKEWED, each) for each in found) / len(found)
    largest = sum(SKEWED[min(values)] for each in found for values in each.values()) / len(found)
    assert ranked <= 1.05 * shown.by_frequency
    assert largest == pytest.approx(shown.at_most, rel=0.05)


def test_more_bits_show_more_and_cost_less() -> None:
    """Along the widths, all that is shown grows, and what a search reads falls."""
    shown = [exposure(SKEWED, bits) for bits in (1, 4, 7, 10, 13, 120)]
    for name in ("by_frequency", "at_most", "same_value", "shannon"):
        figures = [getattr(each, name) for each in shown]
        assert figures == sorted(figures)
    costs = [each.per_search for each in shown]
    assert costs == sorted(costs, reverse=True)
    for each in shown:
        assert max(SKEWED) <= each.by_frequency <= each.at_most <= sum(SKEWED)


def test_the_figures_can_be_repeated() -> None:
    """Equal counts give equal figures, so that a documented one can be checked."""
    assert exposure(SKEWED, 6) == exposure(list(SKEWED), 6)


def test_a_single_value_is_known_at_any_width() -> None:
    """A column of one value has nothing to hide, and no figure fails on it."""
    for bits in (1, 60, 120):
        assert exposure([3], bits) == Exposure(bits, 3, 3, 3, 3, 0, 1, 0, 0)


def test_entropies() -> None:
    """Four equal values have two bits of both; a skewed distribution has fewer of the second."""
    assert shannon([2, 2, 2, 2]) == min_entropy([2, 2, 2, 2]) == 2
    assert shannon([4, 2, 1, 1]) == 1.75
    assert min_entropy([4, 2, 1, 1]) == 1


# -- The published rules


def test_the_rule_for_aws_beacons() -> None:
    """
    A zip code of 100,000 values: 9 bits and more, as the specification of AWS says.

    Its text names 16 as the upper end; its formula gives 15, since 2^16 is more than 50,000.
    """
    assert aws_widths(100_000) == (9, 15)
    assert aws_widths(16) is None


@pytest.mark.parametrize("distinct", [17, 24, 33, 100, 5000, 65_536, 65_537, 1_000_000])
def test_widths_by_aws_are_those_of_the_formula(distinct: int) -> None:
    """Both ends keep the strict bounds, and the next width on either side does not."""
    least, largest = aws_widths(distinct) or (0, 0)
    assert math.sqrt(distinct) < 2**least <= 2**largest < distinct / 2
    assert 2 ** (least - 1) <= math.sqrt(distinct)
    assert 2 ** (largest + 1) >= distinct / 2


def test_coincidences_as_ciphersweet_counts_them() -> None:
    """The examples of its documentation: two indexes of 16 and 8 bits, the first over 24 bits."""
    indexes = (16, 24), (8, 2**62)
    assert coincidences(2**31, *indexes) == 128
    assert coincidences(2**24, *indexes) == 1
    assert coincidences(2**16, *indexes) == 0.00390625


def test_the_rule_of_ciphersweet() -> None:
    """
    For 50,000 rows, 8 to 14 bits; its planner says 15, where the count is 1.5 and not 2.

    Where the values are fewer than the square root of the rows, no width satisfies it.
    """
    assert ciphersweet_widths(50_000, 50_000) == (8, 14)
    assert ciphersweet_widths(100_000, 1000) == (9, 10)
    assert ciphersweet_widths(100_000, 250) is None
