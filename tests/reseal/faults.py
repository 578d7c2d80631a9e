"""
A table of sealed values with everything that the tests of faults do to it.

A stage is the table, its keys in a file, and a model: what each row should hold.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import EncryptedString, FileKeystore, KeyManager, LocalRootKey, get_sealer
from sqlalchemy_sealed.envelope import from_text
from sqlalchemy_sealed.errors import NotAnEnvelopeError
from sqlalchemy_sealed.reseal import Change, encrypt_change, moved_table, reseal_change
from sqlalchemy_sealed.reseal.job import Job, Summary, run
from sqlalchemy_sealed.reseal.job import left as count_left
from sqlalchemy_sealed.reseal.order import PASSES
from sqlalchemy_sealed.reseal.pace import Pace
from sqlalchemy_sealed.types import Encrypted

# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
FORKING = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

Model = dict[int, str | None]
"""What the rows should hold, by id: a text, or NULL."""

SEALER = "reseal-faults"


@dataclass(frozen=True)
class Stage:
    """
    A table `patients` and its keys.

    Attributes:
        url: of the database.
        keys: the file of the keystore.
        provider: unwraps the keys.
        in_text: whether the column is a text, which may hold plaintext as well.
        slow: how many seconds a run waits between reading a page and writing it.
    """

    url: sa.URL
    keys: Path
    provider: LocalRootKey
    in_text: bool = False
    slow: float = 0.0

    # -- keys

    @property
    def manager(self) -> KeyManager:
        """The manager of the keys, as another process has it."""
        return KeyManager(FileKeystore(self.keys), self.provider)

    def open_keys(self) -> None:
        """Configure the sealer, as a process does at its start."""
        keystore = FileKeystore(self.keys)
        get_sealer(SEALER).configure(keystore=keystore, provider=self.provider, replace=True)

    def refresh(self) -> None:
        """Let the sealer of this process read the keys again."""
        get_sealer(SEALER).refresh()

    def rotate(self) -> None:
        """Make a new primary, as another process does it: the sealer of this one is not told."""
        self.manager.rotate(SEALER)

    # -- table

    @property
    def type(self) -> Encrypted[Any]:
        """The type of the column."""
        storage = "text" if self.in_text else "binary"
        return EncryptedString(
            sealer=SEALER, context="patients.email", storage=storage, check=False
        )

    @property
    def table(self) -> sa.Table:
        """The table, as the application declares it."""
        return sa.Table(
            "patients",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("email", self.type),
        )

    @property
    def plain(self) -> sa.Table:
        """The table, as an application declares it that knows nothing of sealed values."""
        kind = sa.Text() if self.in_text else sa.LargeBinary()
        id_ = sa.Column("id", sa.Integer, primary_key=True)
        return sa.Table("patients", sa.MetaData(), id_, sa.Column("email", kind))

    @contextmanager
    def engine(self) -> Iterator[sa.Engine]:
        """Yield an engine, as another process has it."""
        engine = sa.create_engine(self.url)
        try:
            yield engine
        finally:
            engine.dispose()

    def fill(self, rows: int, *, as_plain: bool = False) -> Model:
        """Make keys and table, and fill it; return the model."""
        self.manager.create(SEALER)
        self.open_keys()
        model: Model = {n: f"mail-{n}@example.org" if n % 11 else None for n in range(1, rows + 1)}
        table = self.plain if as_plain else self.table
        with self.engine() as engine:
            self.table.create(engine)
            new = [{"id": id_, "email": email} for id_, email in model.items()]
            with engine.begin() as connection:
                connection.execute(table.insert(), new)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(
                    "ANALYZE TABLE patients" if _is_mysql(engine) else "ANALYZE patients"
                )
        return model

    # -- runs

    def job(self, engine: sa.Engine, kind: str = "reseal") -> Job:
        """Return the job over the column."""
        with engine.connect() as connection:
            table = moved_table(connection, "patients")
        make = {"reseal": reseal_change, "encrypt": encrypt_change}[kind]
        return Job(kind, table, [self._slowed(make("patients.email", "email", self.type))])

    def _slowed(self, change: Change) -> Change:
        """Return a change that gives others time between read and write."""

        def converting(dialect: sa.Dialect) -> Callable[..., Any]:
            time.sleep(self.slow)
            return change.converting(dialect)

        return replace(change, converting=converting) if self.slow else change

    def run(
        self, kind: str = "reseal", *, most: int = 50, passes: int = PASSES, **options: Any
    ) -> Summary:
        """Do the job, in batches of so many rows, as a process does that starts now."""
        self.open_keys()
        with self.engine() as engine:
            job = replace(self.job(engine, kind), passes=passes)
            return run(engine, job, pace=Pace(most), **options)

    def left(self, kind: str = "reseal") -> int:
        """Return how many rows are left to do."""
        get_sealer(SEALER).refresh()
        with self.engine() as engine:
            return count_left(engine, self.job(engine, kind))

    def check(self, model: Model, kind: str = "reseal") -> None:
        """Check that each row holds what it should, sealed under the primary."""
        assert self.held() == model
        assert self.left() == 0
        assert self.left(kind) == 0

    def held(self) -> Model:
        """Return what the rows hold. A value that is plaintext, or sealed twice, is not equal."""
        self.open_keys()
        with self.engine() as engine, engine.connect() as connection:
            return {id_: email for id_, email in connection.execute(sa.select(self.table))}  # noqa: C416

    def looked_up(self, connection: sa.Connection, ids: list[int]) -> Model:
        """Return what some rows hold, be it plaintext or sealed."""
        table = self.plain
        query = sa.select(table).where(table.c.id.in_(ids))
        return {id_: self.opened(stored) for id_, stored in connection.execute(query)}

    def opened(self, stored: Any) -> str | None:
        """Return the text of a stored value, be it plaintext or sealed."""
        if stored is None:
            return None
        try:
            data = from_text(stored) if self.in_text else bytes(stored)
            return get_sealer(SEALER).open(data, "patients.email").decode()
        except NotAnEnvelopeError:
            return str(stored)


def in_child(work: Callable[[], object]) -> int:
    """Do *work* in a forked process, which ends with 0 if nothing is raised; return its id."""
    child = os.fork()
    if child == 0:
        _never_back(work)
    return child


def _never_back(work: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a process, and return its exit code; minus the signal if one ended it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _is_mysql(engine: sa.Engine) -> bool:
    return engine.dialect.name in ("mysql", "mariadb")
