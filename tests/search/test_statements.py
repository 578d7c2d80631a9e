"""Statements that write by a search, upserts and RETURNING do the same as on the plain twin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from search.matrix import KINDS, PRESENT, Kind, Mold, Outcome, Rows, judge, outcome_of, statements
from search.matrix.kinds import TABLE
from search.matrix.outcomes import Refused
from sqlalchemy import Connection, Engine, create_engine

from sqlalchemy_sealed.errors import RefusedOperationError

COLUMNS = [kind for kind in KINDS if not kind.name.endswith("slot")]
EVERYWHERE = statements.SEARCHED
MOST = statements.ON_SQLITE_AND_POSTGRESQL


def both(deed: statements.Deed, connection: Connection, kind: Kind) -> tuple[Outcome, Outcome]:
    """Do the same on both sides, and roll back what it changed."""

    def outcome(mold: Mold) -> Outcome:
        def run() -> Iterator[Any]:
            transaction = connection.begin()
            try:
                for row in deed(connection, mold):
                    plain = tuple(row) if isinstance(row, sa.Row) else row
                    yield repr(plain).casefold() if kind.name == "folded" else plain
            finally:
                transaction.rollback()

        return outcome_of(run)

    return outcome(kind.sealed), outcome(kind.plain)


@pytest.mark.parametrize("case", [*EVERYWHERE, *MOST])
def test_writing_by_a_search(case: str, world: Engine) -> None:
    """With an index that tells all values apart it is right; without, it is refused."""
    if case in MOST and world.dialect.name == "mariadb":
        pytest.skip("MariaDB has no such statement")
    deed = (EVERYWHERE | MOST)[case]
    with world.connect() as connection:
        for kind in COLUMNS:
            sealed, plain = both(deed, connection, kind)
            assert isinstance(plain, Rows)
            assert (kind.name, judge(sealed, plain, must_be_right=kind.exact)) == (kind.name, "")
            assert kind.exact or isinstance(sealed, Refused)


def test_returning(world: Engine) -> None:
    """RETURNING opens what was stored, for many rows in one statement, and in their order."""
    with world.connect() as connection:
        for kind in COLUMNS:
            sealed, plain = both(statements.returned, connection, kind)
            assert (kind.name, judge(sealed, plain, must_be_right=True)) == (kind.name, "")


@pytest.mark.parametrize("case", statements.RENDERED)
def test_sql_text(case: str, world: Engine) -> None:
    """A search that is rendered as SQL text, its values in it, finds the same."""
    with world.connect() as connection:
        for kind in (kind for kind in COLUMNS if kind.exact):
            sealed, plain = both(statements.RENDERED[case], connection, kind)
            assert (kind.name, judge(sealed, plain, must_be_right=True)) == (kind.name, "")


@pytest.mark.parametrize("case", statements.UNIQUE)
def test_upserts(case: str, world: Engine) -> None:
    """An upsert finds its row through the unique blind index."""
    [kind] = (kind for kind in KINDS if kind.name == "unique")
    with world.connect() as connection:
        sealed, plain = both(statements.UNIQUE[case], connection, kind)
        assert isinstance(plain, Rows)
        assert judge(sealed, plain, must_be_right=True) == ""


@pytest.mark.postgres
@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_prepared_statements(world: Engine) -> None:
    """Psycopg prepares each statement at once, and PostgreSQL plans it for all values."""
    engine = create_engine(world.url, connect_args={"prepare_threshold": 0})
    with engine.connect() as connection:
        connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
        for kind in (kind for kind in COLUMNS if kind.exact):
            for deed in (statements.searched_again, EVERYWHERE["UPDATE, IN"]):
                connection.rollback()
                sealed, plain = both(deed, connection, kind)
                assert (kind.name, judge(sealed, plain, must_be_right=True)) == (kind.name, "")
    engine.dispose()


def test_a_statement_that_was_refused_is_refused_again(world: Engine) -> None:
    """A refusal does not leave a compiled statement behind that passes the next time."""
    statement = sa.select(TABLE.c.id).order_by(TABLE.c.indexed)
    with world.connect() as connection:
        for _ in range(3):
            with pytest.raises(RefusedOperationError, match="ORDER BY is not possible"):
                connection.execute(statement)
            connection.rollback()
        found = connection.scalars(sa.select(TABLE.c.id).where(TABLE.c.indexed == PRESENT))
        assert sorted(found) == [3, 4]
