"""The tables of the benchmark of large values, for the console and for the documentation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common import Result
from large_stream import Stream
from large_tables import BINARY, CORE_READ, OPERATIONS
from large_threads import DROPPED, ONE_BY_ONE, SERIAL, THREADS, pool_name
from large_threads import section_of as threads_section
from large_ways import OURS_TEXT, OURS_UNCHECKED, PLAIN_BYTES, PLAIN_TEXT
from rich.console import Console
from rich.table import Table
from storage_sizes import Size
from storage_toast import NEAR_2_KB, Place
from storage_toast import section_of as storage_section
from type_ways import FLOOR, OURS, PLAIN, POSTGRESQL, SQLITE

DOCS = Path(__file__).parents[1] / "docs" / "explanation" / "large-figures.md"
INTRODUCTION = """\
Made by `python benchmarks/bench_large.py --docs`;
[Performance](performance.md#large-values-large-reads-and-storage) says what they mean. Times are
medians of one run in which all sides took turns, on a server that syncs nothing. *Binary results*
are those of a psycopg that the application told to ask for them; reads of sealed columns do so
[by themselves](../reference/drivers.md#binary-results-from-psycopg-3). The bound is what the ratio
before it should not exceed."""


@dataclass
class Grid:
    """A table of text: a heading, what stands above the columns, and the rows."""

    title: str
    head: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Return it with its heading."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"## {self.title}\n\n{table}" if self.title else table

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(*self.head, title=self.title)
        for number, column in enumerate(table.columns):
            column.justify = "right" if number else "left"
            column.overflow = "fold"
        for row in self.rows:
            table.add_row(*(cell.replace("**", "") for cell in row))
        console.print(table)


@dataclass
class Figures:
    """
    All that was measured.

    Attributes:
        settings: what the figures depend on.
        results: times.
        streams: of streamed reads, by database, operation and way.
        python: how fast Python runs beside a thread that opens values, by their size.
        sizes: bytes on disk, by database and way.
        near: where values near 2 KB lie, by way and their bytes.
        storages: where larger ones lie, by label, way and setting.
        skipped: for each package that took no part why not.
    """

    settings: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    streams: dict[str, dict[str, dict[str, Stream]]] = field(default_factory=dict)
    python: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, dict[str, Size]] = field(default_factory=dict)
    near: dict[str, dict[int, Place]] = field(default_factory=dict)
    storages: dict[str, dict[str, dict[str, Place]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def grids(self) -> list[Grid]:
        """Return all tables, in order."""
        what = ("10 KB", "1 MB", "50 columns")
        grids = [
            *(self._operations(name, each) for each in what for name in (POSTGRESQL, SQLITE)),
            self._streamed(),
            self._threads(),
            self._kept(),
            self._two_kilobytes(),
            *(self._settings(label) for label in self.storages),
        ]
        return [grid for grid in grids if grid.rows]

    def page(self) -> str:
        """Return the page of the documentation."""
        parts = ["# Figures of large values, large reads, and storage", INTRODUCTION]
        parts += [grid.markdown() for grid in self.grids()]
        parts += [f"Not measured: {name}: {reason}." for name, reason in self.skipped.items()]
        parts.append(", ".join(f"{name} {value}" for name, value in self.settings.items()) + ".")
        return "\n\n".join(parts) + "\n"

    def show(self) -> None:
        """Print all tables."""
        console = Console(width=170)
        for grid in self.grids():
            grid.show(console)
        console.print(", ".join(f"{k} {v}" for k, v in self.settings.items()), style="dim")

    def write(self, path: Path | None) -> None:
        """Write all figures as JSON, if a file is given."""
        if path is not None:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    # -- one table each

    def _found(self, section: str) -> dict[str, Result]:
        return {result.name: result for result in self.results if result.section == section}

    def _operations(self, database: str, what: str) -> Grid:
        """Return the times of large values or of wide rows, and what ours are of others."""
        by_operation = {each: self._found(f"{database}, {what}, {each}") for each in OPERATIONS}
        names = dict.fromkeys(name for found in by_operation.values() for name in found)
        rows = [
            [name, *(_time(found.get(name)) for found in by_operation.values())] for name in names
        ]
        for mine, other in _COMPARED:
            if mine in names and other in names:
                cells = [_quotient(found, mine, other) for found in by_operation.values()]
                rows.append([f"{mine} / {other}", *cells])
        unit = "µs a row" if "columns" in what else "µs a value"
        return Grid(f"{what}, {database}", [unit, *OPERATIONS], rows)

    def _streamed(self) -> Grid:
        rows, rows_read = [], self.settings["rows"]
        for database, by_operation in self.streams.items():
            for operation, found in by_operation.items():
                for way, stream in found.items():
                    others = [found.get(each) for each in (PLAIN, FLOOR)]
                    ratios = [
                        f"{stream.seconds / each.seconds:.2f}" if each else "" for each in others
                    ]
                    each_us = f"{stream.seconds * 1e6 / rows_read:.2f}"
                    speed = f"{rows_read / stream.seconds:,.0f}"
                    name = f"{database}, {operation}, {way}"
                    rows.append([name, each_us, speed, *ratios, f"{stream.grown:,} KiB"])
        title = f"A streamed read of {rows_read:,} rows"
        head = ["one text of 20 characters a row, `yield_per` 1,000", "µs a row", "rows a second"]
        more = ["of plain", "of by hand", "memory, beyond that for 1,000 rows"]
        return Grid(title, [*head, *more], rows)

    def _threads(self) -> Grid:
        rows: list[list[str]] = []
        reads = self._found(f"{POSTGRESQL}, 1 MB, {CORE_READ}")
        for label in self.python:
            found = self._found(threads_section(label))
            names = [*(pool_name(each) for each in THREADS), ONE_BY_ONE, DROPPED]
            gains = [f"{1 / (found[name].ratio or 1):.2f}" for name in names]
            share = ""
            if label == "1 MB" and (read := reads.get(f"{OURS}, {BINARY}")):
                share = f"{found[SERIAL].microseconds / read.microseconds:.0%}"
            time = f"{found[SERIAL].microseconds:.2f}"
            rows.append([label, time, *gains, f"{self.python[label]:.2f}", share])
        head = ["", "opening, no pool, µs", *(f"gain by {pool_name(each)}" for each in THREADS)]
        head += [*(f"gain by {name}" for name in (ONE_BY_ONE, DROPPED))]
        head.append("speed of Python code beside it")
        return Grid("Opening in threads", [*head, "share of its Core select"], rows)

    def _kept(self) -> Grid:
        names = dict.fromkeys(way for sizes in self.sizes.values() for way in sizes)
        head = ["bytes, a text of 20 characters", "the value"]
        for database in self.sizes:
            head += [f"{database}: a row", f"{database}: an entry of its index"]
        rows = []
        for name in names:
            here = [sizes.get(name) for sizes in self.sizes.values()]
            value = next(f"{size.value:.0f}" for size in here if size)
            cells = [cell for size in here for cell in _bytes(size)]
            rows.append([name, value, *cells])
        return Grid("Bytes of a row and of an index", head, rows)

    def _two_kilobytes(self) -> Grid:
        rows = [
            [way, *(f"{place.table:,.0f} + {place.toast:,.0f}" for place in by_size.values())]
            for way, by_size in self.near.items()
        ]
        sizes = [f"plaintext of {size:,}" for size in NEAR_2_KB]
        head = ["PostgreSQL, bytes of a row: in the table + out of line", *sizes]
        return Grid("Values of about 2 KB", head, rows)

    def _settings(self, label: str) -> Grid:
        inserts, selects = (
            self._found(storage_section(label, operation)) for operation in ("insert", "select")
        )
        rows = []
        for way, by_setting in self.storages[label].items():
            for setting, place in by_setting.items():
                times = [_with_ratio(found[f"{way}, {setting}"]) for found in (inserts, selects)]
                lies = f"{place.table:,.0f} + {place.toast:,.0f}"
                rows.append([f"{way}, {setting}", *times, lies])
        head = ["µs a value (of the first setting)", "Core insert", "Core select"]
        return Grid(
            f"Storage settings, {label}", [*head, "bytes: in the table + out of line"], rows
        )


_COMPARED = [
    (OURS, FLOOR),
    (f"{OURS}, {BINARY}", f"{FLOOR}, {BINARY}"),
    (OURS, PLAIN),
    (OURS, PLAIN_TEXT),
    (OURS, PLAIN_BYTES),
    (OURS_TEXT, OURS),
    (OURS_UNCHECKED, OURS),
    (f"{FLOOR}, {BINARY}", FLOOR),
]
"""Which times are divided by which."""


def _time(result: Result | None) -> str:
    return "" if result is None else _number(result.microseconds)


def _number(microseconds: float) -> str:
    return f"{microseconds:,.0f}" if microseconds >= 1000 else f"{microseconds:.1f}"


def _quotient(found: dict[str, Result], mine: str, other: str) -> str:
    if mine not in found or other not in found:
        return ""
    ratio = found[mine].microseconds / found[other].microseconds
    bar = found[mine].bar if found[mine].against == other else None
    if bar is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({'≤' if ratio <= bar else '**above**'} {bar:.2f})"


def _with_ratio(result: Result) -> str:
    ratio = "" if result.ratio is None else f" ({result.ratio:.2f})"
    return _number(result.microseconds) + ratio


def _bytes(size: Size | None) -> list[str]:
    if size is None:
        return ["", ""]
    return [f"{size.row:.0f}", f"{size.index:.0f}" if size.index else ""]
