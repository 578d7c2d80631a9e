"""
What searching through a blind index costs, against a plain indexed column of the same width.

    python benchmarks/bench_search.py                      500,000 rows, some minutes
    python benchmarks/bench_search.py --smoke              to see that it runs
    python benchmarks/bench_search.py --url postgresql+psycopg://...

The plain column is a VARCHAR of 15 characters: its values are as wide as a slot, and it is the
faster one of the two plain columns here. A search loads the whole row; for a sealed column that
includes the hash of what is searched and opening what is found.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from common import Case, Report, arguments, database, environment, measure
from search_tables import WIDTH, Tables, value
from sqlalchemy import Engine, String, any_, bindparam, create_engine, event, insert
from sqlalchemy import select as select_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.orm import Session

from sqlalchemy_sealed import execute_exact
from sqlalchemy_sealed.guard import guard_statement

LOOKUP_BAR = 1.15
INSERT_BAR = 1.25
GUARD_BAR = 1.03
FEW, MANY = 3, 100
"""Values of an IN."""
BATCH = 1000
"""Rows of an insert, and of a transaction."""
PLAIN = f"plain VARCHAR({WIDTH})"

Run = Callable[[Any], object]


def main() -> None:
    """Measure, print the table and write the figures."""
    given = arguments(str(__doc__).strip().splitlines()[0], rows=500_000, rounds=30)
    tables = Tables(given.rows)
    with database(given.url) as url:
        engine = create_engine(url)
        tables.create(engine)
        bench = Search(engine, tables, given.rounds)
        report = Report("Search", environment(engine, given))
        for section in (bench.equality, bench.many, bench.guard, bench.inserts):
            report.results += section()
        report.counts = compiled_statements(create_engine(url), tables)
        bench.close()
    report.show()
    report.write(given.json)


class Search:
    """The sections of the benchmark, on one connection."""

    def __init__(self, engine: Engine, tables: Tables, rounds: int) -> None:
        self.tables = tables
        self.rounds = rounds
        self.engine = engine
        self.connection = engine.connect()
        self.session = Session(engine)

    def close(self) -> None:
        """Give the connection back."""
        self.session.close()
        self.connection.close()
        self.engine.dispose()

    # -- what is searched

    def lookups(self, items: int) -> Callable[[int], Sequence[str]]:
        """Return what gives values of rows that are there, the same to all cases of a round."""
        return lambda number: [value(n) for n in self._sample(number, items)]

    def _sample(self, number: int, items: int) -> list[int]:
        return random.Random(number).choices(range(self.tables.rows), k=items)

    # -- sections

    def equality(self) -> list[Any]:
        """Time the search for one value, by Core and by the ORM."""
        tables = self.tables
        results = []
        for section, run in (("Core", self._core_one), ("ORM", self._orm_one)):
            cases = [
                Case(PLAIN, run(tables.plain)),
                Case("plain BYTEA of the same values", run(tables.plain_bytes, str.encode), PLAIN),
                Case("sealed", run(tables.sealed), PLAIN, LOOKUP_BAR),
                Case("sealed, unique", run(tables.unique), PLAIN),
                Case("sealed, text storage", run(tables.as_text), PLAIN),
                Case("sealed, two index keys", run(tables.two_keys), PLAIN),
            ]
            if section == "ORM":
                cases.append(Case("sealed, truncated", self._exact(tables.truncated), PLAIN))
                for case in cases:
                    case.after = self.session.expunge_all
            results += measure(
                f"equality, {section}, one row", cases, self.lookups(5), self.rounds * 10
            )
        return results

    def many(self) -> list[Any]:
        """Time the search for a few and for a hundred values, by Core and by the ORM."""
        return [*self._many(FEW), *self._many(MANY)]

    def _many(self, count: int) -> list[Any]:
        tables = self.tables
        results = []
        for section, run in (("Core", self._core_many), ("ORM", self._orm_many)):
            cases = [
                Case(PLAIN, run(tables.plain)),
                Case("plain, = ANY (array)", run(tables.plain, array=True), PLAIN),
                Case("sealed", run(tables.sealed), PLAIN, LOOKUP_BAR),
                Case("sealed, text storage", run(tables.as_text), PLAIN),
                Case("sealed, two index keys", run(tables.two_keys), PLAIN),
            ]
            if section == "ORM":
                for case in cases:
                    case.after = self.session.expunge_all
            results += measure(
                f"IN of {count} values, {section}",
                cases,
                lambda number: [
                    [value(n) for n in self._sample(number * 2 + i, count)] for i in range(2)
                ],
                self.rounds * 5,
            )
        return results

    def guard(self) -> list[Any]:
        """Time the guard: on a statement that was compiled before, and on one that was not."""
        session, sealed = self.session, self.tables.sealed
        uncached = {"compiled_cache": None}
        connection = self.connection

        def first(number: int) -> None:
            statement = select_(sealed).where(sealed.value == value(number))
            connection.execute(statement, execution_options=uncached).all()

        def three(what: str, run: Run, bar: float | None = None) -> list[Case]:
            removed = f"{what}, guard removed"
            after = session.expunge_all
            return [
                Case(removed, run, after=after, around=without_guard),
                Case(f"{what}, guard", run, removed, bar, after=after),
                Case(f"{what}, no events", run, removed, after=after, around=without_events),
            ]

        return measure(
            "the guard",
            [
                *three("session.get, plain", lambda n: session.get(self.tables.plain, n)),
                *three("session.get, sealed", lambda n: session.get(sealed, n), GUARD_BAR),
                *three("a statement compiled anew", first),
            ],
            lambda number: [n + 1 for n in self._sample(number, 20)],
            self.rounds * 5,
        )

    def inserts(self) -> list[Any]:
        """Time inserts into the full tables, and their commits."""
        tables = self.tables
        results = []
        self.session.rollback()
        self.connection.rollback()
        for section, run in (
            ("ORM add_all", self._add_all),
            ("ORM bulk", self._bulk),
            ("Core executemany", self._executemany),
        ):
            bare, plain = "sealed, no slot, no index", "plain, no index"
            cases = [
                Case(plain, run(tables.plain_bare)),
                Case("plain, index", run(tables.plain), plain),
                Case(bare, run(tables.sealed_bare)),
                Case("sealed, slot, no index", run(tables.sealed_slot), bare),
                Case("sealed, slot and index", run(tables.sealed), bare, INSERT_BAR),
                Case("sealed, unique: two of both", run(tables.unique), bare),
            ]
            for case in cases:
                case.per = BATCH
                case.after = self.session.expunge_all
            results += measure(
                f"insert, {section}, {BATCH} rows a transaction",
                cases,
                lambda _: [tables.fresh(BATCH)],
                self.rounds,
            )
        return results

    # -- what is timed

    def _core_one(self, model: Any, searched: Run = str) -> Run:
        table, execute = model.__table__, self.connection.execute

        def run(item: str) -> None:
            execute(select_(table).where(table.c.value == searched(item))).one()

        return run

    def _orm_one(self, model: Any, searched: Run = str) -> Run:
        scalars = self.session.scalars
        return lambda item: scalars(select_(model).where(model.value == searched(item))).one()

    def _exact(self, model: Any) -> Run:
        session = self.session
        return lambda item: (
            execute_exact(session, select_(model).where(model.value == item)).scalars().one()
        )

    def _core_many(self, model: Any, *, array: bool = False) -> Run:
        table, execute = model.__table__, self.connection.execute
        return lambda items: execute(
            select_(table).where(_among(table.c.value, items, array=array))
        ).all()

    def _orm_many(self, model: Any, *, array: bool = False) -> Run:
        scalars = self.session.scalars
        return lambda items: scalars(
            select_(model).where(_among(model.value, items, array=array))
        ).all()

    def _add_all(self, model: Any) -> Run:
        session = self.session

        def run(rows: list[dict[str, Any]]) -> None:
            session.add_all([model(**row) for row in rows])
            session.commit()

        return run

    def _bulk(self, model: Any) -> Run:
        session = self.session

        def run(rows: list[dict[str, Any]]) -> None:
            session.execute(insert(model), rows)
            session.commit()

        return run

    def _executemany(self, model: Any) -> Run:
        connection, table = self.connection, model.__table__

        def run(rows: list[dict[str, Any]]) -> None:
            connection.execute(insert(table), rows)
            connection.commit()

        return run


def _among(column: Any, items: list[str], *, array: bool) -> Any:
    if array:
        return column == any_(bindparam(None, items, type_=ARRAY(String)))
    return column.in_(items)


@contextmanager
def without_guard() -> Iterator[None]:
    """Take the guard away. SQLAlchemy goes on looking for listeners."""
    event.remove(Engine, "before_cursor_execute", guard_statement)
    try:
        yield
    finally:
        event.listen(Engine, "before_cursor_execute", guard_statement, retval=True)


@contextmanager
def without_events() -> Iterator[None]:
    """Make SQLAlchemy not look for listeners, as if no engine ever had one."""
    with without_guard():
        Engine._has_events = False
        yield


def compiled_statements(engine: Engine, tables: Tables) -> dict[str, int]:
    """Count how often SQLAlchemy compiles while a thousand different values are searched."""
    model = tables.sealed
    counts = {}
    searches: dict[str, Callable[[int], Any]] = {
        "==": lambda n: model.value == value(n),
        "IN of 1 to 100 values": lambda n: model.value.in_(
            [value(n + i) for i in range(1 + n % 100)]
        ),
    }
    missed: list[CacheStats] = []

    def note(*happening: Any) -> None:
        hit: CacheStats = happening[4].cache_hit
        if hit is not CacheStats.CACHE_HIT:
            missed.append(hit)

    event.listen(engine, "before_cursor_execute", note)
    with Session(engine) as session:
        for name, condition in searches.items():
            missed.clear()
            for number in range(1000):
                session.execute(select_(model).where(condition(number))).all()
            counts[f"statements compiled for 1000 searches by {name}"] = len(missed)
    engine.dispose()
    return counts


if __name__ == "__main__":
    main()
