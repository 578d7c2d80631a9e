"""
Keys of rows as text, so that workers can tell each other where a range begins and ends.

The text of a key is a JSON array of its values, each with a letter that says of which type it is.
What is read back is exactly what was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ..errors import ConfigurationError, ResealError
from .outcome import BadRow, Key

_FORMS: tuple[tuple[type, str, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    # bool before int, and datetime before date: the first is a subclass of the second.
    (bool, "b", bool, bool),
    (int, "i", str, int),
    (str, "s", str, str),
    (bytes, "x", bytes.hex, bytes.fromhex),
    (bytearray, "x", bytearray.hex, bytes.fromhex),
    (memoryview, "x", memoryview.hex, bytes.fromhex),
    (UUID, "u", str, UUID),
    (Decimal, "n", str, Decimal),
    (float, "f", float.hex, float.fromhex),
    (datetime, "t", datetime.isoformat, datetime.fromisoformat),
    (date, "d", date.isoformat, date.fromisoformat),
    (time, "c", time.isoformat, time.fromisoformat),
    (timedelta, "l", lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)),
)
_READ = {letter: read for _, letter, _, read in _FORMS}


def to_text(key: Key) -> str:
    """
    Return the text of a key.

    Raises:
        ConfigurationError: a value is of a type that has no text here.
    """
    return json.dumps([_written(value) for value in key], separators=(",", ":"))


def from_text(text: str) -> Key:
    """
    Return the key of a text.

    Raises:
        ResealError: it is not the text of a key.
    """
    try:
        return tuple(_READ[letter](value) for letter, value in json.loads(text))
    except (ValueError, TypeError, KeyError, ArithmeticError):
        pass
    raise ResealError(
        "a range of a run has a key that cannot be read; end the run by deleting it", where="key"
    )


def text_of_bad_rows(rows: Sequence[BadRow]) -> str:
    """Return bad rows as a text."""
    return json.dumps([asdict(row) | {"key": to_text(row.key)} for row in rows])


def bad_rows_of(text: str) -> list[BadRow]:
    """Return the bad rows of a text."""
    return [BadRow(**{**row, "key": from_text(row["key"])}) for row in json.loads(text)]


def _written(value: Any) -> list[Any]:
    for type_, letter, write, _ in _FORMS:
        if isinstance(value, type_):
            return [letter, write(value)]
    raise ConfigurationError(
        f"a key of the Python type {type(value).__name__} cannot be shared between workers; "
        "run with one worker"
    )
