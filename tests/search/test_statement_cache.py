"""One cached statement serves all values that are searched, any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from search.matrix import Row
from search.matrix.kinds import OTHER, TABLE
from sqlalchemy import Connection, event
from sqlalchemy.engine.default import CacheStats
from sqlalchemy.orm import Session

from sqlalchemy_sealed import execute_exact, guard
from sqlalchemy_sealed.errors import RefusedOperationError

T: Any = TABLE
IDS = sa.select(T.c.id)
VALUES = ["ada", "bob", "", "nobody", "zoë", "a%b"]
LISTS: list[list[str | None]] = [["ada"], ["ada", "bob"], [], [None], ["x"] * 500, [None, "bob"]]


@pytest.fixture
def hits(connection: Connection) -> Iterator[list[CacheStats]]:
    """Return whether the statements that were executed so far were compiled before."""
    found: list[CacheStats] = []

    def note(_conn: Any, _cursor: Any, _sql: str, _params: Any, context: Any, _many: bool) -> None:
        if context.compiled is not None:
            found.append(context.cache_hit)

    # A cache of its own: what other tests have compiled does not count.
    cached = connection.execution_options(compiled_cache={})
    event.listen(cached, "before_cursor_execute", note)
    yield found
    event.remove(cached, "before_cursor_execute", note)


ONE: dict[str, Callable[[str], Any]] = {
    "==": lambda v: IDS.where(T.c.indexed == v),
    "== on the right": lambda v: IDS.where(v == T.c.indexed),
    "!=": lambda v: IDS.where(T.c.indexed != v),
    "IS DISTINCT FROM": lambda v: IDS.where(T.c.folded.is_distinct_from(v)),
    "IS NOT DISTINCT FROM": lambda v: IDS.where(T.c.as_text.is_not_distinct_from(v)),
    "a join": lambda v: IDS.join(OTHER, OTHER.c.indexed == T.c.indexed).where(T.c.indexed == v),
    "a subquery": lambda v: sa.select(IDS.where(T.c.indexed == v).subquery()),
    "UPDATE": lambda v: T.update().where(T.c.indexed == v).values(plain=v, bare=v, single=None),
    "DELETE": lambda v: T.delete().where(T.c.as_text == v),
    "filter_by": lambda v: sa.select(Row).filter_by(indexed=v),
}
MANY: dict[str, Callable[[Any], Any]] = {
    "IN": lambda values: IDS.where(T.c.indexed.in_(values)),
    "NOT IN": lambda values: IDS.where(T.c.as_text.not_in(values)),
    "IN, of the ORM": lambda values: sa.select(Row).where(Row.folded.in_(values)),
}


def once(hits: list[CacheStats], count: int) -> bool:
    """Whether the first of so many statements was compiled, and no other."""
    return hits == [CacheStats.CACHE_MISS, *[CacheStats.CACHE_HIT] * (count - 1)]


@pytest.mark.parametrize("case", ONE)
def test_one_statement_for_all_values(
    case: str, connection: Connection, hits: list[CacheStats]
) -> None:
    """Each operator is compiled once, whatever it is compared with."""
    with Session(connection) as session:
        for value in VALUES:
            session.execute(ONE[case](value))
    assert once(hits, len(VALUES))


@pytest.mark.parametrize("case", MANY)
def test_one_statement_for_lists_of_any_length(
    case: str, connection: Connection, hits: list[CacheStats]
) -> None:
    """An empty list, one of 500, and None among the values do not make another statement."""
    with Session(connection) as session:
        for values in LISTS:
            session.execute(MANY[case](values))
    assert once(hits, len(LISTS))


def test_one_statement_for_exact_searches(connection: Connection, hits: list[CacheStats]) -> None:
    """So with a truncated index."""
    for value in VALUES:
        execute_exact(connection, IDS.where(T.c.truncated == value))
    assert once(hits, len(VALUES))


def test_the_guard_looks_once(
    connection: Connection, hits: list[CacheStats], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It examines what was compiled; a cached statement is not looked at again."""
    examined = []
    check = guard.check
    monkeypatch.setattr(guard, "check", lambda *given: examined.append(given) or check(*given))
    for value in VALUES:
        connection.execute(IDS.where(T.c.indexed == value))
    assert (len(hits), len(examined)) == (len(VALUES), 1)


def test_what_is_refused_is_refused_each_time(
    connection: Connection, hits: list[CacheStats]
) -> None:
    """Also when it comes from the cache."""
    for _ in range(3):
        with pytest.raises(RefusedOperationError, match="ORDER BY"):
            connection.execute(IDS.order_by(T.c.indexed))


def test_values_are_in_no_key(connection: Connection) -> None:
    """The cache key of a search holds its parameters apart from the values."""
    for value in VALUES[:2]:
        key = ONE["=="](value)._generate_cache_key()
        assert value not in str(key.key)
        assert key.key == ONE["=="]("another")._generate_cache_key().key
