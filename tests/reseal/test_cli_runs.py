"""Runs of commands that go on, are stopped, killed, or shared by several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from fix_keys import forget
from key_commands import in_a_folder

from sqlalchemy_sealed import get_sealer

from .cli import MODELS, Stage, program

pytestmark = pytest.mark.postgres
ROWS = 6000
TESTS = Path(__file__).parents[1]


@pytest.fixture
def stage(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return an application with keys in a folder and some thousand rows on PostgreSQL."""
    in_a_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{TESTS.parent}")
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        stage = Stage(engine)
        stage.fill(ROWS)
        stage.rotate()
        yield stage
        engine.dispose()
    forget(get_sealer())


def stale(stage: Stage) -> int:
    """Return how many notes are under an older key."""
    return int(stage.document("status", "patients.note")["columns"][0]["stale"])


def start(stage: Stage, *arguments: str) -> subprocess.Popen[str]:
    """Start a run in a process of its own, so slowly that it can be met on its way."""
    slowly = ["--batch", "50", "--load", "20"]
    command = program(stage, "rotate", MODELS, "patients", *slowly, *arguments)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_until_some_are_done(stage: Stage, process: subprocess.Popen[str]) -> None:
    """Wait until a run has begun."""
    while stale(stage) == ROWS:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_two_workers_share_a_run(stage: Stage) -> None:
    """Processes of one machine, each with some of the ranges; one summary."""
    document = stage.document("rotate", "patients", "--workers", "2")
    [table] = document["tables"]
    assert document["done"]
    assert (table["changed"], table["left"], table["workers_lost"]) == (ROWS, 0, 0)
    assert stale(stage) == 0
    assert stage.sql("SELECT count(DISTINCT worker) > 0 FROM sealed_ranges WHERE is_done") == [
        (True,)
    ]


def test_a_run_verifies_with_two_workers(stage: Stage) -> None:
    """Each row is opened once."""
    [table] = stage.document("verify", "patients", "--workers", "2")["tables"]
    assert (table["read"], table["bad"], table["finished"]) == (ROWS, 0, True)


def test_ctrl_c_ends_a_run_after_the_batch(stage: Stage) -> None:
    """It says what was done, exits with 130, and the next one does the rest."""
    process = start(stage)
    wait_until_some_are_done(stage, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "not finished: stopped; the same run, started again, goes on" in output
    left = stale(stage)
    assert 0 < left < ROWS
    [table] = stage.document("rotate", "patients")["tables"]
    assert table["changed"] == left
    assert stale(stage) == 0


def test_a_killed_run_is_started_again(stage: Stage) -> None:
    """With all of its workers; the rows say what is left."""
    process = start(stage, "--workers", "2")
    wait_until_some_are_done(stage, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < stale(stage) < ROWS
    assert stage.command("rotate", "patients").exit_code == 0
    assert stale(stage) == 0
    assert stage.notes() == [f"note {n}" for n in range(ROWS)]


def test_an_error_says_what_was_done_before_it(stage: Stage) -> None:
    """In JSON, the document has the tables that are done and the error; the exit code is 1."""
    stage.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE integrity_constraint_violation USING DETAIL = NEW.cents; END'"
    )
    stage.sql(
        "CREATE TRIGGER refuse BEFORE UPDATE ON visits EXECUTE FUNCTION refuse()".replace(
            "visits EXECUTE", "visits FOR EACH ROW EXECUTE"
        )
    )
    done = stage.command("rotate", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert [each["table"] for each in document["tables"]] == ["patients"]
    assert (document["done"], document["error"]["code"]) == (False, "reseal")
    assert "sealed: visits: a constraint of the table refuses" in done.stderr


def test_more_workers_need_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite one process writes at a time, and it says so."""
    in_a_folder(tmp_path, monkeypatch)
    stage = Stage(sa.create_engine("sqlite:///test.db"))
    stage.fill(3)
    done = stage.command("rotate", "--workers", "2")
    assert done.exit_code == 1
    assert "on sqlite, use one worker" in done.output
    stage.engine.dispose()
    forget(get_sealer())
