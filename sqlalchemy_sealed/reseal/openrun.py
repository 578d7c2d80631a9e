"""A run that stands in the database, where workers on any number of machines take part in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..errors import ResealError
from .failures import Cause, cause_of
from .keytext import bad_rows_of
from .order import HELD, Job, Summary, is_finished
from .outcome import NAMED, BadRow
from .retries import Patience
from .runtables import RunTables, columns_of
from .sessions import Session
from .table import AS_TEXT

T = TypeVar("T")

_LEAST_ROWS, _MOST_ROWS, _PARTS = 2_000, 50_000, 12
"""Rows of a range: a part of the table, within limits. A range costs some milliseconds; there are
as many for each of two, three or four workers, of whom none has to wait for a last one then."""
_SETTINGS = AS_TEXT | {
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where a run is.

    Attributes:
        turn: the number of its pass, from 1.
        is_ended: whether there is nothing more to do.
        is_passed: whether all ranges of this pass are done.
    """

    turn: int
    is_ended: bool
    is_passed: bool


class OpenRun:
    """
    The run of a job, which is open in the database, or begins; and a worker's place in it.

    While it is connected it holds a lock of the database under a number of its own. The server
    drops it with the connection, so others see at once that a process was killed.

    Args:
        engine: of the run.
        job: what is done.
        patience: how long it is tried.
        rows: how many rows a range of a new run has; by default it depends on the table.
        id_: that of the run, if this process knows it: it joins it also if it has ended.

    Raises:
        ResealError: as when the database user may not make tables.
    """

    def __init__(
        self,
        engine: sa.Engine,
        job: Job,
        patience: Patience,
        *,
        rows: int | None = None,
        id_: int | None = None,
    ) -> None:
        self.job = job
        self.tables = RunTables(job.table.schema)
        self._rows = rows
        self._before = 0
        self.lock = int.from_bytes(os.urandom(4), "big") >> 1
        """The number of its lock."""
        self._session = Session(
            engine,
            patience,
            job.table.label,
            _SETTINGS,
            made=partial(self.tables.hold, number=self.lock),
            ended=partial(self.tables.let_go, number=self.lock),
        )
        try:
            self.id = self.do(lambda connection: self._joined(connection, id_))
        except BaseException:
            self.close()
            raise

    def do(self, work: Callable[[sa.Connection], T]) -> T:
        """Do something in a transaction."""
        return self._session.run(work)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _joined(self, connection: sa.Connection, id_: int | None) -> int:
        runs = self.tables.runs
        name = {
            "kind": self.job.kind,
            "moved": self.job.table.label,
            "columns": columns_of(self.job),
        }
        is_it = [runs.c[column] == value for column, value in name.items()]
        self._make_tables(connection)
        query = sa.select(runs.c.id).where(*is_it)
        if id_ is not None and connection.scalar(query.where(runs.c.id == id_)) is not None:
            return id_
        query = query.where(runs.c.ended.is_(None))
        found = connection.scalar(query)
        if found is None:
            self.tables.forget_old(connection)
            new = {**name, "range_rows": self._rows or self._range_rows(connection)}
            found = connection.execute(sa.insert(runs).returning(runs.c.id), new).scalar_one()
        else:
            self._before = self._done(connection, found)
        return int(found)

    def _done(self, connection: sa.Connection, id_: int) -> int:
        """Return how many rows are done. A range that was half read only is read anew."""
        if self.job.is_repeated:
            return self.tables.counted(connection, id_, sa.true()).changed
        return self.tables.counted(connection, id_, self.tables.ranges.c.is_done).read

    def _make_tables(self, connection: sa.Connection) -> None:
        try:
            self.tables.make(connection)
        except SQLAlchemyError as error:
            if cause_of(error) is not Cause.DENIED:
                raise
        else:
            return
        raise ResealError(
            "the database user may not make the tables sealed_runs and sealed_ranges, by which "
            "workers share a run; grant it CREATE on the schema, or run with one worker",
            where=self.job.table.label,
        )

    def _range_rows(self, connection: sa.Connection) -> int:
        name = connection.dialect.identifier_preparer.format_table(self.job.table.selectable)
        guessed = connection.scalar(
            sa.text("SELECT reltuples::bigint FROM pg_class WHERE oid = CAST(:name AS regclass)"),
            {"name": name},
        )
        return int(min(max((guessed or 0) // _PARTS, _LEAST_ROWS), _MOST_ROWS))

    def row(self, connection: sa.Connection, *, for_update: bool = False) -> Any:
        """Return the row of the run."""
        runs = self.tables.runs
        query = sa.select(runs).where(runs.c.id == self.id)
        return connection.execute(query.with_for_update() if for_update else query).one()

    def set(self, connection: sa.Connection, **values: Any) -> None:
        """Change the row of the run."""
        runs = self.tables.runs
        connection.execute(sa.update(runs).where(runs.c.id == self.id).values(values))

    def standing(self) -> Standing:
        """Return where the run is."""
        return self.do(self._standing)

    def _standing(self, connection: sa.Connection) -> Standing:
        run, ranges = self.row(connection), self.tables.ranges
        query = sa.select(ranges.c.number).where(
            ranges.c.run_id == self.id, ranges.c.turn == run.turn, ~ranges.c.is_done
        )
        is_open = not run.is_carved or connection.execute(query.limit(1)).first() is not None
        return Standing(run.turn, run.ended is not None, not is_open)

    def end_turn(self, left: Callable[[], int]) -> bool:
        """
        End a pass whose ranges are done: end the run, or begin another pass.

        Args:
            left: counts the rows that are left.

        Returns:
            Whether it was this worker that did it. Of many at once, one does.
        """

        def work(connection: sa.Connection) -> bool:
            if not self.tables.lock(connection, self.id):
                return False
            now = self._standing(connection)
            if now.is_ended or not now.is_passed:
                return False
            over, finished = None, True
            if self.job.is_repeated:
                over = left()
                of_turn = self.tables.ranges.c.turn == now.turn
                last = self.tables.counted(connection, self.id, of_turn)
                finished = is_finished(over, last)
            if finished or now.turn >= self.job.passes:
                ended = sa.func.clock_timestamp()
                self.set(connection, ended=ended, left=over, is_finished=finished)
            else:
                self.set(connection, turn=now.turn + 1, frontier=None, is_carved=False)
            return True

        return self.do(work)

    def summary(self, seconds: float, reason: str) -> Summary:
        """
        Return what all workers did.

        Args:
            seconds: how long it took.
            reason: why the run has not ended, if it has not.
        """

        def work(connection: sa.Connection) -> Summary:
            run = self.row(connection)
            why = reason if run.ended is None else HELD
            of_turn = self.tables.ranges.c.turn == run.turn
            total = self.tables.counted(connection, self.id, sa.true())
            return Summary(
                kind=self.job.kind,
                table=self.job.table.label,
                read=total.read,
                changed=total.changed,
                lost=total.lost,
                size=total.size,
                bad=self.tables.counted(connection, self.id, of_turn).bad,
                bad_rows=self._bad_rows(connection, run.turn),
                seconds=seconds,
                before=self._before,
                passes=run.turn,
                left=run.left,
                finished=run.is_finished,
                reason="" if run.is_finished else why,
            )

        return self.do(work)

    def _bad_rows(self, connection: sa.Connection, turn: int) -> list[BadRow]:
        ranges = self.tables.ranges
        query = (
            sa.select(ranges.c.bad_rows)
            .where(
                ranges.c.run_id == self.id,
                ranges.c.turn == turn,
                ranges.c.bad_rows.is_not(None),
            )
            .order_by(ranges.c.number)
            .limit(NAMED)
        )
        texts = connection.execute(query).scalars()
        return [row for text in texts for row in bad_rows_of(text)][:NAMED]
