"""What happens to single rows in the midst of a run: others change them, they are bad, or held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.reseal.job import Summary, run
from sqlalchemy_sealed.reseal.outcome import Outcome

from .faults import FORKING, Stage, ended, in_child

pytestmark = [ON_MARIADB_TOO, FORKING]

ROWS = 300


@pytest.fixture
def stage(database_url: sa.URL, tmp_path: Path) -> Stage:
    """Return an empty stage."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    return Stage(database_url, tmp_path / "keys.json", provider)


def _between(stage: Stage, id_: int, statement: Callable[[sa.Table], sa.Executable]) -> Summary:
    """Reseal, and let somebody else do something to a row after it was read."""
    text = f"mail-{id_}@example.org"
    done = threading.Event()

    def do_it() -> None:
        stage.open_keys()
        with stage.engine() as engine, engine.begin() as connection:
            connection.execute(statement(stage.table))

    with stage.engine() as engine:
        job = stage.job(engine)
        (change,) = job.changes

        def converting(dialect: sa.Dialect) -> Callable[..., Any]:
            convert = change.converting(dialect)

            def watched(values: Sequence[Any], blame: Any) -> Sequence[Any]:
                if not done.is_set() and text in map(stage.opened, values):
                    done.set()
                    assert ended(in_child(do_it)) == 0
                return convert(values, blame)

            return watched

        stage.open_keys()
        return run(engine, replace(job, changes=[replace(change, converting=converting)]))


def test_a_row_that_is_updated_between_read_and_write_keeps_the_update(stage: Stage) -> None:
    """The write of the other one stands; the run counts the row as lost, and it is current."""
    model = stage.fill(ROWS)
    stage.rotate()
    summary = _between(
        stage, 7, lambda table: table.update().where(table.c.id == 7).values(email="new")
    )
    assert (summary.finished, summary.lost, summary.bad) == (True, 1, 0)
    stage.check(model | {7: "new"})


def test_a_row_that_is_set_to_null_between_read_and_write_stays_null(stage: Stage) -> None:
    """There is nothing to seal any more."""
    model = stage.fill(ROWS)
    stage.rotate()
    summary = _between(
        stage, 7, lambda table: table.update().where(table.c.id == 7).values(email=None)
    )
    assert (summary.finished, summary.lost, summary.bad) == (True, 1, 0)
    stage.check(model | {7: None})


def test_a_row_that_is_deleted_between_read_and_write_stays_deleted(stage: Stage) -> None:
    """It does not come back."""
    model = stage.fill(ROWS)
    stage.rotate()
    summary = _between(stage, 7, lambda table: table.delete().where(table.c.id == 7))
    assert (summary.finished, summary.lost, summary.bad) == (True, 1, 0)
    del model[7]
    stage.check(model)


def test_a_bad_row_in_the_middle_is_told_by_its_key_and_left_as_it_is(stage: Stage) -> None:
    """The run goes on behind it; the value is not shown, and not touched."""
    model = stage.fill(ROWS)
    plain = stage.plain
    where = plain.c.id == 150
    with stage.engine() as engine, engine.begin() as connection:
        stored = bytes(connection.scalar(sa.select(plain.c.email).where(where)))
        damaged = stored[:-1] + bytes([stored[-1] ^ 1])
        connection.execute(plain.update().where(where).values(email=damaged))
    stage.rotate()
    summary = stage.run()
    assert (summary.finished, summary.bad, summary.left) == (True, 1, 1)
    (row,) = summary.bad_rows
    assert (row.key, row.column, row.code) == ((150,), "patients.email", "authentication")
    assert "mail-150" not in row.problem
    assert summary.changed == len([v for v in model.values() if v]) - 1
    with stage.engine() as engine, engine.begin() as connection:
        assert bytes(connection.scalar(sa.select(plain.c.email).where(where))) == damaged
        connection.execute(plain.update().where(where).values(email=stored))
    summary = stage.run()
    assert (summary.read, summary.changed, summary.bad) == (1, 1, 0)
    stage.check(model)


def test_a_bad_row_that_is_mended_meanwhile_is_done(stage: Stage) -> None:
    """Bad rows are those of the last look, not all that were ever seen."""
    model = stage.fill(ROWS)
    plain = stage.plain
    where = plain.c.id == 150
    with stage.engine() as engine, engine.begin() as connection:
        stored = bytes(connection.scalar(sa.select(plain.c.email).where(where)))
        connection.execute(plain.update().where(where).values(email=b"garbage"))
    stage.rotate()

    def mend(outcome: Outcome) -> None:
        if outcome.bad:
            with stage.engine() as engine, engine.begin() as connection:
                connection.execute(plain.update().where(where).values(email=stored))

    summary = stage.run(tell=mend)
    assert (summary.finished, summary.bad, summary.bad_rows, summary.left) == (True, 0, [], 0)
    assert summary.passes == 2
    stage.check(model)


def test_two_rotations_in_a_row_need_one_run(stage: Stage) -> None:
    """Each row is written once, under the newest key."""
    model = stage.fill(ROWS)
    stage.rotate()
    stage.rotate()
    summary = stage.run()
    assert summary.changed == len([v for v in model.values() if v])
    stage.check(model)


def test_a_rotation_by_this_process_during_a_run_takes_effect_at_once(stage: Stage) -> None:
    """Rows that are read later go to the new primary; those done before are done again."""
    model = stage.fill(ROWS)
    stage.rotate()
    rotated: list[bool] = []

    def rotate(_outcome: Outcome) -> None:
        if not rotated:
            rotated.append(True)
            stage.rotate()
            stage.refresh()

    summary = stage.run(tell=rotate)
    assert (summary.finished, summary.passes) == (True, 2)
    stage.check(model)


def test_a_rotation_by_another_process_during_a_run_is_seen_at_its_end(stage: Stage) -> None:
    """The keys are read again before the run says that it is finished."""
    model = stage.fill(ROWS)
    stage.rotate()
    rotated: list[bool] = []

    def rotate(_outcome: Outcome) -> None:
        if not rotated:
            rotated.append(True)
            stage.rotate()

    summary = stage.run(tell=rotate)
    assert (summary.finished, summary.passes) == (True, 2)
    stage.check(model)


def test_a_run_that_is_stopped_ends_after_the_batch_and_goes_on_later(stage: Stage) -> None:
    """It says that it was stopped and what it did; the next one does the rest."""
    model = stage.fill(ROWS)
    stage.rotate()
    stop = threading.Event()
    first = stage.run(tell=lambda _outcome: stop.set(), stop=stop)
    assert (first.finished, first.left) == (False, None)
    assert "stopped" in first.reason
    assert 0 < first.changed < ROWS - ROWS // 11
    second = stage.run()
    assert first.changed + second.changed == len([v for v in model.values() if v])
    stage.check(model)
