"""
How fast a table is resealed, against the same rows changed by the server alone.

    python benchmarks/bench_reseal.py                      500,000 rows, then 5 million
    python benchmarks/bench_reseal.py --long 0             without the 5 million
    python benchmarks/bench_reseal.py --smoke              to see that it runs
    python benchmarks/bench_reseal.py --no-sync            on a server that syncs nothing to disk
    python benchmarks/bench_reseal.py --url postgresql+psycopg://...

The limit is `UPDATE t SET c = c || ''::bytea` in batches of 2,000 rows, one transaction each: it
writes as many row versions, without crypto and without transfer. Its rate is the most that is
possible; ours is a share of it. The server is as durable as PostgreSQL is by default: each batch of
the limit is on disk before the next, while ours waits for that at the end of a pass, and of each
range of keys. Each turn has the table anew. Two workers are two processes that were started before;
beside them stands how long it takes with their start. Python's garbage collector is on, as in an
application.

The ORM loop loads 1,000 objects, marks the value of each as changed and commits. The long run looks
at one worker on a large table: its rate in the first tenth of the rows and in the last, and how
much memory it takes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from time import perf_counter
from typing import Any

from common import Case, Report, arguments, database, environment, measure
from reseal_tables import Patients, configure
from sqlalchemy import URL, create_engine

DURABLE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on", "max_wal_size=8GB")
"""PostgreSQL's defaults, as of a server that is in use; with room in its log for each turn."""
ONE_BAR, TWO_BAR = 1 / 0.50, 1 / 0.65
"""Time, as a multiple of that of the limit."""
ORM_BAR = 1 / 4.5
ORM_SHARE = 10
"""The loop over ORM objects changes one of so many rows: it is slow."""
TENTHS = 10
LIMIT = "server alone"
ORM = "ORM loop"
ONE, TWO = "one worker", "two workers"


def main() -> None:
    """Measure, print the table and write the figures."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder, _database(given) as url:
        configure(Path(folder), url.render_as_string(hide_password=False))
        engine = create_engine(url)
        report = Report("Resealing, for one row", environment(engine, given))
        patients = Patients(engine, given.rows)
        patients.create_template()
        with get_context("spawn").Pool(2) as pool:
            cases = _cases(patients, pool)
            report.results += measure("rows", cases, lambda _: [None], given.rounds)
        if given.long:
            long = Patients(engine, given.long)
            long.create_template()
            report.counts = _long(long)
        engine.dispose()
    report.show()
    report.write(given.json)


def _arguments() -> argparse.Namespace:
    def also(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--long", type=int, default=5_000_000, help="rows of the long run")
        parser.add_argument(
            "--no-sync", action="store_true", help="a server of its own that syncs nothing to disk"
        )

    title = str(__doc__).strip().splitlines()[0]
    given = arguments(title, rows=500_000, rounds=5, also=also)
    if given.smoke:
        given.long = 20_000
    return given


def _database(given: argparse.Namespace) -> AbstractContextManager[URL]:
    return database(given.url, *(() if given.no_sync else DURABLE))


def _cases(patients: Patients, pool: Pool) -> list[Case]:
    rows, some = patients.rows, max(1000, patients.rows // ORM_SHARE)

    def case(name: str, run: Callable[[Any], object], *against: Any) -> Case:
        return Case(name, run, *against, per=rows, around=patients.filled, after=patients.check)

    def other(name: str, run: Callable[[Any], object], *against: Any, per: int = rows) -> Case:
        return Case(name, run, *against, per=per, around=patients.filled)

    return [
        other(LIMIT, patients.limit),
        case(ONE, lambda _: patients.reseal(), LIMIT, ONE_BAR),
        case(TWO, lambda _: patients.reseal_in(pool, 2), LIMIT, TWO_BAR),
        case(f"{TWO}, and their start", lambda _: patients.reseal(2), LIMIT),
        other(ORM, lambda _: patients.orm(some), LIMIT, per=some),
        case(f"{ONE} again", lambda _: patients.reseal(), ORM, ORM_BAR),
    ]


def _long(patients: Patients) -> dict[str, int]:
    """Return rates in rows per second, and memory in MiB, of a run over many rows."""
    times: list[tuple[int, float]] = [(0, perf_counter())]
    memory: list[float] = []

    def tell(outcome: Any) -> None:
        times.append((times[-1][0] + outcome.changed, perf_counter()))
        memory.append(_resident())

    with patients.filled():
        times[0] = 0, perf_counter()
        patients.reseal(tell=tell)
        patients.check()
    tenth = patients.rows // TENTHS
    first = _rate(times, 0, tenth)
    last = _rate(times, patients.rows - tenth, patients.rows)
    settled = memory[len(memory) // TENTHS]
    return {
        "rows of the long run": patients.rows,
        "rows per second": round(_rate(times, 0, patients.rows)),
        "rows per second in the first tenth": round(first),
        "rows per second in the last tenth": round(last),
        "last tenth, % of the first": round(100 * last / first),
        "MiB of memory after the first tenth": round(settled),
        "MiB of memory, most after that": round(max(memory[len(memory) // TENTHS :])),
    }


def _rate(times: list[tuple[int, float]], low: int, high: int) -> float:
    """Return rows per second, from the batches that ended between two numbers of rows."""
    within = [(rows, at) for rows, at in times if low <= rows <= high]
    (rows, start), (more, end) = within[0], within[-1]
    return (more - rows) / (end - start) if end > start else 0.0


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    main()
