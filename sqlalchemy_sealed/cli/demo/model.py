"""The table of the demonstration, declared as an application would declare it."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ...types import EncryptedDate, EncryptedJSON, EncryptedString

SEALER = "sealed-demo"
TABLE = "sealed_demo_patients"


class Base(DeclarativeBase):
    """The declarative base of the demonstration."""


class Patient(Base):
    """A patient: everything but the number is sealed."""

    __tablename__ = TABLE

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(EncryptedString(sealer=SEALER, pad=32))
    email: Mapped[str] = mapped_column(EncryptedString(100, sealer=SEALER))
    phone: Mapped[str] = mapped_column(EncryptedString(30, sealer=SEALER))
    born: Mapped[date] = mapped_column(EncryptedDate(sealer=SEALER))
    chart: Mapped[dict[str, Any]] = mapped_column(EncryptedJSON(sealer=SEALER))


SEALED_COLUMNS = ("name", "email", "phone", "born", "chart")
