"""
A keystore in a table, `sealed_keys`: wrapped keys beside the data that they seal.

The table holds no usable key. It is read and written on short connections of its own, never
inside of the application's transaction: a rollback must not undo a new key that another process
uses already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Engine,
    MetaData,
    Select,
    create_engine,
    insert,
    or_,
    select,
)
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError, KeystoreConflictError, KeystoreError
from ..keys import KeyRecord
from .book import RecordBook, changed, checked, place_of, taken
from .connecting import beside, connected, is_in_memory, shown
from .dberrors import TakenError, problem_of
from .fields import from_fields, is_rewrapped
from .rows import record_of, row_of
from .swapping import swap, swap_wrapped
from .table import NAME_SIZE, OPTIONAL, TABLE
from .table import keys_table as keys_table

T = TypeVar("T")
V = TypeVar("V")
Pair = tuple[KeyRecord, KeyRecord]

_MANY = 500
"""How many values one query looks for."""


class DatabaseKeystore:
    """
    Keystore in a database table. Safe to share between threads, and across a fork.

    Args:
        engine: an engine, such as that of the application, or the URL of a database. Each call
            opens a connection and closes it; of an engine it takes how connections are made
            (URL, `connect_args`, `creator`, events of the pool, `do_connect`), not those that are
            open. So a call can neither join the transaction of its caller nor wait for a
            connection that its caller holds.
        table: the name of the table.
        schema: its schema; by default that of the connection.

    Raises:
        ConfigurationError: *engine* is an AsyncEngine, or a SQLite database in memory, which only
            its own connection sees.
    """

    remote = True
    update_size = 5000
    """Each row costs the same, and a batch is written while the next one is rewrapped."""

    def __init__(
        self, engine: Engine | URL | str, *, table: str = TABLE, schema: str | None = None
    ) -> None:
        if isinstance(engine, str | URL):
            engine = create_engine(engine, poolclass=NullPool)
        if not isinstance(engine, Engine) or engine.dialect.is_async:
            raise ConfigurationError(
                "DatabaseKeystore needs a synchronous engine or a URL; beside an AsyncEngine, give "
                "it the URL with a synchronous driver, and call `await sealer.awarm()` at the start"
            )
        if is_in_memory(engine.url):
            raise ConfigurationError(
                "a SQLite database in memory is seen by one connection only, and DatabaseKeystore "
                "makes its own; use a file, or a MemoryKeystore"
            )
        self._engine = beside(engine)
        self.table = keys_table(MetaData(), table, schema)
        self._columns = tuple(self.table.columns.keys())

    def create(self) -> None:
        """
        Create the table if it is missing. Its schema must exist.

        Raises:
            KeystoreError: the database refuses, or cannot be reached.
        """
        problem = None
        try:
            self._run(lambda connection: self.table.create(connection, checkfirst=True))
        except KeystoreError as error:
            problem = error
        # Of processes that do this at once, all but one are told that it is there.
        if problem is not None and not self._run(self._has_table):
            raise problem

    def _has_table(self, connection: Connection) -> bool:
        return connection.dialect.has_table(connection, self.table.name, self.table.schema)

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """
        Return all records of a key name.

        Raises:
            KeystoreError: no such table, a damaged record, or the database cannot be reached.
        """
        return self.load_many([name])[name]

    def load_many(self, names: Iterable[str]) -> dict[str, tuple[KeyRecord, ...]]:
        """Return all records of some key names, over one connection; as `load`."""
        found: dict[str, list[KeyRecord]] = {name: [] for name in names}
        stored = [self._stored(name) for name in found]

        def work(connection: Connection) -> list[Any]:
            return [row for some in batched(stored) for row in connection.execute(self._of(some))]

        for number, row in enumerate(self._run(work), start=1):
            record = self._record(row, number)
            if record.name in found:  # As it is, whatever the database compares by.
                found[record.name].append(record)
        return {name: tuple(records) for name, records in found.items()}

    def _of(self, names: list[Any]) -> Select[Any]:
        return select(self.table).where(self.table.c.name.in_(names))

    def read_wrapped(self) -> tuple[int, Iterator[KeyRecord]]:
        """Return how many records have a wrapped key, and these, made as they are asked for."""
        rows = self._all(select(self.table).where(self.table.c.wrapped != ""))
        return len(rows), (self._record(row, number) for number, row in enumerate(rows, start=1))

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records."""
        query = select(self.table.c.name).distinct()
        return tuple(sorted(self._told(name) for (name,) in self._all(query)))

    def add(self, *records: KeyRecord) -> None:
        """Add records, all or none; KeystoreConflictError if a place or an id is taken."""
        RecordBook(records)
        rows = [self._row(record) for record in records]
        if not rows:
            return
        try:
            self._run(lambda connection: connection.execute(insert(self.table), rows))
        except TakenError:
            pass
        else:
            return
        raise taken(self._taken_of(records))

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """Replace a record; KeystoreConflictError if it is not *old* any more."""
        self.update_many([(old, new)])

    def update_many(self, pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> None:
        """Replace records in one transaction, all or none."""
        # In one order for all processes, so that two of them do not wait for each other.
        pairs = sorted(checked(pairs), key=lambda pair: (pair[0].name, place_of(pair[0])))
        if not pairs:
            return
        try:
            self._run(lambda connection: self._replace_all(connection, pairs))
        except KeystoreConflictError as error:
            if error.key_id is None:  # a lock
                raise
        else:
            return
        raise changed(self._changed_of([old for old, _ in pairs]))

    def _replace_all(self, connection: Connection, pairs: list[Pair]) -> None:
        if connection.dialect.name == "sqlite":
            # What is replaced, such as a wrapped key that is destroyed, is overwritten.
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        rewrapped = all(is_rewrapped(old, new) for old, new in pairs)
        if rewrapped:
            for name in {old.name for old, _ in pairs}:
                self._stored(name)
        swapped = swap_wrapped(connection, self.table, pairs) if rewrapped else None
        if swapped is None:
            # One row after the other: thousands of them are work for the garbage collector.
            rows = ((self._row(old), self._row(new)) for old, new in pairs)
            swapped = swap(connection, self.table, rows)
        if swapped != len(pairs):
            raise KeystoreConflictError("a record was changed", where=self._where, key_id="")

    def _taken_of(self, records: tuple[KeyRecord, ...]) -> KeyRecord:
        """Return the record of those that cannot be added."""
        columns = self.table.c
        for some in batched(records):
            names = {self._stored(record.name) for record in some}
            ids = [record.key_id.hex() for record in some]
            query = select(columns.name, columns.kind, columns.generation, columns.id).where(
                or_(columns.name.in_(names), columns.id.in_(ids))
            )
            found = self._all(query)
            places = {tuple(row)[:3] for row in found}
            known = {row.id for row in found}
            for record in some:
                place = (self._stored(record.name), str(record.kind), record.generation)
                if place in places or record.key_id.hex() in known:
                    return record
        return records[0]

    def _changed_of(self, records: list[KeyRecord]) -> KeyRecord:
        """Return the first record that is not stored as it is."""
        stored: dict[str, set[KeyRecord]] = {}
        for record in records:
            if record.name not in stored:
                stored[record.name] = set(self.load(record.name))
            if record not in stored[record.name]:
                return record
        return records[0]

    # -- rows

    @property
    def _keeps_bytes(self) -> bool:
        return self._engine.dialect.name in ("mysql", "mariadb")

    def _stored(self, name: str) -> Any:
        """Return a key name as the table has it; see `table`."""
        try:
            encoded = name.encode()
        except UnicodeEncodeError:
            encoded = b"\0"
        if len(encoded) > NAME_SIZE or b"\0" in encoded:
            raise ConfigurationError(
                f"a key name in a database is Unicode, without a NUL, and has at most {NAME_SIZE} "
                "bytes of UTF-8"
            )
        return encoded if self._keeps_bytes else name

    def _told(self, name: Any) -> str:
        try:
            return name.decode() if isinstance(name, bytes) else str(name)
        except UnicodeDecodeError:
            pass
        raise self._damaged("a key name is not UTF-8")

    def _row(self, record: KeyRecord) -> dict[str, Any]:
        fields = dict(zip(self._columns, row_of(record), strict=True))
        return fields | {"name": self._stored(record.name)}

    def _record(self, row: Sequence[Any], number: int) -> KeyRecord:
        record = record_of(row)
        if record is not None:
            return record
        fields = dict(zip(self._columns, row, strict=True))
        for name in OPTIONAL:
            if fields[name] is None:
                del fields[name]
        fields["name"] = self._told(fields["name"])
        try:
            return from_fields(fields, number)
        except KeystoreError as error:
            problem = error.problem
        raise self._damaged(problem)

    def _damaged(self, problem: str) -> KeystoreError:
        return KeystoreError(
            f"the keystore is damaged: {problem}; restore it from a backup", where=self._where
        )

    # -- connections

    def _all(self, query: Any) -> Sequence[Any]:
        return self._run(lambda connection: connection.execute(query).all())

    def _run(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own, and translate what goes wrong."""
        try:
            with connected(self._engine, self._where) as connection, connection.begin():
                return work(connection)
        except SQLAlchemyError as error:
            problem = problem_of(error, self._where)
        raise problem

    @property
    def _where(self) -> str:
        return self.table.fullname

    def __repr__(self) -> str:
        """Return table and database, without a login."""
        return f"DatabaseKeystore({shown(self._engine.url)!r}, table={self.table.fullname!r})"


def batched(values: Sequence[V]) -> Iterator[list[V]]:
    """Yield values in lists of those that one query looks for."""
    for start in range(0, len(values), _MANY):
        yield list(values[start : start + _MANY])
