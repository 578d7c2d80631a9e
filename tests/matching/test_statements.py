"""Searches in statements: what goes with them, what is refused, what is cached, what is shown."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship

from matching.notes import found, notes
from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    EncryptedText,
    MatchIndex,
    execute_exact,
    execute_ranked,
    match_index,
    match_table,
)
from sqlalchemy_sealed.errors import RefusedOperationError, ValueRefusedError

pytestmark = pytest.mark.usefixtures("sealer")


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex(), match=MatchIndex()))
    notes: Mapped[list[Note]] = relationship(back_populates="patient")


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(sa.ForeignKey("patients.id"))
    patient: Mapped[Patient] = relationship(back_populates="notes")
    text: Mapped[str] = mapped_column("body", EncryptedText(match=MatchIndex()))
    masked: Mapped[str | None] = mapped_column(EncryptedText(match=MatchIndex(), masked=True))


sa.Index("ix_patients_name", match_index(Patient.name))
match_table(Patient.name)
match_table(Note.text)


@pytest.fixture
def session(engine: sa.Engine):
    """Return a session with two patients and their notes."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            [
                Patient(name="Ada Lovelace", notes=[Note(text="headache", masked="secret words")]),
                Patient(name="Grace Hopper", notes=[Note(text="fever"), Note(text="no fever")]),
            ]
        )
        session.commit()
        yield session
    Base.metadata.drop_all(engine)


@ON_MARIADB_TOO
def test_with_the_orm(session: Session) -> None:
    """Entities, aliases, joins and relationships go with a search; masked values are compared."""
    ada, grace = session.scalars(sa.select(Patient).order_by(Patient.id))
    statement = sa.select(Patient).where(Patient.name.contains("Love"))
    assert execute_exact(session, statement).scalars().all() == [ada]
    other = aliased(Patient)
    statement = sa.select(other).where(other.name.icontains("HOPPER"))
    assert execute_exact(session, statement).scalars().all() == [grace]
    joined = (
        sa.select(Note, Patient.name)
        .join(Note.patient)
        .where(Note.text.contains("fever"), Patient.name.endswith("Hopper"))
        .order_by(Note.id)
    )
    assert [(note.text, name) for note, name in execute_exact(session, joined)] == [
        ("fever", "Grace Hopper"),
        ("no fever", "Grace Hopper"),
    ]
    both = sa.select(Patient).where(Patient.name.contains("Ada"), Patient.name == "Ada Lovelace")
    assert execute_exact(session, both).scalars().all() == [ada]
    masked = sa.select(Note.id).where(Note.masked.contains("words"))
    assert execute_exact(session, masked).scalars().all() == [1]


@ON_MARIADB_TOO
def test_terms_as_parameters(session: Session) -> None:
    """A bound parameter takes the term when the statement runs, and None finds nothing."""
    statement = sa.select(Note.id).where(Note.text.contains(sa.bindparam("term")))
    for term, ids in (("fever", [2, 3]), ("headache", [1]), (None, [])):
        parameters = {"term": term}
        assert sorted(execute_exact(session, statement, parameters).scalars()) == ids
    with pytest.raises(ValueRefusedError, match=r"^notes\.body: the term is too short"):
        execute_exact(session, statement, {"term": "fe"})


@ON_MARIADB_TOO
def test_from_a_subquery(session: Session) -> None:
    """The column of a subquery is searched as that of its table, by a scan."""
    inner = sa.select(Note.id, Note.text).where(Note.id > 1).subquery()
    statement = sa.select(inner.c.id).where(inner.c.text.contains("no fever"))
    assert execute_exact(session, statement).scalars().all() == [3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ~Note.text.contains("fever"),
        lambda: sa.not_(Note.text.startswith("fever")),
        lambda: Note.text.contains(Note.masked),
        lambda: Note.text.contains(sa.func.lower("x")),
        lambda: Note.text.contains(sa.select(Note.masked).scalar_subquery()),
        lambda: sa.literal("x", Note.text.type).contains("fever"),
        lambda: Note.text.like("%fever%"),
        lambda: Note.text.ilike("%fever%"),
        lambda: Note.text.not_like("%fever%"),
        lambda: Note.text.regexp_match("fever"),
        lambda: Note.text.match("fever"),
        lambda: match_index(Note.text) == "fever",
        lambda: match_index(Note.text).desc(),
        lambda: match_index(Note.id),
        lambda: match_table(Patient.id),
    ],
)
def test_what_cannot_be_searched_is_refused(make: Any) -> None:
    """A search for a value is all that tokens answer; the rest is refused when it is written."""
    with pytest.raises(RefusedOperationError):
        make()


def test_refusals_name_the_match_index() -> None:
    """Who tries LIKE on a column reads what to declare and what to call."""
    with pytest.raises(RefusedOperationError, match=r"match=MatchIndex\(\).*contains\(\)"):
        Note.text.like("%fever%")
    plain = sa.Column("plain", EncryptedText())
    with pytest.raises(RefusedOperationError, match=r"match=MatchIndex\(\).*contains\(\)"):
        plain.contains("fever")


class Stripped(EncryptedText):
    """A type that changes what is stored."""

    def process_bind_param(self, value: str | None, dialect: Any) -> Any:
        """Take spaces away."""
        return super().process_bind_param(value and value.strip(), dialect)


class Shouted(EncryptedText):
    """A type that changes what is read."""

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        """Return capital letters."""
        text = super().process_result_value(value, dialect)
        return text and text.upper()


@pytest.mark.parametrize("changed", [Stripped, Shouted])
def test_a_type_that_changes_values_is_not_searched(changed: type[EncryptedText]) -> None:
    """What is read is then not what was searched, and a right row would be dropped as false."""
    column = sa.Column("body", changed(match=MatchIndex(), index=BlindIndex(bits=8)))
    sa.Table("texts", sa.MetaData(), column)
    with pytest.raises(RefusedOperationError, match=r"^texts\.body: .*which this type changes"):
        column.contains("fever")
    with pytest.raises(RefusedOperationError, match=r"^texts\.body: .*which this type changes"):
        execute_ranked(None, sa.select(column), column, "fever")  # type: ignore[arg-type]
    with pytest.raises(RefusedOperationError, match=r"^texts\.body: .*truncated"):
        column == "fever"  # noqa: B015


@pytest.mark.parametrize(
    "statement",
    [
        sa.select(Note.id).where(Note.text.contains("fever")),
        sa.update(Note).where(Note.text.contains("fever")).values(patient_id=1),
        sa.delete(Note).where(Note.text.contains("fever")),
        sa.select(sa.exists().where(Note.text.contains("fever"))),
    ],
    ids=["select", "update", "delete", "exists"],
)
def test_a_search_is_not_sent_without_the_comparison(session: Session, statement: Any) -> None:
    """Rows that only seem to match would be returned, changed or deleted: the guard refuses."""
    with pytest.raises(RefusedOperationError, match="execute_exact"):
        session.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        sa.select(Note.id).where(Note.text.contains("fever") | (Note.id == 1)),
        sa.select(Note.id).where(Note.text.contains("fever")).limit(1),
        sa.select(Note.id).where(
            Note.id.in_(sa.select(Note.id).where(Note.text.contains("fever")))
        ),
    ],
    ids=["or", "limit", "subquery"],
)
def test_a_search_that_cannot_be_exact_is_refused(session: Session, statement: Any) -> None:
    """The database would work on rows that do not match."""
    with pytest.raises(RefusedOperationError):
        execute_exact(session, statement)


@pytest.mark.parametrize("dialect", ["mssql", "oracle"])
def test_other_databases_are_refused(dialect: str) -> None:
    """A database for which there is no SQL gets none."""
    statement = sa.select(Note.id).where(Note.text.contains("fever"))
    other = import_module(f"sqlalchemy.dialects.{dialect}").dialect()
    with pytest.raises(RefusedOperationError, match=f"no SQL for {dialect}"):
        statement.compile(dialect=other)


@ON_MARIADB_TOO
def test_one_cached_statement_serves_all_terms(engine: sa.Engine, sealer: Any) -> None:
    """Terms of any length, before and during a rotation, run the same compiled statement."""
    table = notes()
    table.metadata.create_all(engine)
    stats = []
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": "a needle in the hay"}, {"body": "straw"}])

        def search(term: str) -> list[Any]:
            statement = sa.select(table.c.body).where(table.c.body.contains(term))
            result = execute_exact(connection, statement)
            return list(result.scalars())

        @sa.event.listens_for(connection, "before_cursor_execute")
        def note(*arguments: Any) -> None:
            _, _, sql, _, context, _ = arguments
            stats.append((context.cache_hit, sql))

        assert search("needle") == ["a needle in the hay"]
        assert search("the hay") == ["a needle in the hay"]
        sealer.rotate(index=True)
        assert search("straw") == ["straw"]
    hits, sqls = zip(*stats, strict=True)
    assert hits == (CacheStats.CACHE_MISS, CacheStats.CACHE_HIT, CacheStats.CACHE_HIT)
    assert len(set(sqls)) == 1


def test_columns_and_operators_do_not_share_a_statement(engine: sa.Engine) -> None:
    """What searches another column, or another place, is compiled for itself."""
    one = EncryptedText(match=MatchIndex(), context="a")
    other = EncryptedText(match=MatchIndex(bits=12), context="a")
    made = [
        sa.select(sa.column("c", type_))
        .where(operator(sa.column("c", type_)))
        ._generate_cache_key()
        for type_ in (one, other)
        for operator in (
            lambda c: c.contains("fever"),
            lambda c: c.icontains("fever"),
            lambda c: c.startswith("fever"),
        )
    ]
    assert all(key != other for key, other in combinations(made, 2))


def test_a_term_shows_nowhere(engine: sa.Engine, caplog: pytest.LogCaptureFixture) -> None:
    """No term in SQL text, in the log of a statement, or in an error."""
    table = notes()
    table.metadata.create_all(engine)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    with engine.connect() as connection:
        condition = table.c.body.contains("XqzneedleXqz")
        assert found(connection, table, condition) == []
        literal = condition.compile(connection, compile_kwargs={"literal_binds": True})
        assert "needle" not in str(literal)
        assert "needle" not in str(condition)
        with pytest.raises(ValueRefusedError) as refused:
            found(connection, table, table.c.body.contains("Xq"))
    assert "select" in caplog.text.lower()
    assert "needle" not in caplog.text
    assert "Xq" not in str(refused.value)
    assert refused.value.__context__ is None


def test_rendered_as_a_literal(engine: sa.Engine) -> None:
    """`literal_binds` renders tokens that find what bound ones find."""
    table = notes()
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": "a needle"}, {"body": "straw"}])
        condition = table.c.body.contains("needle")
        literal = condition.compile(connection, compile_kwargs={"literal_binds": True})
        rows = connection.execute(sa.text(f"SELECT id FROM notes WHERE {literal}"))
        assert rows.all() == [(1,)]
        short = table.c.body.contains("n").compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        assert "could_not_seal" in str(short)


async def _search(engine: AsyncEngine, table: sa.Table) -> list[str]:
    async with AsyncSession(engine) as session:
        connection = await session.connection()
        await connection.run_sync(table.metadata.create_all)
        await session.execute(table.insert(), [{"body": "a needle"}, {"body": "straw"}])
        statement = sa.select(table.c.body).where(table.c.body.contains("needle"))
        result = await session.run_sync(execute_exact, statement)
        return list(result.scalars())


def test_with_asyncio(async_engine: AsyncEngine) -> None:
    """`run_sync` runs a search in asyncio code."""
    assert asyncio.run(_search(async_engine, notes())) == ["a needle"]
