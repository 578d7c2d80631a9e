"""`sealed keys rewrap`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..keymanager import KeyManager
from ..rewrapping import Progress as Tell
from ..rewrapping import Rewrapped, outdated
from .keyoptions import dry_run_option, kek_option, keystore_option, manager_of
from .output import Command, console, count_of, json_option, print_json, say

_NAMED = 20
"""How many keys that could not be rewrapped are named."""


@click.command(cls=Command)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@keystore_option
@kek_option
@click.option(
    "--old-kek",
    "old_lines",
    metavar="PROVIDER",
    multiple=True,
    help="A KEK before this one, which unwraps what it wrapped; several can be given.",
)
@dry_run_option
@json_option
@click.pass_context
def rewrap(  # noqa: PLR0913 - the options
    ctx: click.Context,
    names: tuple[str, ...],
    keystore_line: str,
    kek_line: str,
    old_lines: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Rewrap the keys of the keystore under the newest version of the KEK.

    By default those of all key names. The keys stay the same, and rows are not touched. With
    --old-kek they go from one KEK to another. Stop it when you like and run it again: it goes on
    with what is left. Exit code 1 if a key could not be rewrapped; it stays as it was.
    """
    manager = manager_of(keystore_line, kek_line, *old_lines)
    if dry_run:
        _say_left(manager, names or None, as_json=as_json)
        return
    with _bar() as tell:
        done = manager.rewrap(names or None, progress=tell)
    if as_json:
        print_json(_document(done, len(done.failed), dry_run=False))
    else:
        _say_done(done)
    if done.failed:
        ctx.exit(1)


@contextmanager
def _bar() -> Iterator[Tell]:
    """Show on standard error how far it is, if that is a terminal."""
    errors = Console(stderr=True)
    columns = (
        TextColumn("rewrap"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("rewrap", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say_left(manager: KeyManager, names: tuple[str, ...] | None, *, as_json: bool) -> None:
    version = manager.provider.version()
    records = [record for record in manager.records(names) if record.wrapped]
    left = len(outdated(records, manager.provider, version))
    if as_json:
        done = Rewrapped(version, 0, len(records) - left, ())
        print_json(_document(done, left, dry_run=True))
    else:
        say(
            console(),
            f"{count_of(left, 'key')} would be rewrapped under {escape(version)}; "
            f"{len(records) - left:,} are current",
        )


def _document(done: Rewrapped, left: int, *, dry_run: bool) -> dict[str, Any]:
    return {
        "version": done.version,
        "rewrapped": done.rewrapped,
        "current": done.current,
        "left": left,
        "failed": [
            {"name": each.name, "id": each.key_id.hex(), "problem": each.problem}
            for each in done.failed
        ],
        "dry_run": dry_run,
    }


def _say_done(done: Rewrapped) -> None:
    mark = "[yellow]![/]" if done.failed else "[green]✓[/]"
    say(
        console(),
        f"{mark} {count_of(done.rewrapped, 'key')} rewrapped under {escape(done.version)}; "
        f"{done.current:,} were current",
    )
    for each in done.failed[:_NAMED]:
        say(
            console(),
            f"  [red]not rewrapped:[/] {each.key_id.hex()} of {escape(repr(each.name))}: "
            f"{escape(each.problem)}",
        )
    if len(done.failed) > _NAMED:
        say(console(), f"  and {len(done.failed) - _NAMED:,} more")
