"""
Types of an application that change a value before it is sealed, such as one that strips it.

What is searched has to be changed the same way. SQLAlchemy gives such a type no other means than
`process_bind_param`, whose result may be the envelope; so a searched value is sealed by the type
and opened again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..envelope import from_text
from ..errors import ValueRefusedError

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

    from .base import Encrypted

R = TypeVar("R")


def changes_values(source: Encrypted[Any]) -> bool:
    """Whether a column's type has a `process_bind_param` that is not ours."""
    return not _is_ours(type(source).process_bind_param)


def keeps_values(source: Encrypted[Any]) -> bool:
    """Whether the values that are read are those that were given: neither is changed on the way."""
    return not changes_values(source) and _is_ours(type(source).process_result_value)


def _is_ours(method: Any) -> bool:
    return bool(method.__module__.startswith(f"{__package__}."))


def changing(
    source: Encrypted[Any], dialect: Dialect, match: Callable[[Any], R]
) -> Callable[[Any], R]:
    """
    Return *match* for searched values as the type of the column changes them.

    Args:
        source: the type of the column: a sealed type, or a type of the application around one.
        dialect: that of the statement.
        match: a function of a value.

    The function raises ValueRefusedError for a value that the type makes NULL of.
    """
    if not changes_values(source):
        return match
    seal = source.bind_processor(dialect)
    open_ = source.sealer.opening(source.context)
    decode = source.codec.decode
    is_text = source.settings.is_text

    def match_changed(value: Any) -> R:
        stored: Any = value if seal is None else seal(value)
        if stored is None:
            raise ValueRefusedError("the column's type makes NULL of it; search with is_(None)")
        return match(decode(open_(from_text(stored) if is_text else bytes(stored))))

    return match_changed
