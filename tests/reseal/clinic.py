"""Models of an application, as commands name them: `reseal.clinic:Base`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import BlindIndex, Encrypted, EncryptedInteger, EncryptedString


class Base(DeclarativeBase):
    pass


class Shouted(sa.TypeDecorator[str]):
    """A type of an application around a sealed one."""

    impl = Encrypted
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(sa.String())


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(sa.String(100))
    email: Mapped[str | None] = mapped_column(EncryptedString(index=BlindIndex()))
    note: Mapped[str | None] = mapped_column(EncryptedString(storage="text", check=False))


class Visit(Base):
    __tablename__ = "visits"

    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int | None] = mapped_column("cents", EncryptedInteger())
    plain_price: Mapped[int | None]
    remark: Mapped[str | None] = mapped_column(Shouted())


class Town(Base):
    __tablename__ = "towns"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))
