"""`sealed keys destroy`: no row may be lost by mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from key_commands import KEYSTORE, in_a_folder, keys, listed

from sqlalchemy_sealed import FileKeystore
from sqlalchemy_sealed.envelope import header


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a root key and a keystore."""
    return in_a_folder(tmp_path, monkeypatch)


@pytest.fixture
def old() -> str:
    """Return the id of a key that two rows of a database are under."""
    keys("rotate")
    old = listed()[0]["id"]
    engine = sa.create_engine("sqlite:///app.sqlite")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE patients (email blob, meta json)"))
        value = header(1, 0, bytes.fromhex(old)) + bytes(60)
        connection.execute(sa.text("INSERT INTO patients VALUES (:v, '{}')"), [{"v": value}] * 2)
    engine.dispose()
    return old


def clean() -> None:
    """Delete the rows."""
    engine = sa.create_engine("sqlite:///app.sqlite")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM patients"))
    engine.dispose()


def test_destroy_wants_to_know_where_to_look(old: str) -> None:
    """A database, or the word that none is looked at; not both."""
    assert keys("destroy", old, "--yes").exit_code == 2
    both = keys("destroy", old, "--yes", "--unscanned", "--scan", "sqlite:///app.sqlite")
    assert both.exit_code == 2
    assert listed()[0]["state"] == "enabled"


def test_a_key_with_rows_is_not_destroyed(old: str) -> None:
    """It says where they are, and how many, without a question."""
    result = keys("destroy", old, "--scan", "sqlite:///app.sqlite")
    assert result.exit_code == 1
    assert f"rows are still under data key {old}: patients.email 2" in result.stderr
    document = keys("destroy", old, "--scan", "sqlite:///app.sqlite", "--yes", "--json")
    assert document.exit_code == 1
    found = json.loads(document.stdout)["scans"][0]["found"]
    assert found == [{"where": "patients.email", "rows": 2}]
    assert listed()[0]["state"] == "enabled"


def test_all_databases_are_looked_at(old: str) -> None:
    """Rows in the second one are enough; one without tables is not looked at by mistake."""
    engine = sa.create_engine("sqlite:///other.sqlite")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE notes (note text)"))
    engine.dispose()
    scans = ("--scan", "sqlite:///other.sqlite", "--scan", "sqlite:///app.sqlite")
    assert "patients.email 2" in keys("destroy", old, *scans, "--yes").stderr
    Path("empty.sqlite").touch()
    empty = keys("destroy", old, "--scan", "sqlite:///empty.sqlite", "--yes")
    assert (empty.exit_code, "is this the right database" in empty.stderr) == (1, True)
    missing = keys("destroy", old, "--scan", "sqlite:///missing.sqlite", "--yes")
    assert "there is no such file" in missing.stderr
    assert listed()[0]["state"] == "enabled"


def test_a_key_without_rows_is_destroyed_after_a_question(old: str) -> None:
    """It says what it looked at; no is the default answer."""
    clean()
    scan = ("--scan", "sqlite:///app.sqlite")
    asked = keys("destroy", old, *scan, answer="\n")
    assert asked.exit_code == 1
    assert "2 columns of 1 table: no row under this key" in asked.output
    assert "not looked into: patients.meta (JSON)" in asked.output
    assert "the key is not disabled" in asked.output
    assert listed()[0]["state"] == "enabled"
    keys("disable", old)
    done = keys("destroy", old, *scan, answer="y\n")
    assert "the key is not disabled" not in done.output
    assert f"data key {old} of 'default' is destroyed" in done.output
    [record] = [r for r in FileKeystore(KEYSTORE).load("default") if r.key_id.hex() == old]
    assert record.wrapped == ""


def test_rows_that_came_while_the_question_stood_are_seen(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a yes it looks again."""
    clean()
    row = header(1, 0, bytes.fromhex(old)) + bytes(60)

    def write(*_: object, **__: object) -> None:
        engine = sa.create_engine("sqlite:///app.sqlite")
        with engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO patients VALUES (:v, '{}')"), {"v": row})
        engine.dispose()

    monkeypatch.setattr("click.confirm", write)
    result = keys("destroy", old, "--scan", "sqlite:///app.sqlite")
    assert "patients.email 1; reseal them first" in result.stderr
    assert listed()[0]["state"] == "enabled"


def test_destroy_in_a_script(old: str) -> None:
    """With --yes and --json; without --yes nobody could answer."""
    clean()
    scan = ("--scan", "sqlite:///app.sqlite", "--json")
    assert keys("destroy", old, *scan).exit_code == 2
    dry = json.loads(keys("destroy", old, *scan, "--dry-run").output)
    assert (dry["state"], dry["dry_run"]) == ("enabled", True)
    document = json.loads(keys("destroy", old, *scan, "--yes").output)
    assert (document["state"], document["dry_run"]) == ("destroyed", False)
    assert document["scans"][0]["skipped"] == ["patients.meta (JSON)"]


def test_the_explicit_word_destroys_unlooked(old: str) -> None:
    """Whatever rows there are."""
    assert keys("destroy", old, "--unscanned", "--yes").exit_code == 0
    assert listed()[0]["stage"] == "destroyed"


def test_an_index_key_has_no_rows_to_look_for() -> None:
    """It is refused while it is in use, and needs no database otherwise."""
    index = listed("index")[0]["id"]
    assert "is in use" in keys("destroy", index, "--yes").stderr
    keys("rotate", "--index")
    first, second = (key["id"] for key in listed())
    keys("destroy", first, "--unscanned", "--yes")
    keys("rotate")
    keys("destroy", second, "--unscanned", "--yes")
    assert listed("index")[0]["stage"] == "unused"
    assert keys("destroy", index, "--yes").exit_code == 0
