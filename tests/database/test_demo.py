"""`sealed demo` on real databases."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, inspect, text

from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.cli.demo.model import TABLE
from sqlalchemy_sealed.cli.demo.registry import Registry


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def demo(engine: Engine, *arguments: str) -> Result:
    """Run the demonstration on the database of an engine."""
    url = engine.url.render_as_string(hide_password=False)
    return CliRunner().invoke(app, ("demo", url, *arguments))


def test_the_demo_finds_everything_as_it_should_be(engine: Engine) -> None:
    """Nothing is readable, a person is found, what is wrong is refused, all is read at the end."""
    result = demo(engine, "--records", "120", "--json")
    assert result.exit_code == 0, result.output
    findings = json.loads(result.output)
    assert findings["readable_values"] == 0
    email = findings["application_sees"]["email"]
    assert email.endswith("@example.org")
    assert findings["search"]["asked"] == email.upper()
    assert findings["search"]["patients"] == [1]
    assert [refusal["error"] for refusal in findings["refusals"]] == [
        "AuthenticationError",
        "AuthenticationError",
        "IntegrityError",
        "RefusedOperationError",
    ]
    assert sorted(findings["rows_by_key_after_rotation"].values()) == [1, 120]
    assert findings["read_after_rotation"] == 121
    assert findings["as_expected"] is True


def test_the_demo_shows_both_sides(engine: Engine) -> None:
    """The printed form has the application's value beside the stored bytes."""
    output = demo(engine, "--records", "60").output
    assert "the application sees" in output
    assert "b1e6a510" in output
    assert '@EXAMPLE.ORG" finds: patient 1\n' in output
    assert "CHECK" in output or "check constraint" in output
    assert "Everything as it should be." in output


def test_the_search_sends_the_index_value_that_is_stored(engine: Engine) -> None:
    """What the database was sent is bytes 12 to 26 of the stored address, and nothing else."""
    findings = json.loads(demo(engine, "--records", "5", "--json").output)
    stored = bytes.fromhex(findings["database_sees"]["email"])
    assert findings["search"]["sent"] == stored[12:27].hex()


def test_the_demo_leaves_a_given_database_as_it_was(engine: Engine, folders: Path) -> None:
    """The table is dropped at the end, and the keys are removed."""
    demo(engine, "--records", "5")
    assert not inspect(engine).has_table(TABLE)
    assert list(folders.iterdir()) == []


def test_the_demo_leaves_a_file_of_its_own_to_look_at(folders: Path) -> None:
    """Without a URL, the SQLite file and its keys are where the output says."""
    result = CliRunner().invoke(app, ("demo", "--records", "5"))
    assert result.exit_code == 0
    (folder,) = folders.iterdir()
    assert f"sqlite3 {folder}/patients.sqlite" in result.output.replace("\\", "/")
    assert {"patients.sqlite", "sealed.keys.json", "sealed.root.key"} <= {
        file.name for file in folder.iterdir()
    }


def test_the_demo_keeps_its_table_when_asked_and_never_overwrites_one(
    engine: Engine, folders: Path
) -> None:
    """With --keep table and keys stay, and a second run refuses to touch them."""
    assert demo(engine, "--records", "5", "--keep").exit_code == 0
    kept = list(folders.iterdir())
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT count(*) FROM {TABLE}")).scalar_one()
    assert rows == 6
    second = demo(engine, "--records", "5")
    assert second.exit_code == 1
    assert "already" in second.stderr
    assert list(folders.iterdir()) == kept


def test_the_demo_fails_when_something_is_accepted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 1 if a damaged value is not refused."""
    monkeypatch.setattr(Registry, "_overwrite", lambda self, number, value: None)
    result = demo(engine, "--records", "5")
    assert result.exit_code == 1
    assert "NOT REFUSED" in result.output


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("patients", "not a database URL"),
        ("nosuchdatabase://host/db", "not a database URL"),
        ("postgresql://me:secret@127.0.0.1:1/db", "no connection"),
    ],
)
def test_a_wrong_url_is_explained(url: str, message: str, folders: Path) -> None:
    """A URL that leads nowhere gives a message, without its password, and leaves nothing."""
    result = CliRunner().invoke(app, ("demo", url))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "secret" not in result.output + result.stderr
    assert list(folders.iterdir()) == []
