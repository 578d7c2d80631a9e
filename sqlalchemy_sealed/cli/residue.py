"""`sealed residue`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import sqlalchemy as sa
from rich.markup import escape
from rich.padding import Padding

from ..reseal.residue import LOCK_SECONDS, STEPS
from ..reseal.residue import residue as looked
from ..reseal.residue_model import Residue, State, Step
from .database import connected
from .output import Command, check_can_ask, console, json_option, print_json, say

_INDENTED = (0, 0, 0, 2)
_COLOURS = {
    State.NONE: "green",
    State.CLEANED: "green",
    State.LEFT: "red",
    State.MAYBE: "yellow",
    State.UNSEEN: "blue",
}


@click.command(cls=Command)
@click.argument("url")
@click.argument("column", metavar="TABLE[.COLUMN]")
@click.option("--schema", help="The schema of the table, if it is not the default one.")
@click.option("--clean", is_flag=True, help="Clean what can be cleaned, after a question.")
@click.option(
    "--skip",
    multiple=True,
    type=click.Choice(STEPS),
    help="A step of the cleaning that is left out; several can be given.",
)
@click.option(
    "--lock-timeout",
    type=click.FloatRange(0.1, 3600),
    default=LOCK_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long a step waits for locks and for old snapshots, before it is given up.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be cleaned, and change nothing.")
@json_option
@click.pass_context
def residue(  # noqa: PLR0913 - one argument an option
    ctx: click.Context,
    url: str,
    column: str,
    schema: str | None,
    *,
    clean: bool,
    skip: tuple[str, ...],
    lock_timeout: float,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Say where plaintext of a sealed column may still be, and clean what can be cleaned.

    TABLE.COLUMN is in the database at URL; with a table alone, its columns that hold envelopes are
    looked at. No value is shown. Exits with 1 if a step of the cleaning was not done.
    """
    clean = clean and not dry_run
    if clean and not yes:
        check_can_ask(as_json=as_json)
    with connected(url) as connection:
        engine = connection.engine
        table, name = _named(connection, column, schema)
    try:
        report = looked(engine, table, name, schema=schema, skip=skip)
        if clean and not yes:
            _show(report, with_steps=True)
            click.confirm("Do these steps?", abort=True)
        if clean:
            report = looked(
                engine, table, name, schema=schema, clean=True, skip=skip,
                lock_seconds=lock_timeout, tell=None if as_json else _told,
            )  # fmt: skip
    finally:
        engine.dispose()
    if as_json:
        print_json(_document(report) | {"dry_run": dry_run})
    else:
        _show(report, with_steps=dry_run)
    if report.failed:
        ctx.exit(1)


def _named(connection: sa.Connection, given: str, schema: str | None) -> tuple[str, str | None]:
    """Return table and column. A name with a dot may be that of a table."""
    table, dot, column = given.rpartition(".")
    if not dot or sa.inspect(connection).has_table(given, schema=schema):
        return given, None
    if not table or not column:
        raise click.BadParameter("expects TABLE or TABLE.COLUMN", param_hint="TABLE[.COLUMN]")
    return table, column


def _told(step: Step) -> None:
    mark = "[green]✓[/]" if step.done and not step.problem else "[red]✗[/]"
    problem = f": {escape(step.problem)}" if step.problem else ""
    say(console(), f"{mark} {step.name}{problem}")


def _show(report: Residue, *, with_steps: bool) -> None:
    out = console()
    columns = ", ".join(report.columns) or "no column"
    say(out, f"{escape(report.database)}: {escape(report.table)} ({escape(columns)})\n")
    for each in report.findings:
        say(out, f"[bold]{each.place}[/]  [{_COLOURS[each.state]}]{each.state}[/]")
        out.print(Padding(f"{escape(each.found)}.", _INDENTED))
        if each.advice:
            out.print(Padding(f"[dim]{escape(each.advice)}.[/]", _INDENTED))
    if with_steps:
        for line in _steps(report):
            say(out, line)


def _steps(report: Residue) -> Iterator[str]:
    yield "\n[bold]Cleaning would do[/]"
    for step in report.steps:
        yield f"  {step.name}: {escape('; '.join(step.statements))}"
        yield f"    {escape(step.effect)}"


def _document(report: Residue) -> dict[str, Any]:
    return {
        "database": report.database,
        "table": report.table,
        "columns": list(report.columns),
        "cleaned": report.cleaned,
        "findings": [
            {
                "place": each.place,
                "state": each.state,
                "found": each.found,
                "advice": each.advice,
                "facts": dict(each.facts),
            }
            for each in report.findings
        ],
        "steps": [
            {
                "name": step.name,
                "statements": list(step.statements),
                "effect": step.effect,
                "done": step.done,
                "problem": step.problem or None,
            }
            for step in report.steps
        ],
    }
