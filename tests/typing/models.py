"""What an application's models and queries are to a type checker. Checked, never run."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeVar, assert_type
from uuid import UUID

from sqlalchemy import (
    BinaryExpression,
    ColumnElement,
    ForeignKey,
    Index,
    Numeric,
    Result,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship

from sqlalchemy_sealed import (
    BlindIndex,
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
    blind_index,
    execute_exact,
    get_sealer,
    register_normalizer,
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
    phone: Mapped[str | None] = mapped_column(
        EncryptedString(
            index=[
                BlindIndex(normalize=("strip", "casefold"), unique=True),
                BlindIndex("last4", normalize="last4", bits=8),
            ],
            check=False,
        )
    )
    insurance: Mapped[int] = mapped_column(EncryptedInteger(index=BlindIndex(context="number")))


class Claim(Base):
    """A model that points to another one by a sealed column."""

    __tablename__ = "claims"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    insurance: Mapped[int] = mapped_column(EncryptedInteger(index=BlindIndex(context="number")))
    patient: Mapped[Patient] = relationship()
    __table_args__ = (Index("ix_claims_insurance", blind_index(insurance)),)


Index("ix_patients_phone", blind_index(Patient.phone), unique=True)
Index("ix_patients_last4", blind_index(Patient.phone, "last4"))
Index("ix_patients_both", Patient.id, blind_index(Patient.__table__.c.phone, name="last4"))


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


def blind_indexes() -> None:
    """The index of a column is an expression of the type of its values."""
    assert_type(blind_index(Patient.email), ColumnElement[str])
    assert_type(blind_index(Patient.phone, "last4"), ColumnElement[str | None])
    assert_type(blind_index(Patient.insurance), ColumnElement[int])
    assert_type(blind_index(aliased(Patient).email), ColumnElement[str])
    assert_type(blind_index(Patient.phone, "last4") == "0143", ColumnElement[bool])
    assert_type(blind_index(Patient.phone, "last4").in_(["0143"]), BinaryExpression[bool])
    assert_type(BlindIndex().bits, int)
    register_normalizer("upper", str.upper)


def conditions() -> None:
    """Comparisons are conditions, as those of a plain column."""
    assert_type(Patient.email == "x", ColumnElement[bool])
    assert_type(Patient.email != "x", ColumnElement[bool])
    assert_type(Patient.phone == None, ColumnElement[bool])  # noqa: E711
    assert_type(Patient.phone.is_(None), BinaryExpression[bool])
    assert_type(Patient.insurance.in_([1, 2]), BinaryExpression[bool])
    assert_type(Patient.insurance.not_in({1, 2}), BinaryExpression[bool])
    assert_type(Patient.insurance.in_(select(Claim.insurance)), BinaryExpression[bool])
    assert_type(Patient.email.is_distinct_from("x"), ColumnElement[bool])
    assert_type(Patient.insurance == Claim.insurance, ColumnElement[bool])


def queries(session: Session) -> None:
    """What is searched by a sealed column has the types of what is selected."""
    for email, phone in session.execute(
        select(Patient.email, Patient.phone).where(Patient.email == "x")
    ):
        assert_type(email, str)
        assert_type(phone, str | None)
    assert_type(session.scalars(select(Patient).filter_by(email="x")).one(), Patient)
    statement = select(Patient.insurance).join(Claim, Patient.insurance == Claim.insurance)
    assert_type(session.scalars(statement).all(), Sequence[int])
    grouped = select(func.count()).group_by(blind_index(Patient.email))
    assert_type(session.scalars(grouped).all(), Sequence[int])
    session.execute(update(Patient).where(Patient.email == "x").values(email="y"))
    session.scalar(select(exists().where(Patient.phone.in_(["x"]))))
    matches = select(Patient).where(Patient.phone == "x")
    assert_type(execute_exact(session, matches, limit=1), Result[Any])
    assert_type(execute_exact(session.connection(), matches, {"x": 1}), Result[Any])
