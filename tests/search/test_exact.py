"""`execute_exact`: what a truncated index finds falsely is dropped, whatever is selected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from search.matrix import SEALER, Base, Row, Visit, fill
from search.matrix.kinds import TABLE, from_other
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, with_loader_criteria

from sqlalchemy_sealed import BlindIndex, EncryptedString, blind_index, execute_exact
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    RefusedOperationError,
    ValueRefusedError,
)

T: Any = TABLE
IDS = sa.select(T.c.id).order_by(T.c.id)
BOBS = T.c.truncated == "bob"


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """Return a session on the matrix."""
    with Session(connection) as session:
        yield session


def candidates(connection: Connection, value: str) -> int:
    """Return how many rows the index finds for a value, right and false ones."""
    sent = []
    event.listen(connection, "after_cursor_execute", lambda *args: sent.append(args[1:4]))
    execute_exact(connection, IDS.where(T.c.truncated == value))
    _, sql, parameters = sent[-1]
    return len(connection.exec_driver_sql(sql, parameters).all())


def test_false_matches_are_dropped(connection: Connection) -> None:
    """The index has four values for eleven texts, so it finds more than there is."""
    values = ["ada", "Ada", "bob", "cyd", "zoë", "", "a%b", "ada'", "9", "nobody", "x", "y"]
    found = {v: len(execute_exact(connection, IDS.where(T.c.truncated == v)).all()) for v in values}
    assert found == {v: {"bob": 2}.get(v, int(v not in {"nobody", "x", "y"})) for v in values}
    assert sum(candidates(connection, value) for value in values) > sum(found.values())


def test_entities(session: Session) -> None:
    """Objects are those of the session; other columns can stand beside them."""
    rows = execute_exact(session, sa.select(Row, Row.plain).where(Row.truncated == "bob")).all()
    assert sorted((row.id, text) for row, text in rows) == [(3, "bob"), (4, "bob")]
    assert rows[0][0] is session.get(Row, rows[0][0].id)
    found = execute_exact(session, sa.select(Row).where(Row.truncated == "bob")).scalars().all()
    assert {row.id for row in found} == {3, 4}


def test_eager_loads(session: Session) -> None:
    """Related objects are loaded with the rows, joined or selected, and complete."""
    for load in (joinedload, selectinload):
        session.expunge_all()
        statement = sa.select(Row).where(Row.truncated == "bob").options(load(Row.visits))
        rows = execute_exact(session, statement.order_by(Row.id)).scalars().all()
        session.expunge_all()
        assert [(row.id, [visit.id for visit in row.visits]) for row in rows] == [
            (3, [1, 4]),
            (4, [1, 4]),
        ]


def test_repeated_rows_are_kept(session: Session) -> None:
    """A join gives an object as often as it matches, as it does without the helper."""
    for column in (T.c.truncated, T.c.indexed):
        statement = sa.select(Row).join(Row.visits).where(column == "bob").order_by(Row.id)
        rows = execute_exact(session, statement).scalars().all()
        assert [row.id for row in rows] == [3, 3, 4, 4]


def test_the_rest_of_the_statement_is_kept(connection: Connection) -> None:
    """Order, joins, other conditions, labels and scalar functions are those of the statement."""
    other = T.alias()
    statement = (
        sa.select(sa.func.upper(T.c.plain).label("loud"), other.c.id.label("number"))
        .join(other, other.c.id == T.c.id - 2)
        .where(BOBS, other.c.id < 2)
        .where(T.c.bare.is_not(None))
        .order_by(T.c.id.desc())
    )
    assert execute_exact(connection, statement).mappings().all() == [{"loud": "BOB", "number": 1}]
    counted = sa.select(sa.func.count()).select_from(T).scalar_subquery()
    assert execute_exact(connection, sa.select(T.c.id, counted).where(BOBS)).all()[0][1] == 12


def test_several_conditions(connection: Connection) -> None:
    """All truncated conditions that are joined by AND are compared afterwards."""
    both = sa.and_(BOBS, sa.and_(T.c.truncated.in_(["bob", "ada"]), T.c.id > 3))
    assert execute_exact(connection, IDS.where(both)).scalars().all() == [4]
    assert execute_exact(connection, IDS.where(BOBS, T.c.truncated == "ada")).all() == []
    assert execute_exact(connection, IDS.where(BOBS).where(BOBS)).scalars().all() == [3, 4]


def test_lists_and_null(connection: Connection) -> None:
    """IN takes lists of any length; None among the values finds no row, as in SQL."""
    listed = {
        (): [],
        ("bob",): [3, 4],
        ("bob", None, "ada"): [1, 3, 4],
        (None,): [],
        tuple(f"x{n}" for n in range(300)): [],
    }
    for values, ids in listed.items():
        found = execute_exact(connection, IDS.where(T.c.truncated.in_(values)))
        assert found.scalars().all() == ids


def test_parameters(connection: Connection) -> None:
    """Values can come as parameters, one or a list; a missing one is an error."""
    one = IDS.where(T.c.truncated == sa.bindparam("value"))
    many = IDS.where(T.c.truncated.in_(sa.bindparam("values")), T.c.id > sa.bindparam("least"))
    assert execute_exact(connection, one, {"value": "bob"}).scalars().all() == [3, 4]
    assert execute_exact(connection, one, {"value": None}).scalars().all() == []
    given = {"values": ["bob", "ada"], "least": 2}
    assert execute_exact(connection, many, given).scalars().all() == [3, 4]
    assert execute_exact(connection, many, {"values": None, "least": 2}).all() == []
    with pytest.raises(sa.exc.StatementError, match="A value is required"):
        execute_exact(connection, one)


def test_limit(connection: Connection) -> None:
    """limit= counts rows that match, not candidates."""
    every = IDS.where(T.c.truncated.in_(["ada", "bob", "cyd", "zoë"]))
    for limit, ids in ((0, []), (1, [1]), (3, [1, 3, 4]), (None, [1, 3, 4, 7, 10]), (9, None)):
        found = execute_exact(connection, every, limit=limit).scalars().all()
        assert found == (ids if ids is not None else [1, 3, 4, 7, 10])
    for limit in (-1, 1.5, True):
        with pytest.raises(RefusedOperationError, match="limit must be a whole number"):
            execute_exact(connection, every, limit=limit)


def test_the_result_is_like_any_other(connection: Connection) -> None:
    """Keys, rows by name and by column, one(), first(), scalar(), partitions(), unique()."""
    statement = sa.select(T.c.id, T.c.truncated.label("x")).where(BOBS).order_by(T.c.id)

    def result() -> Any:
        return execute_exact(connection, statement)

    assert list(result().keys()) == ["id", "x"]
    first = result().first()
    assert (first.id, first.x, first[1], first._mapping["x"]) == (3, "bob", "bob", "bob")
    assert (first._mapping[T.c.id], len(first), tuple(first)) == (3, 2, (3, "bob"))
    assert [row.id for row in result()] == [3, 4]
    assert result().scalars().all() == [3, 4]
    assert result().scalar() == 3
    assert result().columns("x", "id").all() == [("bob", 3), ("bob", 4)]
    assert result().scalars("x").unique().all() == ["bob"]
    assert [len(part) for part in result().partitions(1)] == [1, 1]
    assert result().fetchmany(1) == [(3, "bob")]
    assert result().freeze()().all() == [(3, "bob"), (4, "bob")]
    with pytest.raises(sa.exc.MultipleResultsFound):
        result().one()
    one = execute_exact(connection, statement.where(T.c.id == 4))
    assert one.one() == (4, "bob")
    none = execute_exact(connection, statement.where(T.c.id == 1))
    assert none.one_or_none() is None
    with pytest.raises(sa.exc.NoResultFound):
        execute_exact(connection, statement.where(T.c.id == 1)).scalar_one()


def test_rows_can_be_streamed(session: Session) -> None:
    """With yield_per the rows are fetched and opened as they are read."""
    statement = sa.select(Row).where(Row.truncated.in_(["ada", "bob", "cyd"])).order_by(Row.id)
    result = execute_exact(session, statement.execution_options(yield_per=2), limit=3)
    assert [row.id for row in result.scalars()] == [1, 3, 4]
    result.close()


def test_without_a_truncated_index_it_is_plain_execution(connection: Connection) -> None:
    """A statement that has nothing to be made exact may have any clause."""
    statement = sa.select(T.c.plain).where(T.c.indexed == "bob").distinct().limit(1)
    assert execute_exact(connection, statement).scalars().all() == ["bob"]


A = aliased(Row)
LOOSE = "a search that matches too much"
REFUSED = {
    "OR": (IDS.where(BOBS | (T.c.id == 1)), LOOSE),
    "CASE": (IDS.where(sa.case((BOBS, True), else_=False)), LOOSE),
    "SELECT": (sa.select(T.c.id, BOBS), LOOSE),
    "ON": (IDS.join(A, A.truncated == "bob"), LOOSE),
    "a subquery": (IDS.where(T.c.id.in_(from_other(T.c.id).where(BOBS))), LOOSE),
    "EXISTS": (IDS.where(sa.exists().where(A.truncated == "bob")), LOOSE),
    "ORDER BY": (sa.select(T.c.id).order_by(BOBS), LOOSE),
    "LIMIT": (IDS.where(BOBS).limit(1), "LIMIT together .* pass limit= to execute_exact"),
    "OFFSET": (IDS.where(BOBS).offset(1), "OFFSET"),
    "FETCH": (IDS.where(BOBS).fetch(1), "FETCH together .* pass limit="),
    "DISTINCT": (IDS.where(BOBS).distinct(), "DISTINCT"),
    "GROUP BY": (IDS.where(BOBS).group_by(T.c.id), "GROUP BY"),
    "HAVING": (sa.select(T.c.id).where(BOBS).having(T.c.id > 1), "HAVING"),
    "an aggregate": (sa.select(sa.func.count()).select_from(T).where(BOBS), r"count\(\)"),
    "another aggregate": (sa.select(sa.func.max(T.c.id) + 1).where(BOBS), r"max\(\)"),
    "an unknown function": (sa.select(sa.func.unknown(T.c.id)).where(BOBS), r"unknown\(\)"),
    "an ordering aggregate": (sa.select(T.c.id).where(BOBS).order_by(sa.func.count()), r"count\("),
    "a window": (sa.select(sa.func.row_number().over()).where(BOBS), "a window function"),
    "a UNION": (IDS.where(BOBS).union_all(IDS), r"takes a select\(\)"),
    "an UPDATE": (T.update().where(BOBS).values(plain="x"), r"takes a select\(\)"),
    "text": (sa.text("SELECT 1"), r"takes a select\(\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made_exact_is_refused(case: str, connection: Connection) -> None:
    """The database would apply it to candidates; the error says what to do."""
    statement, message = REFUSED[case]
    with pytest.raises(RefusedOperationError, match=message):
        execute_exact(connection, statement)


NEGATED = {
    "!=": lambda: T.c.truncated != "bob",
    "NOT": lambda: ~BOBS,
    "NOT IN": lambda: T.c.truncated.not_in(["bob"]),
    "IS DISTINCT FROM": lambda: T.c.truncated.is_distinct_from("bob"),
    "another column": lambda: T.c.truncated == A.truncated,
    "a subquery": lambda: T.c.truncated.in_(sa.select(blind_index(A.truncated))),
    "a column of a subquery": lambda: (
        sa.select(blind_index(T.c.truncated).label("x")).subquery().c.x == "bob"
    ),
}


@pytest.mark.parametrize("case", NEGATED)
def test_what_it_cannot_answer_is_refused(case: str, connection: Connection) -> None:
    """A truncated index does not tell which values are different, nor join two columns."""
    with pytest.raises(RefusedOperationError, match="truncated"):
        execute_exact(connection, sa.select(T.c.id).where(NEGATED[case]()))


CRITERIA = with_loader_criteria(Row, Row.truncated == "bob")


def test_criteria_that_are_added_are_refused(session: Session) -> None:
    """What the ORM adds to the statement, or to a subquery of it, is not compared afterwards."""
    for statement in (
        sa.select(Row).options(CRITERIA),
        sa.select(Row).where(Row.truncated == "ada").options(CRITERIA),
        sa.select(Visit).where(Visit.id.in_(sa.select(Row.id))).options(CRITERIA),
    ):
        with pytest.raises(RefusedOperationError, match="matches too much"):
            execute_exact(session, statement)


def test_statements_that_load_more_are_refused(session: Session) -> None:
    """The word of execute_exact is for its own statement, not for those that follow it."""
    related = selectinload(Row.visits), with_loader_criteria(Visit, Visit.row.any(CRITERIA_OF_ROW))
    statement = sa.select(Row).where(Row.truncated == "bob").options(*related)
    with pytest.raises(RefusedOperationError, match="matches too much"):
        execute_exact(session, statement).all()


CRITERIA_OF_ROW = Row.truncated == "bob"


def test_the_mark_alone_does_not_help(connection: Connection) -> None:
    """Neither a statement nor a connection can say for itself that it is exact."""
    for statement in (IDS.where(BOBS), IDS.where(BOBS).execution_options(sealed_exact=None)):
        with pytest.raises(RefusedOperationError, match="execute_exact"):
            connection.execute(statement)


def test_a_candidate_that_does_not_open(connection: Connection) -> None:
    """A damaged row among the candidates is an error, not a row that is left out."""
    name = T.c.truncated.type
    other = sa.type_coerce(
        "bob",
        EncryptedString(
            sealer=SEALER, context="another", index=BlindIndex(bits=2, context="matrix.truncated")
        ),
    )
    moved = sa.type_coerce(other, sa.LargeBinary)
    connection.execute(T.update().where(T.c.id == 3).values(truncated=sa.type_coerce(moved, name)))
    with pytest.raises(AuthenticationError, match=r"matrix\.truncated"):
        execute_exact(connection, IDS.where(BOBS))


def test_a_value_of_the_wrong_type(connection: Connection) -> None:
    """It is refused, without being shown."""
    with pytest.raises(ValueRefusedError, match="expects str, got int"):
        execute_exact(connection, IDS.where(T.c.truncated == 7))


def test_asyncio(async_engine: Any, matrix_sealer: Any) -> None:
    """Through run_sync, in an async session; what it returns can be read afterwards."""

    async def main() -> list[int]:
        async with async_engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            await connection.run_sync(fill)
        async with AsyncSession(async_engine) as session:
            statement = sa.select(Row).where(Row.truncated == "bob").order_by(Row.id)
            result = await session.run_sync(execute_exact, statement)
            found = [row.id for row in result.scalars()]
            equal = await session.scalars(sa.select(Row.id).where(Row.indexed == "bob"))
            assert sorted(equal) == found
            with pytest.raises(RefusedOperationError, match="execute_exact"):
                await session.execute(statement)
            return found

    assert asyncio.run(main()) == [3, 4]
