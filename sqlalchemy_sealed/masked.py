"""A `str` that shows nothing in its repr, for values that pass through logs and debuggers."""

from __future__ import annotations

from typing import Any

MASK = "'***'"


class MaskedStr(str):
    """
    A text whose `repr` is always `'***'`.

    It is a `str` in every other way: `str(value)`, f-strings, comparisons and JSON see the
    text, and methods such as `upper()` return plain strings. It guards against accidents (a
    repr in a log line, an error report, a debugger), not against code that wants the value.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the mask."""
        return MASK

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as text; a pickle holds the value."""
        return MaskedStr, (str(self),)
