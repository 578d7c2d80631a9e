"""What Core constructs of sealed types are to a type checker. Checked, never run."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type

from sqlalchemy import (
    Column,
    Connection,
    Numeric,
    Result,
    bindparam,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy import type_coerce as coerce
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.types import TypeEngine

from sqlalchemy_sealed import (
    BlindIndex,
    Context,
    Encrypted,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedString,
    MaskedStr,
    blind_index,
    execute_exact,
    get_sealer,
)


class Colour(enum.Enum):
    """An enumeration of the application."""

    RED = 1


def use(*_: object) -> None:
    """Stand for whatever uses a value."""


def columns(connection: Connection) -> None:
    """A column that says the Python type of its values gives rows of that type."""
    name: Column[str] = Column("name", EncryptedString(30, pad=16))
    moved: Column[str] = Column("m", EncryptedString(storage="text", plaintext_until="2099-01-31"))
    born: Column[datetime] = Column("born", EncryptedDateTime(timezone=True))
    fee: Column[Decimal] = Column("fee", Encrypted(Numeric(8, 2), storage="text"))
    colour: Column[Colour] = Column("colour", EncryptedEnum(Colour))
    assert_type(connection.execute(select(name)).scalars().one(), str)
    assert_type(connection.execute(select(moved)).scalars().one(), str)
    assert_type(connection.execute(select(born)).scalars().one(), datetime)
    assert_type(connection.execute(select(fee)).scalars().one(), Decimal)
    assert_type(connection.execute(select(colour)).scalars().one(), Colour)


def expressions() -> None:
    """Literals, parameters and functions take the type of their values from it."""
    text = EncryptedString(context="people.email")
    assert_type(literal("x", text), BindParameter[str])
    assert_type(bindparam("x", type_=text), BindParameter[str])
    whole: ColumnElement[int] = cast("5", EncryptedInteger(context="a.b"))
    name: ColumnElement[str] = coerce("x", text)
    use(whole, name, func.max(name, type_=text))


def types() -> None:
    """A sealed type is a type of SQLAlchemy, and its attributes are typed."""
    generic: TypeEngine[str] = EncryptedString()
    documents: TypeEngine[Any] = EncryptedJSON(tracked=False)
    texts: TypeEngine[Any] = EncryptedEnum("red", "green", pad=None, masked=True)
    type_ = EncryptedString(sealer=get_sealer("pii"))
    assert_type(type_.label, str | None)
    assert_type(type_.context, Context)
    use(generic, documents, texts)


def masked(text: MaskedStr) -> str:
    """A masked text is a text."""
    return text.upper() + text


def searches(connection: Connection) -> None:
    """A column that is searched says the type of its values, and so does its index."""
    email: Column[str] = Column("email", EncryptedString(index=BlindIndex(bits=12)))
    age: Column[int | None] = Column("age", EncryptedInteger(index=[BlindIndex(unique=True)]))
    assert_type(blind_index(email), ColumnElement[str])
    assert_type(blind_index(age, "equal"), ColumnElement[int | None])
    assert_type(email == "x", ColumnElement[bool])
    assert_type(age != 5, ColumnElement[bool])
    assert_type(email == bindparam("wanted"), ColumnElement[bool])
    for row in connection.execute(select(email, age).where(age == 5)):
        assert_type(row.tuple(), tuple[str, int | None])
    found = execute_exact(connection, select(age).where(email == "x"))
    assert_type(found, Result[Any])
    use(select(blind_index(email)).distinct(), func.count(blind_index(age)))
