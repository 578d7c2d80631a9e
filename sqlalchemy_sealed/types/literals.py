"""Sealed values and slots as SQL text, for `literal_binds`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import SealedError

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.type_api import _LiteralProcessorType


def rendering(bind: Callable[[Any], Any], dialect: Dialect) -> _LiteralProcessorType[Any]:
    """Return the function that renders what *bind* makes into SQL text, and never raises."""

    def process(value: Any) -> str:
        try:
            return _literal(bind(value), dialect)
        except Exception as error:  # noqa: BLE001 - SQLAlchemy would quote the value in its own error
            reason = str(error) if isinstance(error, SealedError) else type(error).__name__
        return f"sqlalchemy_sealed_could_not_seal({_quoted(reason)})"

    return process


def _literal(stored: bytes | str | None, dialect: Dialect) -> str:
    match stored:
        case None:
            return "NULL"
        case str() if "\\" in stored:  # An array of bytea. How plain quotes read it is a setting.
            return "E'" + stored.replace("\\", "\\\\") + "'"
        case str():
            return f"'{stored}'"  # base64url: nothing in it needs quoting
        case _ if dialect.name == "postgresql":
            return f"decode('{stored.hex()}', 'hex')"  # no backslash: how it is read is a setting
        case _ if dialect.name == "mssql":
            return f"0x{stored.hex()}"
        case _:
            return f"X'{stored.hex()}'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
