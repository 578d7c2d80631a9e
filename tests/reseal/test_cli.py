"""`sealed status`, `rotate`, `encrypt`, `decrypt` and `verify`, from the first row to the proof."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_db import ON_MARIADB_TOO
from fix_keys import forget
from key_commands import in_a_folder
from sqlalchemy import Engine

from sqlalchemy_sealed import get_sealer

from .cli import MODELS, Stage
from .clinic import Base, Patient

pytestmark = ON_MARIADB_TOO
PROOF = "✓ every value is sealed as it would be now"


@pytest.fixture
def stage(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return an application with keys in a folder and some rows."""
    in_a_folder(tmp_path, monkeypatch)
    stage = Stage(engine)
    stage.fill()
    yield stage
    Base.metadata.drop_all(engine)
    forget(get_sealer())


def test_rows_go_over_to_a_new_key(stage: Stage) -> None:
    """Rotate, count, reseal, and the proof: nothing is left under the older key."""
    assert PROOF in stage.command("status").output
    stage.rotate()
    counted = stage.document("status")
    assert [each["stale"] for each in counted["columns"]] == [20, 20, 20, 0]
    assert stage.command("status", "--require").exit_code == 1
    done = stage.command("rotate")
    assert done.exit_code == 0
    assert "✓ patients: 20 rows resealed" in done.output
    proof = stage.command("status", "--require")
    assert proof.exit_code == 0
    assert PROOF in proof.output
    assert stage.notes() == [f"note {n}" for n in range(20)]
    assert "0 rows resealed; 0 left" in stage.command("rotate").output


def test_rotate_makes_the_key_too(stage: Stage) -> None:
    """With --new-key, for a job that does both at once."""
    before = stage.document("status", "patients.note")["columns"][0]["labels"]
    done = stage.command("rotate", "--new-key")
    assert "✓ 'default': primary is now" in done.output
    [after] = stage.document("status", "patients.note", "--require")["columns"][0]["labels"]
    assert [after["key_id"]] != [label["key_id"] for label in before]
    assert after["rows"] == 20


def test_only_the_columns_that_are_named_are_done(stage: Stage) -> None:
    """A table, or a column of it."""
    stage.rotate()
    document = stage.document("rotate", "patients.note")
    assert [(each["table"], each["changed"]) for each in document["tables"]] == [("patients", 20)]
    stale = {each["column"]: each["stale"] for each in stage.document("status")["columns"]}
    assert (stale["patients.note"], stale["patients.email"], stale["visits.cents"]) == (0, 20, 20)


def test_plaintext_is_sealed_in_place_and_opened_again(stage: Stage) -> None:
    """A column of text storage, row by row; who reads it meanwhile needs both readings."""
    stage.sql(
        "UPDATE patients SET note = 'plain ' || id"
        if stage.engine.dialect.name != "mariadb"
        else "UPDATE patients SET note = concat('plain ', id)"
    )
    expected = [note for (note,) in stage.sql("SELECT note FROM patients ORDER BY id")]
    document = stage.document("encrypt", "patients.note")
    assert (document["tables"][0]["changed"], document["done"]) == (20, True)
    assert stage.notes() == expected
    assert stage.command("status", "patients.note", "--require").exit_code == 0
    opened = stage.command("decrypt", "patients.note", "--yes")
    assert opened.exit_code == 0
    assert "20 rows decrypted" in opened.output
    assert [note for (note,) in stage.sql("SELECT note FROM patients ORDER BY id")] == expected


def test_values_go_from_and_to_another_column(stage: Stage) -> None:
    """The one that is read stays as it is; both are compared."""
    stage.sql("UPDATE visits SET cents = NULL")
    encrypted = stage.command("encrypt", "visits.cents", "--from", "plain_price")
    assert encrypted.exit_code == 0
    assert stage.command("verify", "visits.cents", "--compare", "plain_price").exit_code == 0
    stage.sql("UPDATE visits SET plain_price = 99 WHERE plain_price = 7")
    differing = stage.command("verify", "visits.cents", "--compare", "plain_price")
    assert differing.exit_code == 1
    assert "bad row 8: visits.cents: it is another value than that of visits.plain_price" in (
        differing.output
    )
    stage.sql("UPDATE visits SET plain_price = NULL")
    assert stage.command("decrypt", "visits.cents", "--into", "plain_price", "--yes").exit_code == 0
    prices = stage.sql("SELECT plain_price FROM visits ORDER BY id")
    assert [price for (price,) in prices] == list(range(20))


def test_bad_rows_are_named_and_the_others_done(stage: Stage) -> None:
    """By their keys, without their values; the exit code is 1."""
    stage.sql("UPDATE patients SET note = 'plain words' WHERE id = 3")
    stage.rotate()
    done = stage.command("rotate", "patients")
    assert done.exit_code == 1
    assert "! patients: 20 rows resealed" in done.output
    assert "1 left" in done.output
    assert "bad row 3: patients.note: the stored" in done.output
    assert "plain words" not in done.output
    verified = stage.document("verify", "patients")
    [table] = verified["tables"]
    assert (table["bad"], verified["done"]) == (1, False)
    assert [(row["key"], row["code"]) for row in table["bad_rows"]] == [(["3"], "not-an-envelope")]
    assert stage.command("verify", "patients").exit_code == 1


def test_a_dry_run_says_what_would_be_done(stage: Stage) -> None:
    """And changes nothing: neither rows nor keys."""
    before = stage.sql("SELECT email, note FROM patients ORDER BY id")
    keys = Path("sealed.keys.json").read_bytes()
    said = stage.command("rotate", "--new-key", "--dry-run")
    assert said.exit_code == 0
    assert "patients (email, note): 20 rows would be resealed" in said.output
    words = " ".join(said.output.split())
    assert re.search(r"20 rows in [0-9.]+ s were read and resealed now, and not written", words)
    document = stage.document("rotate", "--dry-run")
    assert [each["estimate"] for each in document["tables"]] == [None, None]
    assert [(each["table"], each["rows"]) for each in document["tables"]] == [
        ("patients", 0),
        ("visits", 0),
    ]
    [verified] = stage.document("verify", "visits", "--dry-run")["tables"]
    assert verified["rows"] == 20
    told = verified["estimate"]
    assert (told["rows"], told["sampled"], told["bad"]) == (20, 20, 0)
    assert told["least"] == told["most"] == pytest.approx(told["sampled_seconds"], abs=0.002)
    assert stage.command("decrypt", "patients.note", "--dry-run").exit_code == 0
    assert stage.sql("SELECT email, note FROM patients ORDER BY id") == before
    assert Path("sealed.keys.json").read_bytes() == keys


def test_what_stands_in_the_way_is_said_before_anything_is_done(stage: Stage) -> None:
    """By a dry run in full, with exit code 1; by a run as an error. No key is made."""
    keys = Path("sealed.keys.json").read_bytes()
    stage.sql("DROP TABLE visits")
    dry = stage.command("rotate", "--new-key", "--dry-run")
    assert dry.exit_code == 1
    assert "✗ visits: there is no such table" in dry.output
    assert "patients (email, note): 20 rows" in dry.output
    done = stage.command("rotate", "--new-key")
    assert done.exit_code == 1
    assert "sealed: visits: there is no such table" in done.output
    assert Path("sealed.keys.json").read_bytes() == keys
    document = stage.document("rotate", "--dry-run")
    assert not document["possible"]
    assert document["tables"][1]["findings"][0]["where"] == "visits"


def test_decrypting_asks(stage: Stage) -> None:
    """Without an answer nothing is opened; with --json nobody can be asked."""
    refused = stage.command("decrypt", "patients.note")
    assert refused.exit_code == 1
    assert "Open 20 rows of patients.note?" in refused.output
    assert stage.command("decrypt", "patients.note", "--json").exit_code == 2
    assert stage.document("status", "patients.note")["columns"][0]["plaintext"] == 0


@pytest.mark.parametrize("name", ["encrypt", "decrypt"])
def test_columns_are_named_where_plaintext_comes_or_goes(name: str, stage: Stage) -> None:
    """All sealed columns at once is what nobody means."""
    done = stage.command(name, "--yes") if name == "decrypt" else stage.command(name)
    assert done.exit_code == 2
    assert "name the columns, as table.column" in done.output


def test_status_needs_no_keys(stage: Stage) -> None:
    """No root key, and not even a keystore: then ids are listed, and nothing is proven."""
    Path("sealed.root.key").unlink()
    assert PROOF in stage.command("status").output
    Path("sealed.keys.json").unlink()
    listed = stage.command("status", "--require")
    assert listed.exit_code == 1
    assert "patients.email: 20 under" in listed.output
    assert "no keystore says which keys are known" in listed.output
    assert stage.command("status", "--keystore", "elsewhere.json").exit_code == 1


def test_a_narrow_terminal_cuts_nothing_off(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table has no room, each figure has a line of its own."""
    monkeypatch.setenv("COLUMNS", "40")
    said = stage.command("status").output
    assert "…" not in said
    assert "visits.remark\n  rows       20\n  current    0\n" in said
    assert "NULL       20" in said


def test_no_value_and_no_login_is_printed(stage: Stage) -> None:
    """Not even by errors."""
    stage.add(Patient(note="the diagnosis"))
    stage.sql("UPDATE patients SET note = 'the diagnosis' WHERE id = 2")
    outputs = [
        stage.command(*command).output
        for command in (
            ("status",),
            ("rotate", "--new-key"),
            ("verify",),
            ("verify", "visits.cents", "--compare", "plain_price"),
            ("encrypt", "patients.email", "--from", "note"),
            ("status", "--json"),
        )
    ]
    text = json.dumps(outputs)
    assert "diagnosis" not in text
    assert str(stage.engine.url.password or "no password") not in text
    assert MODELS not in text
