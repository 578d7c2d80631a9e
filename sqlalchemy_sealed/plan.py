"""
How wide a blind index should be, and what it shows, by how often each value is in the column.

Synopsis:

    plan = plan_index(city for (city,) in session.execute(select(Customer.city)))
    print(plan)                 # what it shows, and the recommendation with its reason
    plan.recommended            # bits, or None
    plan.exposure(8)            # what an attacker learns at 8 bits, and what a search costs

`docs/explanation/leakage.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.types import TypeEngine

from . import advice
from .counting import Counting, Frequencies, codec_of, frequencies
from .errors import OptionError
from .guessing import Exposure, exposure, min_entropy, shannon
from .index import FEWEST_VALUES, SLOT_BITS, BlindIndex
from .widths import Widths, aws_widths, ciphersweet_widths

UNIQUE_LIKE = 0.01
"""If no more rows than this share have a value that another row has, too, the values count as
unique: 1 %."""


@dataclass(frozen=True, slots=True, repr=False)
class IndexPlan:
    """
    What a blind index over a column would show, and which width is recommended.

    It holds how often values are there, and no value.

    Attributes:
        index: the index that was asked about.
        frequencies: pairs of a count and how many values are in so many rows, the largest count
            first. Values are counted as the index sees them: normalised.
        by_length: the same for the rows of each length that shows, by themselves.
        nulls: how many rows are NULL. They have no index value; that they are NULL shows.
        population: how many values the type of the column can have, where that is few.
    """

    index: BlindIndex
    frequencies: Frequencies
    by_length: tuple[Frequencies, ...] = ()
    nulls: int = 0
    population: int | None = None
    counts: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse to plan without values."""
        if not self.frequencies:
            raise OptionError("there are no values; an index is planned from values that are there")
        object.__setattr__(self, "counts", _counts(self.frequencies))
        object.__setattr__(self, "by_length", self.by_length or (self.frequencies,))

    @classmethod
    def from_counts(
        cls,
        counts: Iterable[int],
        index: BlindIndex | None = None,
        *,
        nulls: int = 0,
        population: int | None = None,
    ) -> IndexPlan:
        """
        Return the plan for a column of which it is known in how many rows each value is.

        Lengths are not known then: the figures are those of values that are padded to one length.

        Raises:
            OptionError: a count that is not a whole number above 0, or no counts.
        """
        found = frequencies(counts)
        if not all(type(count) is int and count > 0 for count, _ in found):
            raise OptionError("counts must be whole numbers above 0")
        return cls(index or BlindIndex(), found, nulls=nulls, population=population)

    @classmethod
    def counted(cls, counting: Counting, index: BlindIndex) -> IndexPlan:
        """
        Return the plan for what was counted.

        Raises:
            OptionError: no values were.
        """
        population = None if counting.codec is None else counting.codec.population
        return cls(index, counting.frequencies, counting.by_length, counting.nulls, population)

    # -- the column

    @property
    def rows(self) -> int:
        """How many rows have a value."""
        return sum(count * values for count, values in self.frequencies)

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counts)

    def shares(self, most: int = 5) -> tuple[float, ...]:
        """Return the shares of the rows, 0 to 1, that the most frequent values are in."""
        return tuple(count / self.rows for count in self.counts[:most])

    @property
    def shannon(self) -> float:
        """Shannon entropy of the values in bits."""
        return shannon(self.counts)

    @property
    def min_entropy(self) -> float:
        """Min-entropy of the values in bits."""
        return min_entropy(self.counts)

    @property
    def repeated(self) -> float:
        """The share of the rows, 0 to 1, whose value another row has, too."""
        count, values = self.frequencies[-1]
        return (self.rows - (values if count == 1 else 0)) / self.rows

    # -- the index

    @property
    def has_few_values(self) -> bool:
        """Whether fewer than 16 values are there, or possible."""
        few = self.population is not None and self.population < FEWEST_VALUES
        return few or self.distinct < FEWEST_VALUES

    @property
    def is_unique_like(self) -> bool:
        """Whether nearly every row has a value of its own: equality shows only duplicates."""
        return not self.has_few_values and self.repeated <= UNIQUE_LIKE

    @property
    def is_refused(self) -> bool:
        """Whether an index needs `few_values=True` and was not given it."""
        return self.has_few_values and not self.index.few_values

    @property
    def ciphersweet(self) -> Widths | None:
        """The least and the largest width by CipherSweet's rule."""
        return ciphersweet_widths(self.rows, self.distinct)

    @property
    def aws(self) -> Widths | None:
        """The least and the largest width by the rule for AWS beacons."""
        return aws_widths(self.distinct)

    @property
    def recommended(self) -> int | None:
        """
        The recommended width in bits; None for no index at all.

        120, all that there is, for values that are nearly unique; else the widest at which
        2^bits < X/2, so that an index value stands for more than two values on average.
        """
        if self.is_refused:
            return None
        if self.has_few_values or self.is_unique_like:
            return SLOT_BITS
        return self.widest_shared

    @property
    def widest_shared(self) -> int:
        """The widest index of which a value is shared by more than two values on average."""
        return max(1, math.ceil(math.log2(max(self.distinct, 2) / 2)) - 1)

    @property
    def recommended_index(self) -> BlindIndex | None:
        """The index that was asked about in the recommended width, or None."""
        if self.recommended is None:
            return None
        unique = self.index.unique and self.recommended == SLOT_BITS
        return replace(self.index, bits=self.recommended, unique=unique)

    def exposure(self, bits: int | None = None) -> Exposure:
        """
        Return what an attacker learns at a width, and what a search costs.

        Args:
            bits: 1 to 120; by default the width of the index that was asked about.

        Raises:
            OptionError: another width.
        """
        wanted = BlindIndex(bits=self.index.bits if bits is None else bits)
        return exposure(self.counts, wanted.bits, [_counts(part) for part in self.by_length])

    @property
    def without_index(self) -> float:
        """
        The rows that are named rightly without any index.

        The attacker names the most frequent of the values of its length for every row.
        """
        return sum(part[0][0] for part in self.by_length)

    def widths(self) -> tuple[int, ...]:
        """Return the widths worth comparing: both rules', the one asked about, the full one."""
        found = {self.index.bits, SLOT_BITS}
        if self.recommended != SLOT_BITS and not self.has_few_values:
            ends = [self.widest_shared, *(self.aws or ()), *(self.ciphersweet or ())]
            found |= {*range(min(ends), max(ends) + 1)}
        return tuple(sorted(found))

    # -- in words

    @property
    def reason(self) -> str:
        """Why this width is recommended, or none, in a sentence or two."""
        return advice.reason(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be known, a sentence or two each."""
        return tuple(advice.notes(self))

    def __str__(self) -> str:
        """Return the figures, the recommendation and its reason as lines of text."""
        return advice.text(self)

    def __repr__(self) -> str:
        """Return a text of counts."""
        width = "no index" if self.recommended is None else f"{self.recommended} bits"
        return f"<IndexPlan {self.rows} rows, {self.distinct} values, recommended: {width}>"


def _counts(frequencies: Frequencies) -> tuple[int, ...]:
    return tuple(count for count, values in frequencies for _ in range(values))


def plan_index(
    values: Iterable[Any],
    index: BlindIndex | None = None,
    *,
    type_: TypeEngine[Any] | type[TypeEngine[Any]] | None = None,
    pad: int | None = None,
) -> IndexPlan:
    """
    Return the plan for a blind index over values, given as they are in the rows.

    Values are counted by their index values under a key that is made for this call and thrown
    away: memory grows with the number of different values, some 100 to 250 bytes each, and the
    plan holds none of them.

    Args:
        values: those of all rows, or of a random part of them; None is counted apart.
        index: the index to judge; by default one of the full width.
        type_: the SQLAlchemy type of the column, sealed or not; by default what the first value
            says.
        pad: to a multiple of how many bytes the column pads; by default not at all.

    Raises:
        OptionError: no values, values that cannot be indexed so, or *pad* is no size.
        ValueRefusedError: a value that is not of the column's type.
    """
    index = index or BlindIndex()
    return IndexPlan.counted(Counting(index, codec_of(type_), pad=pad).add(values), index)
