"""A disk that is full ends a run; what was done stays, and with room again the run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import empty_database
from servers import mariadb, process
from servers.unprivileged import give, unprivileged_uid
from sqlalchemy import event

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.errors import ResealError
from sqlalchemy_sealed.reseal.job import run
from sqlalchemy_sealed.reseal.pace import Pace

from .faults import Stage

SIZE = 24 << 20
SPARE = 128 << 10
ROWS, LETTERS = 4000, 1000
FULL = "patients: the disk of the database is full; make room"


@dataclass(frozen=True)
class Disk:
    """A small file system."""

    path: Path

    @property
    def filler(self) -> Path:
        """A file that is nothing but large."""
        return self.path / "filler"

    def fill(self) -> None:
        """Leave next to no room."""
        free = shutil.disk_usage(self.path).free
        self.filler.write_bytes(bytes(free - SPARE))

    def make_room(self) -> None:
        """Remove what takes it."""
        self.filler.unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Mount a small file system. In CI that has to be possible; elsewhere it may not be."""
    path = Path(tempfile.mkdtemp(prefix="sealed-disk-"))
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*as_root, "mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0777", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        path.rmdir()
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("this machine does not let its user mount a file system")
    try:
        yield Disk(path)
    finally:
        subprocess.run([*as_root, "umount", "--lazy", str(path)], check=True)
        path.rmdir()


def plaintext(url: sa.URL, keys: Path) -> tuple[Stage, dict[int, str | None]]:
    """Fill a table that is there with plaintext, and return the stage and what the rows hold."""
    stage = Stage(url, keys, LocalRootKey.from_text(LocalRootKey.generate()), in_text=True)
    stage.manager.create("reseal-faults")
    model: dict[int, str | None] = {n: f"{n} " + "x" * LETTERS for n in range(1, ROWS + 1)}
    with stage.engine() as engine, engine.begin() as connection:
        rows = [{"id": id_, "email": email} for id_, email in model.items()]
        connection.execute(stage.plain.insert(), rows)
    return stage, model


def is_ended_and_goes_on(stage: Stage, model: dict[int, str | None], disk: Disk) -> None:
    """Run while the disk is full and once it is not; envelopes take more room than plaintext."""
    disk.fill()
    with pytest.raises(ResealError, match=FULL) as caught:
        stage.run("encrypt")
    assert "what was done stays done, and the same run, started again, goes on" in str(caught.value)
    assert "xxx" not in str(caught.value)
    left = stage.left("encrypt")
    assert 0 < left <= ROWS
    disk.make_room()
    summary = stage.run("encrypt")
    assert summary.finished
    assert summary.changed == left
    stage.check(model, "encrypt")


@pytest.mark.postgres
def test_postgresql(disk: Disk, tmp_path: Path) -> None:
    """A tablespace without room, found when a page is added to the table."""
    space = disk.path / "space"
    space.mkdir()
    give(space, unprivileged_uid())
    with process.running() as server:
        url = sa.make_url(server.url)
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{space}'")
            connection.exec_driver_sql(
                "CREATE TABLE patients (id int PRIMARY KEY, email text) TABLESPACE small"
            )
        is_ended_and_goes_on(*plaintext(url, tmp_path / "keys.json"), disk)


@pytest.mark.mariadb
def test_mariadb(disk: Disk, tmp_path: Path) -> None:
    """A table of which the file is on a disk without room."""
    with mariadb.running() as server, empty_database(server.url) as url:
        admin = sa.create_engine(url, poolclass=sa.NullPool)
        with admin.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE patients (id int PRIMARY KEY, email longtext) CHARSET utf8mb4 "
                f"DATA DIRECTORY '{disk.path}'"
            )
        is_ended_and_goes_on(*plaintext(url, tmp_path / "keys.json"), disk)


@contextmanager
def at_most(engine: sa.Engine, pages: int) -> Iterator[None]:
    """Let connections make a SQLite file no longer than so many pages."""

    def limit(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(engine, "connect", limit)
    engine.dispose()
    yield
    event.remove(engine, "connect", limit)
    engine.dispose()


def test_sqlite(tmp_path: Path) -> None:
    """A file that may not grow, by a pragma: to SQLite that is the same as a full disk."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "test.db"))
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE patients (id INTEGER PRIMARY KEY, email text)")
    stage, model = plaintext(url, tmp_path / "keys.json")
    stage.open_keys()
    with stage.engine() as engine:
        job = stage.job(engine, "encrypt")
        with engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        with at_most(engine, pages + 40), pytest.raises(ResealError, match=FULL):
            run(engine, job, pace=Pace(50))
        left = stage.left("encrypt")
        assert 0 < left < ROWS
        assert run(engine, job).changed == left
    stage.check(model, "encrypt")
