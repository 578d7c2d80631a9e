"""What stays of plaintext in the files of a SQLite database, and when it goes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy import event

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.reseal.residue import residue
from sqlalchemy_sealed.reseal.residue_model import State

from .residue_stage import ROWS, Stage, stage


def _engine(file: Path, *pragmas: str) -> sa.Engine:
    """Return an engine whose connections begin with some pragmas."""
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    return engine


@pytest.fixture(params=["DELETE", "WAL"])
def story(request: pytest.FixtureRequest, tmp_path: Path, sealer: Sealer) -> Iterator[Stage]:
    """Return a file with a table that was sealed, by a process that does not erase."""
    pragmas = (f"journal_mode={request.param}", "secure_delete=OFF", "wal_autocheckpoint=0")
    engine = _engine(tmp_path / "clinic.sqlite", *pragmas)
    one = stage(engine)
    one.fill()
    one.seal()
    yield one
    engine.dispose()


def by_file(one: Stage) -> dict[str, Counter[str]]:
    """Count the canaries in the database and in the files beside it."""
    file = Path(str(one.engine.url.database))
    found = {each.name: one.in_files([each]) for each in file.parent.iterdir()}
    return {name: counts for name, counts in found.items() if counts}


def sealed(*arguments: str, answer: str | None = None) -> Result:
    """Run `sealed residue`."""
    return CliRunner().invoke(app, ["residue", *arguments], input=answer)


def test_plaintext_stays_in_the_file_and_in_the_log_until_they_are_cleaned(story: Stage) -> None:
    """Pages keep the old rows, the log keeps the old pages; after cleaning none is left."""
    in_wal = story.do("PRAGMA journal_mode") == "wal"
    before = by_file(story)
    if in_wal:
        assert before["clinic.sqlite-wal"]["note"] >= ROWS
    else:
        assert before["clinic.sqlite"]["note"] > 0
    report = residue(story.engine, "patients")
    assert report.at("rows").state is State.NONE
    assert report.at("table").state is State.MAYBE
    assert report.at("journal").state is (State.MAYBE if in_wal else State.NONE)
    assert report.at("indexes").facts["indexes"] == ["patients_email"]
    cleaned = residue(story.engine, "patients", clean=True)
    assert not cleaned.failed
    assert by_file(story) == {}
    assert cleaned.at("table").state is State.CLEANED
    assert cleaned.at("disk").state is State.UNSEEN


def test_a_process_that_erases_leaves_nothing_in_the_file(tmp_path: Path, sealer: Sealer) -> None:
    """With secure_delete on from the start, old values are overwritten with zeros."""
    one = stage(_engine(tmp_path / "clinic.sqlite", "secure_delete=ON"))
    one.fill()
    assert by_file(one)["clinic.sqlite"]["note"] >= ROWS
    one.seal()
    assert by_file(one) == {}
    one.engine.dispose()


def test_a_reader_keeps_the_log_from_being_emptied(tmp_path: Path, sealer: Sealer) -> None:
    """The step says so, and the journal is not said to be clean."""
    pragmas = ("journal_mode=WAL", "secure_delete=OFF", "wal_autocheckpoint=0")
    one = stage(_engine(tmp_path / "clinic.sqlite", *pragmas))
    one.fill()
    one.seal()
    other = _engine(tmp_path / "clinic.sqlite")
    with other.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT count(*) FROM patients")
        report = residue(one.engine, "patients", clean=True, lock_seconds=0.2)
        assert by_file(one)
    other.dispose()
    assert {step.name for step in report.failed} == {"journal"}
    assert report.at("journal").state is State.MAYBE
    assert not residue(one.engine, "patients", clean=True).failed
    assert by_file(one) == {}
    one.engine.dispose()


# -- the command


def test_the_command_reports_and_changes_nothing(story: Stage) -> None:
    """It shows places, never a value."""
    before = by_file(story)
    result = sealed(str(story.engine.url), "patients.email")
    assert result.exit_code == 0, result.output
    assert "patients (email)" in result.output
    assert "secure_delete" in result.output
    assert story.mark not in result.output
    assert by_file(story) == before


def test_the_command_asks_before_it_cleans(story: Stage) -> None:
    """It shows the statements; without an answer nothing is done."""
    before = by_file(story)
    refused = sealed(str(story.engine.url), "patients", "--clean", answer="n\n")
    assert refused.exit_code == 1
    assert "VACUUM" in refused.output
    assert by_file(story) == before
    done = sealed(str(story.engine.url), "patients", "--clean", answer="y\n")
    assert done.exit_code == 0, done.output
    assert "cleaned" in done.output
    assert by_file(story) == {}


def test_the_document_of_a_dry_run_has_the_steps_and_nothing_is_done(story: Stage) -> None:
    """Scripts read what would be done; `cleaned` says that nothing was."""
    before = by_file(story)
    result = sealed(str(story.engine.url), "patients", "--clean", "--dry-run", "--json")
    document = json.loads(result.output)
    assert (document["dry_run"], document["cleaned"]) == (True, False)
    assert [step["name"] for step in document["steps"]] == ["table", "journal"]
    assert not any(step["done"] for step in document["steps"])
    assert by_file(story) == before


def test_with_json_nobody_is_asked(story: Stage) -> None:
    """`--clean --json` needs `--yes`; then the document says what was done."""
    assert sealed(str(story.engine.url), "patients", "--clean", "--json").exit_code == 2
    result = sealed(str(story.engine.url), "patients", "--clean", "--json", "--yes")
    document = json.loads(result.output)
    assert result.exit_code == 0
    assert all(step["done"] for step in document["steps"])
    states = {each["place"]: each["state"] for each in document["findings"]}
    assert (states["table"], states["backups"]) == ("cleaned", "not seen")


def test_a_step_that_fails_ends_with_exit_code_1(story: Stage) -> None:
    """Plaintext that is left is such a case, and told as an error."""
    story.do("INSERT INTO patients (id, email) VALUES (9999, 'plain')")
    result = sealed(str(story.engine.url), "patients.email", "--clean", "--yes")
    assert result.exit_code == 1
    assert "seal them first" in result.output


@pytest.mark.parametrize("name", [".email", "patients."])
def test_half_a_name_is_wrong_usage(story: Stage, name: str) -> None:
    """A table, or a table and a column."""
    assert sealed(str(story.engine.url), name).exit_code == 2


def test_a_table_whose_name_has_a_dot_is_found(tmp_path: Path) -> None:
    """The whole name is tried first."""
    engine = _engine(tmp_path / "dotted.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE "a.b" (id INTEGER)')
    result = sealed(str(engine.url), "a.b")
    assert result.exit_code == 0, result.output
    assert "a.b (no column)" in result.output
    engine.dispose()
