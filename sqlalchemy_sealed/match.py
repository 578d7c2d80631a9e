"""
Match indexes: words and parts of words inside of a sealed text.

The text is folded and cut into grams, runs of n characters. Each gram makes a token, the first
bits of a keyed hash, and the tokens stand in the envelope (suites 3 and 4). A text that contains
a term has all tokens of the term: that is what a query looks for, and what an attacker with the
database sees. `docs/howto/match.md` says what they learn by it.

Folding works character by character, so that a part of a text folds to a part of the folded text.
A normal form of the whole text would not: it joins a letter and the accent after it, and a search
for what ends between the two would lose rows.

Specification: `docs/spec/envelope-v1.md` section 4.3.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any
from unicodedata import combining, normalize

from .aead import Mac, derive
from .codecs import Codec, TextCodec
from .context import PART, is_part, pack
from .envelope import MAX_TOKENS, TOKEN_SIZE, token_block
from .errors import OptionError, ValueRefusedError
from .given import call, given
from .index import BlindIndex, slots_function
from .normalizers import normalized

_INFO_MATCH = b"sqlalchemy-sealed v1 match\x00"
_START, _END = b"\xfe", b"\xff"
"""Before and after a text. Neither byte occurs in UTF-8."""

TOKEN_BITS = 8 * TOKEN_SIZE
LEAST_BITS = 8
MAX_GRAM = 16
MAX_BLOCK = 1024
MAX_SEARCHED = 64
"""How many grams of a term are searched at most; the comparison after opening sees all."""
CACHED_GRAMS = 1 << 15
"""How many tokens are remembered for each column and index key."""

_CODEC = TextCodec()


def fold(text: str) -> str:
    """
    Return the letters of a text: no case, no accents.

    NFD, full case folding and NFD again (Unicode Standard 3.13, D145), without the characters of
    a canonical combining class other than 0.
    """
    if text.isascii():
        return text.lower()
    letters = normalize("NFD", normalize("NFD", text).casefold())
    return "".join([character for character in letters if not combining(character)])


class Place(Enum):
    """Where a term stands in a text, and whether case counts."""

    CONTAINS = "contains"
    STARTS = "startswith"
    ENDS = "endswith"
    ICONTAINS = "icontains"
    ISTARTS = "istartswith"
    IENDS = "iendswith"

    @property
    def marks(self) -> tuple[bytes, bytes]:
        """The marks of the ends of a text that a term touches here."""
        start = _START if self in (Place.STARTS, Place.ISTARTS) else b""
        return start, _END if self in (Place.ENDS, Place.IENDS) else b""

    def finds(self, term: str) -> Callable[[str], bool]:
        """
        Return the exact comparison with a term: that of Python's operators for texts.

        Where case does not count, both sides are compared after the normalizer `casefold`.
        """
        if self.value.startswith("i"):
            fold_case = partial(normalized, ("casefold",))
            exact = Place(self.value[1:]).finds(fold_case(term))
            return lambda value: exact(fold_case(value))
        if self is Place.CONTAINS:
            return lambda value: term in value
        if self is Place.STARTS:
            return lambda value: value.startswith(term)
        return lambda value: value.endswith(term)


@dataclass(frozen=True, slots=True)
class MatchIndex:
    """
    An index of the parts of a text, declared with the column.

    Args:
        n: how many characters a gram has, 2 to 16. A term that is searched needs as many, one
            less at the beginning or the end of the text. 2 is for scripts with short words, such
            as Chinese; it shows more of a text.
        bits: how much of the 24 bits of a token is kept, 8 to 24. With fewer bits several grams
            share one token: an attacker learns less, and the database returns more rows that do
            not match, which are dropped after opening.
        block: the number of tokens is filled up to a multiple of this, 1 to 1,024, with tokens
            that belong to no gram, so that it shows the length of the text less exactly.
        name: part of the key derivation.

    A value has at most 65,535 tokens.

    Raises:
        OptionError: an argument that it cannot have.
    """

    n: int = 3
    bits: int = TOKEN_BITS
    block: int = 8
    name: str = "match"

    def __post_init__(self) -> None:
        """Refuse what it cannot be."""
        bounds = {"n": (2, MAX_GRAM), "bits": (LEAST_BITS, TOKEN_BITS), "block": (1, MAX_BLOCK)}
        for field, (least, most) in bounds.items():
            number = getattr(self, field)
            if type(number) is not int or not least <= number <= most:
                raise OptionError(f"{field} must be a whole number from {least} to {most}")
        if not is_part(self.name):
            raise OptionError(f"the name of a match index must be {PART}")

    def __repr__(self) -> str:
        """Return the call that makes this index."""
        return call("MatchIndex", given(self))

    def grams(self, folded: str, start: bytes = b"", end: bytes = b"") -> list[bytes]:
        """
        Return the grams of a folded text in UTF-8, in their order; some may stand there twice.

        Args:
            folded: the text.
            start: the mark before it, or nothing.
            end: the mark after it, or nothing.
        """
        n = self.n
        if folded.isascii():
            data = start + folded.encode() + end
            return [data[at : at + n] for at in range(len(data) - n + 1)]
        letters = [start] * bool(start) + [c.encode() for c in folded] + [end] * bool(end)
        return [b"".join(letters[at : at + n]) for at in range(len(letters) - n + 1)]

    def value_grams(self, value: str) -> set[bytes]:
        """Return the grams of a text that is stored, its marked ends included."""
        return set(self.grams(fold(value), _START, _END))

    def term_grams(self, term: Any, place: Place) -> list[bytes]:
        """
        Return the grams that a text must have where *term* is found, 64 at most.

        Raises:
            ValueRefusedError: not a text, or too short to have a gram.
        """
        grams = list(dict.fromkeys(self.grams(fold(_text(term)), *place.marks)))
        if grams:
            return grams[:MAX_SEARCHED]
        spared = place not in (Place.CONTAINS, Place.ICONTAINS)
        raise ValueRefusedError(
            f"the term is too short to search for: {place.value}() takes at least "
            f"{self.n - spared} letters here, and accents are not counted"
        )

    def word_grams(self, words: Any) -> list[bytes]:
        """
        Return the different grams of the words, which white space divides.

        Raises:
            ValueRefusedError: not a text, or no word is long enough to have a gram.
        """
        parts = fold(_text(words)).split()
        grams = list(dict.fromkeys(gram for part in parts for gram in self.grams(part)))
        if grams:
            return grams
        raise ValueRefusedError(
            f"the words are too short to search for: one of them needs at least {self.n} letters, "
            "and accents are not counted"
        )

    def tokens(self, label: str, material: bytes) -> GramTokens:
        """
        Return the tokens of grams.

        Args:
            label: the context label of the column.
            material: the index key, 32 bytes.
        """
        key = derive(material, _INFO_MATCH + pack((label, self.name)))
        return GramTokens(Mac(key).digest, self.bits)

    def block_function(self, label: str, material: bytes) -> Callable[[str], bytes]:
        """
        Return the function from a text to its token block.

        It raises `ValueRefusedError` for a text of more than 65,535 tokens.
        """
        tokens = self.tokens(label, material)

        def block(value: str) -> bytes:
            folded = fold(value)
            found = {tokens[gram] for gram in self.grams(folded, _START, _END)}
            if len(found) > MAX_TOKENS:
                raise ValueRefusedError(
                    f"too long for a match index: the text has {len(found)} different parts, "
                    f"{MAX_TOKENS} can be indexed"
                )
            tokens.fill(found, self._filled(len(found)), folded)
            return token_block(sorted(found))

        return block

    def _filled(self, count: int) -> int:
        """Return to how many tokens a set is filled up: not past half of those that there are."""
        blocks = max(1, -(-count // self.block))
        most = min(MAX_TOKENS, 1 << self.bits - 1)
        return max(count, min(blocks * self.block, most) if self.block > 1 else count)


class GramTokens(dict[bytes, bytes]):
    """
    The tokens of grams under one key, 3 bytes each; the latest are remembered.

    A gram costs as much as sealing the value, and most texts share most of theirs.
    """

    __slots__ = ("_digest", "_mask")

    def __init__(self, digest: Callable[[bytes], bytes], bits: int) -> None:
        super().__init__()
        self._digest = digest
        self._mask = ((1 << bits) - 1) << (TOKEN_BITS - bits) if bits < TOKEN_BITS else 0

    def __missing__(self, gram: bytes) -> bytes:
        """Make the token of a gram."""
        if len(self) >= CACHED_GRAMS:
            self.clear()
        token = self[gram] = self._cut(self._digest(gram))
        return token

    def fill(self, found: set[bytes], count: int, folded: str) -> None:
        """
        Add tokens that belong to no gram until there are *count*.

        They come from the text, so that it has the same ones each time it is sealed: with new
        ones, the versions of a row would show which are which.
        """
        if len(found) >= count:
            return
        # No gram begins with the byte FF, and no marked text with another one.
        seed = self._digest(b"\xff" + _START + folded.encode() + _END)
        for number in itertools.count():
            digest = self._digest(b"\xff\xff" + seed + number.to_bytes(2, "big"))
            for at in range(0, len(digest) - TOKEN_SIZE + 1, TOKEN_SIZE):
                found.add(self._cut(digest[at:]))
                if len(found) == count:
                    return

    def _cut(self, digest: bytes) -> bytes:
        token = digest[:TOKEN_SIZE]
        if not self._mask:
            return token
        return (int.from_bytes(token, "big") & self._mask).to_bytes(TOKEN_SIZE, "big")

    def __repr__(self) -> str:
        """Return a text without grams, which are plaintext."""
        return f"<GramTokens {len(self)} remembered>"

    def __reduce__(self) -> Any:
        """Refuse to be pickled: a key must not leave the process that way."""
        raise TypeError("the tokens of a match index cannot be pickled")


def _text(term: Any) -> str:
    """Return a searched text, or raise ValueRefusedError."""
    _CODEC.encode(term)
    return term  # type: ignore[no-any-return]


def check_match(type_name: str, match: MatchIndex | None, codec: Codec[Any]) -> None:
    """
    Check the match index of a column.

    Raises:
        OptionError: its values are not texts.
    """
    if match is not None and not isinstance(codec, TextCodec):
        raise OptionError(f"{type_name}: only texts can have a match index")


def searched_tokens(
    match: MatchIndex, grams: Callable[[Any], Iterable[bytes]], label: str, material: bytes
) -> Callable[[Any], bytes]:
    """Return the function from a term to the tokens of its grams, one after the other."""
    tokens = match.tokens(label, material)
    return lambda term: b"".join([tokens[gram] for gram in grams(term)])


def head_maker(
    indexes: tuple[BlindIndex, ...], match: MatchIndex | None, codec: Codec[Any], label: str
) -> Callable[[bytes, bytes], Callable[[Any], bytes]]:
    """
    Return what makes, of two index keys, the function from a value to what it is searched by.

    That is its slots, and after them the token block. The tokens are those under the first key;
    the second one is for the second slot of unique indexes.

    Args:
        indexes: the blind indexes of the column.
        match: its match index.
        codec: that of the column.
        label: the context label of the column.
    """
    slots = partial(slots_function, indexes, codec, label)
    if match is None:
        return slots
    if not indexes:
        return lambda current, bridge: match.block_function(label, current)  # noqa: ARG005

    def make(current: bytes, bridge: bytes) -> Callable[[Any], bytes]:
        slots_of, block_of = slots(current, bridge), match.block_function(label, current)
        return lambda value: slots_of(value) + block_of(value)

    return make
