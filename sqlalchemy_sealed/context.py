"""
What a value is bound to.

A context has a label, by default `table.column`, and may have scope parts after it. Its bytes
are part of the associated data of every seal, so a value sealed for one context does not open
in another.

The packing is injective: each part is `u16 big-endian length || UTF-8`, so ("ab", "c") and
("a", "bc") differ. `docs/spec/envelope-v1.md` section 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ConfigurationError

MAX_PART_SIZE = 0xFFFF
"""Largest context part, in bytes of UTF-8 (its length is a u16)."""


def pack(parts: Iterable[str]) -> bytes:
    """
    Return the bytes of *parts*: `u16 big-endian length || UTF-8` for each.

    Raises:
        ConfigurationError: a part is longer than 65,535 bytes or is not valid Unicode.
    """
    packed = bytearray()
    for part in parts:
        data = _utf8(part)
        if data is None or len(data) > MAX_PART_SIZE:
            raise ConfigurationError(
                f"a context part must be valid Unicode of at most {MAX_PART_SIZE} bytes of UTF-8"
            )
        packed += len(data).to_bytes(2, "big") + data
    return bytes(packed)


PART = "a text that is not empty, of at most 65,535 bytes of UTF-8"
"""What a part must be that has a meaning of its own."""


def is_part(text: object) -> bool:
    """Whether this can be a part, and is not empty."""
    if not isinstance(text, str) or not text:
        return False
    data = _utf8(text)
    return data is not None and len(data) <= MAX_PART_SIZE


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


@dataclass(frozen=True, slots=True)
class Context:
    """
    The label that a value is bound to, and its scope parts.

    Attributes:
        label: such as `patients.email`; not empty.
        scope: further parts, such as a tenant; empty by default.
    """

    label: str
    scope: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an empty label, which would fit all columns, and a scope that is one text."""
        if not isinstance(self.scope, tuple) or not all(isinstance(p, str) for p in self.scope):
            raise ConfigurationError("the scope of a context must be a tuple of texts")
        if not self.label:
            raise ConfigurationError("a context label must not be empty; use 'table.column'")

    def __bytes__(self) -> bytes:
        """Return the packed parts, label first."""
        return pack((self.label, *self.scope))

    def __str__(self) -> str:
        """Return the label, for error messages."""
        return self.label
