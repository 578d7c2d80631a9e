"""
What large values, large reads and many columns cost, and what sealed values take on disk.

    python benchmarks/bench_large.py                 1,000,000 streamed rows, about three minutes
    python benchmarks/bench_large.py --smoke         to see that it runs
    python benchmarks/bench_large.py --docs          writes its tables into docs/

PostgreSQL and SQLite. `--only` names some of the parts: values, columns, streams, threads, sizes,
toast. The other packages take part in the sizes, where they are installed
(`pip install -e .[bench]`).
"""

from __future__ import annotations

import warnings
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from bench_types import sqlite, with_extension
from common import arguments, database, environment, measure
from large_figures import DOCS, Figures
from large_stream import shared_keys, streams
from large_tables import BINARY, OPERATIONS, Store
from large_threads import has_lock, left_for_python, opening
from large_ways import large_rows, large_ways, short_ways, wide_rows
from psycopg.pq import Format
from sqlalchemy import Engine, create_engine
from storage_sizes import kept_peers, own_kept, sizes
from storage_toast import places, storages
from type_ways import FLOOR, OURS, POSTGRESQL, SQLITE, peers

FLOOR_BAR = 1.15
LARGE = {"10 KB": (10_000, 50), "1 MB": (1_000_000, 4)}
"""Bytes of a value, and rows that are timed together."""
COLUMNS = [f"c{number:02d}" for number in range(50)]
WIDE = 200
"""Rows of 50 columns that are timed together."""
SIZED = 20_000
"""Rows of the tables of which the size is looked at."""
PARTS = ("values", "columns", "streams", "threads", "sizes", "toast")


class BinaryCursor(psycopg.Cursor):
    """A cursor that asks for results in binary form."""

    def __init__(self, connection: psycopg.Connection, **more: Any) -> None:
        super().__init__(connection, **more)
        self.format = Format.BINARY


def main() -> None:
    """Measure, print the tables, write the figures and perhaps the page of the documentation."""
    warnings.simplefilter("ignore", DeprecationWarning)  # Those of other packages.
    given = arguments(str(__doc__).strip().splitlines()[0], rows=1_000_000, rounds=9, also=_also)
    with (
        database(given.url) as url,
        TemporaryDirectory() as folder,
        shared_keys() as keys,
    ):
        server = create_engine(url)
        binary = create_engine(url, connect_args={"cursor_factory": BinaryCursor})
        file = sqlite(Path(folder) / "large.db")
        figures = Figures(environment(server, given) | {"Python's lock": has_lock()})
        run = Run(figures, given, {POSTGRESQL: server, SQLITE: file}, binary, keys)
        for part in given.only or PARTS:
            getattr(run, part)()
        for engine in (server, binary, file):
            engine.dispose()
    figures.show()
    figures.write(given.json)
    if given.docs:
        DOCS.write_text(figures.page())


def _also(parser: ArgumentParser) -> None:
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="these parts, not all of them")


class Run:
    """The parts of the benchmark, each of which adds to the figures."""

    def __init__(
        self,
        figures: Figures,
        given: Namespace,
        engines: dict[str, Engine],
        binary: Engine,
        keys: tuple[str, str],
    ) -> None:
        self._figures, self._given, self._engines = figures, given, engines
        self._binary, self._keys = binary, keys

    def values(self) -> None:
        """Write and read large values."""
        for name, engine in self._engines.items():
            binary = self._binary if name == POSTGRESQL else None
            for label, (size, count) in LARGE.items():
                few = 1 if self._given.smoke else count
                rows = partial(large_rows, size=size, count=few)
                store = Store(name, engine, large_ways(), rows, binary)
                self._measure(store, f"{name}, {label}")

    def columns(self) -> None:
        """Write and read rows of 50 columns."""
        for name, engine in self._engines.items():
            rows = partial(wide_rows, columns=COLUMNS, count=20 if self._given.smoke else WIDE)
            store = Store(name, engine, short_ways(), rows)
            self._measure(store, f"{name}, {len(COLUMNS)} columns")

    def _measure(self, store: Store, what: str) -> None:
        for operation in OPERATIONS:
            cases = store.cases(operation)
            for case in cases:
                if case.name in (OURS, f"{OURS}, {BINARY}"):
                    case.against, case.bar = case.name.replace(OURS, FLOOR), FLOOR_BAR
            section = f"{what}, {operation}"
            self._figures.results += measure(section, cases, lambda _: [0], self._given.rounds)
        store.close()

    def streams(self) -> None:
        """Read many rows as a stream."""
        ways = [way for way in short_ways() if way.name == OURS or not self._given.smoke]
        for name, engine in self._engines.items():
            self._figures.streams[name] = streams(name, engine, ways, self._keys, self._given.rows)

    def threads(self) -> None:
        """Open values in threads."""
        self._figures.results += opening(self._given.rounds, smoke=self._given.smoke)
        self._figures.python = left_for_python()

    def sizes(self) -> None:
        """Look at the bytes of rows and indexes."""
        others, skipped = peers()
        for name, engine in self._engines.items():
            found = others if name == SQLITE else with_extension(engine, others, skipped)
            rows = 500 if self._given.smoke else SIZED
            kept = [*own_kept(), *kept_peers(found)]
            self._figures.sizes[name] = sizes(name, engine, kept, rows)
        self._figures.skipped |= skipped

    def toast(self) -> None:
        """Look at where PostgreSQL keeps large values, and at its settings for that."""
        server, smoke = self._engines[POSTGRESQL], self._given.smoke
        self._figures.near = places(server, 20 if smoke else 1000)
        results, self._figures.storages = storages(server, self._given.rounds, smoke=smoke)
        self._figures.results += results


if __name__ == "__main__":
    main()
