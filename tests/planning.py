"""What the tests of `sealed index plan` share: a column of towns, and how the command is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from sqlalchemy_sealed import sealer
from sqlalchemy_sealed.cli.app import app

CITIES = [f"Secret city {n}" for n in range(40) for _ in range(200 // (n + 1))]


def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder with a new keystore, in a process that knows no sealer."""
    for variable in ("SEALED_KEYSTORE", "SEALED_ROOT_KEY", "SEALED_ROOT_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    forget(monkeypatch)
    assert CliRunner().invoke(app, ["init"]).exit_code == 0


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the process into the state of a new one."""
    monkeypatch.setattr(sealer, "_sealers", {})


def sealed(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, ["index", "plan", *arguments])


def fill(engine: Engine, values: list[Any], *columns: sa.Column[Any], name: str = "people") -> None:
    """Make a table with these columns, each with the same values."""
    table = sa.Table(name, sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *columns)
    table.create(engine)
    with engine.begin() as connection:
        rows = [{column.name: value for column in columns} for value in values]
        connection.execute(table.insert(), rows)


def planned(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Return the JSON document of a run."""
    result = sealed(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def failure(*arguments: str, code: int = 1) -> str:
    """Return the message of a run that fails."""
    result = sealed(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Secret" not in result.stderr
    return " ".join(result.stderr.split())
