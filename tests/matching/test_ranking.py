"""Searches by several words: rows with a score, best first."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy.orm import DeclarativeBase, Session, aliased

from matching.notes import OPTIONS, notes
from sqlalchemy_sealed import MatchIndex, Sealer, execute_exact, execute_ranked
from sqlalchemy_sealed.errors import OptionError, RefusedOperationError, ValueRefusedError
from sqlalchemy_sealed.types.match import scoring
from sqlalchemy_sealed.types.terms import least_common

pytestmark = pytest.mark.usefixtures("sealer")

TEXTS = (
    "severe headache since May",
    "Headaches, severe",
    "mild headache",
    "a hedache",
    "schwere Kopfschmerzen",
    "S\N{LATIN SMALL LETTER E WITH ACUTE}vere HEADACHE!",
    "x",
    "",
    None,
)


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS)
def table(request: pytest.FixtureRequest, engine: sa.Engine) -> sa.Table:
    """Return a table with the texts, one for each kind of column."""
    table = notes(**request.param)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": text} for text in TEXTS])
    return table


@ON_MARIADB_TOO
@pytest.mark.parametrize("indexed", [True, False], ids=["index", "scan"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_database_leaves_out_nothing(
    engine: sa.Engine, options: dict[str, Any], indexed: bool
) -> None:
    """For many shares, exactly the rows come that Python would choose, best first."""
    table = notes(indexed=indexed, **options)
    table.metadata.create_all(engine)
    score = scoring(MatchIndex(), "severe headache")
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": text} for text in TEXTS])
        for least in (0.01, 0.1, 0.3, 0.6, 0.7, 1):
            scored = [(text, score(text)) for text in TEXTS if text is not None]
            right = [(text, number) for text, number in scored if number >= least]
            right.sort(key=lambda row: row[1], reverse=True)
            statement = sa.select(table.c.body).order_by(table.c.id)
            rows = execute_ranked(
                connection, statement, table.c.body, "severe headache", least=least, limit=None
            )
            assert rows.all() == right, least


def test_scores(engine: sa.Engine, table: sa.Table) -> None:
    """The share of the words' grams that are there: 1 for all, whatever else the text has."""
    with engine.connect() as connection:
        statement = sa.select(table.c.id, table.c.body).order_by(table.c.id)
        rows = execute_ranked(connection, statement, table.c.body, "severe headache").all()
    assert [(row.body, row.score) for row in rows] == [
        ("severe headache since May", 1.0),
        ("Headaches, severe", 1.0),
        ("S\N{LATIN SMALL LETTER E WITH ACUTE}vere HEADACHE!", 1.0),
        ("mild headache", 0.6),
        ("a hedache", 0.3),
    ]
    assert rows[0]._mapping[table.c.id] == 1


def test_limit_and_further_conditions(engine: sa.Engine, table: sa.Table) -> None:
    """The best ones are kept, of the rows for which the statement's own conditions hold."""
    with engine.connect() as connection:

        def ids(condition: Any, **more: Any) -> list[int]:
            statement = sa.select(table.c.id).where(condition).order_by(table.c.id)
            rows = execute_ranked(connection, statement, table.c.body, "headache severe", **more)
            return [row.id for row in rows]

        assert ids(table.c.id > 1, limit=2) == [2, 6]
        assert ids(table.c.id > 1, limit=0) == []
        assert ids(table.c.id > 1, limit=None) == [2, 6, 3, 4]
        assert ids(table.c.body.icontains("since")) == [1]
        parameters = {"least": 3}
        assert ids(table.c.id > sa.bindparam("least"), parameters=parameters) == [6, 4]


def test_with_entities(engine: sa.Engine, table: sa.Table) -> None:
    """Mapped objects and aliases come with their score."""

    class Base(DeclarativeBase):
        metadata = table.metadata

    class Note(Base):
        __table__ = table

    with Session(engine) as session:
        ((note, score),) = execute_ranked(
            session, sa.select(Note), Note.body, "schwere", least=0.9
        ).all()
        assert (note, score) == (session.get_one(Note, 5), 1.0)
        other = aliased(Note)
        rows = execute_ranked(session, sa.select(other), other.body, "Kopf", least=1)
        assert [(found.id, score) for found, score in rows] == [(5, 1.0)]


def test_while_the_index_key_is_rotated(engine: sa.Engine, table: sa.Table, sealer: Sealer) -> None:
    """Rows under the old and the new index key are ranked together."""
    sealer.rotate(index=True)
    with engine.begin() as connection:
        connection.execute(table.insert().values(body="headache, severe"))
        statement = sa.select(table.c.body)
        rows = execute_ranked(connection, statement, table.c.body, "severe headache", least=1)
        assert len(rows.all()) == 4


@pytest.mark.parametrize("least", [0, -1, 1.01, True, "0.5", None, float("nan")])
def test_a_share_that_is_none_is_refused(engine: sa.Engine, table: sa.Table, least: Any) -> None:
    """The least share is above 0 and at most 1."""
    with engine.connect() as connection, pytest.raises(OptionError, match="least must be"):
        execute_ranked(connection, sa.select(table), table.c.body, "headache", least=least)


@pytest.mark.parametrize("limit", [-1, 1.5, True, "3"])
def test_a_limit_that_is_none_is_refused(engine: sa.Engine, table: sa.Table, limit: Any) -> None:
    """The limit is a number of rows."""
    with engine.connect() as connection, pytest.raises(OptionError, match="limit must be"):
        execute_ranked(connection, sa.select(table), table.c.body, "headache", limit=limit)


def test_what_cannot_be_ranked_is_refused(engine: sa.Engine, table: sa.Table) -> None:
    """Short words, other columns, and clauses that would be applied to candidates."""
    with engine.connect() as connection:
        with pytest.raises(ValueRefusedError, match=r"notes\.body: the words are too short") as e:
            execute_ranked(connection, sa.select(table), table.c.body, "Xq of a")
        assert "Xq" not in str(e.value)
        with pytest.raises(RefusedOperationError, match="match=MatchIndex"):
            execute_ranked(connection, sa.select(table), table.c.id, "headache")
        with pytest.raises(RefusedOperationError, match="LIMIT"):
            execute_ranked(connection, sa.select(table).limit(1), table.c.body, "headache")


@pytest.mark.parametrize(
    ("grams", "share", "least"),
    [(10, 0.3, 3), (10, 0.7, 7), (10, 0.71, 8), (3, 0.1, 1), (1, 0.0001, 1), (7, 1, 7)],
)
def test_how_many_grams_a_share_is(grams: int, share: float, least: int) -> None:
    """Rounded up, one at least; a share that is not exact in binary is not rounded up for that."""
    assert least_common(grams, share) == least


def test_exact_and_ranked_agree(engine: sa.Engine, table: sa.Table) -> None:
    """What contains a word has the score 1 for it."""
    with engine.connect() as connection:
        statement = sa.select(table.c.body).order_by(table.c.id)
        exact = execute_exact(connection, statement.where(table.c.body.icontains("headache")))
        ranked = execute_ranked(connection, statement, table.c.body, "headache", least=1)
        assert exact.scalars().all() == [row.body for row in ranked]
