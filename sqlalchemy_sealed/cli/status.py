"""`sealed status`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from .. import environment
from ..keys import Keyset
from ..reseal.latching import LatchResult, turn_latches
from ..reseal.models import SealedColumn, loaded, sealed_columns
from ..reseal.proof import ColumnStatus, State, Status
from ..reseal.proof import status as counted
from ..sealer import get_sealer
from .database import reached
from .keyoptions import keystore_of, keystore_option
from .output import Command, console, count_of, json_option, print_json, say
from .resealoptions import columns_arguments

_HEADINGS = ("rows", "current", "stale", "plaintext", "foreign", "NULL")


@click.command(cls=Command)
@columns_arguments
@keystore_option
@click.option(
    "--require", is_flag=True, help="Exit with 1 unless every value is sealed as it would be now."
)
@click.option(
    "--latch",
    is_flag=True,
    help="Where no plaintext is left, end its reading for good, in every process. Exit with 1 if "
    "some is left.",
)
@json_option
@click.pass_context
def status(  # noqa: PLR0913 - the options
    ctx: click.Context,
    models: str,
    names: tuple[str, ...],
    url: str,
    keystore_line: str,
    *,
    require: bool,
    latch: bool,
    as_json: bool,
) -> None:
    """
    Count how values are sealed: under the primary, under older keys, not at all.

    The database counts, and no key is needed: the keystore says which key ids are known. Without a
    keystore they are listed as they are.

    MODULE:OBJECT is a MetaData, a declarative base, a mapped class or a Table of the application;
    NAMEs are tables and table.columns of it, by default all that are sealed.

    --latch is for columns that are encrypted in place, declared with plaintext_until=, when all
    that write to them seal. Without it nothing is written: the count says whether it would be
    turned.
    """
    loaded_models = loaded(models)
    columns = sealed_columns(loaded_models, names)
    latches: list[LatchResult] = []
    with reached(url) as engine:
        if latch:
            latches = turn_latches(engine, loaded_models, names)
        found = counted(engine, columns, _keysets(columns, keystore_line))
    if as_json:
        document = found.document()
        if latch:
            document["latches"] = [each.document() for each in latches]
        print_json(document)
    else:
        _show(found)
        _show_latches(latches)
    if (require and not found.is_proven) or not all(each.turned for each in latches):
        ctx.exit(1)


def _keysets(columns: Iterable[SealedColumn], line: str) -> dict[str, Keyset]:
    """
    Return the keysets of the sealers, as they are in their keystores now.

    There is none without a keystore: nothing says where it is, and the default file is not there.
    """
    keysets = {}
    is_default = line == environment.DEFAULT_KEYSTORE and not os.environ.get(
        environment.KEYSTORE_VARIABLE
    )
    is_there = not is_default or Path(line).exists()
    for name in dict.fromkeys(column.type.settings.sealer for column in columns):
        keeper = get_sealer(name).keeper
        if keeper is not None:
            keysets[name] = keeper.manager.keyset(keeper.name)
        elif is_there:
            keysets[name] = Keyset(name, keystore_of(line).load(name))
    return keysets


def _show(found: Status) -> None:
    out = console()
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("column", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found.columns:
        table.add_row(escape(each.column.label), *_row(each))
    if table.__rich_measure__(out, out.options.update(max_width=10_000)).maximum <= out.width:
        out.print(table)
    else:  # It has no room; nothing of a name or a number may be cut off.
        for each in found.columns:
            say(out, f"[bold]{escape(each.column.label)}[/]")
            for heading, number in zip(_HEADINGS, _row(each), strict=True):
                say(out, f"  {heading:9}  {number}")
    for each in found.columns:
        for line in _labels(each):
            say(out, line)
    if found.is_proven:
        say(out, "[green]✓[/] every value is sealed as it would be now")
    elif not all(each.is_known for each in found.columns):
        say(
            out,
            "[yellow]![/] no keystore says which keys are known; name it by --keystore or "
            "SEALED_KEYSTORE",
        )


def _show_latches(latches: Iterable[LatchResult]) -> None:
    for each in latches:
        names = escape(", ".join(each.columns))
        if each.turned:
            said = f"[green]✓[/] {names}: plaintext is not read any more (latch of {each.turned})"
        else:
            left = count_of(each.plaintext, "value")
            said = f"[yellow]![/] {names}: {left} in plaintext; the latch is not turned"
        say(console(), said)


def _row(each: ColumnStatus) -> list[str]:
    def marked(number: int, style: str) -> str:
        return f"[{style}]{number:,}[/]" if number else "0"

    return [
        f"{each.rows:,}",
        marked(each.current, "green") if each.is_known else "?",
        marked(each.stale, "yellow") if each.is_known else "?",
        marked(each.plaintext, "red"),
        marked(each.foreign, "red") if each.is_known else "?",
        f"{each.nulls:,}",
    ]


def _labels(each: ColumnStatus) -> Iterator[str]:
    """Yield a line for each key that values of a column are under, if it is not the primary."""
    for one in each.labels:
        if one.state is State.CURRENT:
            continue
        form = f"suite {one.suite}, {count_of(one.slots, 'slot')}"
        said = "key not judged" if one.state is State.UNKNOWN else str(one.state)
        yield f"{escape(each.column.label)}: {one.rows:,} under {one.key_id.hex()} ({said}, {form})"
