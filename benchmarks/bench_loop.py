"""
The largest gap of an event loop, while Vault takes 300 milliseconds to unwrap a key.

    python benchmarks/bench_loop.py               a quarter of a minute
    python benchmarks/bench_loop.py --smoke       to see that it runs

Fifty tasks need a key that is not at hand; then all keys are unwrapped by `awarm`. A gap is the
time between two turns of a task that does nothing else. That of an idle loop says what the machine
adds.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import hvac
from common import Report, arguments
from servers import openbao
from vault_stage import Stage

from sqlalchemy_sealed import Context
from sqlalchemy_sealed.errors import ColdKeyError

DELAY = 0.3
TASKS = 50
RELAY = """
import sys
from servers.relay import relaying
with relaying(sys.argv[1]) as relay:
    print(relay.url, flush=True)
    for line in sys.stdin:
        relay.delay = float(line)
        print(flush=True)
"""


class Way:
    """A way to the server, in a process of its own, so that it takes no time of the loop's."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._told().strip()

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def slow(self, seconds: float) -> None:
        """Let each answer be late."""
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        self._told()


@contextmanager
def way_to(url: str) -> Iterator[Way]:
    """Start it and end it."""
    tests = Path(__file__).parents[1] / "tests"
    with subprocess.Popen(
        [sys.executable, "-c", RELAY, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tests,
    ) as process:
        yield Way(process)
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    """Measure, print the figures and write them."""
    given = arguments(str(__doc__).strip().splitlines()[0], rows=50, rounds=9)
    gaps: dict[str, list[float]] = {}
    with openbao.running() as server, way_to(server.url) as way:
        root = hvac.Client(url=server.url, token=server.token)
        for _ in range(given.rounds):
            way.slow(0)
            with tempfile.TemporaryDirectory() as directory:
                for name, gap in measured(Stage(root, way, Path(directory)), way):
                    gaps.setdefault(name, []).append(gap)
    report = Report("event loop", {"rounds": given.rounds, "Python": platform.python_version()})
    report.settings |= {"server": server.description, "processors": os.cpu_count()}
    for name, found in gaps.items():
        report.counts[f"largest gap, µs, median of the rounds: {name}"] = round(median(found) * 1e6)
        report.counts[f"largest gap, µs, worst of the rounds: {name}"] = round(max(found) * 1e6)
    report.show()
    report.write(given.json)


def measured(stage: Stage, way: Way) -> Iterator[tuple[str, float]]:
    """Yield the largest gaps of a loop."""
    data, open_ = stage.stored(1), stage.sealer.opening(Context("people.name"))
    way.slow(DELAY)

    async def cold() -> None:
        async def read() -> None:
            while True:
                try:
                    open_(data)
                except ColdKeyError:
                    await asyncio.sleep(0.005)
                else:
                    return

        await asyncio.gather(*(read() for _ in range(TASKS)))

    yield "idle", largest_gap(lambda: asyncio.sleep(DELAY))
    yield f"{TASKS} tasks wait for a key", largest_gap(cold)
    yield "awarm", largest_gap(stage.sealer.awarm)


def largest_gap(work: Callable[[], Awaitable[None]]) -> float:
    """Return the longest time in seconds that a task waited for its next turn, while *work* ran."""

    async def run() -> float:
        worst, before = 0.0, time.perf_counter()
        doing = asyncio.ensure_future(work())
        while not doing.done():
            await asyncio.sleep(0)
            now = time.perf_counter()
            worst, before = max(worst, now - before), now
        await doing
        return worst

    return asyncio.run(run())


if __name__ == "__main__":
    main()
