"""`sealed index`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from ..advice import number, recommendation, share
from ..counting import Counting
from ..errors import OptionError, ValueRefusedError
from ..guessing import Exposure
from ..index import SLOT_BITS, BlindIndex
from ..padding import MAX_BLOCK
from ..plan import IndexPlan
from ..sealer import DEFAULT
from ..widths import Widths
from .column import TYPES, Name, Source, source
from .database import connected
from .output import Command, console, json_option, print_json, say


@click.group()
def index() -> None:
    """Plan blind indexes."""


@index.command(cls=Command)
@click.argument("url")
@click.argument("column")
@click.option(
    "--normalize",
    multiple=True,
    metavar="NAME",
    help="A normalizer of the index, such as casefold; several are applied in their order.",
)
@click.option(
    "--bits", type=click.IntRange(1, SLOT_BITS), help="Judge this width beside the recommended one."
)
@click.option(
    "--few-values", is_flag=True, help="Accept that an index over few values gives them away."
)
@click.option(
    "--pad",
    type=click.IntRange(2, MAX_BLOCK),
    metavar="BYTES",
    help="The padding that a column still to be sealed will have. By default none.",
)
@click.option(
    "--sample", type=click.IntRange(1), metavar="ROWS", help="Read so many rows, taken by chance."
)
@click.option(
    "--type",
    "type_",
    type=click.Choice(list(TYPES)),
    help="The type of the values. By default what the database says; a sealed column needs it "
    "for numeric, float, datetime-tz and time-tz, where equal values can be written differently.",
)
@click.option(
    "--sealer", default=DEFAULT, show_default=True, help="The key name that opens a sealed column."
)
@click.option(
    "--context", show_default="table.column", help="What a sealed column's values are bound to."
)
@json_option
@click.pass_context
def plan(  # noqa: PLR0913 - one argument an option
    ctx: click.Context,
    url: str,
    column: str,
    normalize: tuple[str, ...],
    bits: int | None,
    *,
    few_values: bool,
    pad: int | None,
    sample: int | None,
    type_: str | None,
    sealer: str,
    context: str | None,
    as_json: bool,
) -> None:
    """
    Say what a blind index over a column would show, and how wide it should be.

    COLUMN is table.column or schema.table.column in the database at URL. A column that is still
    to be sealed is read as it is; one that is sealed is opened with the keys of the environment.
    No value is shown or kept.

    Exits with 1 if fewer than 16 values are there, or possible, unless --few-values is given.
    """
    name = Name.parsed(column)
    if name is None:
        raise click.BadParameter("expects table.column or schema.table.column", param_hint="COLUMN")
    wanted = BlindIndex(normalize=normalize, bits=bits or SLOT_BITS, few_values=few_values)
    with connected(url) as connection:
        found = source(
            connection, name, type_, sealer=sealer, context=context, as_text=bool(normalize)
        )
        if found.is_sealed and pad:
            raise click.BadParameter("a sealed column shows how it is padded", param_hint="--pad")
        planned = _planned(found, wanted, sample=sample, pad=pad)
        rows = found.count() if sample else planned.rows + planned.nulls
    place: dict[str, Any] = {
        "column": column,
        "sealed": found.is_sealed,
        "rows_of_table": rows,
        "rows_read": planned.rows + planned.nulls,
    }
    notes = [*planned.notes, *_sample_notes(planned, place)]
    if as_json:
        print_json(place | _document(planned) | {"notes": notes})
    else:
        _show(place, planned)
        for note in notes:
            console().print(f"- {escape(note)}")
    if planned.is_refused:
        ctx.exit(1)


def _planned(
    found: Source, wanted: BlindIndex, *, sample: int | None, pad: int | None
) -> IndexPlan:
    try:
        counting = Counting(wanted, found.codec, pad=pad)
        for value, length in found.values(sample):
            counting.count(value, length)
        return IndexPlan.counted(counting, wanted)
    except (OptionError, ValueRefusedError) as error:
        problem = error
    raise problem.at(found.name.label)


def _sample_notes(planned: IndexPlan, place: dict[str, Any]) -> Iterator[str]:
    if place["rows_read"] == place["rows_of_table"]:
        return
    yield (
        f"These are figures of {place['rows_read']:,} rows. All {place['rows_of_table']:,} may "
        "have more different values, and one that is in the sample once may be there often."
    )
    if planned.is_unique_like:
        yield "Read all rows before you rely on the values being unique."


def _document(planned: IndexPlan) -> dict[str, Any]:
    return {
        "values": planned.rows,
        "nulls": planned.nulls,
        "distinct": planned.distinct,
        "repeated_share": round(planned.repeated, 6),
        "top_shares": [round(part, 6) for part in planned.shares()],
        "shannon_bits": round(planned.shannon, 4),
        "min_entropy_bits": round(planned.min_entropy, 4),
        "guessed_without_index": planned.without_index,
        "different_lengths": len(planned.by_length),
        "normalize": list(planned.index.normalize),
        "aws_bits": planned.aws,
        "ciphersweet_bits": planned.ciphersweet,
        "widths": [_figures(planned.exposure(bits)) for bits in planned.widths()],
        "refused": planned.is_refused,
        "recommended_bits": planned.recommended,
        "recommended": recommendation(planned),
        "reason": planned.reason,
    }


def _figures(shown: Exposure) -> dict[str, float]:
    return {
        "bits": shown.bits,
        "guessed_by_frequency": round(shown.by_frequency, 1),
        "guessed_with_length": round(shown.with_length, 1),
        "guessed_at_most": round(shown.at_most, 1),
        "rows_per_search": round(shown.per_search, 3),
        "false_matches_per_search": round(shown.false_matches, 3),
        "same_value_share": round(shown.same_value, 6),
        "shannon_bits": round(shown.shannon, 4),
        "min_entropy_bits": round(shown.min_entropy, 4),
    }


def _show(place: dict[str, Any], planned: IndexPlan) -> None:
    out = console()
    read = f"{place['rows_read']:,} of {place['rows_of_table']:,} rows, taken by chance"
    if place["rows_read"] == place["rows_of_table"]:
        read = f"{place['rows_of_table']:,} rows"
    say(
        out,
        f"{escape(place['column'])} ({'sealed' if place['sealed'] else 'not sealed'}): {read}, "
        f"{planned.nulls:,} NULL, {planned.distinct:,} different values{_after(planned)}",
    )
    say(out, f"most frequent   in {', '.join(map(share, planned.shares()))} of the rows")
    say(
        out,
        f"entropy         {planned.shannon:.1f} bits (Shannon), {planned.min_entropy:.1f} bits "
        "(min-entropy)",
    )
    out.print(_table(planned))
    base = share(planned.without_index / planned.rows)
    out.print(
        "guessed: rows that an attacker names rightly who has the table and knows how often each "
        "value is in it: by frequency; by frequency and length, which shows unless it is padded; "
        "and at most, knowing also which values share an index value. Without any index it is "
        f"{base}, by naming the most frequent value of each length.\n"
    )
    say(
        out,
        f"widths by rule  {_widths(planned.aws)} (AWS), {_widths(planned.ciphersweet)} "
        "(CipherSweet)",
    )
    colour = "red" if planned.recommended is None else "green"
    say(out, f"[bold]recommended[/]     [bold {colour}]{escape(recommendation(planned))}[/]")
    out.print(f"{escape(planned.reason)}.")


def _table(planned: IndexPlan) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    headings = (
        "bits", "guessed by frequency", "with length", "at most", "rows read by a search",
        "in vain", "same index = same value", "entropy",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for bits in planned.widths():
        shown = planned.exposure(bits)
        marked = bits == planned.recommended
        table.add_row(
            f"{'> ' if marked else ''}{bits}",
            share(shown.by_frequency / planned.rows),
            share(shown.with_length / planned.rows),
            share(shown.at_most / planned.rows),
            number(shown.per_search),
            number(shown.false_matches),
            share(shown.same_value),
            f"{shown.shannon:.1f}",
            style="bold" if marked else None,
        )
    return table


def _after(planned: IndexPlan) -> str:
    names = planned.index.normalize
    return f" after {', '.join(names)}" if names else ""


def _widths(widths: Widths | None) -> str:
    return "no width" if widths is None else f"{widths[0]} to {widths[1]} bits"
