"""The tables of the benchmark of types, what is done with them, and how large they are."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from common import Case
from sqlalchemy import Engine, Integer, func, insert, select, text
from sqlalchemy.orm import Session, mapped_column, registry
from type_ways import PLAIN, Way

COLUMNS = ("email", "phone", "number")
BULK, CORE, ORM_READ, CORE_READ = "ORM bulk insert", "Core insert", "ORM select", "Core select"
ONE_INSERT, ONE_GET = "single insert", "single get"
OPERATIONS = (BULK, CORE, ORM_READ, CORE_READ, ONE_INSERT, ONE_GET)

Row = dict[str, Any]


def rows_of(count: int) -> list[Row]:
    """Return rows of three texts of 20 characters."""
    digits = random.Random(2)
    return [
        {
            "email": f"ada{digits.randrange(10**8):08d}@host.org"[:20],
            "phone": f"+44 20 7946 {digits.randrange(10**8):08d}",
            "number": f"{digits.randrange(10**20):020d}",
        }
        for _ in range(count)
    ]


@contextmanager
def collecting() -> Iterator[None]:
    """
    Let the garbage collector run, as it does in an application that makes many objects.

    So a full collection, which looks at everything that the process has, may fall into any turn.
    """
    gc.collect()
    gc.enable()
    try:
        yield
    finally:
        gc.disable()


class Tables:
    """
    A table to read and one to write, for each way.

    Args:
        engine: one database.
        name: what kind of database it is.
        ways: those that work there.
        rows: what the tables to read are filled with.
    """

    def __init__(self, engine: Engine, name: str, ways: list[Way], rows: list[Row]) -> None:
        self.engine, self.name, self.rows = engine, name, rows
        self.ways = [way for way in ways if name in way.databases]
        self._registry = registry()
        self._read = {
            way.name: self._model(f"read_{n}", way.make) for n, way in enumerate(self.ways)
        }
        self._write = {
            way.name: self._model(f"write_{n}", way.make) for n, way in enumerate(self.ways)
        }
        self.sizes: dict[str, float] = {}
        self._registry.metadata.create_all(engine)
        self.connection = engine.connect()
        self.session = Session(engine)
        for way in self.ways:
            self._fill(way)

    def close(self) -> None:
        """Give the connections back."""
        self.session.close()
        self.connection.close()

    def count(self, way: Way, rows: int) -> int:
        """Return how many of so many rows this way is timed with."""
        return max(1, int(rows * way.share))

    def _model(self, name: str, make: Callable[[], Any]) -> Any:
        columns = {each: mapped_column(make(), nullable=False) for each in COLUMNS}
        columns["id"] = mapped_column(Integer, primary_key=True)
        return self._registry.mapped(type(name, (), {"__tablename__": name, **columns}))

    # -- filling, and sizes

    def _fill(self, way: Way) -> None:
        """Insert the rows, read the first back, and measure what they take."""
        model, before = self._read[way.name], self._pages()
        rows = self.rows[: self.count(way, len(self.rows))]
        self.connection.execute(insert(model.__table__), rows)
        self.connection.commit()
        first = self.session.scalars(select(model).order_by(model.id).limit(1)).one()
        found = {each: getattr(first, each) for each in COLUMNS}
        if way.reveal is not None:
            found = {each: way.reveal(value) for each, value in found.items()}
        if found != rows[0]:
            raise AssertionError(f"{way.name} does not read what it wrote")
        if way.name != PLAIN:
            self._look_past(model, rows[0])
        self.session.rollback()
        self.sizes[way.name] = self._size(model, before) / len(rows)
        if self.name == "PostgreSQL":
            self._settle(model)

    def _look_past(self, model: Any, row: Row) -> None:
        """Make sure that what is stored is not the plaintext."""
        name = model.__tablename__
        stored = self.connection.execute(text(f"SELECT email FROM {name} LIMIT 1")).scalar_one()
        stored = stored.encode() if isinstance(stored, str) else bytes(stored)
        if row["email"].encode() in stored:
            raise AssertionError(f"{name} stores plaintext")
        self.connection.rollback()

    def _pages(self) -> int:
        if self.name == "PostgreSQL":
            return 0
        pages = self.connection.execute(text("PRAGMA page_count")).scalar_one()
        return int(pages) * int(self.connection.execute(text("PRAGMA page_size")).scalar_one())

    def _size(self, model: Any, before: int) -> int:
        if self.name == "PostgreSQL":
            size = func.pg_table_size(model.__tablename__)
            return int(self.connection.execute(select(size)).scalar_one())
        return self._pages() - before

    def _settle(self, model: Any) -> None:
        self.connection.rollback()
        name = model.__tablename__
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER TABLE {name} SET (autovacuum_enabled = off)"))
            connection.execute(text(f"VACUUM ANALYZE {name}"))

    # -- what is timed

    def cases(self, operation: str, names: set[str], rows: int) -> list[Case]:
        """
        Return a case for each of these ways.

        Args:
            operation: one of OPERATIONS.
            names: of the ways.
            rows: how many one item reads or writes; not for single ones.
        """
        return [self._case(operation, way, rows) for way in self.ways if way.name in names]

    def _case(self, operation: str, way: Way, rows: int) -> Case:
        count = 1 if operation in (ONE_INSERT, ONE_GET) else self.count(way, rows)
        run = {
            BULK: self._bulk,
            CORE: self._core,
            ORM_READ: self._orm_read,
            CORE_READ: self._core_read,
            ONE_INSERT: self._one_insert,
            ONE_GET: self._one_get,
        }[operation](way, count)
        is_write = operation in (BULK, CORE, ONE_INSERT)
        after = self._emptying(way) if is_write else self._leave
        return Case(way.name, run, per=count, after=after, around=collecting)

    def items(self, operation: str, turns: int) -> Callable[[int], list[Any]]:
        """Return what gives the items of a round, the same to all ways."""
        if operation in (ONE_INSERT, ONE_GET):
            return lambda number: random.Random(number).sample(range(len(self.rows)), turns)
        return lambda _: [0]

    def _leave(self) -> None:
        self.session.expunge_all()

    def _emptying(self, way: Way) -> Callable[[], None]:
        verb = "TRUNCATE" if self.name == "PostgreSQL" else "DELETE FROM"
        statement = text(f"{verb} {self._write[way.name].__tablename__}")

        def empty() -> None:
            self.session.expunge_all()
            self.connection.execute(statement)
            self.connection.commit()

        return empty

    def _bulk(self, way: Way, count: int) -> Callable[[Any], object]:
        model, rows, session = self._write[way.name], self.rows[:count], self.session

        def run(_: Any) -> None:
            session.execute(insert(model), rows)
            session.commit()

        return run

    def _core(self, way: Way, count: int) -> Callable[[Any], object]:
        table, rows = self._write[way.name].__table__, self.rows[:count]
        connection = self.connection

        def run(_: Any) -> None:
            connection.execute(insert(table), rows)
            connection.commit()

        return run

    def _orm_read(self, way: Way, count: int) -> Callable[[Any], object]:
        statement, scalars = select(self._read[way.name]).limit(count), self.session.scalars
        reveal = way.reveal
        if reveal is None:
            return lambda _: scalars(statement).all()
        return lambda _: [
            (each, reveal(each.email), reveal(each.phone), reveal(each.number))
            for each in scalars(statement)
        ]

    def _core_read(self, way: Way, count: int) -> Callable[[Any], object]:
        table, execute = self._read[way.name].__table__, self.connection.execute
        statement = select(*(table.c[each] for each in COLUMNS)).limit(count)
        reveal = way.reveal
        if reveal is None:
            return lambda _: [tuple(row) for row in execute(statement)]
        return lambda _: [tuple(map(reveal, row)) for row in execute(statement)]

    def _one_insert(self, way: Way, _: int) -> Callable[[Any], object]:
        model, rows, session = self._write[way.name], self.rows, self.session

        def run(number: int) -> None:
            session.add(model(**rows[number]))
            session.commit()

        return run

    def _one_get(self, way: Way, _: int) -> Callable[[Any], object]:
        model, get, reveal = self._read[way.name], self.session.get, way.reveal
        stored = self.count(way, len(self.rows))

        def run(number: int) -> None:
            row = get(model, 1 + number % stored)
            if reveal is not None:
                for each in COLUMNS:
                    reveal(getattr(row, each))

        return run
