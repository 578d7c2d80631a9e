"""
A table that others write to all the time is rotated from the command line, and nothing is lost.

Commands and writers are processes of their own. The table has 12,000 rows, and in the slow tests
SEALED_TEST_ROWS, a million by default. Each test makes a new primary, so all rows are stale again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_db import empty_schema

from .ledger_stage import MODELS, Ledger, kill

pytestmark = pytest.mark.postgres

SMALL = 12_000
LARGE = int(os.environ.get("SEALED_TEST_ROWS") or 1_000_000)
ROWS = [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=pytest.mark.slow)]
ROTATE = ("rotate", MODELS, "--json")


@pytest.fixture(scope="module", params=ROWS)
def ledger(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """Return a table with its rows and keys."""
    with empty_schema(postgres_url) as url:
        ledger = Ledger(url, tmp_path_factory.mktemp("ledger"), request.param)
        ledger.fill()
        yield ledger


def start_slowly(ledger: Ledger, *arguments: str) -> subprocess.Popen[str]:
    """Start a run that does not get far before it is met: a small table takes its time."""
    slowly = ("--batch", "100", "--load", "30") if ledger.rows == SMALL else ()
    return ledger.start(*ROTATE, *slowly, *arguments)


def until_stale(ledger: Ledger, rows: int, process: subprocess.Popen[str]) -> None:
    """Wait until at most so many rows are stale; print how fast it went."""
    first = begin = last = ledger.counts.stale
    began = time.monotonic()

    def is_so() -> bool:
        nonlocal begin, began, last
        last = ledger.counts.stale
        if last > first * 0.99:  # Processes are starting.
            begin, began = last, time.monotonic()
        return last <= rows

    ledger.until(is_so, process)
    seconds = time.monotonic() - began
    say(f"{begin - last:,} rows in {seconds:.1f} s: {(begin - last) / seconds:,.0f} rows/s")


def say(text: str) -> None:
    """Print something for who measures."""
    sys.stdout.write(text + "\n")


def forget_leases(ledger: Ledger) -> None:
    """Let the time pass after which a worker of which nothing is heard is taken for dead."""
    if ledger.rows == SMALL:
        ledger.sql("UPDATE sealed_ranges SET lease = clock_timestamp() WHERE NOT is_done")


def test_a_run_of_two_workers_is_killed_twice(ledger: Ledger) -> None:
    """It is started again each time; in the end nothing is under the old key, and nothing lost."""
    with ledger.traffic():
        old = ledger.rotate()
        stale = [ledger.counts.stale]
        for share in (0.8, 0.5):
            process = start_slowly(ledger, "--workers", "2")
            until_stale(ledger, int(share * ledger.rows), process)
            kill(process)
            stale.append(ledger.counts.stale)
            ledger.kill_writer(len(stale) % 2)
        assert stale[0] > stale[1] > stale[2] > 0, "it was not killed in its midst"
        ledger.until_writers_know(ledger.keyset.primary.key_id)
        forget_leases(ledger)
        began = time.monotonic()
        [table] = json.loads(ledger.command(*ROTATE, "--workers", "2"))["tables"]
        assert (table["finished"], table["left"], table["bad"]) == (True, 0, 0)
        say(f"the last {stale[-1]:,} rows in {time.monotonic() - began:.1f} s")
        ledger.check_proof(old)
    ledger.check()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["the command", "its worker"])
def test_one_of_two_workers_is_killed_and_the_other_does_its_part(
    victim: str, ledger: Ledger
) -> None:
    """Be it the one that was started, or the one that it started."""
    with ledger.traffic():
        old = ledger.rotate()
        process = start_slowly(ledger, "--workers", "2")
        until_stale(ledger, int(0.8 * ledger.rows), process)
        until_both_work(ledger, process)
        [child] = children(process.pid)
        os.kill(process.pid if victim == "the command" else child, signal.SIGKILL)
        assert ledger.counts.stale > 0
        if victim == "the command":
            process.wait()
            forget_leases(ledger)
            ledger.until(lambda: not ledger.sql("SELECT 1 FROM sealed_runs WHERE ended IS NULL"))
            process.communicate()
        else:
            [table] = json.loads(ledger.ended(process))["tables"]
            assert (table["finished"], table["left"], table["workers_lost"]) == (True, 0, 1)
        ledger.check_proof(old)
    ledger.check()


def test_two_commands_share_a_run(ledger: Ledger) -> None:
    """As on two machines, one after the other: both work, and both tell what was done by both."""
    with ledger.traffic():
        old = ledger.rotate()
        began = time.monotonic()
        first = start_slowly(ledger, "--shared")
        second = start_slowly(ledger, "--shared")
        until_both_work(ledger, first)
        tables = [json.loads(ledger.ended(each))["tables"][0] for each in (first, second)]
        say(f"two commands: {tables[0]['changed'] / (time.monotonic() - began):,.0f} rows/s")
        assert [table["finished"] for table in tables] == [True, True]
        assert tables[0]["changed"] == tables[1]["changed"]
        ledger.check_proof(old)
    ledger.check()


def until_both_work(ledger: Ledger, process: subprocess.Popen[str]) -> None:
    """Wait until two workers have claimed ranges of the run."""
    query = (
        "SELECT count(DISTINCT worker) FROM sealed_ranges WHERE run_id = "
        "(SELECT max(id) FROM sealed_runs)"
    )
    ledger.until(lambda: ledger.sql(query) == [(2,)], process)


def children(pid: int) -> list[int]:
    """Return the workers that a command started; not the process that cleans up after them."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    pids = [int(line) for line in found.stdout.split()]
    return [each for each in pids if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
