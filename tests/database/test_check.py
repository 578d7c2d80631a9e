"""The CHECK constraint of a sealed column is the last line: it refuses what goes past the type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedInteger, EncryptedString, Sealer

PLAINTEXT = "plaintext"


class Base(DeclarativeBase):
    pass


class Letter(Base):
    """Columns of both storages, one of them indexed, one without the constraint."""

    __tablename__ = "letters"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[str | None] = mapped_column(sa.String(100))
    stored: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    binary: Mapped[str | None] = mapped_column("binary_", EncryptedString(index=BlindIndex()))
    text: Mapped[str | None] = mapped_column("text_", EncryptedString(storage="text"))
    number: Mapped[int | None] = mapped_column(EncryptedInteger())
    unchecked: Mapped[str | None] = mapped_column(EncryptedString(check=False))


T: Any = Letter.__table__
pytestmark = [ON_MARIADB_TOO]


@pytest.fixture
def letters(engine: Engine, sealer: Sealer) -> Engine:
    """Return an engine on a database with one letter."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        row = {"id": 1, "plain": PLAINTEXT, "stored": PLAINTEXT.encode()}
        connection.execute(T.insert(), row | {"binary_": "x", "text_": "x", "number": 1})
    return engine


def refused(letters: Engine, work: Callable[[Connection], Any], column: str) -> None:
    """Assert that the database refuses, by the constraint of the column."""
    with letters.connect() as connection, pytest.raises(DBAPIError) as caught:
        work(connection)
    assert f"letters_{column}_sealed" in str(caught.value)


RAW = {
    "UPDATE of bytes": ("UPDATE letters SET binary_ = stored", "binary_"),
    "UPDATE of a text": ("UPDATE letters SET text_ = plain", "text_"),
    "UPDATE of an empty text": ("UPDATE letters SET text_ = ''", "text_"),
    "UPDATE of a literal": ("UPDATE letters SET text_ = 'plaintext'", "text_"),
    "a text that begins like an envelope": (
        "UPDATE letters SET text_ = 'sealed and " + "signed, " * 9 + "'",
        "text_",
    ),
    "a word that begins like an envelope": (
        "UPDATE letters SET text_ = 'sealed-and-signed'",
        "text_",
    ),
    "UPDATE of another case": ("UPDATE letters SET text_ = 'SEALplaintext'", "text_"),
    "UPDATE of a number": ("UPDATE letters SET number = stored", "number"),
    "a text envelope that was cut": (
        "UPDATE letters SET text_ = substr(text_, 1, 69)",
        "text_",
    ),
    "a text envelope with a space": (
        "UPDATE letters SET text_ = replace(text_, substr(text_, 20, 2), ' !')",
        "text_",
    ),
    "INSERT": ("INSERT INTO letters (id, text_) VALUES (2, 'plaintext')", "text_"),
    "INSERT FROM SELECT": (
        "INSERT INTO letters (id, binary_) SELECT id + 1, stored FROM letters",
        "binary_",
    ),
    "a part of an envelope": ("UPDATE letters SET binary_ = substr(binary_, 2)", "binary_"),
    "less than the magic": ("UPDATE letters SET binary_ = substr(binary_, 1, 2)", "binary_"),
    "less than the magic as text": ("UPDATE letters SET text_ = substr(text_, 1, 3)", "text_"),
}


@pytest.mark.parametrize("case", RAW)
def test_raw_sql_is_refused(case: str, letters: Engine) -> None:
    """Plaintext that SQL text writes is refused by the database."""
    sql, column = RAW[case]
    refused(letters, lambda connection: connection.execute(sa.text(sql)), column)


def test_parameters_of_raw_sql_are_refused(letters: Engine) -> None:
    """So is plaintext that comes as a parameter without a type."""
    for column, value in (("binary_", b"plaintext"), ("text_", PLAINTEXT), ("binary_", b"")):
        statement = sa.text(f"UPDATE letters SET {column} = :value")
        refused(letters, lambda c, s=statement, v=value: c.execute(s, {"value": v}), column)


LIGHT = sa.table("letters", sa.column("id"), sa.column("text_"), sa.column("binary_"))
ESCAPES: dict[str, tuple[Callable[[Connection], Any], str]] = {
    "type_coerce of a column": (
        lambda c: c.execute(
            T.update().values(binary_=sa.type_coerce(T.c.stored, T.c.binary_.type))
        ),
        "binary_",
    ),
    "type_coerce of a text": (
        lambda c: c.execute(T.update().values(text_=sa.type_coerce(T.c.plain, T.c.text_.type))),
        "text_",
    ),
    "type_coerce in the ORM": (
        lambda c: Session(c).execute(
            sa.update(Letter).values(text=sa.type_coerce(Letter.plain, T.c.text_.type))
        ),
        "text_",
    ),
    "type_coerce of a literal": (
        lambda c: c.execute(
            T.update().values(
                binary_=sa.type_coerce(sa.literal(b"plaintext").label("x"), T.c.binary_.type)
            )
        ),
        "binary_",
    ),
    "a table without types": (
        lambda c: c.execute(LIGHT.update().values(text_=PLAINTEXT)),
        "text_",
    ),
    "a table without types, bytes": (
        lambda c: c.execute(LIGHT.insert().values(id=7, binary_=b"plaintext")),
        "binary_",
    ),
    "raw SQL with types": (
        lambda c: c.execute(
            T.insert().from_select(
                ["id", "text_"],
                sa.text("SELECT id + 1 AS id, plain AS t FROM letters").columns(
                    id=sa.Integer, t=T.c.text_.type
                ),
            )
        ),
        "text_",
    ),
}


@pytest.mark.parametrize("case", ESCAPES)
def test_ways_past_the_type_end_here(case: str, letters: Engine) -> None:
    """Who says that bytes are sealed, or uses a table that does not know its types, is stopped."""
    work, column = ESCAPES[case]
    refused(letters, work, column)


def test_envelopes_and_null_pass(letters: Engine) -> None:
    """What was sealed may be copied by SQL text, and a value may be taken away."""
    with letters.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO letters (id, binary_) SELECT 2, binary_ FROM letters")
        )
        connection.execute(sa.text("UPDATE letters SET text_ = NULL, number = NULL"))
        assert connection.execute(sa.select(T.c.binary_, T.c.text_)).all() == [("x", None)] * 2


def test_without_it_plaintext_is_noticed_when_it_is_read(letters: Engine) -> None:
    """check=False leaves the column open; what is not an envelope does not open."""
    with letters.connect() as connection:
        connection.execute(sa.text("UPDATE letters SET unchecked = stored"))
        with pytest.raises(Exception, match=r"letters\.unchecked: .* not an envelope"):
            connection.execute(sa.select(T.c.unchecked)).all()


def test_copies_of_the_table_have_one_constraint_a_column(letters: Engine) -> None:
    """`to_metadata` does not double it, and names it after the new table."""
    copied = T.to_metadata(sa.MetaData(), name="archive")
    names = sorted(c.name for c in copied.constraints if isinstance(c, sa.CheckConstraint))
    assert names == ["archive_binary__sealed", "archive_number_sealed", "archive_text__sealed"]
    copied.create(letters)
    with letters.connect() as connection, pytest.raises(DBAPIError, match="archive_text__sealed"):
        connection.execute(sa.text("INSERT INTO archive (id, text_) VALUES (1, 'plaintext')"))
