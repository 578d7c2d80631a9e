"""
Runs a job over a table, alone or with others.

Synopsis:

    table = moved_table(connection, "patients")
    job = Job("reseal", table, [reseal_change("patients.email", "email", EncryptedString())])
    summary = run(engine, job)
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from ..errors import OptionError, SealedError
from .alone import Alone
from .claims import LEASE, Claims
from .openrun import OpenRun
from .order import STOPPED
from .order import Job as Job
from .order import Summary as Summary
from .outcome import Outcome
from .pace import Pace
from .retries import Patience, Waits
from .sessions import own_engine
from .sharing import Sharing
from .throttle import Brake, Throttle
from .workers import RUN_VARIABLE, Followed, Workers, say, stopped_by_signals

Tell = Callable[[Outcome], None]


def run(  # noqa: PLR0913 - the options of a run
    engine: sa.Engine,
    job: Job,
    *,
    workers: int = 1,
    worker_command: Sequence[str] | None = None,
    worker: Callable[[], Any] | None = None,
    shared: bool = False,
    tell: Tell | None = None,
    stop: threading.Event | None = None,
    pace: Pace | None = None,
    throttle: Throttle | None = None,
    waits: Waits | None = None,
    lease: float = LEASE,
) -> Summary:
    """
    Do a job, until no row is left to do but those that cannot be.

    Args:
        engine: of the table's database, with a driver that is not async.
        job: what is done.
        workers: how many processes of this machine do it, this one among them. More than one need
            PostgreSQL.
        worker_command: starts another worker: the command line of a program that calls this
            function with `shared=True`.
        worker: makes engine and job in another process, instead of a command line: a function that
            can be pickled by its name, as those of a module.
        shared: whether workers of other machines, and of other calls, take part in the same run.
            It needs PostgreSQL, where it makes the tables `sealed_runs` and `sealed_ranges`.
        tell: called after each batch with what was done since the last call, by this worker or by
            another; from a thread, and never twice at once.
        stop: ends the run after the batches that are under way, when it is set.
        pace: how large batches are.
        throttle: what is left to others.
        waits: how long it waits for locks and for a database that is away.
        lease: seconds after which a worker of which nothing is heard is taken for dead.

    Returns:
        What was done. A run that was stopped, or cannot end, is not `finished`.

    Raises:
        ConfigurationError, OptionError: it cannot be done like this.
        KeystoreError, ProviderError: the keys cannot be had.
        ResealError: the database refuses, or was away for too long.
    """
    _check(engine, workers, worker_command, worker, is_shared=shared)
    with own_engine(engine) as own:
        parts = _Parts(
            own, job, pace or Pace(), Patience(waits, stop), throttle or Throttle(), tell
        )
        if workers == 1 and not shared:
            return _alone(parts)
        others = Workers(
            workers - 1, worker_command, _work, (worker, parts.pace.most, throttle, waits, lease)
        )
        return _shared(parts, others, lease)


@dataclass(frozen=True, slots=True)
class _Parts:
    engine: sa.Engine
    job: Job
    pace: Pace
    patience: Patience
    throttle: Throttle
    tell: Tell | None


def _alone(parts: _Parts) -> Summary:
    brake = Brake(parts.throttle, parts.engine, parts.pace, parts.patience)

    def told(outcome: Outcome) -> None:
        if parts.tell is not None:
            parts.tell(outcome)
        brake()

    with brake:
        return Alone(parts.engine, parts.job, parts.pace, parts.patience, told).run()


def _shared(parts: _Parts, others: Workers, lease: float) -> Summary:
    """Take part in a run that stands in the database, with other processes of this machine."""
    engine, job, patience = parts.engine, parts.job, parts.patience
    telling = threading.Lock()

    def tell(outcome: Outcome) -> None:
        if parts.tell is not None:
            with telling:
                parts.tell(outcome)

    def told(outcome: Outcome) -> None:
        tell(outcome)
        brake()

    with ExitStack() as stack:
        known = os.environ.get(RUN_VARIABLE, "")
        id_ = int(known) if known.isdigit() else None
        run = stack.enter_context(closing(OpenRun(engine, job, patience, id_=id_)))
        claims = Claims(run, lease)
        start = partial(others.start, run.id)
        mine = Sharing(
            engine, job, parts.pace, patience, told, run=run, claims=claims, others=start
        )
        brake = Brake(parts.throttle, engine, parts.pace, patience, mine.pulse)
        try:
            with ExitStack() as following:
                if others.count or parts.tell is not None:
                    seen = stack.enter_context(closing(OpenRun(engine, job, patience, id_=run.id)))
                    followed = Claims(seen, worker=claims.worker)
                    shown = tell if parts.tell is not None else None
                    following.enter_context(Followed(others, followed, shown))
                following.enter_context(brake)
                summary = mine.run()
            if not patience.stop.is_set():
                others.dismiss(claims.workers)
        except BaseException:
            others.stop()
            raise
        finally:
            if patience.stop.is_set():
                others.stop()
            others.wait()
        if patience.stop.is_set():
            summary = run.summary(summary.seconds, STOPPED)
        return replace(summary, workers_lost=others.lost)


def _work(  # noqa: PLR0913, PLR0917 - what a process is told
    run_id: int,
    worker: Callable[[], tuple[sa.Engine, Job]],
    most: int,
    throttle: Throttle | None,
    waits: Waits | None,
    lease: float,
) -> None:
    """Be another worker, in a process of its own."""
    os.environ[RUN_VARIABLE] = str(run_id)
    with stopped_by_signals() as stop:
        try:
            engine, job = worker()
            gc.freeze()  # What was imported lives as long as this process; it is not looked at.
            options: dict[str, Any] = {"throttle": throttle, "waits": waits, "lease": lease}
            run(engine, job, shared=True, stop=stop, pace=Pace(most), **options)
        except SealedError as error:
            say(error)
            sys.exit(1)


def _check(
    engine: sa.Engine,
    workers: int,
    command: Sequence[str] | None,
    worker: Callable[[], Any] | None,
    *,
    is_shared: bool,
) -> None:
    if workers < 1:
        raise OptionError("a run has at least one worker")
    if (workers > 1 or is_shared) and engine.dialect.name != "postgresql":
        raise OptionError(
            f"workers share a run through PostgreSQL; on {engine.dialect.name}, use one worker"
        )
    if workers > 1 and command is None and worker is None:
        raise OptionError(
            "other workers are other processes: say how they are started, by worker_command= or "
            "worker="
        )


def left(engine: sa.Engine, job: Job) -> int:
    """
    Return how many rows a job would have to do. It counts by SQL and needs no key, only its id.

    Raises:
        ConfigurationError: an async engine.
        ResealError: the database refuses.
    """
    with own_engine(engine) as own:
        return job.left(own, Patience())
