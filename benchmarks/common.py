"""
What the benchmarks share: a server, keys, measuring in turns, and the table of results.

A case is timed against another one of the same run. The cases take turns, in an order that is
shuffled every round, so a machine that becomes slower becomes so for all of them. A turn is
short. A ratio is the quotient of the medians of all calls; beside it stands that of the fastest
tenth, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore, Sealer, get_sealer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import process

# -- a database and keys

SETTINGS = ("shared_buffers=1GB",)
"""Enough for all tables of a run: they are not there to push one another out of memory."""


def arguments(
    description: str, *, rows: int, rounds: int, also: Callable[[Any], object] | None = None
) -> argparse.Namespace:
    """
    Return the arguments of the command line; `--smoke` is the shortest run that shows it.

    Args:
        description: what is measured.
        rows: of each table.
        rounds: how often each case is timed.
        also: adds arguments of its own to the parser.
    """
    parser = argparse.ArgumentParser(description=description)
    if also is not None:
        also(parser)
    parser.add_argument("--rows", type=int, default=rows, help="rows of each table")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each case is timed")
    parser.add_argument("--url", help="a PostgreSQL database; by default a server of its own")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--smoke", action="store_true", help="few rows, two rounds: does it run?")
    given = parser.parse_args()
    if given.smoke:
        given.rows, given.rounds = 2000, 2
    return given


@contextmanager
def database(url: str | None, *settings: str) -> Iterator[URL]:
    """
    Make a schema in a PostgreSQL database, or in a server of its own; drop it at the end.

    A server of its own has these settings, and is otherwise one that keeps nothing over a crash.
    """
    with _server(url, settings) as server:
        schema = f"bench_{uuid4().hex}"
        admin = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        try:
            yield make_url(server).update_query_dict({"options": f"-csearch_path={schema}"})
        finally:
            with admin.connect() as connection:
                connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@contextmanager
def _server(url: str | None, settings: tuple[str, ...]) -> Iterator[str]:
    if url is not None:
        yield url
    else:
        with process.running(settings=(*SETTINGS, *settings)) as server:
            yield server.url


def sealer(name: str) -> Sealer:
    """Return a configured sealer with keys of its own."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create(name)
    made = get_sealer(name)
    made.configure(keystore=keystore, provider=provider)
    return made


# -- measuring


@dataclass
class Case:
    """
    Something that is timed.

    Attributes:
        name: what it is.
        run: what is timed, given one item at a time.
        against: the name of the case that it is divided by.
        bar: what that ratio should not exceed.
        per: how many rows one item is; the time is given for one row.
        after: runs after each item and is not timed.
        around: what holds during the turn of this case.
    """

    name: str
    run: Callable[[Any], object]
    against: str | None = None
    bar: float | None = None
    per: int = 1
    after: Callable[[], object] = lambda: None
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass
class Result:
    """The figures of a case: microseconds, and how often those of the other case."""

    section: str
    name: str
    microseconds: float
    fastest: float
    against: str | None = None
    ratio: float | None = None
    fastest_ratio: float | None = None
    bar: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the ratio is within the bar; None if there is no bar."""
        return None if self.bar is None or self.ratio is None else self.ratio <= self.bar


def measure(
    section: str,
    cases: Sequence[Case],
    items: Callable[[int], Sequence[Any]],
    rounds: int,
) -> list[Result]:
    """
    Time the cases in turns.

    Args:
        section: the heading of these cases.
        cases: one that others are divided by may stand anywhere.
        items: returns what the cases are given in a round; all of them get the same, unless
            it makes new ones at each call.
        rounds: how many turns each case has. A tenth of that comes before, and is not counted.
    """
    order = list(cases)
    shuffler = random.Random(1)
    warming = max(2, rounds // 10)
    times: dict[str, list[list[float]]] = {case.name: [] for case in cases}
    for number in range(-warming, rounds):
        gc.collect()
        gc.disable()
        shuffler.shuffle(order)
        for case in order:
            times[case.name].append(_turn(case, items(number)))
        gc.enable()
    return [
        _result(section, case, {name: turns[warming:] for name, turns in times.items()})
        for case in cases
    ]


def _turn(case: Case, items: Sequence[Any]) -> list[float]:
    times = []
    with case.around():
        for item in items:
            start = time.perf_counter()
            case.run(item)
            times.append((time.perf_counter() - start) / case.per)
            case.after()
    return times


def _result(section: str, case: Case, times: dict[str, list[list[float]]]) -> Result:
    median, fastest = _figures(times[case.name])
    result = Result(section, case.name, median * 1e6, fastest * 1e6, case.against)
    if case.against is not None:
        other_median, other_fastest = _figures(times[case.against])
        result.ratio, result.fastest_ratio = median / other_median, fastest / other_fastest
        result.bar = case.bar
    return result


def _figures(turns: Sequence[list[float]]) -> tuple[float, float]:
    """Return the median of all times, and the upper end of their fastest tenth."""
    times = list(chain.from_iterable(turns))
    return statistics.median(times), statistics.quantiles(times, n=10, method="inclusive")[0]


# -- showing


@dataclass
class Report:
    """The figures of a run, shown as a table and written as JSON."""

    title: str
    settings: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def show(self) -> None:
        """Print the tables."""
        console = Console(width=None if sys.stdout.isatty() else 130)
        table = Table(
            "case", "µs", "ratio", "bar", "fastest tenth", "ratio", "against", title=self.title
        )
        for number in range(1, 6):
            table.columns[number].justify = "right"
        section = None
        for result in self.results:
            if result.section != section:
                section = result.section
                table.add_section()
                table.add_row(f"[bold]{section}")
            table.add_row(*_cells(result))
        console.print(table)
        for name, count in self.counts.items():
            console.print(f"{name}: {count}")
        console.print(", ".join(f"{k} {v}" for k, v in self.settings.items()), style="dim")

    def write(self, path: Path | None) -> None:
        """Write the figures to a file, if one is asked for."""
        if path is not None:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def _cells(result: Result) -> list[str]:
    cells = [f"  {result.name}", f"{result.microseconds:.1f}", "", "", f"{result.fastest:.1f}"]
    if result.ratio is None or result.fastest_ratio is None:
        return cells
    cells += [f"{result.fastest_ratio:.3f}", result.against or ""]
    cells[2] = f"{result.ratio:.3f}"
    if result.bar is not None:
        cells[2] = f"[{'green' if result.is_met else 'red'}]{cells[2]}"
        cells[3] = f"{result.bar:.2f}"
    return cells


def environment(engine: Engine, given: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    with engine.connect() as connection:
        server = connection.scalar(text("SHOW server_version"))
    packages = ("sqlalchemy", "psycopg", "cryptography")
    return {
        "rows": given.rows,
        "rounds": given.rounds,
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
        "PostgreSQL": str(server),
        "processors": os.cpu_count(),
    }
