"""What a run is to do, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from .changes import Change
from .outcome import BadRow, Outcome
from .pace import Pace
from .pages import Range, left
from .retries import Patience
from .run import Runner
from .sessions import counting
from .table import MovedTable

PASSES = 20
"""How often a run goes over a table that others keep filling with rows to do."""


class Passing(Protocol):
    """Goes over a range of rows; see `Runner`."""

    def pass_over(self, range_: Range) -> Outcome:
        """Go once over the rows of a range."""
        ...


@dataclass(frozen=True)
class Job:
    """
    What is done to a table.

    Attributes:
        kind: one word, such as `reseal`. Machines that do the same kind of thing to the same
            columns share one run.
        table: whose rows.
        changes: of which columns. For a job that changes nothing: what is looked at.
        runner: makes what goes over a range, of the arguments of `Runner`.
        is_repeated: whether passes are repeated until no row is left to do. A job that changes
            nothing goes over its table once.
        passes: how many passes there are at most.
    """

    kind: str
    table: MovedTable
    changes: Sequence[Change]
    runner: Callable[..., Passing] = Runner
    is_repeated: bool = True
    passes: int = PASSES

    def refresh(self) -> None:
        """
        Read the keys again, so that rows go to the primary that is one now.

        Raises:
            KeystoreError, ProviderError: as `Sealer.refresh`.
        """
        for sealer in {id(each): each for c in self.changes for each in c.sealers}.values():
            sealer.refresh()

    def passing(
        self, engine: sa.Engine, pace: Pace, patience: Patience, tell: Callable[[Outcome], None]
    ) -> Passing:
        """Return what goes over ranges of the table, for one worker."""
        return self.runner(
            engine, self.table, self.changes, pace=pace, tell=tell, patience=patience
        )

    def left(self, engine: sa.Engine, patience: Patience) -> int:
        """Return the number of rows that are left to do. Needs no key, only its id."""

        def statement(connection: sa.Connection) -> sa.Select[Any]:
            rows = sa.select(sa.func.count()).select_from(self.table.selectable)
            return rows.where(left(connection, self.table, self.changes))

        with counting(engine, self.table, patience) as count:
            return count(statement)


@dataclass(frozen=True, slots=True)
class Summary:
    """
    What a run did, of all workers on all machines.

    Attributes:
        kind: of the job.
        table: `schema.table`, or `table`.
        read: rows that were fetched; one that had to be looked at again counts each time.
        changed: rows that were written.
        lost: how often another transaction was first to change or delete a row that was read, or
            held it for too long.
        bad: rows that could not be changed, at the last look.
        bad_rows: the first 1,000 of them.
        size: bytes of the values that were fetched.
        seconds: how long this call took.
        before: rows that had been done before it, by calls that were stopped or by others that
            share the run: of those `read` by a verification, or `changed`.
        passes: how often it went over the table.
        left: rows that are left to do, the bad ones among them; None if that was not counted.
        finished: whether no rows are left to do but bad ones.
        reason: why not, in words.
        workers_lost: processes that this one started and that failed; the others did their part.
    """

    kind: str
    table: str
    read: int = 0
    changed: int = 0
    lost: int = 0
    bad: int = 0
    bad_rows: Sequence[BadRow] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0
    before: int = 0
    passes: int = 0
    left: int | None = None
    finished: bool = False
    reason: str = ""
    workers_lost: int = 0


STOPPED = "stopped; the same run, started again, goes on"
HELD = (
    "other transactions hold the rows that are left, or write more of them as fast as they are "
    "done: look for idle transactions and for processes that have not read the new keys, and start "
    "the same run again"
)


def is_finished(left_over: int, last: Outcome) -> bool:
    """Whether nothing is left to do, after a pass, but rows that cannot be."""
    if left_over == 0:
        return True
    # A row that was written may have taken the place of a bad one.
    return left_over <= last.bad and not last.changed and not last.lost
