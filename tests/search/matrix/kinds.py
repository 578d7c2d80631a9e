"""The kinds of sealed columns, and the two sides of each: the sealed one and its plain twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sqlalchemy_sealed import blind_index

from .tables import Row

TABLE = Row.__table__
OTHER = TABLE.alias("other")
PRESENT, ABSENT = "bob", "nobody"


@dataclass(frozen=True)
class Mold:
    """
    One side: what the same statement is built of twice.

    Attributes:
        key: the name of the column.
        is_sealed: whether this is the sealed side.
        index: the name of its blind index; None for the first.
        is_slot: the column is asked through `blind_index()` in all that is done to it.
        unique: values of the column are different.
        spelled: how a searched value is written.
        other: the key of a column that can be compared with this one.
    """

    key: str
    is_sealed: bool
    index: str | None = None
    is_slot: bool = False
    unique: bool = False
    spelled: Callable[[str], str] = str
    other: str | None = None

    def column(self, table: Any = TABLE) -> Any:
        """Return the column, as an operator gets it."""
        column = table.c[self.key]
        return blind_index(column, self.index) if self.is_slot and self.is_sealed else column

    def slot(self, table: Any = TABLE) -> Any:
        """Return the blind index of the sealed column, and the plain column itself."""
        column = table.c[self.key]
        return blind_index(column, self.index) if self.is_sealed else column

    @property
    def raw(self) -> Any:
        """Return the column itself."""
        return TABLE.c[self.key]

    @property
    def attribute(self) -> Any:
        """The mapped attribute."""
        return getattr(Row, self.key)

    @property
    def comparable(self) -> Any:
        """Return a column that has the same index, in an alias of the table."""
        column = OTHER.c[self.other or self.key]
        return blind_index(column, self.index) if self.is_slot and self.is_sealed else column

    @property
    def comparable_slot(self) -> Any:
        """Return the blind index of that column."""
        column = OTHER.c[self.other or self.key]
        return blind_index(column, self.index) if self.is_sealed else column

    @property
    def stranger(self) -> Any:
        """Return a column of another context."""
        return TABLE.c["apart" if self.is_sealed else "plain_other"]

    def value(self, text: str) -> str:
        """Return a value as it is searched."""
        return self.spelled(f"{text}#3" if self.unique else text)


@dataclass(frozen=True)
class Kind:
    """
    A kind of column.

    Attributes:
        name: what it is called.
        sealed: its sealed side.
        plain: its plain one.
        indexed: it has a blind index.
        exact: the index tells all values apart.
    """

    name: str
    sealed: Mold
    plain: Mold
    indexed: bool = True
    exact: bool = True

    def compared(self, text: str) -> str:
        """Return what two values share that this kind of column takes for equal."""
        return text.casefold() if self.name == "folded" else text

    def __str__(self) -> str:
        return self.name

    @property
    def molds(self) -> tuple[Mold, Mold]:
        """Both sides."""
        return self.sealed, self.plain


def _kind(key: str, plain: str = "plain", **more: Any) -> Kind:
    flags = {name: more.pop(name) for name in ("indexed", "exact") if name in more}
    name = more.pop("name", key)
    plain_other = more.pop("plain_other", None)
    spelled = more.pop("spelled", str)
    return Kind(
        name,
        Mold(key, is_sealed=True, spelled=spelled, **more),
        Mold(
            plain,
            is_sealed=False,
            unique=more.get("unique", False),
            spelled=str.casefold if plain == "plain_folded" else str,
            other=plain_other,
        ),
        **flags,
    )


KINDS = [
    _kind("bare", indexed=False, exact=False),
    _kind("indexed"),
    _kind("folded", "plain_folded", spelled=str.upper),
    _kind("truncated", exact=False),
    _kind("as_text"),
    _kind("two", name="second index", index="whole", is_slot=True),
    _kind("single", "plain_unique", name="unique", unique=True),
    _kind("paired", other="pair", plain_other="plain_other"),
    _kind("indexed", name="slot", is_slot=True),
    _kind("truncated", name="truncated slot", is_slot=True, exact=False),
]


def from_other(*columns: Any) -> Any:
    """Return a SELECT from the alias of the table, over some of its rows."""
    return sa.select(*columns).where(OTHER.c.id < 5)
