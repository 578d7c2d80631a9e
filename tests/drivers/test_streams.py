"""A streamed SELECT takes no memory that grows with the rows: looked at from outside of Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import URL

from drivers import streaming
from drivers.streaming import table_of
from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, get_sealer

FEW, ROWS = 20_000, 100_000
ALLOWED = 4096
"""KiB. The other 80,000 rows are 7,000 as stored, and as texts of Python."""

pytestmark = pytest.mark.slow


@pytest.fixture
def task(database_url: URL, tmp_path: Path) -> dict[str, Any]:
    """Fill a table, and return what a process needs to read it."""
    name, root_key = f"streams-{uuid4()}", LocalRootKey.generate()
    file, provider = tmp_path / "keys.json", LocalRootKey.from_text(root_key)
    KeyManager(FileKeystore(file), provider).create(name)
    get_sealer(name).configure(keystore=FileKeystore(file), provider=provider)
    engine = sa.create_engine(database_url)
    table = table_of(name)
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [{"value": f"{n * 7919:020d}"} for n in range(ROWS)])
    engine.dispose()
    return {
        "url": database_url.render_as_string(hide_password=False),
        "sealer": name,
        "keystore": str(file),
        "root_key": root_key,
    }


def growth(task: dict[str, Any], *, orm: bool, streamed: bool) -> int:
    """Return how many KiB more a process needs for all rows than for a fifth of them."""
    few, all_ = (
        subprocess.run(
            [sys.executable, str(Path(streaming.__file__))],
            input=json.dumps(task | {"rows": rows, "orm": orm, "streamed": streamed}),
            capture_output=True,
            text=True,
            check=False,
        )
        for rows in (FEW, ROWS)
    )
    assert (few.returncode, all_.returncode) == (0, 0), few.stderr + all_.stderr
    return int(all_.stdout) - int(few.stdout)


def test_memory_does_not_grow_with_the_rows(task: dict[str, Any]) -> None:
    """100,000 rows need what 20,000 do, by Core and by the ORM. Without a stream they need more."""
    assert growth(task, orm=False, streamed=True) < ALLOWED
    assert growth(task, orm=True, streamed=True) < ALLOWED
    assert growth(task, orm=True, streamed=False) > ALLOWED
