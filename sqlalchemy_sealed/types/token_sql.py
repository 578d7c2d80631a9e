"""
SQL text that takes the tokens of a match index out of a stored value, with no key.

The positions are those of `docs/spec/envelope-v1.md` section 3. Every expression is made of what
its database computes the same way at all times, so that it can stand in an index and a trigger.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..envelope import (
    COUNT_SIZE,
    HEADER_SIZE,
    SLOT_SIZE,
    SUITE_PADDED_TOKENS,
    SUITE_PLAIN_TOKENS,
    TOKEN_SIZE,
    overhead,
)

NO_TOKENS = "-"
"""
Stands for the tokens of a value that has none, or not where this column has them: it was sealed
before the column got its match index, or another number of slots. Every search finds it, so that
the comparison after opening decides.
"""

_SEXTETS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_HEX = "0123456789ABCDEF"
_SUITES = (SUITE_PLAIN_TOKENS, SUITE_PADDED_TOKENS)


@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """
    Where the tokens of a column stand.

    Attributes:
        column: SQL of the stored value.
        slots: how many index slots come before them.
        is_text: whether the column stores the text form, in which 3 bytes are 4 characters.
    """

    column: str
    slots: int
    is_text: bool

    @property
    def size(self) -> int:
        """How long a token is, and so is the token count."""
        return self._in_form(TOKEN_SIZE)

    @property
    def first(self) -> int:
        """Where the first token begins, the first place being 1."""
        return self._count + self._in_form(COUNT_SIZE)

    @property
    def _count(self) -> int:
        return self._in_form(HEADER_SIZE + SLOT_SIZE * self.slots) + 1

    @property
    def _least(self) -> int:
        size = overhead(self.slots, 0)
        return -(-size * 4 // 3) if self.is_text else size

    def _in_form(self, size: int) -> int:
        return size * 4 // 3 if self.is_text else size

    def _part(self, start: int, size: int) -> str:
        return f"substr({self.column}, {start}, {size})"

    def _header(self, place: str) -> str:
        """Return the text test of suite and slot count; *place* is the function that finds."""
        high = ", ".join(f"'{_SEXTETS[suite << 2 | self.slots >> 2]}'" for suite in _SUITES)
        low = _SEXTETS[(self.slots & 3) << 4 :][:16]
        return (
            f"{self._part(5, 1)} IN ({high}) AND {place}('{low}', {self._part(6, 1)}) > 0 AND "
            f"length({self.column}) >= {self._least}"
        )

    def _text_count(self, place: str) -> str:
        # The first of the four characters is always A.
        sextets = [
            f"{64**power} * ({place}('{_SEXTETS}', {self._part(self._count + 3 - power, 1)}) - 1)"
            for power in (2, 1, 0)
        ]
        return " + ".join(sextets)


class PostgresPlaces(TokenPlaces):
    """The same in SQL for PostgreSQL."""

    __slots__ = ()

    def array(self) -> str:
        """Return the array of tokens: lower-case hexadecimal, or four characters of text."""
        each = f"({'.' * (self.size if self.is_text else 2 * self.size)})"
        spaced = f"rtrim(regexp_replace({self.block()}, '{each}', E'\\\\1 ', 'g'))"
        return (
            f"(CASE WHEN {self.has_tokens()} THEN string_to_array({spaced}, ' ') "
            f"ELSE ARRAY['{NO_TOKENS}'] END)"
        )

    def block(self) -> str:
        """Return all tokens, one after the other."""
        tokens = f"substr({self.column}, {self.first}, {self.size} * ({self.count()}))"
        return tokens if self.is_text else f"encode({tokens}, 'hex')"

    def has_tokens(self) -> str:
        """Return the test whether the value has tokens in these places."""
        if self.is_text:
            return self._header("strpos")
        headers = ", ".join(f"decode('{suite:x}{self.slots:x}', 'hex')" for suite in _SUITES)
        return f"{self._part(4, 1)} IN ({headers}) AND length({self.column}) >= {self._least}"

    def count(self) -> str:
        """Return the number of tokens."""
        if self.is_text:
            return self._text_count("strpos")
        at = self._count  # get_byte counts from 0, and the first of the three bytes is zero.
        return f"256 * get_byte({self.column}, {at}) + get_byte({self.column}, {at + 1})"


class PortablePlaces(TokenPlaces):
    """The same for SQLite, MySQL and MariaDB; tokens are upper-case hexadecimal, or text."""

    __slots__ = ()

    def has_tokens(self) -> str:
        """Return the test whether the value has tokens in these places; never NULL."""
        if self.is_text:
            return f"coalesce({self._header('instr')}, 0)"
        headers = ", ".join(f"X'{suite:x}{self.slots:x}'" for suite in _SUITES)
        test = f"{self._part(4, 1)} IN ({headers}) AND length({self.column}) >= {self._least}"
        return f"coalesce({test}, 0)"

    def count(self) -> str:
        """Return the number of tokens."""
        if self.is_text:
            return self._text_count("instr")
        digits = f"hex({self._part(self._count + 1, 2)})"
        return " + ".join(
            f"{16 ** (3 - at)} * (instr('{_HEX}', substr({digits}, {at + 1}, 1)) - 1)"
            for at in range(4)
        )

    def token(self, number: str) -> str:
        """Return the token of a number, the first one being 0."""
        token = f"substr({self.column}, {self.first} + {self.size} * {number}, {self.size})"
        return token if self.is_text else f"hex({token})"

    def block(self) -> str:
        """Return all tokens, one after the other."""
        tokens = f"substr({self.column}, {self.first}, {self.size} * ({self.count()}))"
        return tokens if self.is_text else f"hex({tokens})"
