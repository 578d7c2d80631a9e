"""The table of the reseal benchmark, and what works on it, in this process and in others."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Engine, Integer, Table, Text, create_engine
from sqlalchemy.orm import Session, registry
from sqlalchemy.orm.attributes import flag_modified

from sqlalchemy_sealed import EncryptedString, FileKeystore, KeyManager, LocalRootKey, get_sealer
from sqlalchemy_sealed.reseal import moved_table, reseal_change
from sqlalchemy_sealed.reseal.job import Job, left, run

_URL, _KEYS, _ROOT = "BENCH_URL", "BENCH_KEYS", "BENCH_ROOT_KEY"
_COLUMNS = "id bigint, name text, created timestamp, n int, c bytea"
BATCH = 2000
"""Rows of a transaction of the limit."""

mappers = registry()
table = Table(
    "patients",
    mappers.metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", Text),
    Column("created", DateTime),
    Column("n", Integer),
    Column("c", EncryptedString()),
)


class Patient:
    """A row, for the ORM."""

    id: int
    c: str


mappers.map_imperatively(Patient, table)


def configure(folder: Path, url: str) -> None:
    """Make keys in a folder, and say where they and the database are to other processes."""
    os.environ |= {_URL: url, _KEYS: str(folder / "keys.json"), _ROOT: LocalRootKey.generate()}
    keystore, provider = _keys()
    KeyManager(keystore, provider).create("default")
    get_sealer().configure(keystore=keystore, provider=provider)


def _keys() -> tuple[FileKeystore, LocalRootKey]:
    return FileKeystore(os.environ[_KEYS]), LocalRootKey.from_env(_ROOT)


def make_job(engine: Engine) -> Job:
    """Return what is measured."""
    with engine.connect() as connection:
        found = moved_table(connection, table.name)
    type_: Any = table.c.c.type
    return Job("reseal", found, [reseal_change("patients.c", "c", type_)])


def worker() -> tuple[Engine, Job]:
    """Return engine and job in a process of its own."""
    keystore, provider = _keys()
    get_sealer().configure(keystore=keystore, provider=provider)
    engine = create_engine(os.environ[_URL])
    return engine, make_job(engine)


_made: list[tuple[Engine, Job]] = []


def share(_number: int) -> None:
    """Take part in a run, in a process that was started before."""
    if not _made:
        _made.append(worker())
        gc.freeze()  # As a worker does that a run starts.
    run(*_made[0], shared=True)


class Patients:
    """
    Fills the table, and changes all of its rows.

    Args:
        engine: of the database.
        rows: how many rows the table has.
    """

    def __init__(self, engine: Engine, rows: int) -> None:
        self.engine = engine
        self.rows = rows

    def create_template(self) -> None:
        """Make the rows, sealed under the first key; the primary is another one afterwards."""
        type_: Any = table.c.c.type
        seal = get_sealer().sealing(type_.context)
        now = datetime.now(UTC).replace(tzinfo=None)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS template")
            connection.exec_driver_sql(f"CREATE UNLOGGED TABLE template ({_COLUMNS})")
            raw: Any = connection.connection.driver_connection
            with raw.cursor().copy("COPY template FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "text", "timestamp", "int4", "bytea"])
                for n in range(1, self.rows + 1):
                    value = seal(f"user{n:08d}.ab@ex.org".encode())
                    copy.write_row((n, f"Name Surname {n:09d}", now, n % 1000, value))
        get_sealer().rotate()

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Fill the table anew, as it is long after rows were written."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS patients")
            connection.exec_driver_sql(f"CREATE TABLE patients ({_COLUMNS}, PRIMARY KEY (id))")
            connection.exec_driver_sql("INSERT INTO patients SELECT * FROM template ORDER BY id")
        autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with autocommit.connect() as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE, FREEZE) patients")
            connection.exec_driver_sql("CHECKPOINT")
        yield

    def limit(self, _item: object = None) -> None:
        """Change all rows on the server, without crypto and without transfer."""
        statement = "UPDATE patients SET c = c || ''::bytea WHERE id > %s AND id <= %s"
        with self.engine.connect() as connection:
            for first in range(0, self.rows, BATCH):
                connection.exec_driver_sql(statement, (first, first + BATCH))
                connection.commit()

    def reseal(self, workers: int = 1, tell: Any = None) -> None:
        """Reseal all rows."""
        job = make_job(self.engine)
        gc.enable()  # As in an application; what measures turns it off.
        run(self.engine, job, workers=workers, worker=worker, tell=tell)
        gc.disable()

    def reseal_in(self, pool: Pool, workers: int) -> None:
        """Reseal all rows, by processes that were started before."""
        pool.map(share, range(workers), chunksize=1)

    def check(self) -> None:
        """Raise an error if rows are left, or are not there."""
        rest = left(self.engine, make_job(self.engine))
        with self.engine.connect() as connection:
            there = connection.exec_driver_sql("SELECT count(c) FROM patients").scalar_one()
        if (there, rest) != (self.rows, 0):
            raise RuntimeError(f"{there} of {self.rows} rows are there, {rest} are left to do")

    def orm(self, rows: int) -> None:
        """Reseal some rows as one would by hand: load, change, commit."""
        with Session(self.engine) as session:
            for first in range(0, rows, 1000):
                found = session.query(Patient).filter(
                    table.c.id > first, table.c.id <= min(first + 1000, rows)
                )
                for patient in found:
                    flag_modified(patient, "c")
                session.commit()
