"""`sealed verify --resume`: stopped, killed and started again, it counts each row once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_keys import forget
from key_commands import in_a_folder

from sqlalchemy_sealed import get_sealer

from .cli import MODELS, Stage, program

ROWS = 3000
FILE = Path("verify.json")
TESTS = Path(__file__).parents[1]
FIRST, LAST = 2, ROWS - 1
"""Rows whose notes do not open, one of the first page and one of the last."""


@pytest.fixture
def stage(database_url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return an application with keys in a folder and some thousand rows, two of them damaged."""
    in_a_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{TESTS.parent}")
    engine = sa.create_engine(database_url)
    stage = Stage(engine)
    stage.fill(ROWS)
    stage.sql(f"UPDATE patients SET note = 'plain words' WHERE id IN ({FIRST}, {LAST})")
    yield stage
    engine.dispose()
    forget(get_sealer())


def start(stage: Stage, *arguments: str, batch: int = 20) -> subprocess.Popen[str]:
    """Start a verification in a process of its own, so slowly that it can be met on its way."""
    slowly = ["--batch", str(batch), "--load", "5"]
    command = program(stage, "verify", MODELS, *slowly, *arguments)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a process does."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def kept() -> int:
    """Return how many rows the bookmarks count. The file is whole, whenever it is read."""
    entries = json.loads(FILE.read_text()) if FILE.exists() else {}
    return sum(each["read"] for each in entries.values())


def killed(process: subprocess.Popen[str]) -> None:
    """End a process and those that it has started by kill -9."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def assert_each_row_counts_once(document: Any, tables: list[str]) -> None:
    """Check a result: all rows of all tables, and the two that do not open."""
    assert [(each["table"], each["read"]) for each in document["tables"]] == [
        (table, ROWS) for table in tables
    ]
    patients = document["tables"][0]
    assert [row["key"] for row in patients["bad_rows"]] == [[str(FIRST)], [str(LAST)]]
    assert (patients["bad"], patients["finished"], document["done"]) == (2, True, False)


@pytest.mark.slow
def test_it_is_killed_and_counts_each_row_once(stage: Stage) -> None:
    """It goes on three times; rows that were opened are not opened again, nor counted again."""
    seen = [0]
    for _ in range(3):
        process = start(stage, "patients", "--resume", str(FILE), batch=5)
        until(lambda: kept() > seen[-1], process)
        killed(process)
        seen.append(kept())
    assert 0 < seen[-1] < ROWS
    stage.sql("UPDATE patients SET note = 'damaged since' WHERE id = 1")
    document = stage.document("verify", "patients", "--resume", str(FILE))
    assert_each_row_counts_once(document, ["patients"])
    assert document["tables"][0]["before"] == seen[-1]
    assert not FILE.exists()
    assert stage.document("verify", "patients")["tables"][0]["bad"] == 3


@pytest.mark.slow
def test_tables_that_are_done_are_not_opened_again(stage: Stage) -> None:
    """It is stopped in the second table; the result has what was found in the first one, too."""
    # A bookmark is written once a second, so the second table must take some.
    process = start(stage, "--resume", str(FILE), batch=5)
    until(lambda: kept() > ROWS, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"patients: {ROWS:,} rows opened" in output
    assert "not finished: stopped; the same run, started again, goes on" in output
    at = kept()
    assert ROWS < at < 2 * ROWS
    stage.sql("UPDATE patients SET note = 'damaged since' WHERE id = 1")
    document = stage.document("verify", "--resume", str(FILE))
    assert_each_row_counts_once(document, ["patients", "visits"])
    assert not FILE.exists()


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_workers_are_killed_and_count_each_row_once(stage: Stage) -> None:
    """They go on by their tables in the database; a range that was half done is done anew."""
    for _ in range(2):
        process = start(stage, "patients", "--workers", "2")
        until(lambda: _ranges(stage, "NOT is_done AND read > 0 AND lease IS NOT NULL") > 0, process)
        killed(process)
        stage.sql("UPDATE sealed_ranges SET lease = NULL WHERE NOT is_done")
    assert _ranges(stage, "NOT is_done") > 0
    [[done]] = stage.sql("SELECT coalesce(sum(read), 0) FROM sealed_ranges WHERE is_done")
    document = stage.document("verify", "patients", "--workers", "2")
    assert_each_row_counts_once(document, ["patients"])
    assert document["tables"][0]["before"] == done


def _ranges(stage: Stage, condition: str) -> int:
    inspector = sa.inspect(stage.engine)
    if not inspector.has_table("sealed_ranges"):
        return 0
    return int(stage.sql(f"SELECT count(*) FROM sealed_ranges WHERE {condition}")[0][0])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_is_not_to_be_trusted_is_refused(stage: Stage) -> None:
    """Others could have changed it, or it is of something else: it stays as it is."""
    FILE.write_text("{}")
    FILE.chmod(0o644)
    said = stage.command("verify", "--resume", str(FILE))
    assert said.exit_code == 1
    assert f"{FILE}: the file of bookmarks can be used by others (mode 0644)" in said.stderr
    FILE.chmod(0o600)
    FILE.write_text("[1, 2")
    said = stage.command("verify", "--resume", str(FILE), "--json")
    assert said.exit_code == 1
    assert f"{FILE}: this is no file of bookmarks of a verification" in said.stderr
    assert FILE.read_text() == "[1, 2"
    said = stage.command("verify", "--resume", "nowhere/verify.json")
    assert said.exit_code == 1
    assert "nowhere: there is no such folder for the file of bookmarks" in said.stderr
    assert stage.command("verify", "--resume", ".").exit_code == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_of_another_table_is_another_place(stage: Stage) -> None:
    """Its bookmark stays, and no row of this one is passed over."""
    other = {"after": '[["i","2999"]]', "read": 2999, "bad": 0, "size": 1, "bad_rows": "[]"}
    entry = {"sqlite:///elsewhere.sqlite patients (email, note)": other | {"done": False}}
    FILE.write_text(json.dumps(entry))
    FILE.chmod(0o600)
    document = stage.document("verify", "patients", "--resume", str(FILE))
    assert_each_row_counts_once(document, ["patients"])
    assert json.loads(FILE.read_text()) == entry


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("option", [("--workers", "2"), ("--shared",)])
def test_workers_take_no_file(option: tuple[str, ...], stage: Stage) -> None:
    """That is wrong usage, whatever the database."""
    said = stage.command("verify", "--resume", str(FILE), *option)
    assert said.exit_code == 2
    assert "a shared verification goes on by its tables in the database" in said.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_dry_run_leaves_the_file_alone(stage: Stage) -> None:
    """It neither goes on nor removes anything."""
    FILE.write_text("anything")
    assert stage.command("verify", "patients", "--resume", str(FILE), "--dry-run").exit_code == 0
    assert FILE.read_text() == "anything"
