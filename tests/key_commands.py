"""What the tests of `sealed keys` share: a folder with keys, and the command in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sqlalchemy_sealed.cli.app import app

KEYSTORE = Path("sealed.keys.json")


def in_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a root key and a keystore, without settings in the environment."""
    for variable in [name for name in os.environ if name.startswith("SEALED_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(folder)
    sealed("init")
    return folder


def sealed(*arguments: str, answer: str | None = None) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, arguments, input=answer)


def keys(*arguments: str, **options: Any) -> Result:
    """Run `sealed keys`."""
    return sealed("keys", *arguments, **options)


def listed(kind: str = "data", name: str = "default") -> list[dict[str, Any]]:
    """Return the keys of a kind as `sealed keys list --json` shows them."""
    found = json.loads(keys("list", "--json", "--name", name).output)
    return [key for key in found if key["kind"] == kind]
