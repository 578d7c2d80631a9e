"""Sealed JSON in the ORM: a change inside of a document is seen, at any depth."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
)

from sqlalchemy_sealed import EncryptedJSON, Sealer


class Base(DeclarativeBase):
    """The models of this file."""


class Patient(Base):
    """A document that is tracked, and one that is not."""

    __tablename__ = "patients"
    kind: Mapped[str] = mapped_column(default="patient")
    id: Mapped[int] = mapped_column(primary_key=True)
    chart: Mapped[Any] = mapped_column(EncryptedJSON(), nullable=True)
    notes: Mapped[Any] = mapped_column(EncryptedJSON(tracked=False), nullable=True)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "patient"}


class Inpatient(Patient):
    """A subclass in the same table."""

    __mapper_args__ = {"polymorphic_identity": "inpatient"}


@pytest.fixture
def session(sealer: Sealer, sqlite_engine: sa.Engine) -> Iterator[Session]:
    """Return a session on an empty database."""
    Base.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        yield session


@pytest.fixture(params=[Patient, Inpatient])
def class_(request: pytest.FixtureRequest) -> Any:
    """Return a mapped class."""
    return request.param


def stored(session: Session, row: Any, attribute: str = "chart") -> Any:
    """Commit, and return the document as the database has it."""
    session.commit()
    column = Patient.__table__.c[attribute]
    return session.connection().scalar(sa.select(column).where(Patient.id == row.id))


def loaded(session: Session, chart: Any, class_: Any = Patient) -> Any:
    """Return a row with this document that was just loaded from the database."""
    row = class_(chart=chart)
    session.add(row)
    session.commit()
    assert row.chart == chart
    assert not session.is_modified(row)
    return row


DOCUMENT = {"a": [1, {"b": [3, 1, 2]}], "z": {"k": 1}}

Change = Callable[[Any], Any]
DICT_CHANGES: dict[str, Change] = {
    "setitem": lambda d: d.__setitem__("new", 1),
    "setitem replaces": lambda d: d.__setitem__("k", 2),
    "delitem": lambda d: d.__delitem__("k"),
    "setdefault": lambda d: d.setdefault("new", []),
    "update dict": lambda d: d.update({"new": 1}),
    "update pairs": lambda d: d.update([("new", 1)], more=2),
    "ior": lambda d: d.__ior__({"new": 1}),
    "pop": lambda d: d.pop("k"),
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
}
LIST_CHANGES: dict[str, Change] = {
    "setitem": lambda v: v.__setitem__(0, 9),
    "setitem slice": lambda v: v.__setitem__(slice(0, 2), iter([{"x": 1}])),
    "setitem extended slice": lambda v: v.__setitem__(slice(None, None, 2), [7, 8]),
    "delitem": lambda v: v.__delitem__(0),
    "delitem slice": lambda v: v.__delitem__(slice(1)),
    "append": lambda v: v.append({"x": []}),
    "extend": lambda v: v.extend(iter([4, []])),
    "iadd": lambda v: v.__iadd__((4, 5)),
    "imul": lambda v: v.__imul__(2),
    "insert": lambda v: v.insert(0, [0]),
    "pop": lambda v: v.pop(),
    "pop first": lambda v: v.pop(0),
    "remove": lambda v: v.remove(3),
    "clear": lambda v: v.clear(),
    "sort": lambda v: v.sort(),
    "sort with key": lambda v: v.sort(key=lambda x: -x, reverse=True),
    "reverse": lambda v: v.reverse(),
}


def same_result(change: Change, plain: Any, seen: Any) -> None:
    """Check that a change gives the same result for a plain and for a tracked object."""
    before = copy.deepcopy(plain)
    one, other = change(plain), change(seen)
    assert (one if one is not plain else None) == (other if other is not seen else None)
    assert plain == seen != before
    assert type(plain) is not type(seen)


@pytest.mark.parametrize("change", DICT_CHANGES.values(), ids=DICT_CHANGES)
@pytest.mark.parametrize("path", [(), ("z",), ("z", "y", 0)], ids=["top", "inner", "deep"])
def test_every_method_of_dict_is_seen(path: Any, change: Change, session: Session) -> None:
    """A change does what it does to a plain dict, and is written at the next flush."""
    plain: Any = {"k": 1}
    expected: Any = plain
    for step in reversed(path):
        expected = {step: expected} if isinstance(step, str) else [expected]
    row = loaded(session, expected)
    at = row.chart
    for step in path:
        at = at[step]
    same_result(change, plain, at)
    assert session.is_modified(row)
    assert stored(session, row) == expected


@pytest.mark.parametrize("change", LIST_CHANGES.values(), ids=LIST_CHANGES)
@pytest.mark.parametrize("deep", [False, True])
def test_every_method_of_list_is_seen(deep: bool, change: Change, session: Session) -> None:
    """A change does what it does to a plain list, and is written at the next flush."""
    plain: list[Any] = [3, 1, 2]
    expected = [{"a": [plain]}] if deep else plain
    row = loaded(session, expected)
    same_result(change, plain, row.chart[0]["a"][0] if deep else row.chart)
    assert session.is_modified(row)
    assert stored(session, row) == expected


@pytest.mark.parametrize(
    "read",
    [
        lambda d: (d["z"], d.get("x"), d.get("a"), len(d), "a" in d, list(d)),
        lambda d: (d.keys(), list(d.values()), list(d.items()), d | {"q": 1}, d.copy()),
        lambda d: (d["a"][0], d["a"][::-1], d["a"] + [1], d["a"] * 2, d["a"].copy()),
        lambda d: (d["a"].index(1), d["a"].count(1), sorted(d["a"][1]["b"]), repr(d), str(d)),
        lambda d: (json.dumps(d), pickle.dumps(d), copy.deepcopy(d), d == DOCUMENT),
        lambda d: d.setdefault("z", 5),
    ],
)
def test_reading_changes_nothing(read: Change, session: Session) -> None:
    """Nothing that leaves the document as it is makes an UPDATE."""
    row = loaded(session, DOCUMENT)
    read(row.chart)
    assert not session.is_modified(row)


def test_a_sort_that_fails_half_way_is_seen(session: Session) -> None:
    """A comparison that raises leaves the list in another order, which is written."""
    row = loaded(session, [1, 3, 2, "x"])
    with pytest.raises(TypeError):
        row.chart.sort()
    assert row.chart == [1, 2, 3, "x"]
    assert stored(session, row) == [1, 2, 3, "x"]


def test_what_is_put_in_is_tracked(session: Session) -> None:
    """Objects that are added to a loaded document report their own later changes."""
    row = loaded(session, {})
    row.chart["a"] = {"b": [({},)]}
    row.chart.setdefault("c", []).append({})
    session.commit()
    row.chart["a"]["b"][0][0]["deep"] = 1
    assert stored(session, row) == {"a": {"b": [[{"deep": 1}]]}, "c": [{}]}
    row.chart["c"][0]["deep"] = 2
    assert stored(session, row)["c"] == [{"deep": 2}]


def test_in_every_mapped_class(class_: Any, session: Session) -> None:
    """A subclass tracks the documents that it inherits."""
    row = loaded(session, {"a": []}, class_)
    row.chart["a"].append(1)
    assert stored(session, row) == {"a": [1]}


@pytest.mark.parametrize("scalar", ["text", 5, 1.5, True, "", 0, False])
def test_a_scalar_is_a_document(scalar: Any, session: Session) -> None:
    """A text, a number or a truth value at the top is stored, read, and replaced by a list."""
    row = loaded(session, scalar)
    assert type(row.chart) is type(scalar)
    row.chart = [scalar]
    session.commit()
    row.chart.append(scalar)
    assert stored(session, row) == [scalar, scalar]


def test_json_null_is_not_sql_null(session: Session) -> None:
    """JSON.NULL is sealed and None is not; both are read as None."""
    session.add_all([Patient(id=1, chart=None), Patient(id=2, chart=sa.JSON.NULL)])
    session.commit()
    raw = session.connection().exec_driver_sql("SELECT chart FROM patients ORDER BY id").scalars()
    nothing, envelope = raw.all()
    assert nothing is None
    assert len(envelope) == 52 + len("null")
    assert [row.chart for row in session.scalars(sa.select(Patient))] == [None, None]
    assert session.scalars(sa.select(Patient.id).where(Patient.chart.is_(None))).all() == [1]


def test_an_untracked_document_must_be_assigned(session: Session) -> None:
    """With tracked=False documents are plain, and only an assignment is written."""
    row = Patient(notes={"a": [1]})
    session.add(row)
    session.commit()
    assert type(row.notes) is dict
    row.notes["a"].append(2)
    assert stored(session, row, "notes") == {"a": [1]}
    row.notes = {"a": [1, 2]}
    assert stored(session, row, "notes") == {"a": [1, 2]}


def test_an_assigned_document_is_copied(session: Session) -> None:
    """The attribute holds tracked copies: the object that was assigned stays as it is."""
    given: dict[str, Any] = {"a": []}
    one, other = Patient(chart=given), Patient()
    other.chart = one.chart
    one.chart["a"].append(1)
    other.chart["a"].append(2)
    assert (given, one.chart, other.chart) == ({"a": []}, {"a": [1]}, {"a": [2]})
