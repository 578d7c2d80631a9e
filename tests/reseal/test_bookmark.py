"""A verification of one process that was stopped or killed goes on where it was."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import EncryptedString, Sealer
from sqlalchemy_sealed.errors import ConfigurationError, OptionError
from sqlalchemy_sealed.reseal import Outcome, verify
from sqlalchemy_sealed.reseal.pace import Pace

from .moved import insert

TABLE = sa.Table(
    "patients",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("note", EncryptedString(storage="text", check=False)),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the bookmark is."""
    return tmp_path / "verify.json"


def fill(engine: sa.Engine) -> None:
    """Make 40 rows, of which two do not open."""
    insert(engine, TABLE, *({"id": n, "note": f"note {n}"} for n in range(1, 41)))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE patients SET note = 'secret words' WHERE id IN (3, 33)"))


def stopped_after(pages: int, engine: sa.Engine, file: Path) -> list[Any]:
    """Verify pages of five rows, and stop after some of them."""
    stop, seen = threading.Event(), []

    def tell(outcome: Outcome) -> None:
        seen.append(outcome.read)
        if len(seen) == pages:
            stop.set()

    return verify(engine, TABLE, resume=file, pace=Pace(5), stop=stop, tell=tell)


@ON_MARIADB_TOO
def test_it_goes_on_after_a_stop(engine: sa.Engine, sealer: Sealer, file: Path) -> None:
    """Rows are opened once, and the result counts all of them; then the file is gone."""
    fill(engine)
    [half] = stopped_after(4, engine, file)
    assert (half.read, half.bad, half.finished) == (20, 1, False)
    read: list[int] = []
    [whole] = verify(
        engine, TABLE, resume=file, pace=Pace(5), tell=lambda outcome: read.append(outcome.read)
    )
    assert read == [20, 5, 5, 5, 5]
    assert (whole.read, whole.bad, whole.finished) == (40, 2, True)
    assert [row.key for row in whole.bad_rows] == [(3,), (33,)]
    assert not file.exists()


def test_it_goes_on_after_an_error(engine: sa.Engine, sealer: Sealer, file: Path) -> None:
    """Whatever ends it, as `kill` would but for the last second."""
    fill(engine)

    def fails(_outcome: Outcome) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        verify(engine, TABLE, resume=file, pace=Pace(5), tell=fails)
    [whole] = verify(engine, TABLE, resume=file)
    assert (whole.read, whole.bad, whole.finished) == (40, 2, True)


def test_the_file_has_keys_and_no_values(engine: sa.Engine, sealer: Sealer, file: Path) -> None:
    """It is for its owner only, and says nothing of what is in the rows."""
    fill(engine)
    stopped_after(2, engine, file)
    text = file.read_text()
    assert "secret words" not in text
    assert "note 1" not in text
    assert file.stat().st_mode & 0o777 == 0o600
    [(what, entry)] = json.loads(text).items()
    assert what.endswith("patients (note)")
    assert (entry["after"], entry["read"], entry["bad"]) == ('[["i","10"]]', 10, 1)


def test_another_verification_has_another_place(
    engine: sa.Engine, sealer: Sealer, file: Path
) -> None:
    """Of other columns, or compared with plaintext: nothing is skipped by mistake."""
    fill(engine)
    stopped_after(2, engine, file)
    other = sa.Table(
        "patients",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("note", EncryptedString(storage="text", check=False)),
    )
    [compared] = verify(engine, other, ["patients.note"], "id", resume=file)
    assert compared.read == 40
    assert file.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"%s": {"after": 1}}'])
def test_a_file_of_something_else_is_refused(
    text: str, sqlite_engine: sa.Engine, sealer: Sealer, file: Path
) -> None:
    """It is not overwritten."""
    fill(sqlite_engine)
    stopped_after(2, sqlite_engine, file)
    [what] = json.loads(file.read_text())
    file.write_text(text.replace("%s", what))
    with pytest.raises(ConfigurationError, match="this is no file of bookmarks"):
        verify(sqlite_engine, TABLE, resume=file)
    assert file.read_text() == text.replace("%s", what)


def test_workers_keep_it_in_the_database(sqlite_engine: sa.Engine, sealer: Sealer) -> None:
    """A file would be of one of them."""
    fill(sqlite_engine)
    with pytest.raises(OptionError, match="goes on by its tables in the database"):
        verify(sqlite_engine, TABLE, resume=Path("x"), shared=True)
