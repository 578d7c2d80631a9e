"""
What a sealed column costs, against a plain one, AES-GCM by hand, and other packages.

    python benchmarks/bench_types.py                 20,000 rows, about five minutes
    python benchmarks/bench_types.py --own           without the other packages, two minutes
    python benchmarks/bench_types.py --smoke         to see that it runs
    python benchmarks/bench_types.py --docs          writes its table and its picture into docs/

PostgreSQL and SQLite, three columns of texts of 20 characters. The other packages take part where
they are installed (`pip install -e .[bench]`). They are much slower, so they are timed with a
quarter of the rows and fewer turns, together with the plain column and ours once more. Searches
are timed by bench_search.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import Case, Report, Result, arguments, database, environment, measure
from sqlalchemy import Column, Engine, MetaData, Table, create_engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from type_figures import Figures, write_docs
from type_loads import import_times, peak_memory
from type_tables import (
    BULK,
    CORE,
    CORE_READ,
    ONE_GET,
    ONE_INSERT,
    OPERATIONS,
    ORM_READ,
    Tables,
    rows_of,
)
from type_ways import BY_HAND, FLOOR, OURS, PLAIN, POSTGRESQL, SQLITE, Way, own, peers

FLOOR_BAR = 1.15
ADDED_BAR = 0.5
PLAIN_BARS = {ORM_READ: 1.45, BULK: 1.3, CORE: 1.35, ONE_INSERT: 1.06, ONE_GET: 1.06}
"""Against a plain column of PostgreSQL."""
CHUNK = 500
"""Values that are timed together, of those without a database."""
SINGLES = 25
"""Rows of one turn that are read or written one by one."""
SIZES = {"20 B": 20, "10 KB": 10_000, "1 MB": 1_000_000}


def main() -> None:
    """Measure, print the table, write the figures and perhaps the page of the documentation."""
    warnings.simplefilter("ignore", DeprecationWarning)  # Those of other packages.
    given = arguments(
        str(__doc__).strip().splitlines()[0],
        rows=20_000,
        rounds=15,
        also=options,
    )
    ours, (others, skipped) = own(), ([], {}) if given.own else peers()
    rows = rows_of(given.rows)
    report = Report("Types", {})
    figures = Figures(skipped=skipped)
    report.results += values(ours, given.rounds)
    with database(given.url) as url, TemporaryDirectory() as folder:
        engines = {
            POSTGRESQL: create_engine(url),
            SQLITE: sqlite(Path(folder) / "types.db"),
        }
        report.settings = environment(engines[POSTGRESQL], given)
        for name, engine in engines.items():
            found = others if name == SQLITE else with_extension(engine, others, skipped)
            tables = Tables(engine, name, [*ours, *found], rows)
            report.results += beside_floor(tables, given.rounds)
            report.results += beside_peers(tables, found, given.rounds)
            figures.sizes[name] = tables.sizes
            tables.close()
            figures.memory[name] = peak_memory(engine, ours, 5 * given.rows)
            engine.dispose()
    figures.imports = import_times(given.rounds)
    for what, reason in skipped.items():
        report.counts[f"not timed: {what} ({reason})"] = 0
    report.counts |= figures.counts()
    report.show()
    report.write(given.json)
    if given.docs:
        write_docs(report, figures)


def options(parser: Any) -> None:
    """Add the options that other benchmarks do not have."""
    parser.add_argument("--docs", action="store_true", help="write table and picture into docs/")
    parser.add_argument("--own", action="store_true", help="without the other packages")


def sqlite(path: Path) -> Engine:
    """Return an engine for a database file with a write-ahead log."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def pragmas(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def with_extension(engine: Engine, ways: list[Way], skipped: dict[str, str]) -> list[Way]:
    """Return the ways that work on this server; those of pgcrypto need the extension."""
    try:
        with engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pgcrypto"))
    except DBAPIError as error:
        skipped["pgcrypto"] = f"the server does not have it: {type(error.orig).__name__}"
        return [way for way in ways if "pgcrypto" not in way.name]
    return ways


# -- values without a database


def values(ways: list[Way], rounds: int) -> list[Result]:
    """Time the two processors alone, for short and for large values."""
    dialect = PGDialect_psycopg()
    results: list[Result] = []
    timed = [way for way in ways if way.name in (FLOOR, OURS)]
    for label, size in SIZES.items():
        chunk = max(1, CHUNK * 20 // (20 + size // 50))
        for verb, task in (("bind", _binding), ("result", _reading)):
            cases = [
                Case(way.name, task(way, dialect, "x" * size, chunk), per=chunk) for way in timed
            ]
            against(cases, FLOOR, FLOOR_BAR)
            results += measure(f"{verb} processor, {label}", cases, lambda _: range(10), rounds)
    return results


def _bound_type(way: Way) -> Any:
    return Table("t", MetaData(), Column("c", way.make())).c.c.type


def _binding(way: Way, dialect: Any, value: str, chunk: int) -> Callable[[Any], object]:
    bind = _bound_type(way)._cached_bind_processor(dialect)
    return lambda _: [bind(value) for _ in range(chunk)]


def _reading(way: Way, dialect: Any, value: str, chunk: int) -> Callable[[Any], object]:
    kind = _bound_type(way)
    stored = [kind._cached_bind_processor(dialect)(value) for _ in range(chunk)]
    read = kind._cached_result_processor(dialect, None)
    return lambda _: [read(each) for each in stored]


# -- operations of a database


def beside_floor(tables: Tables, rounds: int) -> list[Result]:
    """Time ours beside the plain column and what is written by hand."""
    results = []
    count = len(tables.rows)
    for operation in OPERATIONS:
        reads = operation in (ORM_READ, CORE_READ)
        size = count if reads else count // 4
        cases = tables.cases(operation, {PLAIN, FLOOR, BY_HAND, OURS}, size)
        against(cases, FLOOR, FLOOR_BAR)
        section = f"{tables.name}, {operation}"
        found = measure(section, cases, tables.items(operation, SINGLES), rounds)
        bar = PLAIN_BARS.get(operation) if tables.name == POSTGRESQL else None
        results += [*found, quotient(found, OURS, PLAIN, bar)]
    return results


def beside_peers(tables: Tables, others: list[Way], rounds: int) -> list[Result]:
    """Time ours beside the other packages, and what each adds to the plain column."""
    results = []
    names = {way.name for way in others if tables.name in way.databases}
    if not names:
        return []
    for operation in OPERATIONS:
        cases = tables.cases(operation, {PLAIN, OURS, *names}, len(tables.rows) // 4)
        against(cases, PLAIN, None)
        section = f"{tables.name}, {operation}, beside other packages"
        turns = rounds if operation in (ONE_GET, ONE_INSERT) else max(2, rounds // 3)
        found = measure(section, cases, tables.items(operation, SINGLES), turns)
        results += [*found, added(found, names)]
    return results


def against(cases: Sequence[Case], other: str, bar: float | None) -> None:
    """Divide all cases by one; ours has a bar."""
    for case in cases:
        if case.name not in (other, PLAIN):
            case.against = other
            case.bar = bar if case.name == OURS else None


def quotient(results: Sequence[Result], name: str, other: str, bar: float | None) -> Result:
    """Return a result that is divided by another one of the same turns, too."""
    by_name = {result.name: result for result in results}
    one, two = by_name[name], by_name[other]
    return Result(
        section=one.section,
        name=f"{name}, against plain",
        microseconds=one.microseconds,
        fastest=one.fastest,
        against=other,
        ratio=one.microseconds / two.microseconds,
        fastest_ratio=one.fastest / two.fastest,
        bar=bar,
    )


def added(results: Sequence[Result], others: set[str]) -> Result:
    """Return what ours adds to the plain column, against what the nearest other one adds."""
    by_name = {result.name: result for result in results}
    plain, ours = by_name[PLAIN], by_name[OURS]
    nearest = min((by_name[name] for name in others), key=lambda result: result.microseconds)
    mine, theirs = (r.microseconds - plain.microseconds for r in (ours, nearest))
    fast, fast_theirs = (r.fastest - plain.fastest for r in (ours, nearest))
    return Result(
        section=ours.section,
        name=f"{OURS}, time added",
        microseconds=mine,
        fastest=fast,
        against=f"added by {nearest.name}",
        ratio=mine / theirs,
        fastest_ratio=fast / fast_theirs,
        bar=ADDED_BAR,
    )


if __name__ == "__main__":
    main()
