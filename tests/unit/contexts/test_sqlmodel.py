"""The context of a sealed column of an SQLModel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Field, Session, SQLModel, select

from sqlalchemy_sealed import EncryptedJSON, EncryptedString

Check = Callable[[Any, str], None]


class Contact(SQLModel):
    """A model without a table."""

    email: str = Field(sa_type=EncryptedString)


class Person(Contact, table=True):
    """Each way in which SQLModel takes a type."""

    __tablename__ = "people"
    id: int | None = Field(default=None, primary_key=True)
    phone: str | None = Field(default=None, sa_type=EncryptedString(20))
    fax: str | None = Field(default=None, sa_column=sa.Column("telefax", EncryptedString()))
    chart: dict[str, Any] | None = Field(default=None, sa_type=EncryptedJSON)


class Firm(Contact, table=True):
    """A second model with the inherited field."""

    __tablename__ = "firms"
    id: int | None = Field(default=None, primary_key=True)


@pytest.fixture
def session(sealer: Any, sqlite_engine: sa.Engine) -> Iterator[Session]:
    """Return a session on an empty database."""
    SQLModel.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        yield session


@pytest.mark.parametrize(
    ("model", "column"),
    [(Person, "email"), (Person, "phone"), (Person, "telefax"), (Firm, "email")],
)
def test_a_field_of_a_model(model: Any, column: str, stored_under: Check) -> None:
    """A type in a field, in a column or in an inherited model belongs to its table."""
    stored_under(model.__table__.c[column], f"{model.__tablename__}.{column}")


def test_a_model_is_written_and_read(session: Session) -> None:
    """Values come back, a document is tracked, and SQLModel's own select works."""
    session.add(Person(email="a@x", phone="1", fax="2", chart={"a": []}))
    session.add(Firm(email="b@x"))
    session.commit()
    person = session.exec(select(Person)).one()
    assert (person.email, person.phone, person.fax) == ("a@x", "1", "2")
    person.chart["a"].append(1)
    session.commit()
    assert session.exec(select(Person.chart)).one() == {"a": [1]}
    assert session.exec(select(Firm.email)).one() == "b@x"
