"""Hints in errors at what was meant."""

from __future__ import annotations

from collections.abc import Collection


def near(name: str, names: Collection[str]) -> str:
    """Return a hint at the name that was meant, if one is near, to stand after what is wrong."""
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    found = get_close_matches(name, names, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
