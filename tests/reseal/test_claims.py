"""Ranges of keys: how they are carved, claimed, renewed and taken over; and their keys as text."""

from __future__ import annotations

import time as time_module
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from hypothesis import given
from hypothesis import strategies as st

from sqlalchemy_sealed.errors import ConfigurationError, ResealError
from sqlalchemy_sealed.reseal import moved_table
from sqlalchemy_sealed.reseal.claims import Claim, Claims
from sqlalchemy_sealed.reseal.keytext import from_text, to_text
from sqlalchemy_sealed.reseal.openrun import OpenRun
from sqlalchemy_sealed.reseal.order import Job
from sqlalchemy_sealed.reseal.outcome import BadRow, Outcome
from sqlalchemy_sealed.reseal.retries import Patience

VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.text(),
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(minutes=-90)))),
    st.times(),
    st.timedeltas(),
)


@given(st.lists(VALUES, min_size=1, max_size=4).map(tuple))
def test_a_key_is_read_back_exactly(key: tuple[Any, ...]) -> None:
    """Each value comes back equal, and of the same type."""
    again = from_text(to_text(key))
    assert again == key
    assert [type(value) for value in again] == [type(value) for value in key]
    assert [str(value) for value in again] == [str(value) for value in key]


def test_the_text_of_a_key_is_this() -> None:
    """What one version writes, another one reads, in the same run."""
    key = (7, "a", UUID(int=1), b"\0\xff", Decimal("1.50"), True)
    assert to_text(key) == (
        '[["i","7"],["s","a"],["u","00000000-0000-0000-0000-000000000001"],["x","00ff"],'
        '["n","1.50"],["b",true]]'
    )
    moments = (date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, 6, UTC), time(1, 2))
    assert to_text(moments) == (
        '[["d","2026-01-02"],["t","2026-01-02T03:04:05.000006+00:00"],["c","01:02:00"]]'
    )
    assert from_text(to_text((memoryview(b"a"), bytearray(b"b")))) == (b"a", b"b")


def test_a_key_of_another_type_is_refused_with_a_remedy() -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError, match=r"type complex cannot be shared.*one worker"):
        to_text((1j,))


@pytest.mark.parametrize("text", ["", "{}x", '[["q","1"]]', '[["i","x"]]', "[1]", '[["n","x"]]'])
def test_what_is_no_key_is_refused(text: str) -> None:
    """A damaged row of the table does not become a range."""
    with pytest.raises(ResealError, match="a key that cannot be read"):
        from_text(text)


# -- in PostgreSQL


@pytest.fixture
def database(postgres_url: str) -> Iterator[sa.Engine]:
    """Return an engine on an empty schema of PostgreSQL."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


class Worker(Claims):
    """A worker of a test, of a run whose ranges have three rows."""

    def __init__(self, engine: sa.Engine, table: str, stack: ExitStack, lease: float = 60) -> None:
        with engine.connect() as connection:
            job = Job("reseal", moved_table(connection, table), [])
        run = OpenRun(engine, job, Patience(), rows=3)
        stack.callback(run.close)
        super().__init__(run, lease)

    def all_claims(self) -> list[Claim]:
        """Claim and finish ranges until there are none."""
        claims = []
        while (claim := self.claim()) is not None:
            claims.append(claim)
            assert self.finish(claim, Outcome(1, 1))
        return claims


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what ends with the test."""
    with ExitStack() as stack:
        yield stack


KEYS = {
    "INTEGER": list(range(-3, 8)),
    "TEXT": ["", "a", "B", "é", "it's", "%", '"', "\\", "z" * 100],
    "UUID": sorted((uuid4() for _ in range(8)), key=str),
    "BYTEA": [b"", b"\0", b"\xff\xfe", b"abc"],
    "NUMERIC(10, 3)": [Decimal("-1.5"), Decimal("0.001"), Decimal(3), Decimal(4)],
    "DATE": [date(2020, 1, day) for day in range(1, 8)],
    "TIMESTAMPTZ": [datetime(2020, 1, 1, second, tzinfo=UTC) for second in range(8)],
    "BOOLEAN": [False, True],
}


@pytest.mark.postgres
@pytest.mark.parametrize("type_", KEYS)
def test_ranges_cover_each_key_once(type_: str, database: sa.Engine, stack: ExitStack) -> None:
    """Also keys of texts, bytes and moments, in the order of the database."""
    keys = KEYS[type_]
    with database.begin() as connection:
        connection.execute(
            sa.text(f'CREATE TABLE "T %" (k {type_}, n INTEGER, PRIMARY KEY (k, n))')
        )
        rows = [{"k": key, "n": n} for key in keys for n in (1, 2)]
        connection.execute(sa.text('INSERT INTO "T %" VALUES (:k, :n)'), rows)
        columns = moved_table(connection, "T %").selectable.c
        query = sa.select(columns.k, columns.n).order_by(sa.text('"T %".k, "T %".n'))
        in_order = [tuple(row) for row in connection.execute(query)]
    claims = Worker(database, "T %", stack).all_claims()
    assert len(claims) == len(in_order) // 3 + 1
    bounds = [claim.range_.through for claim in claims[:-1]]
    assert bounds == in_order[2::3]
    assert [claim.range_.after for claim in claims] == [None, *bounds]
    assert claims[-1].range_.through is None


@pytest.fixture
def table(database: sa.Engine) -> str:
    """Make a table of ten rows, and return its name."""
    with database.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (id INTEGER PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO t SELECT generate_series(1, 10)"))
    return "t"


@pytest.mark.postgres
def test_two_workers_have_different_ranges(
    table: str, database: sa.Engine, stack: ExitStack
) -> None:
    """Both are in the same run, and what is claimed is not claimed again."""
    one, two = (Worker(database, table, stack) for _ in range(2))
    assert one.run.id == two.run.id
    claims = [worker.claim() for worker in (one, two, one, two, one)]
    assert [claim and claim.number for claim in claims] == [1, 2, 3, 4, None]
    assert not one.run.standing().is_passed
    for claim in claims[:4]:
        worker = one if claim.number % 2 else two
        assert worker.finish(claim, Outcome(3, 2, 1))
    assert one.run.standing().is_passed
    summary = one.run.summary(0, "")
    assert (summary.read, summary.changed, summary.lost) == (12, 8, 4)


@pytest.mark.postgres
def test_a_lease_that_expired_is_another_workers(
    table: str, database: sa.Engine, stack: ExitStack
) -> None:
    """The first one is told so when it renews; what it did till then is counted."""
    slow, quick = Worker(database, table, stack, lease=0), Worker(database, table, stack)
    claim = slow.claim()
    bad = BadRow((2,), "t.c", "authentication", "is bad")
    assert slow.renew(claim, Outcome(2, 1, 0, 1), [bad])
    assert quick.claim() == claim
    assert not slow.renew(claim, Outcome(5, 5))
    assert not slow.finish(claim, Outcome(5, 5))
    assert quick.finish(claim, Outcome(2, 0, 0, 1), [bad])
    summary = quick.run.summary(0, "")
    assert (summary.read, summary.changed, summary.bad, summary.bad_rows) == (4, 1, 1, [bad])


@pytest.mark.postgres
def test_the_range_of_a_worker_that_has_gone_is_free(
    table: str, database: sa.Engine, stack: ExitStack
) -> None:
    """With its connection its lock goes, whatever its lease says; a worker that lives keeps its."""
    one, two, three = (Worker(database, table, stack) for _ in range(3))
    gone, kept = one.claim(), two.claim()
    assert three.claim().number == 3
    one.run.close()
    assert three.claim() == gone
    assert three.claim() != kept


@pytest.mark.postgres
def test_a_worker_that_lost_its_connection_holds_its_lock_again(
    table: str, database: sa.Engine, stack: ExitStack
) -> None:
    """Whoever looks after that leaves its range alone, though the old session has ended since."""
    one, two = Worker(database, table, stack), Worker(database, table, stack)
    claim = one.claim()
    before = one.run._session._connection
    one.run._session._connection = None  # As if it was lost, and the server knew nothing of that.
    assert one.renew(claim, Outcome())
    before.connection.driver_connection.close()
    before.invalidate()
    with database.connect() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :lock"
        while connection.scalar(sa.text(query), {"lock": one.run.lock}) > 1:
            time_module.sleep(0.01)
    assert two.claim() != claim


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["another", "host/1/a1b2", "host/1/99999999999", "host/1/ 5"])
def test_a_worker_whose_name_is_no_lock_has_its_lease(
    name: str, table: str, database: sa.Engine, stack: ExitStack
) -> None:
    """It is not known whether it lives, so it is taken to live until the lease expires."""
    one, two = Worker(database, table, stack), Worker(database, table, stack)
    claim = one.claim()
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE sealed_ranges SET worker = :name"), {"name": name})
    assert two.claim() != claim


@pytest.mark.postgres
def test_a_lease_that_is_renewed_stays(table: str, database: sa.Engine, stack: ExitStack) -> None:
    """It counts from the last time."""
    one, two = Worker(database, table, stack, lease=0), Worker(database, table, stack)
    claim = one.claim()
    one.lease = 60
    assert one.renew(claim, Outcome())
    assert two.claim() != claim


@pytest.mark.postgres
def test_a_range_that_is_given_back_is_next(
    table: str, database: sa.Engine, stack: ExitStack
) -> None:
    """So is that of a worker of which it is known that it died."""
    one, two = Worker(database, table, stack), Worker(database, table, stack)
    claims = [one.claim(), one.claim()]
    assert one.give_back(claims[0], Outcome(1))
    assert two.claim() == claims[0]
    two.release(one.worker[: one.worker.rindex("/") + 1])
    assert [two.claim(), two.claim()] == claims


@pytest.mark.postgres
def test_one_of_many_ends_a_turn(table: str, database: sa.Engine, stack: ExitStack) -> None:
    """Rows that are left make another turn; without any, the run has ended."""
    one, two = Worker(database, table, stack), Worker(database, table, stack)
    assert len(one.all_claims()) == 4

    def count() -> int:
        assert not two.run.end_turn(lambda: 0)
        return 1

    assert one.run.end_turn(count)
    assert two.run.standing().turn == 2
    assert len(two.all_claims()) == 4
    assert two.run.end_turn(lambda: 0)
    assert one.run.standing().is_ended
    assert one.claim() is None
    summary = one.run.summary(0, "")
    assert (summary.finished, summary.passes, summary.left) == (True, 2, 0)
    assert Worker(database, table, stack).run.id != one.run.id
