"""
Connections of a run: one that reads, one that writes. They are made again when they are lost.

Of the engine that a run is given they take how connections are made, not those that are open, and
none of its events of statements: parameters are not shown to a log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from time import monotonic
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..errors import ConfigurationError
from .changes import Change
from .failures import Cause, HeldError, cause_of
from .pages import Ready, fetched
from .retries import Patience
from .table import AS_TEXT, MovedTable
from .writes import Batch, Writer

T = TypeVar("T")

LOCK_SECONDS = 0.5
"""How long a batch waits for a row that another transaction holds, before it is tried again. It is
less than the deadlock_timeout of PostgreSQL, 1 s: of two that wait for each other, it is the batch
that gives way."""
_TRIES_SECONDS = 3.0
"""How long a whole batch is tried, before those of its rows that can be are written without the
others."""

_BINARY = {
    "bytea", "text", "character varying", "character", "smallint", "integer", "bigint", "uuid",
    "numeric", "boolean", "date", "timestamp without time zone", "timestamp with time zone",
}  # fmt: skip
"""Types that psycopg reads in their binary form as well as from text."""
_ALL_ROWS = {"row_security": "off", "statement_timeout": "0", **AS_TEXT}
"""Where nothing is left to do, one page goes over a whole table."""
_MILLISECONDS = int(LOCK_SECONDS * 1000)
_STRICT = "concat(@@sql_mode, ',STRICT_ALL_TABLES')"
"""MariaDB may be set to cut off what is too long for its column, with a warning only."""
_WRITING: dict[str, dict[str, str]] = {
    "postgresql": _ALL_ROWS | {"lock_timeout": f"'{_MILLISECONDS}ms'", "synchronous_commit": "off"},
    "mysql": {"innodb_lock_wait_timeout": "1", "sql_mode": _STRICT},
    "mariadb": {"innodb_lock_wait_timeout": "1", "sql_mode": _STRICT},
}
"""Settings of the session that writes. One second is the least that InnoDB takes."""
_ISOLATION = {"sqlite": "SERIALIZABLE", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ"}
"""So that a batch is a transaction, whatever the engine of the application is set to."""


@contextmanager
def own_engine(engine: sa.Engine) -> Iterator[sa.Engine]:
    """
    Yield an engine that makes connections as another one does, for a run, and close them.

    Raises:
        ConfigurationError: the engine is none, or an async one.
    """
    if not isinstance(engine, sa.Engine) or engine.dialect.is_async:
        raise ConfigurationError("a run needs a synchronous engine; give it one of its own")
    # A SQLite database in memory is seen by its own connection only.
    shares = engine.dialect.name == "sqlite"
    isolation = _ISOLATION.get(engine.dialect.name, "READ COMMITTED")
    own = sa.Engine(
        engine.pool if shares else engine.pool.recreate(),
        engine.dialect,
        engine.url,
        execution_options={**engine.get_execution_options(), "isolation_level": isolation},
        hide_parameters=True,
    )
    try:
        yield own
    finally:
        if not shares:
            own.dispose()


class Session:
    """
    A connection that is made again when it is lost.

    Args:
        engine: makes it.
        patience: how long it is tried.
        where: the table, for errors.
        settings: of the database session, while this has it.
        made: called with each new connection, in a transaction.
        ended: called, in a transaction, before a connection is given back.
    """

    def __init__(  # noqa: PLR0913 - what a session is of
        self,
        engine: sa.Engine,
        patience: Patience,
        where: str,
        settings: Mapping[str, str] | None = None,
        *,
        made: Callable[[sa.Connection], None] | None = None,
        ended: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        self.engine = engine
        self.patience = patience
        self.where = where
        self._settings = settings or {}
        self._made = made or (lambda _connection: None)
        self._ended = ended or (lambda _connection: None)
        self._connection: sa.Connection | None = None

    def run(self, work: Callable[[sa.Connection], T], *, locked: float | None = None) -> T:
        """
        Do something in a transaction of its own, and again if it fails by what passes by itself.

        Args:
            work: what is done.
            locked: see `Patience.call`.

        Raises:
            Interrupted, ResealError: as `Patience.call`.
        """
        return self.patience.call(lambda: self._once(work), self.where, locked=locked)

    def _once(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self.engine.connect()
                self.patience.has_connected = True
                with self._connection.begin():
                    self._set(self._connection, self._settings)
                    self._made(self._connection)
            with self._connection.begin():
                return work(self._connection)
        except SQLAlchemyError as error:
            if cause_of(error) is Cause.LOST:
                self.close()
            raise

    def close(self) -> None:
        """Give the connection back. The next use takes another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(SQLAlchemyError):  # It may be lost already.
            if self._settings and not connection.invalidated:
                with connection.begin():
                    self._set(connection, dict.fromkeys(self._settings, "DEFAULT"))
                    self._ended(connection)
            connection.close()

    def _set(self, connection: sa.Connection, settings: Mapping[str, str]) -> None:
        statements = [f"SET {name} = {value}" for name, value in settings.items()]
        if connection.dialect.name == "postgresql":  # It takes several at once.
            statements = ["; ".join(statements)] if statements else []
        for statement in statements:
            connection.exec_driver_sql(statement)


class Read:
    """Reads a page in a transaction of its own."""

    def __init__(self, session: Session, table: MovedTable, changes: Sequence[Change]) -> None:
        self.session = session
        self._is_typed = any(change.reads is not None for change in changes)
        self._is_psycopg = session.engine.dialect.driver == "psycopg"
        self._is_binary = self._is_psycopg and all(
            table.sql_types.get(name) in _BINARY
            for name in (*table.key, *(change.source for change in changes))
        )

    def __call__(
        self, statement: Callable[[sa.Connection], sa.Select[Any] | Ready]
    ) -> Sequence[Any]:
        """Return the rows of a statement, which is made for the connection."""

        def work(connection: sa.Connection) -> Sequence[Any]:
            with _binary(connection) if self._is_binary else nullcontext():
                made = statement(connection)
                result: Any = (
                    connection.execute(made.statement, made.parameters)
                    if isinstance(made, Ready)
                    else connection.execute(made)
                )
                if self._is_typed or not self._is_psycopg:
                    return fetched(result)
                # Values as the driver gives them take no Row, and psycopg has them all by now.
                raw: Any = result.cursor
                return raw.fetchall()  # type: ignore[no-any-return]

        return self.session.run(work)


class Write:
    """
    Writes a batch in a transaction of its own.

    Rows that others hold for longer than a run waits are left as they are; see `Waits`. On
    PostgreSQL it does not wait until each batch is on the disk; `settle` does, once for all.
    """

    def __init__(self, session: Session, table: MovedTable, changes: Sequence[Change]) -> None:
        self.session = session
        self._table = table
        self._changes = changes
        self._writer: Writer | None = None

    def __call__(self, batch: Batch) -> int:
        """Write a batch and commit; return how many of its rows were as they were read."""
        locked = self.session.patience.waits.locked
        if self.session.engine.dialect.name == "sqlite":  # Locks are of a whole database.
            return self._once(batch, locked)
        until = monotonic() + locked
        try:
            return self._once(batch, min(_TRIES_SECONDS, locked))
        except HeldError:
            pass
        return self._in_parts(batch, until)

    def settle(self) -> None:
        """Wait until what was written is on the disk, and wherever else a commit has to be."""
        if self.session.engine.dialect.name == "postgresql":
            self.session.run(_commit_for_sure)

    def _in_parts(self, batch: Batch, until: float) -> int:
        """Write the rows that nobody holds."""
        if len(batch) == 1 or monotonic() > until or self.session.patience.stop.is_set():
            return 0
        middle = len(batch) // 2
        written = 0
        for part in (_part(batch, slice(None, middle)), _part(batch, slice(middle, None))):
            try:
                written += self._once(part, 0)
            except HeldError:
                written += self._in_parts(part, until)
        return written

    def _once(self, batch: Batch, locked: float) -> int:
        return self.session.run(lambda connection: self._write(connection, batch), locked=locked)

    def _write(self, connection: sa.Connection, batch: Batch) -> int:
        if self._writer is None or self._writer.connection is not connection:
            self._writer = Writer(connection, self._table, self._changes)
        return self._writer.write(batch)


@contextmanager
def reading(
    engine: sa.Engine, table: MovedTable, changes: Sequence[Change], patience: Patience
) -> Iterator[Read]:
    """
    Yield the function that reads a page.

    On PostgreSQL it sees all rows or fails, whatever row-level security says, and gets bytes as
    they are: as hexadecimal text, which is psycopg's default, they take twice the room.
    """
    is_postgresql = engine.dialect.name == "postgresql"
    settings = _ALL_ROWS if is_postgresql else {}
    session = Session(engine, patience, table.label, settings)
    try:
        yield Read(session, table, changes)
    finally:
        session.close()


@contextmanager
def counting(
    engine: sa.Engine, table: MovedTable, patience: Patience
) -> Iterator[Callable[[Callable[[sa.Connection], sa.Select[Any]]], int]]:
    """Yield the function that counts rows of a table; on PostgreSQL, all of them or it fails."""
    settings = _ALL_ROWS if engine.dialect.name == "postgresql" else {}
    session = Session(engine, patience, table.label, settings)
    try:
        yield lambda statement: session.run(lambda c: int(c.execute(statement(c)).scalar_one()))
    finally:
        session.close()


@contextmanager
def writing(
    engine: sa.Engine, table: MovedTable, changes: Sequence[Change], patience: Patience
) -> Iterator[Write]:
    """Yield the function that writes a batch."""

    def made(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            patience.writers.add(connection.scalar(sa.text("SELECT pg_backend_pid()")))

    settings = _WRITING.get(engine.dialect.name, {})
    session = Session(engine, patience, table.label, settings, made=made)
    write = Write(session, table, changes)
    try:
        yield write
    finally:
        session.close()


def _commit_for_sure(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
    # PostgreSQL waits for the disk only after a transaction that has something in the log of its
    # own, a number alone is not enough; and with it is there what came before.
    connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'sqlalchemy_sealed', '')")


def _part(batch: Batch, rows: slice) -> Batch:
    return Batch(*(tuple(c[rows] for c in part) for part in (batch.key, batch.old, batch.new)))


@contextmanager
def _binary(connection: sa.Connection) -> Iterator[None]:
    from psycopg import Cursor  # noqa: PLC0415 - the driver of some databases only
    from psycopg.pq import Format  # noqa: PLC0415

    class BinaryCursor(Cursor[Any]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.format = Format.BINARY

    raw: Any = connection.connection.driver_connection
    before = raw.cursor_factory
    raw.cursor_factory = BinaryCursor
    try:
        yield
    finally:
        raw.cursor_factory = before
