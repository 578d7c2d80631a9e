"""Pages and batches end by their bytes, so that wide rows take no more memory than narrow ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.reseal.pace import SIZE, Pace

from .factory import KEYS, ROOT, URL
from .faults import Stage

WIDE = 1 << 20
ROWS = 200


@ON_MARIADB_TOO
def test_wide_rows_take_no_more_memory_than_a_few_pages(
    database_url: sa.URL, tmp_path: Path
) -> None:
    """
    200 rows of 1 MiB, of which not half are in memory at any moment.

    A few pages of 8 MiB are: what is read, what is sealed, and what the driver makes of both.
    """
    root = LocalRootKey.generate()
    stage = Stage(database_url, tmp_path / "keys.json", LocalRootKey.from_text(root))
    stage.fill(1)
    with stage.engine() as engine:
        for start in range(2, ROWS + 2, 10):
            rows = [{"id": n, "email": "x" * WIDE} for n in range(start, start + 10)]
            with engine.begin() as connection:
                connection.execute(stage.table.insert(), rows)
    stage.rotate()
    told = {
        URL: database_url.render_as_string(hide_password=False),
        KEYS: str(stage.keys),
        ROOT: root,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "reseal.wide"],
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    changed, grown = map(int, done.stdout.split())
    assert changed == ROWS + 1
    assert grown < ROWS * WIDE // 2


def test_wide_rows_make_small_batches_and_narrow_ones_large_ones_again() -> None:
    """Below the least number of rows, too: one row may be as large as a batch."""
    pace = Pace(5000)
    pace.took(50, 50 * SIZE, 0.01)
    assert pace.rows == 1
    for _ in range(20):
        pace.took(pace.rows, pace.rows * 100, 0.001)
    assert pace.rows == 5000
