"""
Mistakes that a type checker must find. Checked, never run.

Each marked line is an error for mypy and for pyright. Where one of them would find none, it says
that the mark is not needed.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    Encrypted,
    EncryptedEnum,
    EncryptedNumeric,
    EncryptedString,
    blind_index,
    execute_exact,
    register_normalizer,
)


class Base(DeclarativeBase):
    """The declarative base of the application."""


class Person(Base):
    """A model."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedString())
    debt: Mapped[Decimal | None] = mapped_column(EncryptedNumeric(10, 2))


def attributes(person: Person) -> None:
    """A value of another type cannot be assigned, and None only where it is allowed."""
    person.email = b"x"  # type: ignore[assignment]
    person.email = None  # type: ignore[assignment]
    person.debt = 1.5  # type: ignore[assignment]
    person.debt.sqrt()  # type: ignore[union-attr]


def options() -> None:
    """An option that does not exist, or cannot have this value, is an error."""
    EncryptedString(colour=1)  # type: ignore[call-arg]
    EncryptedString(storage="json")  # type: ignore[arg-type]
    EncryptedString(pad="16")  # type: ignore[arg-type]
    EncryptedString(plaintext_until=2099)  # type: ignore[arg-type]
    EncryptedString("30")  # type: ignore[arg-type]
    EncryptedString(masked=None)  # type: ignore[arg-type]
    EncryptedNumeric(10, scale=2.5)  # type: ignore[arg-type]
    EncryptedString(index="equal")  # type: ignore[arg-type]
    EncryptedString(index=BlindIndex)  # type: ignore[arg-type]
    EncryptedString(check="yes")  # type: ignore[arg-type]
    EncryptedEnum(5)  # type: ignore[call-overload]
    Encrypted(5)  # type: ignore[arg-type]


def indexes(session: Session) -> None:
    """An index has its options, and is that of a column of a mapped class or a table."""
    BlindIndex(colour=1)  # type: ignore[call-arg]
    BlindIndex(normalize=5)  # type: ignore[arg-type]
    BlindIndex(bits="8")  # type: ignore[arg-type]
    BlindIndex(unique=None)  # type: ignore[arg-type]
    BlindIndex().bits = 8  # type: ignore[misc]
    register_normalizer("upper", len)  # type: ignore[arg-type]
    blind_index("email")  # type: ignore[arg-type]
    blind_index(Person.email, 5)  # type: ignore[arg-type]
    execute_exact(session, text("SELECT 1"))  # type: ignore[arg-type]
    execute_exact(session, blind_index(Person.email))  # type: ignore[arg-type]
