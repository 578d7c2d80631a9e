"""
How long a run would take: some of its rows are read and converted, and none is written.

What that costs is measured. What writing costs is not known before it is done: it depends on the
table's other columns and indexes, on the disk and on what others do. It is reckoned in proportion
to reading and converting, as was measured with narrow and with wide rows, and said as a range.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from time import perf_counter

import sqlalchemy as sa

from .order import Job
from .outcome import Outcome
from .pace import Pace
from .pages import Range
from .retries import Patience
from .run import Runner
from .sessions import own_engine, reading

SECONDS = 2.0
"""How long a rehearsal takes, about."""
PAGES = 5
"""How many pages it goes over, at most."""
_WITH_WRITING = {"postgresql": (2.0, 4.0), "sqlite": (1.5, 5.0)}
_ELSEWHERE = (3.0, 30.0)
"""How much longer a run takes than reading and converting its rows: least and most."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    How long a run of one worker would take.

    Attributes:
        rows: how many the run would go over.
        sampled: the first of them, which were read and converted, and not written.
        sampled_bytes: of their stored values.
        sampled_seconds: how long that took.
        looked_at: the sampled rows and those before, with which it warmed up.
        bad: how many of these could not be converted.
        least: seconds of the run, if writing costs as little as was measured. A job that writes
            nothing has measured all that it does.
        most: seconds of the run, if it costs as much.
    """

    rows: int
    sampled: int
    sampled_bytes: int
    sampled_seconds: float
    looked_at: int
    bad: int
    least: float
    most: float


class _Rehearsing(Runner):
    """Goes over rows as a run does, and writes nothing."""

    def pass_over(self, range_: Range) -> Outcome:
        """Read and convert the rows of a range, as far as the run is not stopped."""
        total = Outcome()
        with reading(self.engine, self.table, self.changes, self.patience) as read:
            for seen, _ in self._batches(read, range_):
                self.pace.took(seen.read, seen.size, 0.0)
                total.add(seen)
                self._tell(seen)
        return total


class _Clock:
    """Stops a rehearsal when enough is measured. The first page, which warms up, is not."""

    def __init__(self, patience: Patience) -> None:
        self.seen = Outcome()
        self.first: Outcome | None = None
        self.seconds = self.first_seconds = 0.0
        self._stop = patience.stop
        self._pages = 0
        self._began = self._since = perf_counter()

    def __call__(self, outcome: Outcome) -> None:
        """Count a page."""
        now = perf_counter()
        self._pages += 1
        if self.first is None:
            self.first, self.first_seconds = outcome, now - self._since
        else:
            self.seen.add(outcome)
            self.seconds += now - self._since
        self._since = now
        if self._pages >= PAGES or now - self._began > SECONDS:
            self._stop.set()


def estimate(
    engine: sa.Engine, job: Job, rows: int, *, pace: Pace | None = None, load: float = 1.0
) -> Estimate | None:
    """
    Return how long a job would take with one worker, or None if there is nothing to measure.

    Args:
        engine: of the table's database.
        job: what would be done.
        rows: how many rows it would go over.
        pace: how large its batches would be.
        load: the share of the time that it would work.

    Raises:
        KeystoreError, ProviderError: the keys cannot be had.
        ResealError: the database refuses.
    """
    patience = Patience(stop=threading.Event())
    clock = _Clock(patience)
    if job.is_repeated:
        job = replace(job, runner=_Rehearsing)
    with own_engine(engine) as own:
        job.passing(own, pace or Pace(), patience, clock).pass_over(Range())
    if clock.first is None:
        return None
    bad = clock.first.bad + clock.seen.bad
    measured, seconds = clock.seen, clock.seconds
    if not measured.read:
        measured, seconds = clock.first, clock.first_seconds
    each = seconds / measured.read / load
    least, most = (1.0, 1.0)
    if job.is_repeated:
        least, most = _WITH_WRITING.get(engine.dialect.name, _ELSEWHERE)
    return Estimate(
        rows=rows,
        sampled=measured.read,
        sampled_bytes=measured.size,
        sampled_seconds=seconds,
        looked_at=clock.first.read + clock.seen.read,
        bad=bad,
        least=rows * each * least,
        most=rows * each * most,
    )
