"""A table with every kind of sealed column, a plain twin beside each, and rows that tell much."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship

from sqlalchemy_sealed import BlindIndex, EncryptedString, blind_index

SEALER = "the sealer of the matrix"

VALUES = ["ada", "Ada", "bob", "bob", None, "", "cyd", "a%b", None, "zoë", "ada'", "9"]
"""What the sealed columns hold, row by row: equal ones, some that differ in case, and NULL."""
OTHERS = ["bob", "cyd", None, "bob", "ada", "", "ada", None, "zoë", "eva", "nobody", "cyd"]
"""What the second column of a comparison holds."""

# MariaDB compares texts without regard to case unless it is told to.
Plain = sa.String(100).with_variant(mysql.VARCHAR(100, collation="utf8mb4_bin"), "mysql", "mariadb")


def sealed(**options: Any) -> EncryptedString:
    """Return a type under the keys of the matrix."""
    return EncryptedString(sealer=SEALER, **options)


class Base(DeclarativeBase):
    pass


class Row(Base):
    """One value in every kind of column."""

    __tablename__ = "matrix"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[str | None] = mapped_column(Plain)
    plain_folded: Mapped[str | None] = mapped_column(Plain)
    plain_other: Mapped[str | None] = mapped_column(Plain)
    plain_unique: Mapped[str | None] = mapped_column(Plain, unique=True)

    bare: Mapped[str | None] = mapped_column(sealed())
    indexed: Mapped[str | None] = mapped_column(sealed(index=BlindIndex()))
    folded: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(normalize="casefold")))
    truncated: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(bits=2)))
    as_text: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(), storage="text"))
    two: Mapped[str | None] = mapped_column(
        sealed(index=[BlindIndex("letter", normalize="first_letter"), BlindIndex("whole")])
    )
    single: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(unique=True)))
    paired: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(context="pair")))
    pair: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(context="pair")))
    apart: Mapped[str | None] = mapped_column(sealed(index=BlindIndex()))

    visits: Mapped[list[Visit]] = relationship(
        primaryjoin=lambda: Row.paired == foreign(Visit.who), order_by="Visit.id", viewonly=True
    )
    plain_visits: Mapped[list[Visit]] = relationship(
        primaryjoin=lambda: Row.plain == foreign(Visit.plain_who),
        order_by="Visit.id",
        viewonly=True,
    )


class Visit(Base):
    """What rows are related to by a sealed value, and by the plain twin of it."""

    __tablename__ = "matrix_visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain_who: Mapped[str | None] = mapped_column(Plain)
    who: Mapped[str | None] = mapped_column(sealed(index=BlindIndex(context="pair")))

    row: Mapped[list[Row]] = relationship(
        primaryjoin=lambda: Row.paired == foreign(Visit.who),
        uselist=True,
        order_by=Row.id,
        viewonly=True,
    )
    first: Mapped[Row] = relationship(
        primaryjoin=lambda: Row.paired == foreign(Visit.who), uselist=False, viewonly=True
    )
    plain_first: Mapped[Row] = relationship(
        primaryjoin=lambda: Row.plain == foreign(Visit.plain_who), uselist=False, viewonly=True
    )
    plain_row: Mapped[list[Row]] = relationship(
        primaryjoin=lambda: Row.plain == foreign(Visit.plain_who),
        uselist=True,
        order_by=Row.id,
        viewonly=True,
    )


sa.Index("ix_matrix_indexed", blind_index(Row.indexed))
sa.Index("ix_matrix_whole", blind_index(Row.two, "whole"))

SEALED = ("bare", "indexed", "folded", "truncated", "as_text", "two", "paired")


def _row(number: int, value: str | None, other: str | None) -> dict[str, Any]:
    unique = None if value is None else f"{value}#{number}"
    return {
        "id": number,
        "plain": value,
        "plain_folded": None if value is None else value.casefold(),
        "plain_other": other,
        "plain_unique": unique,
        "single": unique,
        **dict.fromkeys(SEALED, value),
        "pair": other,
        "apart": other,
    }


ROWS = [_row(n, *pair) for n, pair in enumerate(zip(VALUES, OTHERS, strict=True), 1)]


def fill(connection: Connection) -> None:
    """Insert the rows."""
    connection.execute(sa.insert(Row.__table__), ROWS)
    visits = [{"id": n, "who": who, "plain_who": who} for n, who in enumerate(OTHERS, 1)]
    connection.execute(sa.insert(Visit.__table__), visits)
