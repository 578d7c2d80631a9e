"""`sealed fips`."""

from __future__ import annotations

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ..algorithms import Algorithm, Standing
from ..fips import FIPSReport, LinkedOpenSSL, fips_report
from .output import Command, console, json_option, print_json, say

_STYLES = {
    Standing.APPROVED: "green",
    Standing.CONDITIONAL: "yellow",
    Standing.COMPOSED: "yellow",
    Standing.ELSEWHERE: "",
}
_MODES = {True: "FIPS mode", False: "not in FIPS mode", None: "FIPS mode unknown"}
_RESULTS = {True: "right", False: "[red]fails[/]", None: ""}


@click.command(cls=Command)
@click.option(
    "--require", is_flag=True, help="Exit with 1 unless a FIPS provider runs in both OpenSSLs."
)
@json_option
@click.pass_context
def fips(ctx: click.Context, *, require: bool, as_json: bool) -> None:
    """
    Say whether OpenSSL runs a FIPS provider, and which algorithms are approved.

    Looks at this process, so run it where the application runs, in its environment and with its
    settings of OpenSSL. Each algorithm is tried. Nothing is changed.

    Exit code 0, whatever it finds; with --require 1 unless a FIPS provider computes all that is
    computed here. That is a condition of FIPS 140, and not validation.
    """
    report = fips_report()
    if as_json:
        print_json(_document(report))
    else:
        _show(report, console())
    if require and not report.provider_runs:
        ctx.exit(1)


def _document(report: FIPSReport) -> dict[str, Any]:
    return {
        "provider_runs": report.provider_runs,
        "cryptography": _fields(report.cryptography),
        "python": _fields(report.python),
        "kernel_fips_mode": report.kernel,
        "algorithms": [
            {
                "name": each.name,
                "uses": list(each.uses),
                "standard": each.standard,
                "standing": each.standing.value,
                "caveat": each.caveat,
                "computed_by": each.place.value,
                "runs": each.runs,
            }
            for each in report.algorithms
        ],
        "notes": list(report.notes),
        "statement": report.statement,
    }


def _fields(library: LinkedOpenSSL) -> dict[str, Any]:
    return {
        "version": library.version,
        "fips_mode": library.fips_mode,
        "works": library.works,
        "provider_runs": library.provider_runs,
    }


def _show(report: FIPSReport, out: Console) -> None:
    for library in (report.cryptography, report.python):
        mode = _MODES[library.fips_mode]
        works = "" if library.works else ", [red]and does not work[/]"
        say(out, f"{library.user.value:<14}{escape(library.version)}, {mode}{works}")
    say(out, f"{'kernel':<14}{_MODES[report.kernel]}")
    if report.provider_runs:
        say(out, "[green]✓[/] a FIPS provider computes what is computed here; see below")
    else:
        say(out, "[red]✗[/] no FIPS provider computes all that is computed here")
    out.print(_table(report.algorithms))
    for each in report.algorithms:
        out.print(f"[bold]{escape(each.name)}[/] ({escape(each.standard)})")
        text = f"for {escape('; '.join(each.uses))}\n{escape(each.caveat)}\n"
        out.print(Padding(text, (0, 0, 0, 2)))
    for note in report.notes:
        out.print(f"- {escape(note)}")
    out.print(f"\n{escape(report.statement)}")


def _table(algorithms: tuple[Algorithm, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("algorithm", "standing", "computed by", "tried"):
        table.add_column(heading)
    for each in algorithms:
        style = _STYLES[each.standing]
        standing = f"[{style}]{each.standing.value}[/]" if style else each.standing.value
        table.add_row(escape(each.name), standing, each.place.value, _RESULTS[each.runs])
    return table
