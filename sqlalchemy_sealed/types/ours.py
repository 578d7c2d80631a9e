"""Which parts of a statement this package made."""

from __future__ import annotations

from functools import cache
from typing import Any

_PACKAGE = __name__.partition(".")[0]


def is_ours(node: Any) -> bool:
    """Whether this package made the expression or the type, and knows what it does."""
    kind: Any = type(node)
    return _is_ours(kind)


@cache
def _is_ours(kind: type[Any]) -> bool:
    return any(base.__module__.startswith(f"{_PACKAGE}.") for base in kind.__mro__)
