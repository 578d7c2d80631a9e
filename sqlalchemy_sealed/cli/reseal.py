"""`sealed rotate`, `sealed encrypt`, `sealed decrypt` and `sealed verify`: runs over rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from ..errors import OptionError
from ..reseal.checks import check_keys, refuse
from ..reseal.models import configured_sealers
from ..reseal.moves import Kind, check_alone
from .keyoptions import dry_run_option
from .output import Command, check_can_ask, console, json_option, say
from .resealoptions import Order, RunOptions, columns_arguments, run_options
from .runs import Plan, looked_at, run_all, say_findings, say_plans


@click.command(cls=Command)
@columns_arguments
@click.option(
    "--new-key", is_flag=True, help="First make a new primary, as 'sealed keys rotate' does."
)
@run_options
@dry_run_option
@json_option
@click.pass_context
def rotate(  # noqa: PLR0913 - the options
    ctx: click.Context,
    models: str,
    names: tuple[str, ...],
    url: str,
    options: RunOptions,
    *,
    new_key: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Reseal rows under the primary data key, and with the options that their columns have now.

    MODULE:OBJECT is a MetaData, a declarative base, a mapped class or a Table of the application;
    NAMEs are tables and table.columns of it, by default all that are sealed. Rows that are current
    are left alone. Stop it when you like and run it again: it goes on with what is left.

    Exits with 1 if a row could not be resealed or rows are left, with 130 if it was stopped.
    """
    order = Order(url, models, names, Kind.RESEAL, None, options.key)
    plans = looked_at(order, options if dry_run else None, new_key=new_key)
    if not dry_run and new_key:
        refuse([each for plan in plans for each in plan.found])
        _make_keys(plans, as_json=as_json)
    _do(ctx, order, options, plans, dry_run=dry_run, as_json=as_json)


@click.command(cls=Command)
@columns_arguments
@click.option(
    "--from",
    "source",
    metavar="COLUMN",
    help="The column of plaintext in the same table, which stays as it is. By default the sealed "
    "column itself, if it is of text storage.",
)
@run_options
@dry_run_option
@json_option
@click.pass_context
def encrypt(  # noqa: PLR0913 - the options
    ctx: click.Context,
    models: str,
    names: tuple[str, ...],
    url: str,
    options: RunOptions,
    *,
    source: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Seal plaintext that is in the database already.

    MODULE:OBJECT has the tables as the application declares them; NAMEs are the columns, as
    table.column. Rows that are sealed are left alone. Stop it when you like and run it again: it
    goes on with what is left. Old row versions, backups and the log of the database keep plaintext.

    Exits with 1 if a value could not be sealed or rows are left, with 130 if it was stopped.
    """
    order = Order(url, models, _columns(names), Kind.ENCRYPT, source, options.key)
    plans = looked_at(order, options if dry_run else None)
    _do(ctx, order, options, plans, dry_run=dry_run, as_json=as_json)


@click.command(cls=Command)
@columns_arguments
@click.option(
    "--into",
    "target",
    metavar="COLUMN",
    help="The column of plaintext in the same table; the sealed one stays as it is. By default the "
    "sealed column itself, if it is of text storage.",
)
@run_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@click.pass_context
def decrypt(  # noqa: PLR0913 - the options
    ctx: click.Context,
    models: str,
    names: tuple[str, ...],
    url: str,
    options: RunOptions,
    *,
    target: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Open values for good: afterwards they stand in the database in plaintext.

    MODULE:OBJECT has the tables as the application declares them; NAMEs are the columns, as
    table.column. Stop it when you like and run it again: it goes on with what is left.

    Exits with 1 if a value does not open or rows are left, with 130 if it was stopped.
    """
    if not (yes or dry_run):
        check_can_ask(as_json=as_json)
    order = Order(url, models, _columns(names), Kind.DECRYPT, target, options.key)
    plans = looked_at(order, options if dry_run else None)
    if not (yes or dry_run):
        refuse([each for plan in plans for each in plan.found])
        rows = sum(plan.rows or 0 for plan in plans)
        click.confirm(
            f"Open {rows:,} rows of {', '.join(names)}? Their values will stand in plaintext in "
            "the database, its backups and its log.",
            abort=True,
            err=True,
        )
    _do(ctx, order, options, plans, dry_run=dry_run, as_json=as_json)


@click.command(cls=Command)
@columns_arguments
@click.option(
    "--compare",
    metavar="COLUMN",
    help="A column of plaintext in the same table that should hold the same values.",
)
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep in this file how far it is, and go on from there if it was stopped or killed. Not "
    "with --workers and --shared, which keep it in the database.",
)
@run_options
@dry_run_option
@json_option
@click.pass_context
def verify(  # noqa: PLR0913 - the options
    ctx: click.Context,
    models: str,
    names: tuple[str, ...],
    url: str,
    options: RunOptions,
    *,
    compare: str | None,
    resume: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Open every value, and say which ones do not open. Nothing is written and no value is shown.

    MODULE:OBJECT is a MetaData, a declarative base, a mapped class or a Table of the application;
    NAMEs are tables and table.columns of it, by default all that are sealed.

    Exits with 1 if a value does not open, or differs, and with 130 if it was stopped.
    """
    try:
        check_alone(resume, options.workers, is_shared=options.shared)
    except OptionError as error:
        raise click.UsageError(error.problem) from None
    kept = None if dry_run else resume
    order = Order(url, models, names, Kind.VERIFY, compare, options.key, kept)
    plans = looked_at(order, options if dry_run else None)
    _do(ctx, order, options, plans, dry_run=dry_run, as_json=as_json)


def _do(  # noqa: PLR0913 - what the commands share
    ctx: click.Context,
    order: Order,
    options: RunOptions,
    plans: Sequence[Plan],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if dry_run:
        code = 0 if say_plans(order, plans, as_json=as_json) else 1
    else:
        if not as_json:
            say_findings([each for plan in plans for each in plan.found if each.is_warning])
        code = run_all(order, options, plans, as_json=as_json).exit_code
    if code:
        ctx.exit(code)


def _make_keys(plans: Sequence[Plan], *, as_json: bool) -> None:
    """Make a new primary for each sealer."""
    columns = [column for plan in plans for column in plan.columns]
    check_keys(Kind.RESEAL, columns)
    for sealer in configured_sealers(columns):
        primary = sealer.rotate().primary
        if not as_json:
            say(
                console(),
                f"[green]✓[/] {escape(repr(primary.name))}: primary is now {primary.key_id.hex()} "
                f"(generation {primary.generation})",
            )


def _columns(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise click.UsageError("name the columns, as table.column")
    return names
