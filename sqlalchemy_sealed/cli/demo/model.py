"""The table of the demonstration, declared as an application would declare it."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ...index import BlindIndex
from ...types import EncryptedDate, EncryptedJSON, EncryptedString, blind_index

SEALER = "sealed-demo"
TABLE = "sealed_demo_patients"


class Base(DeclarativeBase):
    """The declarative base of the demonstration."""


class Patient(Base):
    """A patient: everything but the number is sealed; the e-mail address can be searched."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(EncryptedString(sealer=SEALER, pad=32))
    email: Mapped[str] = mapped_column(
        EncryptedString(100, sealer=SEALER, index=BlindIndex(normalize="casefold"))
    )
    phone: Mapped[str] = mapped_column(EncryptedString(30, sealer=SEALER))
    born: Mapped[date] = mapped_column(EncryptedDate(sealer=SEALER))
    chart: Mapped[dict[str, Any]] = mapped_column(EncryptedJSON(sealer=SEALER))

    __table_args__ = (Index(f"ix_{TABLE}_email", blind_index(email)),)


SEALED_COLUMNS = ("name", "email", "phone", "born", "chart")
