"""What an application's models and queries are to a type checker. Checked, never run."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeVar, assert_type
from uuid import UUID

from sqlalchemy import Numeric, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    Encrypted,
    EncryptedBoolean,
    EncryptedBytes,
    EncryptedDate,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedFloat,
    EncryptedInteger,
    EncryptedInterval,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    EncryptedText,
    EncryptedTime,
    EncryptedUUID,
    FileKeystore,
    KEKProvider,
    Keystore,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    get_sealer,
)


class Base(DeclarativeBase):
    """The declarative base of the application."""


class Blood(enum.Enum):
    """An enumeration of the application."""

    A = "a"
    B = "b"


T = TypeVar("T")
Email = Annotated[str, mapped_column(EncryptedString(100))]


class Patient(Base):
    """A model with a column of every type."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[Email]
    name: Mapped[str] = mapped_column(EncryptedString(50, context="patients.name", pad=32))
    notes: Mapped[str | None] = mapped_column(EncryptedText(storage="text", masked=True))
    chart: Mapped[dict[str, Any]] = mapped_column(EncryptedJSON())
    photo: Mapped[bytes] = mapped_column(EncryptedBytes())
    visits: Mapped[int] = mapped_column(EncryptedInteger())
    debt: Mapped[Decimal] = mapped_column(EncryptedNumeric(10, 2))
    share: Mapped[float] = mapped_column(EncryptedFloat())
    smoker: Mapped[bool] = mapped_column(EncryptedBoolean())
    born: Mapped[date] = mapped_column(EncryptedDate())
    seen: Mapped[datetime] = mapped_column(EncryptedDateTime(timezone=True))
    wakes: Mapped[time] = mapped_column(EncryptedTime())
    sleeps: Mapped[timedelta] = mapped_column(EncryptedInterval())
    token: Mapped[UUID] = mapped_column(EncryptedUUID())
    blood: Mapped[Blood] = mapped_column(EncryptedEnum(Blood))
    fee: Mapped[Decimal] = mapped_column(Encrypted(Numeric(8, 2), sealer=get_sealer("fees")))


def attributes(patient: Patient, session: Session) -> None:
    """Attributes and rows have the types of the values, not of what is stored."""
    assert_type(patient.email, str)
    assert_type(patient.notes, str | None)
    assert_type(patient.photo, bytes)
    assert_type(patient.debt, Decimal)
    assert_type(patient.smoker, bool)
    assert_type(patient.born, date)
    assert_type(patient.token, UUID)
    assert_type(patient.blood, Blood)
    for value in session.scalars(select(Patient.name)):
        assert_type(value, str)


def value_of(type_: Encrypted[T]) -> T:
    """Stand for whatever gives a value of a type."""
    raise NotImplementedError


def types() -> None:
    """A type knows the Python type of its values."""
    assert_type(value_of(EncryptedString()), str)
    assert_type(value_of(EncryptedBytes(16)), bytes)
    assert_type(value_of(EncryptedInterval()), timedelta)
    assert_type(value_of(EncryptedEnum(Blood)), Blood)
    assert_type(value_of(Encrypted(Numeric(8, 2))), Decimal)


def keys() -> None:
    """The stock keystores and providers fit the two protocols."""
    keystores: list[Keystore] = [MemoryKeystore(), FileKeystore("sealed.keys.json")]
    provider: KEKProvider = LocalRootKey.from_env()
    sealer = get_sealer()
    assert_type(sealer, Sealer)
    sealer.configure(keystore=keystores[0], provider=provider)
    assert_type(sealer.open(sealer.seal(b"value", "a.b"), "a.b"), bytes)
