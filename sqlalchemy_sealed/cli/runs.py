"""Runs of the commands over the rows of tables, one table after the other, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa
from rich.markup import escape

from ..errors import SealedError
from ..reseal.bookmark import forget_done
from ..reseal.checks import check_keys, findings, refuse
from ..reseal.job import left, run
from ..reseal.models import SealedColumn
from ..reseal.moves import Kind, renewing_job
from ..reseal.order import STOPPED, Summary
from ..reseal.outcome import Outcome
from ..reseal.pace import Pace
from ..reseal.places import Finding
from ..reseal.rehearsal import Estimate, estimate
from ..reseal.workers import stopped_by_signals
from .database import connected, reached
from .output import console, count_of, print_json, say
from .progress import shown
from .resealoptions import Order, RunOptions, made

INTERRUPTED = 130
"""The exit code of a run that a signal ended: 128 and the number of SIGINT."""
_NAMED = 20
"""How many bad rows are named."""
_DONE = {Kind.RESEAL: "resealed", Kind.ENCRYPT: "encrypted", Kind.DECRYPT: "decrypted"}


@dataclass(slots=True)
class Result:
    """What was done to some tables."""

    summaries: list[Summary] = field(default_factory=list)
    is_stopped: bool = False

    @property
    def exit_code(self) -> int:
        """0 if all is done; 130 if it was stopped; 1 if rows are bad or left."""
        if self.is_stopped:
            return INTERRUPTED
        bad = any(each.bad or not each.finished for each in self.summaries)
        return 1 if bad else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do to one table."""

    columns: Sequence[SealedColumn]
    found: Sequence[Finding]
    rows: int | None
    size: int | None
    estimate: Estimate | None = None


def looked_at(
    order: Order, options: RunOptions | None = None, *, new_key: bool = False
) -> list[Plan]:
    """
    Return what a run would do, table by table. It needs the keys, and changes nothing.

    Args:
        order: what is to do.
        options: how, if it is to be estimated how long it takes.
        new_key: whether there will be a new primary before.
    """
    tables = order.tables()
    for columns in tables:
        check_keys(order.kind, columns)
    plans = []
    with connected(order.url) as connection:
        for columns in tables:
            found = findings(connection, order.kind, columns, order.other, key=order.key or None)
            connection.rollback()
            rows = size = expected = None
            if all(each.is_warning for each in found):
                job = order.job(connection.engine, columns)
                if new_key:  # Then each value is under an older key.
                    job = renewing_job(connection, columns, key=order.key or None)
                    connection.rollback()
                rows = left(connection.engine, job)
                size = _size(connection, columns[0])
                connection.rollback()
                if options is not None and rows:
                    pace, load = Pace(options.batch), options.load / 100
                    expected = estimate(connection.engine, job, rows, pace=pace, load=load)
            plans.append(Plan(columns, found, rows, size, expected))
    return plans


def _size(connection: sa.Connection, column: SealedColumn) -> int | None:
    """Return how many bytes a table has, where the database says so."""
    if connection.dialect.name != "postgresql":
        return None
    table = sa.table(column.table, schema=column.schema)
    name = connection.dialect.identifier_preparer.format_table(table)
    statement = sa.text("SELECT pg_table_size(CAST(:name AS regclass))")
    return int(connection.scalar(statement, {"name": name}) or 0)


def run_all(order: Order, options: RunOptions, plans: Sequence[Plan], *, as_json: bool) -> Result:
    """
    Do an order, table by table, and say what was done.

    SIGINT ends it after the batch that is under way. What was done before an error is said first.
    """
    refuse([each for plan in plans for each in plan.found])
    result = Result()
    problem: SealedError | None = None
    with stopped_by_signals() as stop, reached(order.url) as engine:
        for number, plan in enumerate(plans):
            if stop.is_set():
                break
            job = order.job(engine, plan.columns)
            try:
                with shown(plan.columns[0].table_label, plan.rows) as told:
                    summary = run(
                        engine,
                        job,
                        worker=partial(made, order, number),
                        stop=stop,
                        tell=partial(_told, told),
                        **options.arguments(),
                    )
            except SealedError as error:
                problem = error
                break
            result.summaries.append(summary)
            if not as_json:
                say_summary(order.kind, summary)
        result.is_stopped = stop.is_set()
    is_whole = len(result.summaries) == len(plans)
    if order.resume is not None and is_whole and all(each.finished for each in result.summaries):
        forget_done(order.resume)
    if as_json:
        print_json(document_of(order.kind, result, problem))
    if problem is not None:
        raise problem
    return result


def _told(told: Callable[[int], None], outcome: Outcome) -> None:
    told(outcome.read)


# -- what is said


def say_plans(order: Order, plans: Sequence[Plan], *, as_json: bool) -> bool:
    """Say what a run would do, and return whether nothing stands in its way."""
    is_clear = all(each.is_warning for plan in plans for each in plan.found)
    if as_json:
        print_json(
            {
                "kind": str(order.kind),
                "dry_run": True,
                "tables": [_planned(plan) for plan in plans],
                "possible": is_clear,
            }
        )
        return is_clear
    for plan in plans:
        first = plan.columns[0]
        names = ", ".join(each.name for each in plan.columns)
        say_findings(plan.found)
        if plan.rows is None:
            continue
        verb = "opened" if order.kind is Kind.VERIFY else _DONE[order.kind]
        rows = count_of(plan.rows, "row")
        line = f"{escape(f'{first.table_label} ({names})')}: {rows} would be {verb}"
        if plan.size is not None:
            line += f"; the table has {said_size(plan.size)}"
        say(console(), line)
        if plan.estimate is not None:
            say(console(), f"  {_estimated(order.kind, plan.estimate)}")
    return is_clear


def _estimated(kind: Kind, told: Estimate) -> str:
    """Return how long a run would take, and what that rests on."""
    sample = f"{count_of(told.sampled, 'row')} in {said_seconds(told.sampled_seconds)}"
    if kind is Kind.VERIFY:
        line = f"about {said_seconds(told.most)} with one worker: {sample} were opened now"
        bad = "do not open"
    else:
        line = (
            f"about {said_seconds(told.least)} to {said_seconds(told.most)} with one worker: "
            f"{sample} were read and {_DONE[kind]} now, and not written; writing is reckoned"
        )
        bad = f"cannot be {_DONE[kind]}"
    if told.bad:
        line += f"; {count_of(told.bad, 'row')} of the first {told.looked_at:,} {bad}"
    return line


def say_findings(found: Sequence[Finding]) -> None:
    """Say what stands in the way, and what should be known."""
    for each in found:
        mark = "[yellow]![/]" if each.is_warning else "[red]✗[/]"
        say(console(), f"{mark} {escape(str(each))}")


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "table": plan.columns[0].table_label,
        "columns": [each.name for each in plan.columns],
        "rows": plan.rows,
        "table_bytes": plan.size,
        "estimate": None if plan.estimate is None else _rounded(asdict(plan.estimate)),
        "findings": [
            {"where": each.where, "problem": each.problem, "warning": each.is_warning}
            for each in plan.found
        ],
    }


def _rounded(document: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in document.items()}


def say_summary(kind: Kind, summary: Summary) -> None:
    """Say what a run did to one table."""
    rows = summary.read if kind is Kind.VERIFY else summary.changed
    verb = "opened" if kind is Kind.VERIFY else _DONE[kind]
    is_good = summary.finished and not summary.bad
    mark = "[green]✓[/]" if is_good else "[yellow]![/]"
    line = f"{mark} {escape(summary.table)}: {count_of(rows, 'row')} {verb}"
    now = rows - summary.before
    if summary.before:
        line += f", {now:,} of them now," if now else " before"
    if now and summary.seconds:
        line += f" in {said_seconds(summary.seconds)} ({now / summary.seconds:,.0f} rows/s)"
    if summary.left is not None:
        line += f"; {summary.left:,} left"
    say(console(), line)
    if summary.lost:
        lost = count_of(summary.lost, "row")
        say(console(), f"  {lost} changed meanwhile by others; what they wrote stands")
    if summary.workers_lost and summary.reason != STOPPED:
        failed = count_of(summary.workers_lost, "worker")
        say(console(), f"  {failed} failed; the others did their part")
    if not summary.finished:
        say(console(), f"  [yellow]not finished:[/] {escape(summary.reason)}")
    for row in summary.bad_rows[:_NAMED]:
        key = ", ".join(str(part) for part in row.key)
        say(
            console(),
            f"  [red]bad row[/] {escape(key)}: {escape(row.column)}: {escape(row.problem)}",
        )
    more = summary.bad - len(summary.bad_rows[:_NAMED])
    if more > 0:
        say(console(), f"  and {count_of(more, 'more bad row')}")


def document_of(kind: Kind, result: Result, problem: SealedError | None) -> dict[str, Any]:
    """Return what a run did, as JSON has it."""
    return {
        "kind": str(kind),
        "dry_run": False,
        "tables": [_summed(each) for each in result.summaries],
        "stopped": result.is_stopped,
        "done": problem is None and result.exit_code == 0,
        "error": None if problem is None else {"code": problem.code, "problem": str(problem)},
    }


def _summed(summary: Summary) -> dict[str, Any]:
    document = asdict(summary)
    document["seconds"] = round(summary.seconds, 3)
    document["bad_rows"] = [
        asdict(row) | {"key": [str(part) for part in row.key]} for row in summary.bad_rows
    ]
    del document["kind"]
    return document


def said_size(size: int) -> str:
    """Return a number of bytes in words, such as 1.5 GiB."""
    number = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def said_seconds(seconds: float) -> str:
    """Return a time in words, such as 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
