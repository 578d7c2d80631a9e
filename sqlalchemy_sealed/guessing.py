"""
How much of a column can be guessed from its index values: the attacker of the leakage page.

The attacker has a copy of the table and knows exactly how often each value is in the column, but
not in which rows. The index value of a row tells which rows belong together. Three figures say
what that is worth, in rows that are named rightly:

* by frequency: how often an index value is there hints at the value. Simulated, with the better
  of two attacks: the values and the index values are matched by rank, or each index value is
  taken for the value that most likely has it, given in how many rows it is.
* with length: the same, for the values of each length by themselves. A sealed value shows how
  long it is, unless it is padded.
* at most: the attacker knows also which values share an index value, as someone does who lets the
  application seal values of their choice. The best guess for a row is then the most frequent of
  the values of its length that have its index value. Nobody does better from these two alone.

Frequency analysis of encryption that shows equality: Naveed, Kamara, Wright, "Inference Attacks
on Property-Preserving Encrypted Databases", CCS 2015.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from .index import SLOT_BITS

DRAWS = 500_000
"""How many values are given a random index value, over all trials of one width."""
MOST_TRIALS = 40
NEAREST = 30
"""How many counts on each side of the likeliest one are considered."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """
    What an index of one width shows and what it costs. Rows are means, hence not whole.

    Attributes:
        bits: the width of the index, 1 to 120.
        by_frequency: rows that the attacker names rightly by how often index values are there.
        with_length: rows that the attacker names rightly by that and by the lengths.
        at_most: rows that the attacker names rightly who knows also which values share an index
            value.
        per_search: rows that a search reads, on average over the values that are there.
        false_matches: those of them that have another value and are dropped after opening.
        same_value: how likely two rows of one index value have the same value, 0 to 1.
        shannon: Shannon entropy of the index values, in bits.
        min_entropy: min-entropy of the index values, in bits.
    """

    bits: int
    by_frequency: float
    with_length: float
    at_most: float
    per_search: float
    false_matches: float
    same_value: float
    shannon: float
    min_entropy: float


def exposure(
    counts: Sequence[int], bits: int, by_length: Sequence[Sequence[int]] | None = None
) -> Exposure:
    """
    Return what an index of *bits* bits shows.

    The simulation has a fixed seed: equal counts give equal figures.

    Args:
        counts: in how many rows each value is, the largest first. Not empty.
        bits: 1 to 120.
        by_length: the same for the rows of each length by themselves; by default all values are
            of one length.
    """
    rows, distinct = sum(counts), len(counts)
    # In full width a value is not shared with another one; else with 1 in 2^bits.
    shared = 0.0 if bits == SLOT_BITS else 2.0**-bits
    trials = max(1, min(MOST_TRIALS, DRAWS // distinct))
    drawn = (
        _drawn(counts, bits, trials) if shared else _Drawn(0, shannon(counts), min_entropy(counts))
    )
    by_frequency = _by_frequency(counts, shared, drawn.right)
    with_length, at_most = by_frequency, _most(counts, shared)
    if by_length is not None and len(by_length) > 1:
        with_length = sum(
            _by_frequency(part, shared, _drawn(part, bits, trials).right if shared else 0)
            for part in by_length
        )
        at_most = sum(_most(part, shared) for part in by_length)
    squares = sum(count * count for count in counts)
    same, other = float(squares - rows), (rows * rows - squares) * shared
    # Mean over the values, each searched equally often.
    false = (rows - rows / distinct) * shared
    return Exposure(
        bits=bits,
        by_frequency=by_frequency,
        with_length=max(by_frequency, with_length),
        at_most=at_most,
        per_search=rows / distinct + false,
        false_matches=false,
        same_value=same / (same + other) if other else 1.0,
        shannon=drawn.shannon,
        min_entropy=drawn.min_entropy,
    )


def shannon(counts: Sequence[int]) -> float:
    """Return the Shannon entropy of a distribution in bits."""
    rows = sum(counts)
    return max(0.0, math.log2(rows) - sum(count * math.log2(count) for count in counts) / rows)


def min_entropy(counts: Sequence[int]) -> float:
    """Return the min-entropy in bits: that of always guessing the most frequent value."""
    return math.log2(sum(counts) / max(counts))


def _most(counts: Sequence[int], shared: float) -> float:
    """
    Return how many rows have the most frequent of the values that have their index value.

    That is value i (from 0) if the i more frequent ones have other index values, which is so
    with probability (1 - shared)^i.
    """
    other = math.log1p(-shared)
    return sum(count * math.exp(i * other) for i, count in enumerate(counts))


def _by_frequency(counts: Sequence[int], shared: float, simulated: float) -> float:
    """
    Return how many rows are named rightly by frequency, from what the simulation had.

    Of values that are equally often there, a random guess is right for one on average: that is
    the figure of the full index, which shows whatever a narrower one does. To name the most
    frequent value everywhere needs no index. A mean over few trials may lie outside.
    """
    full = sum(set(counts))
    if not shared:
        return full
    return min(max(simulated, counts[0]), _most(counts, shared), full)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Means over trials: rows named rightly, and entropies of the index values."""

    right: float
    shannon: float
    min_entropy: float


def _drawn(counts: Sequence[int], bits: int, trials: int) -> _Drawn:
    """Give the values index values at random, some times, and attack them."""
    random = Random(bits)  # noqa: S311 - a simulation that can be repeated
    likeliest = _likeliest(counts, 2.0**bits)
    by_rank = by_size = entropy = least = 0.0
    for _ in range(trials):
        where = [random.getrandbits(bits) for _ in counts]
        sizes: Counter[int] = Counter()
        for place, count in zip(where, counts, strict=True):
            sizes[place] += count
        # Which of several buckets of one size comes first is chance, as the buckets are.
        ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        by_rank += sum(
            count
            for count, place, (bucket, _) in zip(counts, where, ranked, strict=False)
            if place == bucket
        )
        for bucket, size in ranked:
            guess = likeliest(size)
            if where[guess] == bucket:
                by_size += counts[guess]
        found = list(sizes.values())
        entropy += shannon(found)
        least += min_entropy(found)
    return _Drawn(max(by_rank, by_size) / trials, entropy / trials, least / trials)


def _likeliest(counts: Sequence[int], buckets: float) -> Callable[[int], int]:
    """
    Return the function from the size of a bucket to the value to name for its rows.

    It is the value with the largest product of its count and the likelihood of the size if it is
    in the bucket. The other values add nothing to the bucket with probability p, else about a
    normal distribution of the same mean and variance.
    """
    rows, squares = sum(counts), sum(count * count for count in counts)
    first = {count: i for i, count in reversed(list(enumerate(counts)))}
    classes = sorted(first)
    alone = (len(counts) - 1) * math.log1p(-1 / buckets)
    company = -math.expm1(alone)
    known: dict[int, int] = {}

    def score(count: int, size: int) -> float:
        rest = size - count
        if rest == 0:
            return math.log(count) + alone
        mean = (rows - count) / buckets
        square = (squares - count * count) / buckets * (1 - 1 / buckets) + mean * mean
        if not company or not square:
            return -math.inf
        mean /= company
        variance = max(square / company - mean * mean, 1.0)
        likelihood = -((rest - mean) ** 2) / (2 * variance) - math.log(variance * math.tau) / 2
        return math.log(count) + math.log(company) + likelihood

    def likeliest(size: int) -> int:
        if size not in known:
            middle = bisect_left(classes, size - rows / buckets)
            near = classes[max(0, middle - NEAREST) : middle + NEAREST]
            likely = {*near, *classes[-NEAREST:], size}
            possible = [count for count in likely if count <= size and count in first]
            known[size] = first[max(possible, key=lambda count: (score(count, size), count))]
        return known[size]

    return likeliest
