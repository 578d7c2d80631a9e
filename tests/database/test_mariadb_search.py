"""Searching sealed columns on a real MariaDB server, by the indexes over companion columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    subqueryload,
)

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index, execute_exact

pytestmark = pytest.mark.mariadb

# MariaDB ends a recursive query after 1,000 rounds, with a warning only.
MANY = 1200


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    ward: Mapped[int]
    email: Mapped[str | None] = mapped_column(
        EncryptedString(index=BlindIndex(context="mail", normalize="casefold"))
    )
    phone: Mapped[str] = mapped_column(
        EncryptedString(
            storage="text",
            index=[BlindIndex(), BlindIndex("last4", normalize="last4"), BlindIndex("few", bits=4)],
        )
    )
    letters: Mapped[list[Letter]] = relationship(
        primaryjoin=lambda: Patient.email == sa.orm.foreign(Letter.sender), viewonly=True
    )
    numbered: Mapped[list[Letter]] = relationship(
        primaryjoin=lambda: Patient.id == sa.orm.foreign(Letter.id), viewonly=True
    )
    __table_args__ = (
        sa.Index("ix_email", blind_index(email)),
        sa.Index("ix_phone", blind_index(phone)),
        sa.Index("ix_last4", "ward", blind_index(phone, "last4")),
    )


class Letter(Base):
    __tablename__ = "letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    sender: Mapped[str] = mapped_column(
        EncryptedString(index=BlindIndex(context="mail", normalize="casefold"))
    )
    __table_args__ = (sa.Index("ix_sender", blind_index(sender)),)


Other = aliased(Patient)


def email(number: int) -> str:
    """Return the address of a patient."""
    return f"Patient{number}@example.org"


def phone(number: int) -> str:
    """Return the phone number of a patient."""
    return f"0171{number:06}"


@pytest.fixture
def session(
    request: pytest.FixtureRequest, mariadb_url: sa.URL, sealer: Sealer
) -> Iterator[Session]:
    """Return a session with 100 patients, one more without an address, and three letters."""
    name = getattr(request, "param", mariadb_url.drivername)
    engine = sa.create_engine(mariadb_url.set(drivername=name))
    Base.metadata.create_all(engine)
    patients = [
        {"id": n, "ward": n % 2, "email": None if n == NOBODY else email(n), "phone": phone(n)}
        for n in ALL
    ]
    letters = [{"id": n, "sender": email(n).upper()} for n in (1, 2, 1000)]
    with Session(engine) as session:
        session.execute(sa.insert(Patient), patients)
        session.execute(sa.insert(Letter), letters)
        session.commit()
        yield session
    engine.dispose()


def ids(session: Session, *conditions: Any) -> list[int]:
    """Return the ids of the patients that a condition finds."""
    return list(session.scalars(sa.select(Patient.id).where(*conditions).order_by(Patient.id)))


ALL = list(range(1, 102))
NOBODY = 101
CONDITIONS = {
    "equal": (Patient.email == "pAtient7@EXAMPLE.org", [7]),
    "equal to none": (Patient.email == "nobody@example.org", []),
    "other than": (Patient.email != email(7), [n for n in ALL[:-1] if n != 7]),
    "null": (Patient.email.is_(None), [NOBODY]),
    "not null": (Patient.email.is_not(None), ALL[:-1]),
    "in": (Patient.email.in_([email(n) for n in (3, 99, 500)]), [3, 99]),
    "in with null": (Patient.email.in_([email(3), None]), [3]),
    "in nothing": (Patient.email.in_([]), []),
    "in many": (Patient.email.in_([email(n) for n in range(99, MANY)]), [99, 100]),
    "not in many": (Patient.email.not_in([email(n) for n in range(2, MANY)]), [1]),
    "not in nothing": (Patient.email.not_in([]), ALL),
    "not in with null": (Patient.email.not_in([email(3), None]), []),
    "distinct": (Patient.email.is_distinct_from(email(7)), [n for n in ALL if n != 7]),
    "not distinct": (Patient.email.is_not_distinct_from(email(7)), [7]),
    "not (in)": (sa.not_(Patient.email.in_([email(n) for n in range(2, 101)])), [1]),
    "not (equal)": (sa.not_(Patient.email == email(1)), ALL[1:-1]),
    "text, equal": (Patient.phone == phone(7), [7]),
    "text, in many": (Patient.phone.in_([phone(n) for n in range(99, MANY)]), [99, 100, 101]),
    "another index": (blind_index(Patient.phone, "last4") == "0008", [8]),
    "and": (sa.and_(blind_index(Patient.phone, "last4") == "0008", Patient.ward == 1), []),
    "or": (sa.or_(Patient.email == email(7), Patient.phone == phone(9)), [7, 9]),
    "or in and": (
        sa.and_(Patient.id > 5, sa.or_(Patient.email.in_([email(5), email(6)]), Patient.id == 9)),
        [6, 9],
    ),
    "subquery": (Patient.id.in_(sa.select(Other.id).where(Other.email == email(7))), [7]),
    "exists": (sa.exists().where(Letter.sender == Patient.email), [1, 2]),
    "in a subquery": (
        blind_index(Patient.email).in_(sa.select(blind_index(Letter.sender))),
        [1, 2],
    ),
}


@pytest.mark.parametrize("session", ["mariadb+pymysql", "mysql+pymysql"], indirect=True)
def test_each_condition_finds_its_rows(session: Session) -> None:
    """Each operator that the index can answer finds the rows that it means, and no other."""
    found = {name: ids(session, condition) for name, (condition, _) in CONDITIONS.items()}
    assert found == {name: expected for name, (_, expected) in CONDITIONS.items()}


def test_values_come_back_opened(session: Session) -> None:
    """What was found is read as any other value."""
    found = session.scalars(sa.select(Patient).filter_by(email=email(42))).one()
    assert (found.email, found.phone) == (email(42), phone(42))


def test_joins_and_subqueries(session: Session) -> None:
    """Columns of one index context are joined, in aliases, subqueries and CTEs, too."""
    other = aliased(Patient)
    join = sa.select(other.id, Letter.id).join(Letter, Letter.sender == other.email)
    assert sorted(session.execute(join).all()) == [(1, 1), (2, 2)]
    for inner in (sa.select(Patient).subquery(), sa.select(Patient).cte()):
        assert session.scalars(sa.select(inner.c.id).where(inner.c.email == email(5))).all() == [5]
        inside = aliased(Patient, inner)
        assert session.scalars(sa.select(inside.id).where(inside.email == email(5))).all() == [5]


@pytest.mark.parametrize("load", [None, selectinload, joinedload])
def test_relationships(session: Session, load: Any) -> None:
    """A relationship over two sealed columns loads lazily, by SELECT IN, and joined."""
    statement = sa.select(Patient).where(Patient.id.in_([1, 3])).order_by(Patient.id)
    if load is not None:
        statement = statement.options(load(Patient.letters))
    first, third = session.scalars(statement).unique()
    assert [letter.id for letter in first.letters] == [1]
    assert third.letters == []


@pytest.mark.parametrize("load", [selectinload, subqueryload, joinedload])
@pytest.mark.parametrize("caching", [True, False])
def test_the_criteria_of_loader_options(session: Session, load: Any, caching: bool) -> None:
    """A criterion of a loader option searches for its own values each time."""
    options = {} if caching else {"compiled_cache": None}
    for numbers in ([1], [2], [1, 2], []):
        senders = Letter.sender.in_([email(number) for number in numbers])
        statement = sa.select(Patient).where(Patient.id.in_([1, 2])).order_by(Patient.id)
        statement = statement.options(load(Patient.numbered.and_(senders)))
        patients = session.scalars(statement, execution_options=options).unique().all()
        letters = [letter.id for patient in patients for letter in patient.numbered]
        assert letters == numbers
        session.expunge_all()


def test_a_slot_is_selected_and_grouped(session: Session) -> None:
    """`blind_index()` in the columns, GROUP BY and DISTINCT gives one value for each plaintext."""
    session.add(Letter(id=5, sender=email(1)))
    session.flush()
    slot = blind_index(Letter.sender)
    counts = session.execute(sa.select(slot, sa.func.count()).group_by(slot)).all()
    assert sorted(count for _, count in counts) == [1, 1, 2]
    assert {len(value) for value, _ in counts} == {15}
    assert len(session.scalars(sa.select(slot).distinct()).all()) == 3


def test_updates_and_deletes(session: Session) -> None:
    """UPDATE and DELETE change the rows that the condition finds, and no other."""
    many = [email(n) for n in range(99, MANY)]
    session.execute(sa.update(Patient).where(Patient.email.in_(many)).values(ward=7))
    session.execute(sa.update(Patient).where(Patient.email == email(5)).values(email=email(500)))
    assert ids(session, Patient.ward == 7) == [99, 100]
    assert ids(session, Patient.email == email(5)) == []
    assert ids(session, Patient.email == email(500)) == [5]
    gone = sa.delete(Patient).where(Patient.email.not_in([email(500), email(1)]))
    session.execute(gone.execution_options(synchronize_session=False))
    assert ids(session) == [1, 5, NOBODY]


def test_an_update_over_two_tables(session: Session) -> None:
    """An UPDATE that joins by sealed columns names the companions of both tables."""
    change = sa.update(Patient).where(Patient.email == Letter.sender).values(ward=Letter.id + 50)
    session.execute(change.execution_options(synchronize_session=False))
    assert ids(session, Patient.ward > 50) == [1, 2]


def test_a_truncated_index_is_searched_exactly(session: Session) -> None:
    """`execute_exact` drops the false matches of an index of few bits."""
    condition = blind_index(Patient.phone, "few").in_([phone(8), phone(9)])
    statement = sa.select(Patient.id).where(condition).order_by(Patient.id)
    assert execute_exact(session, statement).scalars().all() == [8, 9]


def by_lambda(who: str) -> Any:
    """Return a lambda statement that searches one address."""
    return sa.lambda_stmt(lambda: sa.select(Patient.id).where(Patient.email == who))


def several_by_lambda(whom: list[str]) -> Any:
    """Return a lambda statement that searches several addresses."""
    return sa.lambda_stmt(lambda: sa.select(Patient.id).where(Patient.email.in_(whom)))


def test_parameters_and_lambdas(session: Session) -> None:
    """Values come by name at execution, or from the variables of a lambda statement."""
    one = sa.select(Patient.id).where(Patient.email == sa.bindparam("who"))
    some = sa.select(Patient.id).where(Patient.email.in_(sa.bindparam("who"))).order_by(Patient.id)
    for number in (3, 4):
        assert session.scalar(one, {"who": email(number)}) == number
        found = session.scalars(some, {"who": [email(number), email(50)]}).all()
        assert found == [number, 50]
        assert session.scalar(by_lambda(email(number))) == number
        found = session.scalars(several_by_lambda([email(number), email(60)])).all()
        assert sorted(found) == [number, 60]


def test_parameters_that_may_be_null(session: Session) -> None:
    """None at execution is NULL to `==`, no list to `in_`, a value to IS DISTINCT FROM."""
    who = sa.bindparam("who")
    for condition, expected in [
        (Patient.email == who, []),
        (Patient.email != who, []),
        (Patient.email.in_(who), []),
        (Patient.email.not_in(who), ALL),
        (Patient.email.is_not_distinct_from(who), [NOBODY]),
        (Patient.email.is_distinct_from(who), ALL[:-1]),
    ]:
        statement = sa.select(Patient.id).where(condition).order_by(Patient.id)
        assert session.scalars(statement, {"who": None}).all() == expected
    distinct = sa.select(Patient.id).where(Patient.email.is_not_distinct_from(who))
    assert session.scalars(distinct, {"who": email(7)}).all() == [7]


def test_one_cached_statement_for_all_values(session: Session) -> None:
    """Other values, and other numbers of them, compile nothing new."""
    cache = session.get_bind()._compiled_cache
    sizes = []
    for number in range(1, 20):
        ids(session, Patient.email == email(number))
        numbers = list(range(1, number))
        assert ids(session, Patient.email.in_([email(n) for n in numbers])) == numbers
        sizes.append(len(cache))
    assert sizes == sizes[:1] * 19


def test_literals(session: Session) -> None:
    """A statement that is rendered with its values finds the same rows, and shows slots only."""
    for condition, expected in [
        (Patient.email == email(7), [7]),
        (Patient.email.in_([email(7), email(8)]), [7, 8]),
        (Patient.phone.in_([phone(7), phone(8)]), [7, 8]),
        (Patient.email.in_([]), []),
        (Patient.email.not_in([]), ALL),
    ]:
        statement = sa.select(Patient.id).where(condition).order_by(Patient.id)
        text = str(statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        assert "atient7" not in text
        found = session.connection().exec_driver_sql(text.replace("%", "%%"))
        assert found.scalars().all() == expected
