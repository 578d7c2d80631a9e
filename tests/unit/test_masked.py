"""Masked reads: a text whose repr shows nothing, in itself and in what holds it."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
)

from sqlalchemy_sealed import EncryptedEnum, EncryptedString, MaskedStr, Sealer

CANARY = MaskedStr("canary")


@dataclass
class Holder:
    """Something that shows its fields."""

    text: str


@pytest.mark.parametrize(
    "show",
    [
        repr,
        ascii,
        pprint.pformat,
        reprlib.repr,
        lambda text: f"{text!r} {text!a}",
        lambda text: "%r %a" % (text, text),  # noqa: UP031 - as logging does
        lambda text: repr([text, (text,), {text: text}]),
        lambda text: repr(Holder(text)),
        lambda text: str(KeyError(text)),
        lambda text: repr(ValueError(text)),
        lambda text: logging.makeLogRecord({"msg": "%r", "args": (text,)}).getMessage(),
    ],
)
def test_a_repr_shows_the_mask(show: Any) -> None:
    """Every way that goes through repr shows three stars, also from inside of a container."""
    shown = show(CANARY)
    assert "'***'" in shown
    assert "canary" not in shown


def test_it_is_the_text_in_every_other_way() -> None:
    """It equals, hashes, sorts, formats and serialises as the text that it is."""
    assert CANARY == "canary"
    assert {CANARY: 1} == {"canary": 1}
    assert sorted([CANARY, "b", "d"]) == ["b", "canary", "d"]
    assert f"{CANARY}-{CANARY:>8}" == "canary-  canary"
    assert json.dumps([CANARY]) == '["canary"]'
    assert type(CANARY.upper()) is type(str(CANARY)) is type(CANARY[:]) is str


@pytest.mark.parametrize(
    "how", [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))]
)
def test_a_copy_is_masked(how: Any) -> None:
    """Copied or pickled it stays what it is."""
    again = how(CANARY)
    assert again == "canary"
    assert type(again) is MaskedStr


class Base(DeclarativeBase):
    """The models of this file."""


class Person(Base):
    """Masked columns without and with a default, and one that is not masked."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(EncryptedString(masked=True))
    token: Mapped[str] = mapped_column(
        EncryptedString(masked=True, storage="text", pad=16), default=lambda: "canary"
    )
    level: Mapped[str | None] = mapped_column(EncryptedEnum("canary", "low", masked=True))
    plain: Mapped[str | None] = mapped_column(EncryptedString())


class Account(MappedAsDataclass, Base):
    """A mapped dataclass, whose repr shows its fields."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    iban: Mapped[str] = mapped_column(EncryptedString(masked=True))


@pytest.fixture
def session(sealer: Sealer, sqlite_engine: sa.Engine) -> Iterator[Session]:
    """Return a session on an empty database."""
    Base.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        yield session


def test_what_is_read_is_masked(session: Session) -> None:
    """A loaded row, a core row and a scalar hold masked texts; None stays None."""
    session.add(Person(name="canary", level="canary", plain="canary"))
    session.commit()
    session.expunge_all()
    row = session.execute(sa.select(Person.name, Person.token, Person.level)).one()
    assert row == ("canary", "canary", "canary")
    assert repr(row) == "('***', '***', '***')"
    person = session.scalars(sa.select(Person)).one()
    assert (repr(person.name), repr(person.plain)) == ("'***'", "'canary'")
    person.name = None
    session.commit()
    assert person.name is None


def test_what_is_assigned_is_masked(session: Session) -> None:
    """The attribute is masked at once, in its history and in the state of the row, too."""
    person = Person(name="canary")
    person.name = "canary 2"
    assert type(person.name) is MaskedStr
    assert "canary" not in repr(sa.inspect(person).attrs.name.history)
    assert "canary" not in repr(sa.inspect(person).dict["name"])
    session.add(person)
    session.commit()
    assert person.name == "canary 2"


def test_a_default_is_masked(session: Session) -> None:
    """A text that came from the column's default is masked after the flush."""
    person = Person()
    session.add(person)
    session.flush()
    assert person.token == "canary"
    assert repr(person.token) == "'***'"


@pytest.mark.parametrize("how", ["evaluate", "fetch", "auto"])
def test_what_a_bulk_update_sets_is_masked(how: Any, session: Session) -> None:
    """A row in the session that an UPDATE statement changes has the new text masked."""
    person = Person(name="canary")
    session.add(person)
    session.commit()
    assert person.name == "canary"
    options = {"synchronize_session": how}
    session.execute(sa.update(Person).values(name="canary 2"), execution_options=options)
    assert person.name == "canary 2"
    assert repr(person.name) == "'***'"


def test_the_repr_of_a_dataclass_is_masked(session: Session) -> None:
    """The generated repr of a mapped dataclass shows stars, before and after it is stored."""
    account = Account(iban="canary")
    assert repr(account) == "Account(id=None, iban='***')"
    session.add(account)
    session.commit()
    session.refresh(account)
    assert repr(account) == "Account(id=1, iban='***')"


def test_another_type_is_not_hidden_behind_a_mask(session: Session) -> None:
    """An SQL expression and a value of a wrong type are passed on as they are."""
    person = Person(name=sa.null())
    session.add(person)
    session.commit()
    assert person.name is None
    person.name = 5
    assert person.name == 5


def test_merging_keeps_the_mask(session: Session) -> None:
    """A detached row comes back into a session with masked texts."""
    person = Person(name="canary")
    session.add(person)
    session.commit()
    assert person.name == "canary"
    session.expunge(person)
    merged = session.merge(person, load=False)
    assert type(merged.name) is MaskedStr
