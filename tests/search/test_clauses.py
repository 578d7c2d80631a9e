"""
Every clause and many functions on every kind of sealed column, compared with its plain twin.

The cases stand in `search.matrix`: RIGHT for every kind, SEARCHED through a blind index, REFUSED.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from search.matrix import KINDS, Kind, Mold, Outcome, Rows, clauses, compounds, judge, outcome_of
from search.matrix.outcomes import Refused
from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.errors import RefusedOperationError

COLUMNS = [kind for kind in KINDS if not kind.name.endswith("slot")]
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
RIGHT = clauses.RIGHT | compounds.RIGHT
SEARCHED = clauses.SEARCHED | compounds.SEARCHED
REFUSED = clauses.REFUSED | compounds.REFUSED


NOT_ON = {
    "sqlite": {
        *("LATERAL", "TABLESAMPLE of all", "DISTINCT ON", "WITHIN GROUP"),
        *("VALUES, a subquery", "VALUES with SQL in it", "md5()", "array_agg()", "to_json()"),
        *("concat() with more", "string_agg() with more", "greatest() with more"),
    },
    "postgresql": {
        *("WHERE, the column", "WHERE, AND the column", "WHERE, OR the column"),
        *("HAVING, the column", "ON, the column", "CASE, the column as condition", "FILTER"),
        *("EXTRACT", "COLLATE", "hex()", "quote()", "group_concat()", "json_array()", "typeof()"),
        *("instr() with more", "ifnull() with more"),
    },
    "mariadb": {
        *("LATERAL", "TABLESAMPLE of all", "DISTINCT ON", "WITHIN GROUP", "FILTER", "COLLATE"),
        *("VALUES, a subquery", "VALUES with SQL in it", "array_agg()", "to_json()", "typeof()"),
        *("string_agg() with more", "ORDER BY, nulls_last()", "ORDER BY, both"),
    },
}
"""What a database does not have, so that it does not run on the plain twin either."""


@pytest.fixture(scope="module")
def reader(world: Engine) -> Iterator[Connection]:
    """Return a connection on which an error does not spoil what follows."""
    with world.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def both(reader: Connection, make: Any, kind: Kind) -> tuple[Outcome, Outcome]:
    """Execute what a case makes of either side of a kind."""

    def rows(mold: Mold) -> Iterator[Any]:
        for row in reader.execute(make(mold)):
            yield tuple(kind.compared(each) if isinstance(each, str) else each for each in row)

    return outcome_of(lambda: rows(kind.sealed)), outcome_of(lambda: rows(kind.plain))


@pytest.mark.parametrize("case", RIGHT)
def test_right_for_every_kind(case: str, reader: Connection) -> None:
    """The rows are those of the plain twin."""
    for kind in COLUMNS:
        sealed, plain = both(reader, RIGHT[case], kind)
        must = runs(plain, case, reader)
        assert (kind.name, judge(sealed, plain, must_be_right=must)) == (kind.name, "")


@pytest.mark.parametrize("case", SEARCHED)
def test_right_through_a_blind_index(case: str, reader: Connection) -> None:
    """With an index that tells all values apart, the rows are right; without, it is refused."""
    for kind in COLUMNS:
        sealed, plain = both(reader, SEARCHED[case], kind)
        runs_here = runs(plain, case, reader)
        must = runs_here and kind.exact
        assert (kind.name, judge(sealed, plain, must_be_right=must)) == (kind.name, "")
        assert kind.exact or not runs_here or isinstance(sealed, Refused)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_for_every_kind(case: str, reader: Connection) -> None:
    """What would be silently wrong is refused, and the error names the column."""
    for kind in COLUMNS:
        sealed, plain = both(reader, REFUSED[case], kind)
        assert (kind.name, judge(sealed, plain)) == (kind.name, "")
        if runs(plain, case, reader) or isinstance(sealed, Refused):
            assert isinstance(sealed, Refused)
            assert isinstance(sealed.error, RefusedOperationError)
            assert str(sealed.error).startswith("matrix.")


def runs(plain: Outcome, case: str, reader: Connection) -> bool:
    """Whether a case is SQL in this database: what is refused is not just a mistake."""
    works = isinstance(plain, Rows)
    assert works or case in NOT_ON[reader.dialect.name], plain
    return works
