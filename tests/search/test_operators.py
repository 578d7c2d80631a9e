"""
Every operator of SQLAlchemy on every kind of sealed column, with every kind of operand.

A cell is right if it gives the rows that the same operation gives on the plain twin of the
column, or is refused by an error of ours. What a blind index is for may not be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from search.matrix import KINDS, Kind, Mold, Outcome, judge, outcome_of
from search.matrix.calls import CALLS, SHAPE, called, found_names
from search.matrix.kinds import TABLE
from search.matrix.operands import OPERANDS, must_be_right, must_be_right_reversed
from sqlalchemy import Connection, Engine

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture(scope="module")
def reader(world: Engine) -> Iterator[Connection]:
    """Return a connection on which an error does not spoil what follows."""
    with world.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def test_every_operator_is_known() -> None:
    """An operator that a new version of SQLAlchemy brings has no place in the matrix yet."""
    assert set(found_names()) <= set(SHAPE)


def rows_of(reader: Connection, make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that makes an expression, puts it where it belongs, and executes it."""

    def run() -> Any:
        expression = make()
        if not isinstance(expression, sa.ColumnElement):
            return [type(expression)]  # Python did it, without asking the column.
        if expression._is_bind_parameter or not hasattr(expression, "type"):
            return reader.execute(sa.select(expression))
        if isinstance(expression, sa.UnaryExpression) and expression.modifier is not None:
            ordered = reader.execute(sa.select(TABLE.c.id).order_by(expression, TABLE.c.id))
            return [(place, *row) for place, row in enumerate(ordered)]
        if isinstance(expression.type, sa.Boolean):
            return reader.execute(sa.select(TABLE.c.id).where(expression))
        return reader.execute(sa.select(TABLE.c.id, expression))

    return run


def cell(reader: Connection, kind: Kind, call: str, operand: str, *, left: bool) -> str:
    """Return what is wrong with one cell, or nothing."""
    make = OPERANDS[operand]

    def outcome(mold: Mold) -> Outcome:
        def build() -> Any:
            column = mold.column()
            pair = (column, make(mold))
            result = called(call, *(pair if left else pair[::-1]))
            return None if result is column else result

        return outcome_of(rows_of(reader, build))

    must = must_be_right if left else must_be_right_reversed
    return judge(
        outcome(kind.sealed),
        lambda: outcome(kind.plain),
        must_be_right=must(kind, call, operand),
    )


@pytest.mark.parametrize("call", CALLS)
def test_the_column_on_the_left(call: str, reader: Connection) -> None:
    """`column operator operand` is right or refused."""
    operands = OPERANDS if SHAPE[call] != "unary" else ["None"]
    assert [
        (kind.name, operand, problem)
        for kind in KINDS
        for operand in operands
        if (problem := cell(reader, kind, call, operand, left=True))
    ] == []


@pytest.mark.parametrize("call", [call for call in CALLS if SHAPE[call] != "unary"])
def test_the_column_on_the_right(call: str, reader: Connection) -> None:
    """`operand operator column` is right or refused."""
    assert [
        (kind.name, operand, problem)
        for kind in KINDS
        for operand in OPERANDS
        if (problem := cell(reader, kind, call, operand, left=False))
    ] == []
