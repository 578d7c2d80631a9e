"""
The engine: reads pages, converts their values, writes them back, until nothing is left.

Reading and converting overlap with writing, which has a connection of its own; on SQLite, where one
connection writes at a time, they take turns. The state of a run is in the rows: one that was killed
is started again and finds what is left.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import compress
from operator import itemgetter
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from ..errors import SealedError
from .careful import carefully
from .changes import Change
from .outcome import BadRow, Outcome
from .pace import SIZE, Pace
from .pages import Pages, Range, can_be_narrow
from .retries import Patience
from .sessions import Read, Write, reading, writing
from .table import MovedTable
from .writes import Batch

Tell = Callable[[Outcome], None]
"""Called after each batch with what it did."""

_AHEAD = 2
"""How many converted batches may wait for the writer."""


class Runner:
    """
    Moves the rows of a table.

    As a context manager it keeps its connections from one range to the next.

    Args:
        engine: of its database.
        table: what is moved.
        changes: what is done to its columns.
        pace: how large batches are.
        tell: called after each batch.
        patience: how long it waits for what passes by itself, and what ends the run after the
            batch that is under way.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        engine: sa.Engine,
        table: MovedTable,
        changes: Sequence[Change],
        *,
        pace: Pace | None = None,
        tell: Tell | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.engine = engine
        self.table = table
        self.changes = tuple(changes)
        self.pace = pace or Pace()
        self.patience = patience or Patience()
        self._tell = tell or (lambda _outcome: None)
        self._pages = Pages()
        self._kept: ExitStack | None = None
        self._open: tuple[Read, Write] | None = None

    def __enter__(self) -> Self:
        """Keep connections from now on."""
        self._kept = ExitStack()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give them back."""
        kept, self._kept, self._open = self._kept, None, None
        if kept is not None:
            kept.close()

    def pass_over(self, range_: Range) -> Outcome:
        """
        Go once over the rows of a range that are left to do, and return what was done.

        What it has written is on the disk then.
        """
        total = Outcome()
        with ExitStack() as stack:
            read, write = self._open or self._opened(self._kept or stack)
            if read.session is write.session:
                for seen, batch in self._batches(read, range_):
                    self._written(total, seen, batch, write)
            else:
                self._overlapped(range_, read, write, total)
            write.settle()
        return total

    def _opened(self, stack: ExitStack) -> tuple[Read, Write]:
        """Return what reads and what writes, until the stack is closed."""
        parts = (self.engine, self.table, self.changes, self.patience)
        write = stack.enter_context(writing(*parts))
        if self.engine.dialect.name == "sqlite":
            both = Read(write.session, self.table, self.changes), write
        else:
            both = stack.enter_context(reading(*parts)), write
        if stack is self._kept:
            self._open = both
        return both

    def _batches(self, read: Read, range_: Range) -> Iterator[tuple[Outcome, Batch]]:
        """Yield what was read and the rows that are to be written, a page at a time."""
        width = len(self.table.key)
        is_narrow = can_be_narrow(self.engine.dialect, self.table, self.changes)
        while not self.patience.stop.is_set():
            size = self.pace.rows
            part = partial(
                self._pages,
                table=self.table,
                changes=self.changes,
                range_=range_,
                size=size,
                limit=SIZE,
                is_narrow=is_narrow,
            )
            found = carefully(read, part)
            if not found:
                return
            if is_narrow and _has_wide(found, width):
                is_narrow = False  # There are wide rows, and there may be more of them.
                continue
            outcome, batch = self._converted(found)
            yield outcome, batch
            # A page of wide rows may be short before the end. A letter has up to four bytes.
            if len(found) < size and outcome.size * 4 < SIZE:
                return
            range_ = Range(tuple(found[-1][:width]), range_.through)

    def _converted(self, found: Sequence[Any]) -> tuple[Outcome, Batch]:
        """Convert the values of a page; what cannot be converted stays, and is reported."""
        read = Outcome(read=len(found))
        columns: list[Sequence[Any]] = list(zip(*found, strict=True))
        width, count = len(self.table.key), len(self.changes)
        key, old, rest = columns[:width], columns[width : width + count], columns[width + count :]
        read.size = sum(map(_size, old))
        new: list[Sequence[Any]] = []
        flags = rest[len(rest) - count :] if count > 1 else [None]
        typed = iter(rest)
        for change, values, todo in zip(self.changes, old, flags, strict=True):
            given = values if change.reads is None else _not_null(next(typed), values)
            if todo is not None:
                pairs = zip(given, todo, strict=True)
                given = [value if is_left else None for value, is_left in pairs]
            convert = change.converting(self.engine.dialect)
            new.append(convert(given, partial(_blame, read, key, change)))
        if any(None in values for values in new):
            kept = [any(value is not None for value in row) for row in zip(*new, strict=True)]
            kept_rows = [[list(compress(c, kept)) for c in part] for part in (key, old, new)]
            return read, Batch(*map(tuple, kept_rows))
        return read, Batch(tuple(key), tuple(old), tuple(new))

    def _written(self, total: Outcome, read: Outcome, batch: Batch, write: Write) -> None:
        started = perf_counter()
        if len(batch):
            read.changed = write(batch)
            read.lost = len(batch) - read.changed
        self.pace.took(read.read, read.size, perf_counter() - started)
        total.add(read)
        self._tell(read)

    def _overlapped(self, range_: Range, read: Read, write: Write, total: Outcome) -> None:
        """Write in a thread what this one reads and converts."""
        ready: queue.Queue[tuple[Outcome, Batch] | None] = queue.Queue(_AHEAD)
        failed: list[BaseException] = []

        def work() -> None:
            while (batch := ready.get()) is not None:
                if failed:
                    continue
                try:
                    self._written(total, *batch, write)
                except BaseException as error:  # noqa: BLE001 - raised again by the other thread
                    failed.append(error)

        thread = threading.Thread(target=work, name="sealed-writer")
        thread.start()
        try:
            for batch in self._batches(read, range_):
                ready.put(batch)
                if failed:
                    break
        finally:
            ready.put(None)
            thread.join()
        if failed:
            raise failed[0]


def _has_wide(found: Sequence[Any], at: int) -> bool:
    """Whether there is NULL in a column of a page, in the place of a wide value."""
    return not all(map(itemgetter(at), found)) and any(row[at] is None for row in found)


def _blame(
    read: Outcome, key: Sequence[Sequence[Any]], change: Change, at: int, error: SealedError
) -> None:
    row = tuple(column[at] for column in key)
    read.blame(BadRow(row, change.label, error.code, error.problem))


def _size(values: Sequence[Any]) -> int:
    """Return the bytes of values, or letters; of what is no text, a little."""
    try:
        return sum(map(len, values))
    except TypeError:
        return sum(len(value) if isinstance(value, bytes | str) else 8 for value in values)


def _not_null(typed: Sequence[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return typed values, where a JSON null is told from NULL."""
    if None not in typed:
        return typed
    pairs = zip(typed, values, strict=True)
    return [sa.JSON.NULL if one is None and other is not None else one for one, other in pairs]
