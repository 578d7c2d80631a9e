"""Sealed JSON in the ORM: documents stay tracked wherever a row goes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    defer,
    mapped_column,
    registry,
    undefer,
)

from sqlalchemy_sealed import EncryptedJSON, Sealer
from sqlalchemy_sealed.errors import ValueRefusedError


class Base(DeclarativeBase):
    """The models of this file."""


class Patient(Base):
    """Documents without and with a default."""

    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(primary_key=True)
    chart: Mapped[Any] = mapped_column(EncryptedJSON(), nullable=True)
    notes: Mapped[Any] = mapped_column(EncryptedJSON(), nullable=True)
    settings: Mapped[Any] = mapped_column(EncryptedJSON(), default=lambda: {"theme": []})


@pytest.fixture
def session(sealer: Sealer, sqlite_engine: sa.Engine) -> Iterator[Session]:
    """Return a session on an empty database."""
    Base.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        yield session


def stored(session: Session, row: Any, attribute: str = "chart") -> Any:
    """Commit, and return the document as the database has it."""
    session.commit()
    column = Patient.__table__.c[attribute]
    return session.connection().scalar(sa.select(column).where(Patient.id == row.id))


def loaded(session: Session, chart: Any) -> Patient:
    """Return a row with this document that was just loaded from the database."""
    row = Patient(chart=chart)
    session.add(row)
    session.commit()
    assert row.chart == chart
    assert not session.is_modified(row)
    return row


def test_a_pending_document_is_written_with_its_changes(session: Session) -> None:
    """Changes before the first flush, and between flush and commit, are stored."""
    row = Patient(chart={"a": []})
    row.chart["a"].append(1)
    session.add(row)
    session.flush()
    row.chart["a"].append(2)
    assert stored(session, row) == {"a": [1, 2]}


def test_a_default_is_tracked_after_the_flush(session: Session) -> None:
    """A document that came from the column's default reports changes at once."""
    row = Patient()
    session.add(row)
    session.flush()
    row.settings["theme"].append("dark")
    assert stored(session, row, "settings") == {"theme": ["dark"]}


@pytest.mark.parametrize(
    "again",
    [
        lambda session, row: session.refresh(row),
        lambda session, row: session.refresh(row, ["chart"]),
        lambda session, row: session.expire(row),
        lambda session, row: session.expire(row, ["chart"]),
        lambda session, row: session.rollback(),
        lambda session, row: session.scalars(
            sa.select(Patient).execution_options(populate_existing=True)
        ).all(),
    ],
    ids=["refresh", "refresh one", "expire", "expire one", "rollback", "populate_existing"],
)
def test_a_document_is_tracked_after_it_was_read_again(again: Any, session: Session) -> None:
    """The new object in the attribute reports changes; unsaved ones are gone."""
    row = loaded(session, {"a": []})
    with session.no_autoflush:
        row.chart["a"].append("unsaved")
        again(session, row)
    assert row.chart == {"a": []}
    row.chart["a"].append(1)
    assert stored(session, row) == {"a": [1]}


def test_a_refresh_of_another_attribute_keeps_changes(session: Session) -> None:
    """Reading one attribute again does not touch the document beside it."""
    row = loaded(session, {"a": []})
    row.chart["a"].append(1)
    with session.no_autoflush:
        session.refresh(row, ["notes"])
    assert stored(session, row) == {"a": [1]}


def test_a_deferred_document_is_tracked(session: Session) -> None:
    """A document that is loaded later, at its first use, reports changes."""
    id_ = loaded(session, {"a": []}).id
    session.expunge_all()
    row = session.scalars(sa.select(Patient).options(defer(Patient.chart))).one()
    assert "chart" not in sa.inspect(row).dict
    row.chart["a"].append(1)
    assert stored(session, row) == {"a": [1]}
    session.expunge_all()
    row = session.get(Patient, id_, options=[undefer(Patient.chart)])
    row.chart["a"].append(2)
    assert stored(session, row) == {"a": [1, 2]}


@pytest.mark.parametrize("load", [True, False])
def test_a_merged_document_is_tracked(load: bool, session: Session) -> None:
    """The merged row has a document of its own that reports to it alone."""
    row = loaded(session, {"a": []})
    session.expunge(row)
    merged = session.merge(row, load=load)
    assert merged is not row
    row.chart["a"].append("detached")
    assert not session.is_modified(merged)
    merged.chart["a"].append(1)
    assert stored(session, merged) == {"a": [1]}


def test_merging_a_detached_change_writes_it(session: Session) -> None:
    """A change made while the row had no session comes in by merge."""
    row = loaded(session, {"a": []})
    session.expunge(row)
    row.chart["a"].append(1)
    assert stored(session, session.merge(row)) == {"a": [1]}


@pytest.mark.parametrize("merge", [False, True])
def test_a_pickled_row_keeps_track(merge: bool, session: Session) -> None:
    """A row that was pickled and came back reports changes inside of its document."""
    row = loaded(session, {"a": []})
    data = pickle.dumps(row)
    session.expunge(row)
    row = pickle.loads(data)
    if merge:
        row = session.merge(row)
    else:
        session.add(row)
    row.chart["a"].append(1)
    assert stored(session, row) == {"a": [1]}


def test_a_change_before_pickling_is_kept(session: Session) -> None:
    """What was changed and not written is still to be written after the pickle."""
    row = loaded(session, {"a": []})
    row.chart["a"].append(1)
    with session.no_autoflush:
        session.expunge(row)
    row = pickle.loads(pickle.dumps(row))
    session.add(row)
    assert stored(session, row) == {"a": [1]}


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_document_belongs_to_no_row(how: Any, session: Session) -> None:
    """A change of a copy is no change of the row."""
    row = loaded(session, {"a": [{}]})
    copied = how(row.chart)
    assert copied == row.chart
    copied["b"] = 1
    assert not session.is_modified(row)
    assert row.chart == {"a": [{}]}


def test_a_deep_copy_shares_nothing_with_the_row(session: Session) -> None:
    """A change deep inside of a deep copy is no change of the row."""
    row = loaded(session, {"a": [{}]})
    copied = copy.deepcopy(row.chart)
    copied["a"][0]["b"] = 1
    assert not session.is_modified(row)
    assert row.chart == {"a": [{}]}


def test_a_deep_copied_row_keeps_track(session: Session) -> None:
    """A copy of a new row has a document of its own that reports to it."""
    row = Patient(chart={"a": []})
    copied = copy.deepcopy(row)
    session.add(copied)
    session.flush()
    copied.chart["a"].append(1)
    assert stored(session, copied) == {"a": [1]}
    assert row.chart == {"a": []}


def test_a_pickled_document_belongs_to_the_row_it_is_given_to(session: Session) -> None:
    """A document that was pickled by itself reports to no row, until it is assigned to one."""
    row = loaded(session, {"a": [{}]})
    document = pickle.loads(pickle.dumps(row.chart))
    assert document == row.chart
    document["a"][0]["b"] = 1
    assert not session.is_modified(row)
    row.chart = document
    session.commit()
    row.chart["a"][0]["b"] = 2
    assert stored(session, row) == {"a": [{"b": 2}]}


def test_a_document_that_is_put_into_itself_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """No document ever contains itself, also not one that was pickled and has no row yet."""
    one, other = (pickle.loads(pickle.dumps(Patient(chart=[{}]).chart)) for _ in range(2))
    # In a circle, a change would be reported without an end.
    monkeypatch.setattr(type(one), "changed", lambda _: None)
    one.append(one)
    assert one == [{}, [{}]]
    one.append(other)
    other.append(one)
    assert other == [{}, [{}, [{}], [{}]]]


@pytest.mark.parametrize("depth", [20, 300, 900])
def test_a_document_that_is_stored_can_be_read(depth: int, session: Session) -> None:
    """A document nested too deep to be read is refused when it is written, and not stored."""
    document: Any = {}
    for _ in range(depth):
        document = {"a": document}
    with suppress(ValueRefusedError):
        session.execute(sa.insert(Patient), [{"chart": document}])
    session.execute(sa.insert(Patient), [{"chart": {}}])
    for row in session.scalars(sa.select(Patient)):
        row.chart["b"] = 1
        assert stored(session, row)["b"] == 1


def test_a_document_that_contains_itself_is_refused(session: Session) -> None:
    """A cycle is refused where it is assigned, by our error."""
    document: dict[str, Any] = {}
    document["a"] = document
    with pytest.raises(ValueRefusedError, match="contains itself"):
        Patient(chart=document)


def test_an_imperatively_mapped_class_is_tracked(sealer: Sealer, sqlite_engine: sa.Engine) -> None:
    """A Table with a mapper of its own tracks as a declarative class."""
    mappers = registry()
    table = sa.Table(
        "things",
        mappers.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("body", EncryptedJSON(), key="document"),
    )
    thing: Any = type("Thing", (), {})
    mappers.map_imperatively(thing, table)
    mappers.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        row = thing()
        row.document = {"a": []}
        session.add(row)
        session.commit()
        row.document["a"].append(1)
        session.commit()
        assert row.document == {"a": [1]}
