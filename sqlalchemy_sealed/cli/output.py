"""What all commands share: how they print, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from ..errors import SealedError

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json` to a command."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."
    )(command)


def console() -> Console:
    """Return the console for results, on standard output."""
    return Console(highlight=False)


def say(out: Console, message: str) -> None:
    """Print one line of markup; the terminal wraps it, so that paths and ids stay whole."""
    out.print(message, soft_wrap=True)


def count_of(number: int, noun: str) -> str:
    """Return a number of things in words, such as `1 row` or `1,200 rows`."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def check_can_ask(*, as_json: bool) -> None:
    """
    Refuse a question where one JSON document is all that may be printed.

    Raises:
        click.UsageError: that is so.
    """
    if as_json:
        raise click.UsageError("with --json nobody can be asked; give --yes, too")


def print_json(document: Any) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Turn our errors into a message on standard error and exit code 1."""
    try:
        yield
    except SealedError as error:
        message = str(error)
    else:
        return
    Console(stderr=True, highlight=False).print(
        f"[bold red]sealed:[/] {escape(message)}", soft_wrap=True
    )
    raise click.exceptions.Exit(1)


class Command(click.Command):
    """A command whose errors of ours are messages."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with failing_clearly():
            return super().invoke(ctx)
