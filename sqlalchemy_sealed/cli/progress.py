"""Bars that show on standard error how far a run is, and how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_NARROW = 80
"""On a terminal of fewer columns there is no bar, only its figures."""


class _Rows(ProgressColumn):
    """Rows that are done, and how many there are, such as 12,000/1,000,000."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        total = "?" if task.total is None else f"{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}/{total}", style="progress.download")


class _Rate(ProgressColumn):
    """Rows a second, of the last half minute."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s", style="progress.data.speed")


@contextmanager
def shown(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """
    Show a bar while it is open, if standard error is a terminal.

    Args:
        what: of what.
        total: how many rows there are, as far as is known.

    Yields:
        a function that takes how many more rows are done.
    """
    errors = Console(stderr=True)
    columns: list[ProgressColumn] = [TextColumn("{task.description}")]
    if errors.width >= _NARROW:
        columns.append(BarColumn(bar_width=None))
    columns += [TaskProgressColumn(), _Rows(), _Rate(), TimeRemainingColumn(compact=True)]
    bar = Progress(
        *columns, console=errors, disable=not errors.is_terminal, expand=True, transient=True
    )
    with bar as progress:
        task = progress.add_task(escape(what), total=total)

        def told(rows: int) -> None:
            done = progress.tasks[0].completed + rows
            # What others wrote meanwhile comes on top.
            most = None if total is None else max(total, done)
            progress.update(task, completed=done, total=most)

        yield told
