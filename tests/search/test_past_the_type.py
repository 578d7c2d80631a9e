"""
No plaintext gets past a sealed type by a statement that SQLAlchemy can build.

Each statement is refused before it is sent, or stores an envelope. What is stored is read past
the types, with no CHECK constraint to help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from search.matrix import past, past_statements
from search.matrix.past import COLUMNS, EXPRESSIONS, PLACES, SEALED_VALUES, SECRET, T
from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.envelope import MAGIC, to_text
from sqlalchemy_sealed.errors import RefusedOperationError, ValueRefusedError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
every_place = pytest.mark.parametrize("place", PLACES)
NOT_ON_MARIADB = {"UPDATE, of a CTE"}
MAGICS = (MAGIC, to_text(MAGIC).encode())


@pytest.fixture(scope="module")
def tables(world: Engine) -> Engine:
    """Return an engine on a database with the tables that are written to."""
    past.Base.metadata.create_all(world)
    with world.begin() as connection:
        past.fill(connection)
    return world


@pytest.fixture
def written(tables: Engine) -> Iterator[Connection]:
    """Return a connection whose transaction is rolled back."""
    with tables.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def stored(connection: Connection) -> list[Any]:
    """Return the sealed columns of all rows as the driver has them."""
    names = ", ".join(COLUMNS.values())
    rows = connection.exec_driver_sql(f"SELECT {names} FROM targets").all()
    return [value.encode() if isinstance(value, str) else value for row in rows for value in row]


def refusals(connection: Connection, place: str, expressions: dict[str, Any]) -> Iterator[Any]:
    """Yield what is wrong with each assignment at one place, which should be refused."""
    for column in (T.c[key] for key in COLUMNS):
        for name, make in expressions.items():
            problem = refused(
                lambda c, column=column, make=make: PLACES[place](c, column, make(column)),
                connection,
            )
            if problem:
                yield column.key, name, problem


@every_place
def test_what_the_database_would_compute_is_refused(place: str, written: Connection) -> None:
    """Every SQL expression that is not sealed itself, wherever it is assigned."""
    assert list(refusals(written, place, EXPRESSIONS)) == []


def refused(deed: Callable[[Connection], Any], connection: Connection) -> str:
    """Return what is wrong with one deed, which should be refused."""
    before = stored(connection)
    savepoint = connection.begin_nested()
    try:
        deed(connection)
    except (RefusedOperationError, ValueRefusedError) as error:
        problem = "the error shows it" if SECRET in str(error) else ""
    except Exception as error:
        problem = repr(error)
    else:
        problem = f"stored {stored(connection)}"
    if savepoint.is_active:
        savepoint.rollback()
    return problem or ("" if stored(connection) == before else "stored")


@pytest.mark.parametrize("case", past_statements.REFUSED)
def test_statements_that_are_refused(case: str, written: Connection) -> None:
    """INSERT FROM SELECT, UPDATE FROM, upserts, bulk statements, one name for two parameters."""
    assert refused(past_statements.REFUSED[case], written) == ""


@pytest.mark.parametrize("case", past_statements.ONLY_POSTGRESQL)
def test_statements_of_postgresql_that_are_refused(case: str, written: Connection) -> None:
    """INSERT and UPDATE in a CTE."""
    if written.dialect.name == "postgresql":
        assert refused(past_statements.ONLY_POSTGRESQL[case], written) == ""


@pytest.mark.parametrize("case", past_statements.SEALED)
def test_statements_that_seal(case: str, written: Connection) -> None:
    """Parameters without a type, values of a VALUES list, and excluded rows are sealed."""
    past_statements.SEALED[case](written)
    assert all(value is None or value.startswith(MAGICS) for value in stored(written))
    assert SECRET in written.scalars(sa.select(T.c.bare)).all()


@every_place
def test_what_is_sealed_is_stored(place: str, written: Connection) -> None:
    """Values, and SQL that chooses between sealed ones, are stored as envelopes."""
    if place in NOT_ON_MARIADB and written.dialect.name == "mariadb":
        pytest.skip("MariaDB has no such statement")
    for column in (T.c[key] for key in COLUMNS):
        for name, make in SEALED_VALUES.items():
            savepoint = written.begin_nested()
            PLACES[place](written, column, make(column))
            values = stored(written)
            assert all(v is None or v.startswith(MAGICS) for v in values), (column.key, name)
            read = written.scalars(sa.select(column)).all()
            assert (SECRET in read) == (name != "null()"), (column.key, name)
            savepoint.rollback()
