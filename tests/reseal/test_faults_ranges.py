"""Ranges that workers share: none is done too early, read twice, or kept by a late worker."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import empty_schema

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.reseal.keytext import from_text
from sqlalchemy_sealed.reseal.order import Summary
from sqlalchemy_sealed.reseal.outcome import Outcome

from .faults import FORKING, Stage, ended, in_child

pytestmark = [pytest.mark.postgres, FORKING]

ROWS = 9000
"""A range of a small table has 2,000 rows."""
SEALED = ROWS - ROWS // 11


@pytest.fixture
def stage(postgres_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Return an empty stage in PostgreSQL."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    with empty_schema(postgres_url) as url:
        yield Stage(url, tmp_path / "keys.json", provider)


def test_what_is_done_is_done_when_all_are_killed(stage: Stage) -> None:
    """No row of a range that is done is under an older key."""
    model = stage.fill(ROWS)
    stage.rotate()

    def work() -> None:
        stage.run(shared=True, lease=1, tell=lambda _outcome: time.sleep(0.005))

    children = [in_child(work) for _ in range(2)]
    while not _done_ids(stage):
        time.sleep(random.uniform(0, 0.05))
    for child in children:
        os.kill(child, signal.SIGKILL)
        ended(child)
    assert not _stale_ids(stage) & _done_ids(stage)
    assert stage.run(shared=True, lease=1).finished
    stage.check(model)


def test_a_range_is_done_after_its_last_batch(stage: Stage) -> None:
    """While rows of it are left, the table does not say so, however slowly they are written."""
    stage.fill(ROWS)
    stage.rotate()
    seen: list[int] = []

    def look(_outcome: Outcome) -> None:
        seen.append(len(_stale_ids(stage) & _done_ids(stage)))

    assert stage.run(shared=True, most=500, tell=look).finished
    assert len(seen) > 10
    assert sum(seen) == 0


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_one_pass_reads_each_row_once(shared: bool, stage: Stage) -> None:
    """Pages and ranges meet: none leaves out a row for another pass, and none takes one twice."""
    model = stage.fill(ROWS)
    stage.rotate()
    summary = stage.run(shared=shared, most=47)  # So that pages end in the midst of rows to do.
    assert (summary.read, summary.changed, summary.passes) == (SEALED, SEALED, 1)
    stage.check(model)


def test_workers_do_not_take_ranges_of_each_other(stage: Stage, tmp_path: Path) -> None:
    """As long as all live, each row is read by one of them."""
    model = stage.fill(ROWS)
    stage.rotate()

    def work() -> None:
        told = lambda _outcome: time.sleep(0.01)  # noqa: E731 - shorter than a function
        summary: Summary = stage.run(shared=True, most=200, tell=told)
        assert (summary.read, summary.lost, summary.passes) == (SEALED, 0, 1)

    for child in [in_child(work) for _ in range(2)]:
        assert ended(child) == 0
    stage.check(model)


def test_a_worker_that_was_away_leaves_its_range(stage: Stage, tmp_path: Path) -> None:
    """Its lease has expired and another one has the range: it goes on with the next one."""
    model = stage.fill(ROWS)
    stage.rotate()
    taken: list[int] = []

    def tell(outcome: Outcome) -> None:
        if not taken:  # As if it stood still, and another one took its range meanwhile.
            _sql(stage, "UPDATE sealed_ranges SET worker = 'another', lease = 'infinity'")
            time.sleep(1.1)  # It says that it lives after a second.
        taken.append(outcome.read)
        if len(taken) == 2:
            rows = _sql(stage, "SELECT read FROM sealed_ranges WHERE worker = 'another'")
            assert rows == [(0,)]
        if len(taken) == 12:
            kept["left"] = len(_stale_ids(stage) & set(range(1, 2001)))
            _sql(stage, "UPDATE sealed_ranges SET lease = NULL WHERE worker = 'another'")

    kept: dict[str, int] = {}
    assert stage.run(shared=True, most=100, tell=tell).finished
    assert kept["left"] > 1000, "it went on with the range of another worker"
    stage.check(model)


def _sql(stage: Stage, statement: str) -> list[tuple[Any, ...]]:
    with stage.engine() as engine, engine.begin() as connection:
        result = connection.execute(sa.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def _stale_ids(stage: Stage) -> set[int]:
    """Return the rows that are under another key than the primary."""
    primary = stage.manager.keyset("reseal-faults").primary.key_id
    query = "SELECT id, email FROM patients WHERE email IS NOT NULL"
    return {id_ for id_, email in _sql(stage, query) if primary not in bytes(email)[:12]}


def _done_ids(stage: Stage) -> set[int]:
    """Return the ids of ranges that are said to be done, of rows that were there at first."""
    if not _sql(
        stage,
        "SELECT 1 FROM pg_tables WHERE tablename = 'sealed_ranges'"
        " AND schemaname = current_schema()",
    ):
        return set()
    ids: set[int] = set()
    for after, through in _sql(stage, "SELECT after, through FROM sealed_ranges WHERE is_done"):
        low = from_text(after)[0] if after is not None else 0
        high = from_text(through)[0] if through is not None else ROWS
        ids |= set(range(low + 1, high + 1))
    return ids
