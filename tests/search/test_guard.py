"""The guard beyond the matrix: types around sealed types, SQL of applications, rotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, foreign, mapped_column, relationship

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index, guard
from sqlalchemy_sealed.errors import RefusedOperationError, ValueRefusedError
from sqlalchemy_sealed.guard.parts import parts


class Stripped(sa.TypeDecorator[str]):
    """An application's own type around a sealed one."""

    impl = EncryptedString
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Take spaces away before the value is sealed; a text of nothing else is NULL."""
        return value.strip() or None if value is not None else None


class Lowered(EncryptedString):
    """A sealed type that changes its values."""

    def process_bind_param(self, value: str | None, dialect: Any) -> Any:
        """Store the lower case."""
        return super().process_bind_param(value and value.lower(), dialect)


class Base(DeclarativeBase):
    pass


class Person(Base):
    """Columns of such types, and one that is related to another by a sealed value."""

    __tablename__ = "guarded"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[str | None] = mapped_column(sa.String(50))
    stripped: Mapped[str | None] = mapped_column(Stripped(index=BlindIndex(), check=False))
    lowered: Mapped[str | None] = mapped_column(Lowered(index=BlindIndex()))
    few: Mapped[str | None] = mapped_column(Lowered(index=BlindIndex(bits=8)))
    email: Mapped[str | None] = mapped_column(EncryptedString(index=BlindIndex()))
    friend: Mapped[str | None] = mapped_column(
        EncryptedString(index=BlindIndex(context="guarded.email"))
    )
    friends: Mapped[list[Person]] = relationship(
        primaryjoin=lambda: foreign(Person.friend) == sa.orm.remote(Person.email),
        viewonly=True,
        uselist=True,
    )


P: Any = Person.__table__
IDS = sa.select(P.c.id)


@pytest.fixture
def people(engine: Engine, sealer: Sealer) -> Engine:
    """Return an engine on a database with two people."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        row = {"id": 1, "plain": "x", "stripped": " ada ", "lowered": "ADA", "few": "ADA"}
        connection.execute(P.insert(), row | {"email": "ada@x", "friend": "bob@x"})
        connection.execute(P.insert(), {"id": 2, "email": "bob@x", "friend": "ada@x"})
    return engine


def test_searched_values_are_changed_as_stored_ones_are(people: Engine) -> None:
    """A type that strips or lowers what it stores finds what is given to it in that way, too."""
    with people.connect() as connection:
        for condition in (
            P.c.stripped == "ada",
            P.c.stripped == "  ada",
            P.c.stripped.in_(["x", "ada  "]),
            P.c.lowered == "ada",
            P.c.lowered == "ADA",
            P.c.lowered.is_not_distinct_from("Ada"),
            P.c.lowered != "bob",
        ):
            assert connection.scalars(IDS.where(condition)).all() == [1]
        with pytest.raises(ValueRefusedError, match="makes NULL of it"):
            connection.execute(IDS.where(P.c.stripped == "   "))
    with pytest.raises(RefusedOperationError, match="truncated"):
        P.c.few == "ada"  # noqa: B015 - what would be compared afterwards?


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "ORDER BY": IDS.order_by,
    "DISTINCT": lambda c: sa.select(c).distinct(),
    "a function": lambda c: sa.select(sa.func.lower(c)),
    "a plain column =": lambda c: IDS.where(P.c.plain == c),
    "UPDATE": lambda c: P.update().values({c.key: sa.func.lower("x")}),
    "INSERT": lambda c: P.insert().values({"id": 3, c.key: sa.literal("x")}),
    "LIKE": lambda c: IDS.where(c.like("a%")),
}


@pytest.mark.parametrize("case", WRAPPED)
@pytest.mark.parametrize("column", ["stripped", "lowered"])
def test_a_type_around_a_sealed_one_is_guarded(case: str, column: str, people: Engine) -> None:
    """It is a sealed type like any other."""
    with people.connect() as connection, pytest.raises(RefusedOperationError, match="guarded"):
        connection.execute(WRAPPED[case](P.c[column]))


ARRAYS = sa.Table(
    "arrays",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tags", postgresql.ARRAY(EncryptedString(context="arrays.tags"))),
)
A = ARRAYS.c.tags


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_arrays_of_sealed_values(engine: Engine, sealer: Sealer) -> None:
    """They are stored and read; to compare them, or to give them SQL, is refused."""
    ARRAYS.create(engine)
    with engine.begin() as connection:
        connection.execute(ARRAYS.insert(), {"id": 1, "tags": ["a", "b"]})
        assert connection.scalars(sa.select(A)).all() == [["a", "b"]]
    for make in (
        lambda: sa.select(ARRAYS.c.id).where(A == ["a", "b"]),
        lambda: sa.select(ARRAYS.c.id).where(A.contains(["a"])),
        lambda: sa.select(ARRAYS.c.id).where(sa.literal("a") == sa.any_(A)),
        lambda: sa.select(ARRAYS.c.id).where(A[1] == "a"),
        lambda: sa.select(sa.func.unnest(A)),
        lambda: sa.select(A).order_by(A),
        lambda: ARRAYS.update().values(tags=sa.cast(postgresql.array(["plaintext"]), A.type)),
        lambda: ARRAYS.update().values(tags=sa.func.array_append(A, "plaintext")),
    ):
        with engine.connect() as connection, pytest.raises(RefusedOperationError, match="arrays"):
            connection.execute(make())


# -- SQL of an application


class Shout(sa.ColumnElement[str]):
    """An element that hides what it holds from SQLAlchemy's traversal."""

    inherit_cache = False
    type = sa.String()

    def __init__(self, inner: Any) -> None:
        self.inner = {"hidden": [inner]}


@compiles(Shout)
def _compile_shout(element: Shout, compiler: Any, **kw: Any) -> str:
    return f"upper({compiler.process(element.inner['hidden'][0], **kw)})"


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_what_an_application_adds_may_hold_no_sealed_column(people: Engine) -> None:
    """An element that is not known is refused, if it holds a sealed column anywhere."""
    with people.connect() as connection:
        assert connection.scalars(sa.select(Shout(P.c.plain)).where(P.c.id == 1)).all() == ["X"]
        for statement in (
            sa.select(Shout(P.c.email)),
            IDS.where(Shout(P.c.email) == "X"),
            IDS.where(Shout(sa.func.lower(P.c.email)) == "X"),
            P.update().values(email=Shout(P.c.plain)),
            P.update().values(plain=Shout(P.c.email)),
        ):
            with pytest.raises(RefusedOperationError, match=r"guarded\.email: "):
                connection.execute(statement)


def test_a_whole_row_is_refused(people: Engine) -> None:
    """A row as one value would hold the sealed bytes."""
    with people.connect() as connection, pytest.raises(RefusedOperationError, match="guarded"):
        connection.execute(sa.select(sa.func.row_to_json(P.table_valued())))


@pytest.mark.skipif(not hasattr(sa, "CreateView"), reason="new in SQLAlchemy 2.1")
def test_views_and_tables_made_of_a_select(people: Engine) -> None:
    """CREATE VIEW and CREATE TABLE AS hold a SELECT, which is looked at like any other."""
    with people.connect() as connection:
        for made in (sa.CreateTableAs, sa.CreateView):
            with pytest.raises(RefusedOperationError, match="ORDER BY"):
                connection.execute(made(IDS.order_by(P.c.email), "made"))


def test_each_part_is_looked_at_once() -> None:
    """Subqueries in subqueries are not walked through once for each of their columns."""
    statement: Any = sa.select(P)
    for _ in range(12):
        statement = sa.select(statement.subquery())
    found = list(parts(statement))
    assert len(found) == len({id(part) for part in found}) < 1000
    assert guard.check(statement).loose == []


# -- while the index key is rotated

COMPARED = {
    "GROUP BY": sa.select(sa.func.count(P.c.id)).group_by(blind_index(P.c.email)),
    "DISTINCT": sa.select(blind_index(P.c.email)).distinct(),
    "count(DISTINCT)": sa.select(sa.func.count(sa.distinct(blind_index(P.c.email)))),
    "PARTITION BY": sa.select(sa.func.count().over(partition_by=blind_index(P.c.email))),
    "UNION": sa.union(sa.select(blind_index(P.c.email)), sa.select(blind_index(P.c.friend))),
    "JOIN": sa.select(P.c.id).join(other := P.alias(), P.c.email == other.c.friend),
    "IN": IDS.where(P.c.email.in_(sa.select(blind_index(P.c.friend)))),
}


@pytest.mark.parametrize("case", COMPARED)
def test_rows_are_compared_under_one_index_key_only(
    case: str, people: Engine, sealer: Sealer
) -> None:
    """Rows under two index keys are not compared with one another; it is checked each time."""
    with people.connect() as connection:
        connection.execute(COMPARED[case])
        sealer.rotate(index=True)
        with pytest.raises(RefusedOperationError, match="being rotated"):
            connection.execute(COMPARED[case])


def test_relationships_are_loaded_while_the_index_key_is_rotated(
    people: Engine, sealer: Sealer
) -> None:
    """A lazy load searches the value under both index keys."""
    sealer.rotate(index=True)
    with Session(people) as session:
        session.add(Person(id=3, email="cyd@x", friend="ada@x"))
        session.add(Person(id=4, friend="cyd@x"))
        session.commit()
        friends = {p.id: [f.id for f in p.friends] for p in session.scalars(sa.select(Person))}
        assert friends == {1: [2], 2: [1], 3: [1], 4: [3]}
        assert session.scalars(sa.select(Person.id).filter_by(friend="ada@x")).all() == [2, 3]
