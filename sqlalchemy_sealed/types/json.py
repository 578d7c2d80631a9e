"""Sealed JSON."""

from __future__ import annotations

from typing import Any, Unpack

from sqlalchemy import types as sa

from .base import Encrypted
from .options import Options


class EncryptedJSON(Encrypted[Any]):
    """
    Sealed JSON documents.

    Python's None is SQL NULL; `JSON.NULL` is the JSON null, sealed, and is read as None.

    Args:
        tracked: changes inside of a document, at any depth, are seen by the ORM (default). Its
            dicts and lists are then subclasses of `dict` and `list`.
        options: see `Options`.
    """

    cache_ok = True

    def __init__(self, *, tracked: bool = True, **options: Unpack[Options]) -> None:
        self.tracked = tracked
        super().__init__(sa.JSON(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return whether changes are not tracked."""
        return {"tracked": None if self.tracked else False}
