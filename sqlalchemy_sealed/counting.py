"""
How often each value is in a column, counted without keeping a value.

Values are counted by their blind-index value under a key that is made for one count and thrown
away, and by the length that shows in a sealed value. So what is in memory says how often values
are there and how long they are, and nothing else of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import Any

from sqlalchemy import Enum as EnumType
from sqlalchemy import String, literal
from sqlalchemy.types import NullType, TypeEngine, to_instance

from .aead import random_key
from .codecs import Codec, codec_for
from .envelope import SLOT_SIZE
from .errors import OptionError
from .index import SLOT_BITS, BlindIndex, check_indexes
from .padding import MAX_BLOCK, is_block

Frequencies = tuple[tuple[int, int], ...]
"""Pairs of a count and how many values are in so many rows, the largest count first."""


class Counting:
    """
    Counts values as they come.

    Args:
        index: values are counted as it sees them: normalised.
        codec: that of the values; by default what the first value says.
        pad: to a multiple of how many bytes the column pads; by default not at all.

    Attributes:
        nulls: how many were None. They are not counted among the values.

    Raises:
        OptionError: the index cannot be over values of this codec, or *pad* is no size.
    """

    def __init__(
        self, index: BlindIndex, codec: Codec[Any] | None = None, *, pad: int | None = None
    ) -> None:
        if pad is not None and not is_block(pad):
            raise OptionError(f"pad must be a whole number of bytes from 2 to {MAX_BLOCK}")
        # In full width: how often different values share an index value is computed later.
        self._index = replace(index, bits=SLOT_BITS, unique=False)
        self._slot = self._index.hashing("plan", random_key())
        self._seen: Counter[bytes] = Counter()
        self._pad = pad
        self._uniform = True
        self.codec = codec and self._checked(codec)
        self.nulls = 0

    def add(self, values: Iterable[Any]) -> Counting:
        """
        Count values, and return this.

        Raises:
            OptionError: values that cannot be indexed so.
            ValueRefusedError: a value that is not of the column's type.
        """
        for value in values:
            self.count(value)
        return self

    def count(self, value: Any, length: int | None = None) -> None:
        """
        Count one value.

        Args:
            value: the value, or None.
            length: what shows of its length, in bytes; by default that of its encoding, padded.

        Raises:
            OptionError, ValueRefusedError: as `add`.
        """
        if value is None:
            self.nulls += 1
            return
        codec = self.codec
        if codec is None:
            codec = self.codec = self._checked(_codec_of_value(value))
        if length is None:
            # Padding adds a byte at least, then as many as it takes to a whole block.
            size = len(codec.encode(value))
            length = size if self._pad is None else size // self._pad
        elif self._uniform:
            self._uniform = False
        self._seen[self._slot(self._index.normalized(codec, value)) + length.to_bytes(4)] += 1

    @property
    def frequencies(self) -> Frequencies:
        """How often values are there."""
        if self._uniform and self.codec and self.codec.exact and not self._index.normalize:
            # Equal values are of equal length: each is in one entry.
            return frequencies(self._seen.values())
        counts: Counter[bytes] = Counter()
        for seen, count in self._seen.items():
            counts[seen[:SLOT_SIZE]] += count
        return frequencies(counts.values())

    @property
    def by_length(self) -> tuple[Frequencies, ...]:
        """How often values are there, for each length that shows by itself."""
        counts: defaultdict[bytes, list[int]] = defaultdict(list)
        for seen, count in self._seen.items():
            counts[seen[SLOT_SIZE:]].append(count)
        return tuple(sorted(map(frequencies, counts.values())))

    def _checked(self, codec: Codec[Any]) -> Codec[Any]:
        # Few values are not refused here: the plan says what they show.
        check_indexes("plan", (replace(self._index, few_values=True),), codec)
        return codec


def frequencies(counts: Iterable[int]) -> Frequencies:
    """Return how many values are in how many rows."""
    return tuple(sorted(Counter(counts).items(), reverse=True))


def codec_of(type_: TypeEngine[Any] | type[TypeEngine[Any]] | None) -> Codec[Any] | None:
    """
    Return the codec of a type, sealed or not.

    Raises:
        OptionError: values of this type cannot be sealed.
    """
    if type_ is None:
        return None
    instance = to_instance(type_)
    found: Codec[Any] | None = getattr(instance, "codec", None)
    return found or codec_for(instance)


def _codec_of_value(value: Any) -> Codec[Any]:
    if isinstance(value, Enum):
        return codec_for(EnumType(type(value)))
    if isinstance(value, str):  # Subclasses, too: masked texts.
        return codec_for(String())
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    found = literal(value).type
    if isinstance(found, NullType):
        raise OptionError(f"values of {type(value).__name__} have no blind index")
    return codec_for(found)
