"""What the columns of a database hold, by the types that it says they have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Enum, String
from sqlalchemy.sql.sqltypes import _Binary
from sqlalchemy.types import TypeEngine


def innermost(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return what a domain is made of."""
    while (inner := getattr(type_, "data_type", None)) is not None:
        type_ = inner
    return type_


def holds_text(type_: TypeEngine[Any]) -> bool:
    """Whether values of a type are texts of any letters."""
    type_ = innermost(type_)
    return isinstance(type_, String) and not isinstance(type_, Enum)


def holds_bytes(type_: TypeEngine[Any]) -> bool:
    """Whether values of a type are bytes."""
    return isinstance(innermost(type_), _Binary)
