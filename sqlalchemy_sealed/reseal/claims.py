"""
Ranges of keys that workers claim.

Ranges are carved off the table one after the other, under a lock of the run's row; each is claimed
by one worker, for as long as a lease. A worker renews it between batches. If it dies, another
worker takes the range: at once, since the server drops its lock as soon as its connection ends, or
when the lease expires, if nothing tells the server. If it lives and is only slow, or has lost its
connection, both work on it for a moment, which harms nothing: rows are written by compare-and-swap.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from .keytext import from_text, text_of_bad_rows, to_text
from .openrun import OpenRun
from .outcome import BadRow, Outcome
from .pages import Range, beyond
from .runtables import COUNTS

LEASE = 60.0
"""Seconds that a range stays with a worker of which nothing is heard."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that a worker has, by its number in a turn of the run."""

    turn: int
    number: int
    range_: Range


def worker_name(pid: int) -> str:
    """Return how the names of the workers of a process of this machine begin. A lock follows."""
    return f"{platform.node()}/{pid}/"


class Claims:
    """
    The ranges of one worker.

    Args:
        run: in which it takes part.
        lease: seconds that a range stays with a worker of which nothing is heard.
        worker: its name; by default that which the lock of *run* goes with.
    """

    def __init__(self, run: OpenRun, lease: float = LEASE, worker: str | None = None) -> None:
        self.run = run
        self.lease = lease
        self.worker = worker or f"{worker_name(os.getpid())}{run.lock}"
        self._ranges = run.tables.ranges

    def claim(self) -> Claim | None:
        """Return the next range to work on, or None if there is none at the moment."""
        return self.run.do(self._claimed)

    def _claimed(self, connection: sa.Connection) -> Claim | None:
        run = self.run.row(connection)
        return self._taken_over(connection, run.turn) or self._carved(connection, run)

    def _taken_over(self, connection: sa.Connection, turn: int) -> Claim | None:
        """Claim a range that was given back, or whose worker is dead or not heard of any more."""
        ranges = self._ranges
        query = (
            sa.select(ranges)
            .where(
                ranges.c.run_id == self.run.id,
                ranges.c.turn == turn,
                ~ranges.c.is_done,
                sa.or_(
                    ranges.c.lease.is_(None),
                    ranges.c.lease < sa.func.clock_timestamp(),
                    self.run.tables.is_orphaned(),
                ),
            )
            .order_by(ranges.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        claim = Claim(turn, row.number, _range(row.after, row.through))
        # Its bad rows are found again; and all rows are read again, if nothing is written.
        again = ("bad",) if self.run.job.is_repeated else COUNTS
        new: dict[str, Any] = {"worker": self.worker, "lease": self._expiry(), "bad_rows": None}
        new |= dict.fromkeys(again, 0)
        connection.execute(sa.update(ranges).where(*self._is(claim)).values(new))
        return claim

    def _carved(self, connection: sa.Connection, run: Any) -> Claim | None:
        """Carve the next range off the rest of the table, and claim it."""
        if self._is_carved(run):
            return None
        run = self.run.row(connection, for_update=True)
        if self._is_carved(run):
            return None
        through = self._boundary(connection, run.frontier, run.range_rows)
        new = {"after": run.frontier, "through": through, "worker": self.worker}
        new |= {"run_id": self.run.id, "turn": run.turn, "number": self._next(run.turn)}
        statement = sa.insert(self._ranges).values(lease=self._expiry(), **new)
        number = connection.scalar(statement.returning(self._ranges.c.number))
        self.run.set(connection, frontier=through, is_carved=through is None)
        return Claim(run.turn, int(number or 0), _range(run.frontier, through))

    def _is_carved(self, run: Any) -> bool:
        return run.ended is not None or run.is_carved

    def _boundary(self, connection: sa.Connection, frontier: str | None, rows: int) -> str | None:
        """Return the last key of the next range, or None if it is the last range."""
        table = self.run.job.table
        key = [table.selectable.c[name] for name in table.key]
        query = sa.select(*key).order_by(*key).offset(rows - 1).limit(1)
        if frontier is not None:
            query = query.where(beyond(key, from_text(frontier), "frontier"))
        row = connection.execute(query).first()
        return None if row is None else to_text(tuple(row))

    def _next(self, turn: int) -> sa.ScalarSelect[int]:
        ranges = self._ranges
        query = sa.select(sa.func.coalesce(sa.func.max(ranges.c.number), 0) + 1)
        return query.where(ranges.c.run_id == self.run.id, ranges.c.turn == turn).scalar_subquery()

    def renew(self, claim: Claim, done: Outcome, bad_rows: Sequence[BadRow] = ()) -> bool:
        """
        Say that this worker lives, and what it did since it said so last.

        Args:
            claim: its range.
            done: rows since the last time.
            bad_rows: those of the whole range.

        Returns:
            Whether the range is still this worker's. If not, it has to leave it.
        """
        return self._told(claim, done, bad_rows, lease=self._expiry())

    def finish(self, claim: Claim, done: Outcome, bad_rows: Sequence[BadRow] = ()) -> bool:
        """Say that a range is done; see `renew`."""
        return self._told(claim, done, bad_rows, is_done=True)

    def give_back(self, claim: Claim, done: Outcome, bad_rows: Sequence[BadRow] = ()) -> bool:
        """Leave a range that is not done to others; see `renew`."""
        return self._told(claim, done, bad_rows, lease=None)

    def _told(self, claim: Claim, done: Outcome, bad_rows: Sequence[BadRow], **values: Any) -> bool:
        ranges = self._ranges
        counts = {name: ranges.c[name] + getattr(done, name) for name in COUNTS}
        named = text_of_bad_rows(bad_rows) if bad_rows else None
        statement = (
            sa.update(ranges)
            .where(*self._is(claim), ranges.c.worker == self.worker, ~ranges.c.is_done)
            .values(counts | values | {"bad_rows": named})
        )
        return bool(self.run.do(lambda connection: connection.execute(statement).rowcount))

    def release(self, worker: str) -> None:
        """Leave the ranges of a worker that is known to be dead to others."""
        ranges = self._ranges
        statement = (
            sa.update(ranges)
            .where(
                ranges.c.run_id == self.run.id,
                ~ranges.c.is_done,
                ranges.c.worker.startswith(worker, autoescape=True),
            )
            .values(lease=None)
        )
        self.run.do(lambda connection: connection.execute(statement))

    def workers(self) -> Sequence[str]:
        """Return the names of all workers that have had a range."""
        names = sa.select(self._ranges.c.worker).where(self._ranges.c.run_id == self.run.id)
        query = names.where(self._ranges.c.worker.is_not(None)).distinct()
        return self.run.do(lambda connection: connection.execute(query).scalars().all())

    def done_by_others(self) -> Outcome:
        """Return what other workers have done in the run so far."""
        is_other = self._ranges.c.worker != self.worker
        tables = self.run.tables
        return self.run.do(lambda connection: tables.counted(connection, self.run.id, is_other))

    def _is(self, claim: Claim) -> Sequence[sa.ColumnElement[bool]]:
        ranges = self._ranges
        return (
            ranges.c.run_id == self.run.id,
            ranges.c.turn == claim.turn,
            ranges.c.number == claim.number,
        )

    def _expiry(self) -> sa.ColumnElement[Any]:
        return sa.func.clock_timestamp() + sa.literal(timedelta(seconds=self.lease), sa.Interval())


def _range(after: str | None, through: str | None) -> Range:
    return Range(*(None if text is None else from_text(text) for text in (after, through)))
