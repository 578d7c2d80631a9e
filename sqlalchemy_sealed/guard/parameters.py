"""Parameters: one name in a statement is one value, processed by one type."""

from __future__ import annotations

from typing import Any

from sqlalchemy.sql.elements import BindParameter

from ..types.comparator import refuse
from ..types.ours import is_ours
from .kinds import sealed_type

_TWO_TYPES = (
    "each of them needs another form of the value, and only one would be sent; give the "
    "parameters different names"
)


def check_parameters(compiled: Any) -> None:
    """
    Check that no name is used for parameters that are processed in different ways.

    SQLAlchemy takes the type of the last one for all: a plain type there would send plaintext.

    Raises:
        RefusedOperationError: one name is used for a sealed value and for something else.
    """
    known: dict[str, BindParameter[Any]] = {}
    for parameter, name in getattr(compiled, "bind_names", {}).items():
        other = known.setdefault(name, parameter)
        if other.type is parameter.type or _form(other.type) == _form(parameter.type):
            continue
        special = parameter if _form(parameter.type) is not None else other
        raise refuse(_column_type(special.type), f"one parameter {name!r} for two uses", _TWO_TYPES)


def _form(type_: Any) -> object:
    """Return what says how a value is processed; None if it is sent as it is."""
    if is_ours(type_) or sealed_type(type_) is not None:
        return type_._static_cache_key
    return None


def _column_type(type_: Any) -> Any:
    """Return the type of the column that a searched value is compared with."""
    type_ = getattr(type_, "slot", type_)
    return getattr(type_, "source", type_)
