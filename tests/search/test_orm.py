"""What the ORM does with a sealed attribute is what it does with the plain twin, or refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from search.matrix import Row, judge, orm, outcome_of
from search.matrix.orm import PLAIN, SEALED, Side
from search.matrix.outcomes import Outcome, Refused, Rows
from sqlalchemy import Connection
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from sqlalchemy_sealed.errors import RefusedOperationError


def outcome(deed: orm.Deed, connection: Connection, side: Side) -> Outcome:
    """Return what came of a deed; what it changed is rolled back."""

    def run() -> Iterator[object]:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield deed(session, side)
            session.rollback()

    return outcome_of(run)


@pytest.mark.parametrize("case", orm.RIGHT)
def test_right(case: str, connection: Connection) -> None:
    """Searches, relationships and bulk statements give the same on both sides."""
    sealed, plain = (outcome(orm.RIGHT[case], connection, side) for side in (SEALED, PLAIN))
    assert isinstance(plain, Rows)
    assert judge(sealed, plain, must_be_right=True) == ""


@pytest.mark.parametrize("case", orm.REFUSED)
def test_refused(case: str, connection: Connection) -> None:
    """What would be silently wrong is refused, also where the ORM adds it by itself."""
    sealed, plain = (outcome(orm.REFUSED[case], connection, side) for side in (SEALED, PLAIN))
    assert isinstance(plain, Rows)
    assert isinstance(sealed, Refused), sealed
    assert isinstance(sealed.error, RefusedOperationError)
    assert str(sealed.error).startswith("matrix")


def test_objects_cannot_be_searched_in_python(connection: Connection) -> None:
    """`synchronize_session="evaluate"` says that it cannot; nothing was sent."""
    statement = sa.update(Row).where(Row.paired == "bob").values(plain_folded="changed")
    with Session(connection) as session:
        with pytest.raises(InvalidRequestError, match="Could not evaluate current criteria"):
            session.execute(statement, execution_options={"synchronize_session": "evaluate"})
        assert session.scalars(sa.select(Row).where(Row.plain_folded == "changed")).all() == []
