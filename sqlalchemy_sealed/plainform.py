"""
Whether a stored value is an envelope or plaintext, told by its looks, without a key.

A column that is encrypted in place holds both for a while. This is the one definition of which is
which in Python; `reseal.forms.looks_sealed` says the same in SQL.
"""

from __future__ import annotations

import re

from .envelope import MAGIC, overhead, to_text

_PREFIX = to_text(MAGIC)
_LEAST = len(to_text(bytes(overhead())))
_IS_ENVELOPE = re.compile(f"(?=.{{{_LEAST}}}){_PREFIX}[A-Za-z0-9_-]*", re.DOTALL).fullmatch
_IS_BEGINNING = re.compile(f"{_PREFIX}[E-T][A-Za-z0-9_-]{{11,}}").fullmatch
"""Magic, a suite from 1 to 4 in the first 6 bits of the next letter, and the rest of the header."""

NEVER_PLAIN_TEXT = to_text(MAGIC + bytes(overhead() - len(MAGIC)))
"""A text that is no plaintext, as it looks sealed, and no envelope either: it says suite 0."""
NEVER_PLAIN_BYTES = MAGIC + bytes(overhead() - len(MAGIC))


def looks_sealed(value: str | bytes) -> bool:
    """
    Whether a value has the form of an envelope. Whether it is one, a key says.

    Args:
        value: a text of text storage, or bytes of binary storage.
    """
    if isinstance(value, str):
        return _IS_ENVELOPE(value) is not None
    return value[: len(MAGIC)] == MAGIC and len(value) >= overhead()


def is_plain(value: str | bytes) -> bool:
    """
    Whether a value may be read as plaintext: it is no envelope, and no piece of one.

    What begins as an envelope does and was cut off is refused: a text of 16 letters of base64url
    (RFC 4648, section 5) or more that begin as a header does, or bytes that begin with the magic.
    """
    if isinstance(value, str):
        if not value.startswith(_PREFIX):
            return True
        return _IS_ENVELOPE(value) is None and _IS_BEGINNING(value) is None
    return value[: len(MAGIC)] != MAGIC
