"""The models of an application whose columns are being encrypted in place: `dual.shop:Base`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedBytes, EncryptedString, MatchIndex

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date()
YESTERDAY = TOMORROW - timedelta(days=2)


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(
        EncryptedString(
            storage="text", index=BlindIndex(), match=MatchIndex(), plaintext_until=TOMORROW
        )
    )
    photo: Mapped[bytes | None] = mapped_column(
        EncryptedBytes(index=BlindIndex(), plaintext_until=TOMORROW)
    )
    note: Mapped[str | None] = mapped_column(
        EncryptedString(storage="text", masked=True, plaintext_until=TOMORROW)
    )


class Supplier(Base):
    """A table that nobody moves: plaintext is an error there."""

    __tablename__ = "suppliers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(
        EncryptedString(storage="text", index=BlindIndex(), check=False)
    )


def make_tables(engine: Engine) -> None:
    """Make the tables, as they were before there was any encryption."""
    with engine.begin() as connection:
        create_tables(connection)


def create_tables(connection: Connection) -> None:
    """Do the same in a transaction."""
    photo = {"postgresql": "bytea", "sqlite": "BLOB"}.get(connection.dialect.name, "LONGBLOB")
    connection.exec_driver_sql(
        f"CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, photo {photo}, note TEXT)"
    )
    connection.exec_driver_sql("CREATE TABLE suppliers (id INTEGER PRIMARY KEY, email TEXT)")


def put(connection: Connection, id_: int, **values: Any) -> None:
    """Write a row as SQL text does, which knows nothing of sealed types."""
    given = {"email": None, "photo": None, "note": None} | values
    statement = sa.text(
        "INSERT INTO customers (id, email, photo, note) VALUES (:id, :email, :photo, :note)"
    )
    connection.execute(statement, {"id": id_, **given})


def stored(connection: Connection, column: str, id_: int) -> Any:
    """Return what the database holds."""
    value = connection.scalar(sa.text(f"SELECT {column} FROM customers WHERE id = {id_}"))
    return value.decode() if isinstance(value, bytes) and column != "photo" else value


@contextmanager
def as_started_anew(engine: Engine) -> Iterator[Engine]:
    """Yield an engine that knows nothing of latches, as that of a process that starts now."""
    fresh = sa.create_engine(engine.url)
    try:
        yield fresh
    finally:
        fresh.dispose()
