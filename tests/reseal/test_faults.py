"""A run is killed again and again while others write: no row is lost, skipped or sealed twice."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import LocalRootKey

from .faults import FORKING, Model, Stage, ended, in_child
from .faults_traffic import WRITERS, Traffic

pytestmark = [ON_MARIADB_TOO, FORKING]

ROWS = 600


@pytest.fixture
def stage(database_url: sa.URL, tmp_path: Path) -> Stage:
    """Return an empty stage."""
    return _stage(database_url, tmp_path)


def _stage(url: sa.URL, tmp_path: Path, *, in_text: bool = False) -> Stage:
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    return Stage(url, tmp_path / "keys.json", provider, in_text, slow=0.02)


def _seed() -> int:
    """Return a seed: a new one, or that of a run of the tests that failed."""
    seed = int(os.environ.get("SEALED_FAULT_SEED") or random.SystemRandom().randrange(10**9))
    sys.stdout.write(f"to do the same again: SEALED_FAULT_SEED={seed}\n")
    return seed


def _kill_often(stage: Stage, model: Model, kind: str, kills: int) -> None:
    """Kill a run at random points while others write, and compare with the model."""
    seed = _seed()
    choices = random.Random(seed)
    stage.rotate()
    started = time.monotonic()
    assert stage.run(kind).finished
    span = time.monotonic() - started
    writers = [Traffic(stage, model, number, seed=seed) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    killed = 0
    for _ in range(kills * 3):
        stage.rotate()
        child = in_child(lambda: stage.run(kind))
        time.sleep(choices.uniform(0, span))
        os.kill(child, signal.SIGKILL)
        in_time = ended(child) == -signal.SIGKILL
        # Later runs have less to do than the first one, or more, or a machine that is busier.
        span *= 1.05 if in_time else 0.8
        killed += in_time
        if killed == kills:
            break
    held = {id_: email for writer in writers for id_, email in writer.stop().items()}
    assert killed == kills, "most runs ended before they were killed; the test tests nothing"
    assert stage.run(kind).finished
    assert stage.run("reseal").finished
    stage.check(held, kind)


def test_no_write_is_lost_when_resealing_is_killed_at_random_points(stage: Stage) -> None:
    """Each row holds what was written last, sealed once, under the primary."""
    _kill_often(stage, stage.fill(ROWS), "reseal", 12)


def test_no_write_is_lost_when_encrypting_is_killed_at_random_points(
    database_url: sa.URL, tmp_path: Path
) -> None:
    """Old versions of the application go on writing plaintext; in the end there is none."""
    stage = _stage(database_url, tmp_path, in_text=True)
    _kill_often(stage, stage.fill(ROWS, as_plain=True), "encrypt", 6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reseal", "encrypt"])
def test_many_kills(kind: str, database_url: sa.URL, tmp_path: Path) -> None:
    """The same on a larger table: 200 times on PostgreSQL, 40 times elsewhere."""
    kills = 200 if database_url.get_backend_name() == "postgresql" else 40
    stage = _stage(database_url, tmp_path, in_text=kind == "encrypt")
    _kill_often(stage, stage.fill(2000, as_plain=kind == "encrypt"), kind, kills)


def test_two_runners_at_once_write_each_row_once(stage: Stage, tmp_path: Path) -> None:
    """Both go over the same rows; compare-and-swap lets one of them write each."""
    model = stage.fill(ROWS)
    stage.rotate()
    told = [tmp_path / "first", tmp_path / "second"]

    def work(file: Path) -> None:
        summary = stage.run()
        assert summary.finished
        file.write_text(str(summary.changed))

    for child in [in_child(lambda file=file: work(file)) for file in told]:
        assert ended(child) == 0
    assert sum(int(file.read_text()) for file in told) == len([v for v in model.values() if v])
    stage.check(model)


@pytest.mark.parametrize("kind", ["reseal", "encrypt"])
def test_keys_are_rotated_by_others_all_the_time(
    kind: str, database_url: sa.URL, tmp_path: Path
) -> None:
    """Runs and writers follow; the run after the last rotation brings every row to the primary."""
    stage = _stage(database_url, tmp_path, in_text=kind == "encrypt")
    model, seed = stage.fill(ROWS, as_plain=kind == "encrypt"), _seed()
    writers = [Traffic(stage, model, number, seed=seed) for number in range(WRITERS)]
    for writer in writers:
        writer.start()

    def rotate_often() -> None:
        for _ in range(10):
            stage.rotate()
            time.sleep(0.05)

    rotating = in_child(rotate_often)
    while os.waitpid(rotating, os.WNOHANG) == (0, 0):
        assert stage.run(kind).bad == 0
    held = {id_: email for writer in writers for id_, email in writer.stop().items()}
    assert stage.run(kind).finished
    assert stage.run().finished
    stage.check(held, kind)
