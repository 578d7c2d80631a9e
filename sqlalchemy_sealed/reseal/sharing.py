"""One worker of a run that others take part in: it claims ranges until all are done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from time import monotonic

import sqlalchemy as sa

from ..errors import ResealError
from .claims import Claim, Claims
from .openrun import OpenRun
from .order import STOPPED, Job, Summary
from .outcome import Outcome
from .pace import Pace
from .retries import Interrupted, Patience

RENEW_SECONDS = 1.0
"""How often a worker says that it lives, and what it did."""
_FIRST_POLL, _POLL_SECONDS = 0.005, 0.3
"""How often a worker that has nothing to do looks whether the run has ended, or for ranges of
workers that died: soon at first, as the others are about to end."""


class _LostError(Exception):
    """The range is another worker's now."""


class Sharing:
    """
    One worker.

    Args:
        engine: of the run.
        job: what is done.
        pace: how large batches are.
        patience: what stops this worker, and how long it waits.
        told: called after each batch of this worker.
        run: in which it takes part.
        claims: its ranges.
        others: starts other workers. Called once, if the first range is not the whole table.
    """

    def __init__(  # noqa: PLR0913 - the parts of a worker
        self,
        engine: sa.Engine,
        job: Job,
        pace: Pace,
        patience: Patience,
        told: Callable[[Outcome], None],
        *,
        run: OpenRun,
        claims: Claims,
        others: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        self.job = job
        self.patience = patience
        self._told = told
        self._open = run
        self._claims = claims
        self._others: Callable[[], None] | None = others
        self._claim: Claim | None = None
        self._renewed = 0.0
        self._new, self._range = Outcome(), Outcome()
        self._turn = 0
        self._poll = _FIRST_POLL
        self._runner = job.passing(engine, pace, patience, self._count)

    def run(self) -> Summary:
        """Work until the run has ended or this worker is stopped; return what all have done."""
        started = monotonic()
        try:
            with ExitStack() as stack:
                if isinstance(self._runner, AbstractContextManager):
                    stack.enter_context(self._runner)
                while not self.patience.stop.is_set() and self._step():
                    pass
        except Interrupted:
            pass
        return self._open.summary(monotonic() - started, STOPPED)

    def _step(self) -> bool:
        """Do the next thing that is to do; return whether the run goes on."""
        claim = self._claims.claim()
        if claim is not None:
            self._poll = _FIRST_POLL
            if self._others is not None and claim.range_.through is not None:
                start, self._others = self._others, None
                start()
            self._refresh(claim.turn)
            self._work_on(claim)
            return True
        standing = self._open.standing()
        if standing.is_ended:
            return False
        if not standing.is_passed or not self._open.end_turn(self._left):
            self.patience.stop.wait(self._poll)
            self._poll = min(self._poll * 1.5, _POLL_SECONDS)
        return True

    def _left(self) -> int:
        # A rotation meanwhile, by another process, leaves rows that were done to do again.
        self.job.refresh()
        return self.job.left(self.engine, self.patience)

    def _refresh(self, turn: int) -> None:
        if turn != self._turn:
            self.job.refresh()
            self._turn = turn

    def _work_on(self, claim: Claim) -> None:
        self._claim, self._renewed = claim, monotonic()
        self._new, self._range = Outcome(), Outcome()
        try:
            self._runner.pass_over(claim.range_)
        except _LostError:
            return
        except ResealError:
            raise  # The database may be away. The lease expires.
        except BaseException:
            self._claims.give_back(claim, self._new, self._range.bad_rows)
            raise
        finally:
            self._claim = None
        told = self._claims.give_back if self.patience.stop.is_set() else self._claims.finish
        told(claim, self._new, self._range.bad_rows)

    def _count(self, outcome: Outcome) -> None:
        self._new.add(outcome)
        self._range.add(outcome)
        self.pulse()
        self._told(outcome)

    def pulse(self) -> None:
        """
        Renew the lease if it is time for it.

        Raises:
            _LostError: the range is another worker's now.
        """
        if self._claim is None or monotonic() - self._renewed < RENEW_SECONDS:
            return
        new, self._new = self._new, Outcome()
        self._renewed = monotonic()
        if not self._claims.renew(self._claim, new, self._range.bad_rows):
            raise _LostError
