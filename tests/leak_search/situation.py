"""
A situation in which a secret passes through SQLAlchemy, and the table that it is stored in.

Each has a *deed*, which is done while everything written is searched, the error that it ends in,
and maybe a preparation before it, which is not searched.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedString,
    EncryptedText,
)

LENGTH = 60
"""Most characters of the secret column; a canary has fewer."""
PREPARED = 1
"""The id of the row that a preparation made."""


class Kind(enum.Enum):
    """What the plain column beside the secret ones may hold."""

    ADULT = 1
    CHILD = 2


class Refusing(sa.TypeDecorator[str]):
    """A type of the application that raises an error of the driver's own."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        if value is not None:
            raise dialect.dbapi.Error("refused")
        return value


class Base(DeclarativeBase):
    pass


class Person(Base):
    """
    Sealed columns, and plain ones that can fail.

    Two of the sealed ones have no CHECK constraint: plaintext can be written past their types.
    """

    __tablename__ = "leak_people"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(100), unique=True)
    kind: Mapped[Kind | None] = mapped_column(
        sa.Enum(Kind, native_enum=False, validate_strings=True)
    )
    refusing: Mapped[str | None] = mapped_column(Refusing(10))
    secret: Mapped[str | None] = mapped_column(EncryptedString(LENGTH, check=False))
    note: Mapped[str | None] = mapped_column(EncryptedText(storage="text", check=False))
    number: Mapped[int | None] = mapped_column(EncryptedInteger())
    code: Mapped[str | None] = mapped_column(EncryptedString(index=BlindIndex()))
    badge: Mapped[str | None] = mapped_column(EncryptedString(index=BlindIndex(unique=True)))
    city: Mapped[str | None] = mapped_column(
        EncryptedText(storage="text", index=BlindIndex(bits=4, normalize="casefold"))
    )
    document: Mapped[Any] = mapped_column(EncryptedJSON(), nullable=True)


PEOPLE: sa.Table = Person.metadata.tables["leak_people"]

Deed = Callable[[Connection, str], object]


@dataclass(frozen=True)
class Situation:
    """What is done, and the error it ends in; None if it ends well."""

    name: str
    deed: Deed
    error: type[Exception] | None
    prepare: Deed | None = None

    def __str__(self) -> str:
        return self.name


SITUATIONS: list[Situation] = []


def ends_in(error: type[Exception] | None, *, after: Deed | None = None) -> Callable[[Deed], Deed]:
    """Register a deed that ends in *error*, after a preparation."""

    def register(deed: Deed) -> Deed:
        name = deed.__name__.replace("_", " ").strip()
        SITUATIONS.append(Situation(name, deed, error, after))
        return deed

    return register


def row(value: str, /, **others: Any) -> dict[str, Any]:
    """Return a row whose sealed columns hold the value."""
    sealed = {"secret": value, "note": value, "document": {value: [value]}, "number": None}
    searched = {"code": value, "badge": None, "city": value}
    return {"key": uuid4().hex, "kind": Kind.ADULT, "refusing": None} | sealed | searched | others


def store(connection: Connection, secret: str) -> None:
    """Store the row that a deed reads."""
    connection.execute(PEOPLE.insert(), row(secret, id=PREPARED, key="taken"))
