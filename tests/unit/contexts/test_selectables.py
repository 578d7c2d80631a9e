"""The context of a value that comes through an alias, a CTE, a subquery or a UNION."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    Bundle,
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    column_property,
    mapped_column,
    registry,
    relationship,
)

from sqlalchemy_sealed import EncryptedString, Sealer
from sqlalchemy_sealed.errors import AuthenticationError, RefusedOperationError


class Base(DeclarativeBase):
    """The models of this file."""


class Person(Base):
    """Two sealed columns, and a person one reports to."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    boss_id: Mapped[int | None] = mapped_column(sa.ForeignKey("people.id"))
    email: Mapped[str | None] = mapped_column(EncryptedString())
    phone: Mapped[str | None] = mapped_column(EncryptedString())
    boss: Mapped[Person | None] = relationship(remote_side="Person.id")


class Former(Base):
    """An archive: its e-mail has the label of the first table, its phone one of its own."""

    __tablename__ = "former_people"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(EncryptedString(context="people.email"))
    phone: Mapped[str | None] = mapped_column(EncryptedString())


people, former = Person.__table__, Former.__table__


@pytest.fixture
def session(sealer: Sealer, sqlite_engine: sa.Engine) -> Iterator[Session]:
    """Return a session on two people, one of them the other's boss, and a former one."""
    Base.metadata.create_all(sqlite_engine)
    with Session(sqlite_engine) as session:
        ada = Person(id=1, email="ada@x", phone="111")
        bob = Person(id=2, email="bob@x", phone="222", boss=ada)
        session.add_all([ada, bob, Former(id=3, email="cyd@x", phone="333")])
        session.commit()
        yield session


ALIAS = people.alias("boss")
CTE = sa.select(people.c.id, people.c.email.label("address")).cte("addresses")
SUBQUERY = sa.select(people).where(people.c.id == 2).subquery()
NESTED = sa.select(sa.select(SUBQUERY.c.email).subquery())

RECURSIVE = sa.select(people.c.id, people.c.email).where(people.c.id == 2).cte(recursive=True)
RECURSIVE = RECURSIVE.union_all(
    sa.select(people.c.id, people.c.email).where(people.c.id == RECURSIVE.c.id - 1)
)

SELECTS: dict[str, tuple[Any, Any]] = {
    "label": (sa.select(people.c.email.label("x")).order_by(people.c.id), ["ada@x", "bob@x"]),
    "alias": (sa.select(ALIAS.c.email).where(ALIAS.c.id == 1), ["ada@x"]),
    "cte": (sa.select(CTE.c.address).order_by(CTE.c.id), ["ada@x", "bob@x"]),
    "recursive cte": (sa.select(RECURSIVE.c.email), ["bob@x", "ada@x"]),
    "subquery": (sa.select(SUBQUERY.c.email), ["bob@x"]),
    "nested subquery": (NESTED, ["bob@x"]),
    "aliased subquery": (
        sa.select(sa.select(people.c.email).where(people.c.id == 1).alias()),
        ["ada@x"],
    ),
    "scalar subquery": (
        sa.select(sa.select(people.c.email).where(people.c.id == 1).scalar_subquery()),
        ["ada@x"],
    ),
    "self join": (
        sa.select(ALIAS.c.email).join_from(people, ALIAS, people.c.boss_id == ALIAS.c.id),
        ["ada@x"],
    ),
    "outer join": (
        sa.select(ALIAS.c.email)
        .outerjoin_from(people, ALIAS, people.c.boss_id == ALIAS.c.id)
        .order_by(people.c.id),
        [None, "ada@x"],
    ),
    "coalesce": (
        sa.select(sa.func.coalesce(ALIAS.c.email, ALIAS.c.email)).where(ALIAS.c.id == 1),
        ["ada@x"],
    ),
    "count": (sa.select(sa.func.count(people.c.email)), [2]),
    "case": (
        sa.select(sa.case((people.c.id == 1, people.c.email))).order_by(people.c.id),
        ["ada@x", None],
    ),
    "type_coerce": (
        sa.select(sa.type_coerce(sa.literal_column("email"), people.c.email.type))
        .select_from(people)
        .where(people.c.id == 1),
        ["ada@x"],
    ),
    "union of equal labels": (
        sa.union_all(sa.select(people.c.email), sa.select(former.c.email)),
        ["ada@x", "bob@x", "cyd@x"],
    ),
    "subquery of a union": (
        sa.select(sa.union_all(sa.select(people.c.phone), sa.select(people.c.phone)).subquery()),
        ["111", "222", "111", "222"],
    ),
}


@pytest.mark.parametrize("name", SELECTS)
def test_the_context_goes_with_the_column(name: str, session: Session) -> None:
    """A column keeps its context through everything that selects from its table."""
    statement, expected = SELECTS[name]
    assert session.execute(statement).scalars().all() == expected
    assert session.connection().execute(statement).scalars().all() == expected


def test_entities_through_aliases_and_unions(session: Session) -> None:
    """The ORM loads entities from an alias, a subquery, a CTE and a UNION ALL."""
    boss = aliased(Person, name="boss")
    statement = sa.select(Person.phone, boss.phone).join(boss, Person.boss)
    assert session.execute(statement).all() == [("222", "111")]
    selected = sa.select(Person).where(Person.id == 2)
    for source in (
        selected.subquery(),
        selected.cte(),
        selected.union_all(selected.where(Person.id == 1)).subquery(),
    ):
        session.expunge_all()
        entity = aliased(Person, source)
        assert session.scalars(sa.select(entity.email)).one() == "bob@x"
        person = session.scalars(sa.select(entity)).one()
        assert (person.email, person.phone, person.boss.email) == ("bob@x", "222", "ada@x")
    union = sa.select(Person).from_statement(selected.union_all(selected))
    assert session.scalars(union).unique().one().phone == "222"


def test_bundles_and_column_properties(session: Session) -> None:
    """A bundle, and a mapped subquery of another column, keep the context of that column."""
    bundle = Bundle("contact", Person.email, Person.phone)
    assert session.execute(sa.select(bundle).where(Person.id == 1)).scalar_one() == ("ada@x", "111")
    boss = people.alias()
    with_boss: Any = type("WithBoss", (), {})
    of_boss = sa.select(boss.c.phone).where(boss.c.id == people.c.boss_id).scalar_subquery()
    properties = {"boss_phone": column_property(of_boss)}
    registry().map_imperatively(with_boss, people, properties=properties)
    assert session.get_one(with_boss, 2).boss_phone == "111"


OTHER_CONTEXTS = [(people.c.email, people.c.phone), (people.c.phone, former.c.phone)]
EMAILS = sa.select(people.c.email), sa.select(former.c.email)
REFUSED = {
    "max": (sa.select(sa.func.max(people.c.email)), r"max\(\) is not possible"),
    "union": (sa.union(*EMAILS), "UNION is not possible"),
    "intersect": (sa.intersect(*EMAILS), "INTERSECT is not possible"),
    "except": (sa.except_(*EMAILS), "EXCEPT is not possible"),
    "subquery of a union": (sa.select(sa.union(*EMAILS).subquery()), "UNION is not possible"),
    "cte of a union": (sa.select(sa.union(*EMAILS).cte()), "UNION is not possible"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_compares_sealed_bytes_is_refused(name: str, session: Session) -> None:
    """Equal values are stored as different bytes: max() and UNION would compare those."""
    statement, message = REFUSED[name]
    with pytest.raises(RefusedOperationError, match=rf"^people\.email: {message}"):
        session.execute(statement)


def test_entities_through_a_union_that_compares_are_refused(session: Session) -> None:
    """So are entities: UNION would have to tell rows apart by their sealed bytes."""
    selected = sa.select(Person)
    entity = aliased(Person, selected.union(selected).subquery())
    for statement in (sa.select(entity), selected.from_statement(selected.union(selected))):
        with pytest.raises(RefusedOperationError, match="UNION is not possible"):
            session.scalars(statement)


@pytest.mark.parametrize(("first", "second"), OTHER_CONTEXTS, ids=str)
@pytest.mark.parametrize("union", [sa.union, sa.union_all])
def test_a_union_of_two_contexts_is_refused(
    union: Any, first: Any, second: Any, session: Session
) -> None:
    """Rows of the second column would not open under the first one's label."""
    statement = union(sa.select(first).where(people.c.id < 0), sa.select(second))
    with pytest.raises(RefusedOperationError, match=rf"^people\.{first.name}: UNION"):
        session.execute(statement)


@pytest.mark.parametrize(("first", "second"), OTHER_CONTEXTS, ids=str)
def test_the_first_select_of_a_union_in_raw_sql_decides(
    first: Any, second: Any, session: Session
) -> None:
    """Raw SQL is not read: there, rows of the other column do not open; the error says so."""
    sql = f"SELECT {first} FROM people WHERE id < 0 UNION ALL SELECT {second} FROM {second.table}"
    with pytest.raises(AuthenticationError, match=rf"^people\.{first.name}: ") as caught:
        session.execute(sa.text(sql).columns(first)).all()
    assert "moved here from another column" in str(caught.value)


def test_a_union_can_be_read_column_by_column(session: Session) -> None:
    """What helps: a column of its own for each context."""
    no_email = sa.type_coerce(sa.null(), people.c.email.type)
    no_phone = sa.type_coerce(sa.null(), former.c.phone.type).label("phone")
    statement = sa.union_all(
        sa.select(people.c.email, no_phone).where(people.c.id == 1),
        sa.select(no_email, former.c.phone),
    ).subquery()
    assert session.execute(sa.select(statement)).all() == [
        ("ada@x", None),
        (None, "333"),
    ]


def test_a_ciphertext_in_another_column_does_not_open(session: Session) -> None:
    """Moved by UPDATE or INSERT FROM SELECT, a value is refused with the name of the column."""
    copies = [
        "UPDATE people SET phone = email WHERE id = 1",
        "INSERT INTO former_people (id, phone) SELECT 4, phone FROM people WHERE id = 2",
    ]
    for sql, column in zip(copies, (people.c.phone, former.c.phone), strict=True):
        session.execute(sa.text(sql))
        with pytest.raises(AuthenticationError) as caught:
            session.execute(sa.select(column)).all()
        assert str(caught.value).startswith(f"{column.table.name}.phone: ")
        assert caught.value.where == f"{column.table.name}.phone"
        assert "does not authenticate" in str(caught.value)


def test_one_bad_value_does_not_spoil_other_columns(session: Session) -> None:
    """The columns beside a moved value are still read."""
    session.execute(sa.text("UPDATE people SET phone = email"))
    assert session.scalars(sa.select(Person.email).order_by(Person.id)).all() == ["ada@x", "bob@x"]
    with pytest.raises(AuthenticationError, match=r"^people\.phone: "):
        session.scalars(sa.select(Person)).all()


def test_equal_explicit_labels_are_interchangeable(session: Session) -> None:
    """Rows can be moved inside of the database to a column of the same label."""
    moved = sa.select(people.c.id, people.c.email).where(people.c.id == 2)
    session.execute(sa.insert(former).from_select(["id", "email"], moved))
    assert session.scalars(sa.select(Former.email).order_by(Former.id)).all() == ["bob@x", "cyd@x"]


def test_a_value_of_the_same_column_can_be_swapped_between_rows(session: Session) -> None:
    """The context is that of the column: rows are not told apart, as the threat model says."""
    session.execute(
        sa.text("UPDATE people SET email = (SELECT email FROM people WHERE id = 2) WHERE id = 1")
    )
    assert session.scalars(sa.select(Person.email)).all() == ["bob@x", "bob@x"]
