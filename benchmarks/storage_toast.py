"""Where PostgreSQL keeps values of two kilobytes and more, and what its compression costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common import Case, Result, measure
from large_ways import OURS_UNCHECKED, PLAIN_TEXT, Row, large_rows, large_ways
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import DBAPIError
from type_tables import collecting
from type_ways import FLOOR, OURS, Way

NEAR_2_KB = (1900, 1960, 2000, 2048)
"""Bytes of plaintext: PostgreSQL moves values out of rows that are longer than about 2,032."""
STORAGES = ("EXTENDED, pglz", "EXTENDED, lz4", "EXTERNAL")
TIMED = {"2 KB": (2048, 400), "10 KB": (10_000, 200), "1 MB": (1_000_000, 4)}
"""Bytes of a value, and rows."""


@dataclass
class Place:
    """Bytes of a row: in the table itself, and out of line with the index that finds them."""

    table: float
    toast: float


def section_of(label: str, operation: str) -> str:
    """Return the heading of some cases."""
    return f"PostgreSQL, storage of {label}, {operation}"


def places(engine: Engine, rows: int) -> dict[str, dict[int, Place]]:
    """Return where values near 2 KB lie, by way and their bytes."""
    found: dict[str, dict[int, Place]] = {}
    for way in (way for way in large_ways() if way.name != OURS_UNCHECKED):
        for size in NEAR_2_KB:
            table = _table("near", way)
            with _filled(engine, table, large_rows(way, size, rows)) as connection:
                found.setdefault(way.name, {})[size] = _place(connection, table, rows)
            table.drop(engine)
    return found


def storages(
    engine: Engine, rounds: int, *, smoke: bool
) -> tuple[list[Result], dict[str, dict[str, dict[str, Place]]]]:
    """
    Time writing and reading under each storage setting of the column.

    Returns:
        The times, and where the values lie: by size, way and setting.
    """
    results: list[Result] = []
    found: dict[str, dict[str, dict[str, Place]]] = {}
    ways = [way for way in large_ways() if way.name in (PLAIN_TEXT, FLOOR, OURS)]
    for label, (size, count) in list(TIMED.items())[: 1 if smoke else None]:
        rows = 20 if smoke else count
        columns = [
            _Column(engine, way, storage, large_rows(way, size, rows), f"s{n}_{m}")
            for n, way in enumerate(ways)
            for m, storage in enumerate(STORAGES)
        ]
        columns = [column for column in columns if column.is_there]
        for column in columns:
            by_setting = found.setdefault(label, {}).setdefault(column.way.name, {})
            by_setting[column.storage] = column.place
        for operation in ("insert", "select"):
            cases = [column.case(operation) for column in columns]
            results += measure(section_of(label, operation), cases, lambda _: [0], rounds)
        for column in columns:
            column.close()
    return results, found


class _Column:
    """A table of one value, with a setting of where its column is stored, to read and to write."""

    def __init__(self, engine: Engine, way: Way, storage: str, rows: list[Row], label: str) -> None:
        self.way, self.storage, self.is_there = way, storage, True
        self._engine, self._rows = engine, rows
        self._read, self._write = _table(f"{label}_read", way), _table(f"{label}_write", way)
        self._connection = engine.connect()
        try:
            for table in (self._read, self._write):
                table.create(engine)
                self._set(table.name)
        except DBAPIError:  # A server that was built without lz4.
            self.is_there = False
            self.close()
            return
        with _filled(engine, self._read, rows) as connection:
            self.place = _place(connection, self._read, len(rows))

    def _set(self, name: str) -> None:
        storage, _, method = self.storage.partition(", ")
        change = f"ALTER TABLE {name} ALTER COLUMN value SET"
        with self._engine.begin() as connection:
            connection.execute(text(f"{change} STORAGE {storage}"))
            if method:
                connection.execute(text(f"{change} COMPRESSION {method}"))

    def close(self) -> None:
        """Drop the tables."""
        self._connection.close()
        for table in (self._read, self._write):
            table.drop(self._engine, checkfirst=True)

    def case(self, operation: str) -> Case:
        """Return what writes or reads all rows; it is divided by the default setting."""
        connection, rows = self._connection, self._rows
        query, emptying = select(self._read.c.value), text(f"TRUNCATE {self._write.name}")

        def write(_: Any) -> None:
            connection.execute(insert(self._write), rows)
            connection.commit()

        def empty() -> None:
            connection.execute(emptying)
            connection.commit()

        def read(_: Any) -> object:
            return connection.execute(query).all()

        against = None if self.storage == STORAGES[0] else f"{self.way.name}, {STORAGES[0]}"
        run: Callable[[Any], object] = write if operation == "insert" else read
        return Case(
            f"{self.way.name}, {self.storage}",
            run,
            against,
            per=len(rows),
            after=empty if operation == "insert" else connection.rollback,
            around=collecting,
        )


def _table(name: str, way: Way) -> Table:
    return Table(
        name,
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("value", way.make(), nullable=False),
    )


def _filled(engine: Engine, table: Table, rows: list[Row]) -> Connection:
    """Create the table if it is not there, fill it, and return a connection that sees it."""
    table.create(engine, checkfirst=True)
    with engine.begin() as connection:
        connection.execute(insert(table), rows)
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.execute(text(f"VACUUM {table.name}"))
    return connection


def _place(connection: Connection, table: Table, rows: int) -> Place:
    main = f"pg_relation_size('{table.name}')"
    toast = (
        f"(SELECT pg_total_relation_size(reltoastrelid) FROM pg_class "
        f"WHERE oid = '{table.name}'::regclass)"
    )
    sizes = connection.execute(text(f"SELECT {main}, {toast}")).one()
    return Place(*(size / rows for size in sizes))
