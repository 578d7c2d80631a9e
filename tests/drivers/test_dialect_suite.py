"""SQLAlchemy's own type suite for dialects, on sealed types: a session of its own a driver."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.conftest import made, parameters
from drivers.places import DRIVERS, Place

SUITE = Path(__file__).parent.parent / "dialect_suite"
NAMES = ("sqlite", "postgresql+psycopg", "postgresql+asyncpg")
OPTIONS = ["-q", "-c", "setup.cfg"]
COUNT = 157


@pytest.fixture(
    scope="module", params=parameters([driver for driver in DRIVERS if driver.name in NAMES])
)
def suite_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Make a database for the driver that is asked for, and drop it afterwards."""
    yield from made(request)


@pytest.mark.parametrize("storage", ["binary", pytest.param("text", marks=pytest.mark.slow)])
def test_the_suite_passes(storage: str, suite_place: Place, tmp_path: Path) -> None:
    """All its tests that apply to sealed values pass, and none of them is skipped."""
    url = suite_place.url.render_as_string(hide_password=False)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "--dburi", url, "sealed_types_suite.py"],
        cwd=SUITE,
        env=os.environ | {"SEALED_SUITE_STORAGE": storage, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = finished.stdout + finished.stderr
    passed = re.search(r"^(\d+) passed in ", said, re.MULTILINE)
    assert finished.returncode == 0, said[-4000:]
    assert passed is not None, said[-4000:]
    assert int(passed[1]) == COUNT
