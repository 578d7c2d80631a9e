"""A run of one process: passes over the whole table until nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import sqlalchemy as sa

from .order import HELD, STOPPED, Job, Summary, is_finished
from .outcome import Outcome
from .pace import Pace
from .pages import Range
from .retries import Interrupted, Patience

_PAUSE = 1.0
"""Seconds before rows are looked at again of which others held all."""


class Alone:
    """
    A run of one process, on any database.

    Args:
        engine: of the run.
        job: what is done.
        pace: how large batches are.
        patience: what stops the run, and how long it waits.
        told: called after each batch.
    """

    def __init__(
        self,
        engine: sa.Engine,
        job: Job,
        pace: Pace,
        patience: Patience,
        told: Callable[[Outcome], None],
    ) -> None:
        self.engine = engine
        self.job = job
        self.patience = patience
        self._told = told
        self._all, self._last, self._before = Outcome(), Outcome(), Outcome()
        self._runner = job.passing(engine, pace, patience, self._count)

    def run(self) -> Summary:
        """Go over the table until nothing is left, and return what was done."""
        started = monotonic()
        passes, left, finished, reason = 0, None, False, STOPPED
        try:
            while passes < self.job.passes and not finished and not self.patience.stop.is_set():
                if passes and not self._last.changed:
                    self.patience.stop.wait(_PAUSE)
                passes += 1
                left, finished = self._passed()
            if not finished and not self.patience.stop.is_set():
                reason = HELD
        except Interrupted:
            pass
        bad = max(self._before, self._last, key=lambda outcome: outcome.bad)
        bad = self._last if finished else bad
        return Summary(
            kind=self.job.kind,
            table=self.job.table.label,
            read=self._all.read,
            changed=self._all.changed,
            lost=self._all.lost,
            size=self._all.size,
            bad=bad.bad,
            bad_rows=bad.bad_rows,
            seconds=monotonic() - started,
            before=self._all.before,
            passes=passes,
            left=left,
            finished=finished,
            reason="" if finished else reason,
        )

    def _passed(self) -> tuple[int | None, bool]:
        """Go over the table once; return the number of rows left, and whether that is the end."""
        self.job.refresh()
        self._before, self._last = self._last, Outcome()
        self._runner.pass_over(Range())
        if self.patience.stop.is_set():
            return None, False
        if not self.job.is_repeated:
            return None, True
        # A rotation meanwhile, by another process, leaves rows that were done to do again.
        self.job.refresh()
        left = self.job.left(self.engine, self.patience)
        return left, is_finished(left, self._last)

    def _count(self, outcome: Outcome) -> None:
        self._all.add(outcome)
        self._last.add(outcome)
        self._told(outcome)
