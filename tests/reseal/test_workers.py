"""Several workers share a run: processes of one machine, and of many."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import empty_schema

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.errors import OptionError, ResealError
from sqlalchemy_sealed.reseal.outcome import Outcome

from . import factory
from .faults import FORKING, Stage, ended, in_child

pytestmark = [pytest.mark.postgres, FORKING]

ROWS = 9000
"""A range of a small table has 2,000 rows."""
SEALED = ROWS - ROWS // 11
FOR_EVER = 1e9
"""Seconds of a lease, after which no test waits."""


@pytest.fixture
def stage(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return an empty stage in PostgreSQL, which workers find by the environment."""
    root = LocalRootKey.generate()
    with empty_schema(postgres_url) as url:
        stage = Stage(url, tmp_path / "keys.json", LocalRootKey.from_text(root))
        monkeypatch.setenv(factory.URL, url.render_as_string(hide_password=False))
        monkeypatch.setenv(factory.KEYS, str(stage.keys))
        monkeypatch.setenv(factory.ROOT, root)
        yield stage


def _ranges(stage: Stage) -> list[sa.Row]:
    """Return the ranges of all runs."""
    there = "SELECT to_regclass('sealed_ranges') IS NOT NULL"
    query = "SELECT worker, is_done, changed FROM sealed_ranges ORDER BY run_id, turn, number"
    with stage.engine() as engine, engine.connect() as connection:
        return list(connection.execute(sa.text(query))) if connection.scalar(sa.text(there)) else []


@pytest.mark.parametrize("way", ["function", "command"])
def test_workers_of_one_machine_share_a_run(way: str, stage: Stage) -> None:
    """Each row is written by one of them, and the summary is that of all."""
    model = stage.fill(ROWS)
    stage.rotate()
    told = Outcome()
    program = "from tests.reseal.factory import main; main()"
    command = [sys.executable, "-c", program] if way == "command" else None
    worker = factory.make if way == "function" else None
    summary = stage.run(
        workers=2, worker_command=command, worker=worker, tell=told.add, throttle=None
    )
    assert (summary.finished, summary.changed, summary.left) == (True, SEALED, 0)
    assert (summary.workers_lost, summary.reason) == (0, "")
    assert told.changed == SEALED
    assert all(row.is_done for row in _ranges(stage))
    stage.check(model)


def test_workers_of_many_machines_join_the_run_that_is_open(stage: Stage) -> None:
    """Nobody starts the others: each finds the run, and all end with one summary."""
    model = stage.fill(ROWS)
    stage.rotate()

    def work() -> None:
        summary = stage.run(shared=True, tell=lambda _outcome: time.sleep(0.002))
        assert (summary.finished, summary.changed, summary.left) == (True, SEALED, 0)

    for child in [in_child(work) for _ in range(3)]:
        assert ended(child) == 0
    with stage.engine() as engine, engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM sealed_runs")) == 1
    assert len({row.worker for row in _ranges(stage)}) > 1
    stage.check(model)


def test_the_range_of_a_worker_that_was_killed_is_taken_at_once(
    stage: Stage, tmp_path: Path
) -> None:
    """The server has dropped its lock: nobody waits for its lease, and the run ends without it."""
    model = stage.fill(ROWS)
    stage.rotate()
    begun = tmp_path / "begun"

    def work_slowly() -> None:
        stage.run(
            shared=True, lease=FOR_EVER, tell=lambda _outcome: (begun.touch(), time.sleep(0.2))
        )

    victim = in_child(work_slowly)
    while not begun.exists():
        time.sleep(0.01)
    os.kill(victim, signal.SIGKILL)
    assert ended(victim) == -signal.SIGKILL
    (row,) = _ranges(stage)
    assert not row.is_done
    summary = stage.run(shared=True)
    assert (summary.finished, summary.left) == (True, 0)
    ranges = _ranges(stage)
    assert all(each.is_done for each in ranges)
    assert len(ranges) == -(-ROWS // 2000)
    assert row.worker not in {each.worker for each in ranges}
    stage.check(model)


def test_a_local_worker_that_dies_is_told_and_the_others_do_its_part(stage: Stage) -> None:
    """The summary counts it."""
    model = stage.fill(ROWS)
    stage.rotate()

    def wait(_outcome: Outcome) -> None:  # Else the run may have ended while it still starts.
        for child in multiprocessing.active_children():
            child.join()

    summary = stage.run(workers=2, worker=factory.dies, tell=wait)
    assert (summary.finished, summary.left, summary.workers_lost) == (True, 0, 1)
    stage.check(model)


def test_who_is_still_starting_when_the_run_has_ended_is_not_waited_for(stage: Stage) -> None:
    """It has had no part, and is not counted as lost."""
    model = stage.fill(ROWS)
    stage.rotate()
    summary = stage.run(workers=2, worker=factory.sleeps)
    assert (summary.finished, summary.changed, summary.workers_lost) == (True, SEALED, 0)
    assert not multiprocessing.active_children()
    stage.check(model)


def test_a_table_of_one_range_has_one_worker(stage: Stage) -> None:
    """Others would find nothing to do, and are not started."""
    model = stage.fill(1000)
    stage.rotate()
    summary = stage.run(workers=2, worker_command=["/no/such/program"])
    assert (summary.finished, summary.workers_lost) == (True, 0)
    stage.check(model)


def test_a_command_that_was_killed_goes_on_at_once(stage: Stage) -> None:
    """
    All of its workers are killed; the same command, run again, waits for no lease of theirs.

    With leases that do not expire it would wait for ever.
    """
    model = stage.fill(ROWS)
    stage.rotate()

    def work() -> None:
        os.setpgrp()
        tell = lambda _outcome: time.sleep(0.05)  # noqa: E731 - shorter than a function
        stage.run(workers=2, worker=factory.slowly, lease=FOR_EVER, tell=tell)

    command = in_child(work)
    while len({row.worker for row in _ranges(stage)}) < 2:
        time.sleep(0.05)
    os.killpg(command, signal.SIGKILL)
    assert ended(command) == -signal.SIGKILL
    assert not all(row.is_done for row in _ranges(stage))
    summary = stage.run(workers=2, worker=factory.make, lease=FOR_EVER)
    assert (summary.finished, summary.left) == (True, 0)
    stage.check(model)


def test_workers_are_killed_all_the_time(stage: Stage) -> None:
    """Whoever is left takes the ranges of the dead; the last one ends the run."""
    model = stage.fill(ROWS)
    stage.rotate()
    for _ in range(8):
        children = [in_child(lambda: stage.run(shared=True, lease=1)) for _ in range(2)]
        time.sleep(0.1)
        for child in children:
            os.kill(child, signal.SIGKILL)
            ended(child)
    assert stage.run(shared=True, lease=1).finished
    stage.check(model)


def test_a_worker_that_is_stopped_gives_its_range_back(stage: Stage) -> None:
    """Nobody waits for its lease; the run goes on with the next one that comes."""
    model = stage.fill(ROWS)
    stage.rotate()
    stop = threading.Event()
    first = stage.run(shared=True, tell=lambda _outcome: stop.set(), stop=stop)
    assert (first.finished, first.changed > 0) == (False, True)
    assert "stopped" in first.reason
    second = stage.run(shared=True)
    assert (second.finished, second.changed) == (True, SEALED)
    stage.check(model)


def test_a_run_that_was_left_all_but_ended_does_not_hide_a_later_rotation(stage: Stage) -> None:
    """All its ranges are done, but rows are stale again: it goes over the table once more."""
    model = stage.fill(ROWS)
    stage.rotate()
    stage.run(shared=True)
    with stage.engine() as engine, engine.begin() as connection:
        connection.execute(sa.text("UPDATE sealed_runs SET ended = NULL, is_finished = false"))
    stage.rotate()
    summary = stage.run(shared=True)
    assert (summary.finished, summary.passes, summary.changed) == (True, 2, 2 * SEALED)
    stage.check(model)


def test_a_worker_that_comes_too_late_does_not_begin_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started for a run that has ended meanwhile, and does nothing."""
    stage.fill(ROWS)
    stage.rotate()
    stage.run(shared=True)
    with stage.engine() as engine, engine.connect() as connection:
        id_ = connection.scalar(sa.text("SELECT id FROM sealed_runs"))
    stage.rotate()
    monkeypatch.setenv("SEALED_RUN", str(id_))
    assert stage.run(shared=True).changed == SEALED
    assert stage.left() == SEALED
    monkeypatch.setenv("SEALED_RUN", str(id_ + 1000))
    assert stage.run(shared=True).finished
    assert stage.left() == 0


def test_bad_rows_of_all_workers_are_in_the_summary(stage: Stage) -> None:
    """With their keys, in the order of the ranges."""
    stage.fill(ROWS)
    plain = stage.plain
    with stage.engine() as engine, engine.begin() as connection:
        bad = plain.update().where(plain.c.id.in_([10, 5000])).values(email=b"garbage")
        connection.execute(bad)
    stage.rotate()
    summary = stage.run(workers=2, worker=factory.make)
    assert (summary.finished, summary.bad, summary.left) == (True, 2, 2)
    assert [row.key for row in summary.bad_rows] == [(10,), (5000,)]
    assert {row.code for row in summary.bad_rows} == {"not-an-envelope"}


def test_who_may_not_make_the_tables_is_told_so(stage: Stage) -> None:
    """The error names the right; without shared workers the same user can do the job."""
    model = stage.fill(100)
    stage.rotate()
    with stage.engine() as engine, engine.begin() as connection:
        for sql in (
            "DROP ROLE IF EXISTS clerk",
            "CREATE ROLE clerk LOGIN PASSWORD 'secret'",
            f"GRANT USAGE ON SCHEMA {_schema(stage)} TO clerk",
            "GRANT SELECT, UPDATE ON patients TO clerk",
        ):
            connection.execute(sa.text(sql))
    url = stage.url.set(username="clerk", password="secret")
    clerk = Stage(url, stage.keys, stage.provider)
    try:
        with pytest.raises(ResealError, match=r"patients: .* grant it CREATE on the schema"):
            clerk.run(shared=True)
        assert clerk.run().finished
        stage.check(model)
    finally:
        with stage.engine() as engine, engine.begin() as connection:
            connection.execute(sa.text("DROP OWNED BY clerk"))
            connection.execute(sa.text("DROP ROLE clerk"))


def _schema(stage: Stage) -> str:
    return stage.url.query["options"].partition("search_path=")[2]


def test_workers_need_postgresql(tmp_path: Path) -> None:
    """Elsewhere more than one is refused, with the remedy."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "test.db"))
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    stage = Stage(url, tmp_path / "keys.json", provider)
    stage.fill(10)
    with pytest.raises(OptionError, match="on sqlite, use one worker"):
        stage.run(workers=2, worker=factory.make)
    with pytest.raises(OptionError, match="on sqlite, use one worker"):
        stage.run(shared=True)


def test_how_other_workers_are_started_has_to_be_said(stage: Stage) -> None:
    """A job cannot be sent to another process."""
    stage.fill(ROWS)
    stage.rotate()
    with pytest.raises(OptionError, match="worker_command= or worker="):
        stage.run(workers=2)
    with pytest.raises(OptionError, match="at least one worker"):
        stage.run(workers=0)
    with pytest.raises(ResealError, match="a worker cannot be started"):
        stage.run(workers=2, worker_command=["/no/such/program"])
