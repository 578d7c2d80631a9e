"""The JSON of commands over rows: what the reference says of it, and the exit codes beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from documented_json import PAGE
from fix_keys import forget
from key_commands import in_a_folder

from sqlalchemy_sealed import get_sealer
from sqlalchemy_sealed.cli.app import app

from .cli import Stage

SECTIONS = dict(
    re.findall(r"^## `sealed (\w+)`\n(.*?)(?=^## )", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)
RUNS = ("rotate", "encrypt", "decrypt", "verify")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return an application with keys in a folder and some rows in SQLite."""
    in_a_folder(tmp_path, monkeypatch)
    stage = Stage(sa.create_engine("sqlite:///test.db"))
    stage.fill()
    yield stage
    stage.engine.dispose()
    forget(get_sealer())


def documented(command: str, result: Result, code: int) -> Any:
    """Check that a document is all that a command prints, and has only documented members."""
    assert result.exit_code == code, result.output
    document = json.loads(result.stdout)
    page = SECTIONS["rotate" if command in RUNS else command]
    said = set(re.findall(r"`([a-z_]+)`", page[page.index("JSON") :]))
    assert set(_members(document)) <= said
    return document


def _members(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            if name != "facts":  # Names and numbers as the database has them.
                yield from _members(value)
    elif isinstance(document, list):
        for each in document:
            yield from _members(each)


COLUMN = {"encrypt": ["patients.note"], "decrypt": ["patients.note", "--yes"]}


@pytest.mark.parametrize("command", RUNS)
def test_runs_say_in_json_what_they_did_and_would_do(command: str, stage: Stage) -> None:
    """With exit code 0 if all is done."""
    given = COLUMN.get(command, [])
    if command == "rotate":
        stage.rotate()
    would = documented(command, stage.command(command, *given, "--dry-run", "--json"), 0)
    assert (would["dry_run"], would["possible"]) == (True, True)
    done = documented(command, stage.command(command, *given, "--json"), 0)
    assert (done["dry_run"], done["done"], done["stopped"], done["error"]) == (
        *(False, True, False, None),
    )
    assert done["tables"][0]["table"] == "patients"


@pytest.mark.parametrize("command", ["rotate", "decrypt", "verify"])
def test_runs_with_a_bad_row_say_it_in_json_and_exit_with_1(command: str, stage: Stage) -> None:
    """The key of the row is named, and never its value."""
    stage.rotate()
    sealed = stage.sql("SELECT email FROM patients WHERE id = 3")[0][0]
    with stage.engine.begin() as connection:
        broken = sealed[:-1] + bytes([sealed[-1] ^ 1])
        connection.execute(sa.text("UPDATE patients SET email = :e WHERE id = 3"), {"e": broken})
    given = ["patients.email"]
    if command == "decrypt":
        given += ["--into", "name", "--yes"]
    done = documented(command, stage.command(command, *given, "--json"), 1)
    [table] = done["tables"]
    assert [(row["key"], row["code"]) for row in table["bad_rows"]] == [(["3"], "authentication")]
    assert (done["done"], done["error"]) == (False, None)


@pytest.mark.parametrize("command", RUNS)
def test_what_stands_in_the_way_is_in_the_json_of_a_dry_run(command: str, stage: Stage) -> None:
    """With exit code 1; the run itself prints no document, as nothing was begun."""
    given = [*COLUMN.get(command, []), "--json"]
    stage.sql("ALTER TABLE patients RENAME COLUMN note TO notes")
    would = documented(command, stage.command(command, *given, "--dry-run"), 1)
    assert not would["possible"]
    assert would["tables"][0]["findings"][0]["where"] == "patients.note"
    failed = stage.command(command, *given)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "there is no such column; did you mean 'notes'?" in " ".join(failed.stderr.split())


def test_status_says_it_in_json(stage: Stage) -> None:
    """Exit code 0 for a count, and 1 where a proof is asked for and there is none."""
    assert documented("status", stage.command("status", "--json"), 0)["proven"]
    stage.rotate()
    assert not documented("status", stage.command("status", "--json"), 0)["proven"]
    assert not documented("status", stage.command("status", "--json", "--require"), 1)["proven"]
    failed = stage.command("status", "patients.nothing", "--json")
    assert (failed.exit_code, failed.stdout) == (1, "")


def test_residue_says_it_in_json(stage: Stage) -> None:
    """Exit code 0 for a report, also of what is left; 1 where nothing can be cleaned."""
    stage.sql("UPDATE patients SET note = 'plain words' WHERE id = 1")
    given = ["residue", stage.url, "patients.note", "--json"]
    run = CliRunner().invoke
    assert documented("residue", run(app, given), 0)["cleaned"] is False
    failed = run(app, [*given, "--clean", "--yes"])
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "plain words" not in failed.stderr
    assert run(app, [*given, "--clean"]).exit_code == 2


@pytest.mark.parametrize("command", [*RUNS, "status"])
def test_wrong_usage_exits_with_2(command: str, stage: Stage) -> None:
    """Before anything is looked at, and with nothing on standard output."""
    given = COLUMN.get(command, [])
    for wrong in (["--nothing"], ["--workers", "0"], ["--load", "101"]):
        result = stage.command(command, *given, *wrong, "--json")
        assert (result.exit_code, result.stdout) == (2, "")


def test_a_table_without_a_key_is_refused_with_a_remedy(stage: Stage) -> None:
    """And is done by a unique column that is named, if that is NOT NULL."""
    stage.rotate()
    stage.sql("ALTER TABLE patients RENAME TO old")
    stage.sql("CREATE TABLE patients AS SELECT * FROM old")
    refused = stage.command("rotate", "patients", "--json")
    assert refused.exit_code == 1
    assert "no primary key" in refused.stderr
    assert "--key" in refused.stderr
    stage.sql("DROP TABLE patients")
    stage.sql(
        "CREATE TABLE patients (id INTEGER NOT NULL UNIQUE, name TEXT, email BLOB, note TEXT)"
    )
    stage.sql("INSERT INTO patients SELECT id, name, email, note FROM old")
    assert stage.document("rotate", "patients", "--key", "id")["tables"][0]["changed"] == 20
    assert stage.document("verify", "patients", "--key", "id")["done"]
