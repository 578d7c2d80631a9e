"""The `sealed demo` command: runs the registry and shows it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ...keystores.connecting import shown
from ..output import Command, console, json_option, print_json, say
from .model import SEALED_COLUMNS, TABLE
from .records import people
from .registry import Found, Refusal, Registry, connect, make_keys


@dataclass
class Findings:
    """What the demonstration found. `as_expected` decides the exit code."""

    database: str
    keys: str
    records: int
    application_sees: dict[str, Any] = field(default_factory=dict)
    database_sees: dict[str, str] = field(default_factory=dict)
    readable_values: int = -1
    search: Found | None = None
    refusals: list[Refusal] = field(default_factory=list)
    rows_by_key_after_rotation: dict[str, int] = field(default_factory=dict)
    read_after_rotation: int = -1

    @property
    def as_expected(self) -> bool:
        """Whether nothing was readable, everything wrong was refused, all else was found."""
        return (
            self.readable_values == 0
            and self.search is not None
            and self.search.patients == [1]
            and len(self.refusals) == 4
            and all(refusal.error for refusal in self.refusals)
            and len(self.rows_by_key_after_rotation) == 2
            and self.read_after_rotation == self.records + 1
        )


@click.command(cls=Command)
@click.argument("url", required=False)
@click.option(
    "--records",
    type=click.IntRange(1, 100_000),
    default=300,
    show_default=True,
    help="How many patients to write.",
)
@click.option(
    "--keep", is_flag=True, help="Leave the table in a database given by URL, and its keys."
)
@json_option
@click.pass_context
def demo(ctx: click.Context, url: str | None, records: int, *, keep: bool, as_json: bool) -> None:
    """
    Create a small patient registry and show what the database holds of it.

    URL is a SQLite or PostgreSQL database, such as postgresql://user:password@localhost/test.
    Without it a SQLite file is made in a temporary folder and left there to look at, with its
    keys. With it, table and keys are removed at the end; nothing else is touched.

    Exits with 1 if anything was readable or accepted that should not be.
    """
    kept = keep or not url
    with temporary_folder(kept=kept) as folder:
        engine = connect(url or f"sqlite:///{folder / 'patients.sqlite'}")
        registry = Registry(engine, make_keys(folder))
        findings = Findings(shown(engine.url), str(folder), records)
        show = Show(Console(quiet=True) if as_json else console(), findings)
        registry.create()
        try:
            run(registry, findings, show)
        finally:
            if not kept:
                registry.drop()
            engine.dispose()
    if as_json:
        print_json(asdict(findings) | {"as_expected": findings.as_expected})
    else:
        show.end(kept=kept, own_file=not url)
    if not findings.as_expected:
        ctx.exit(1)


@contextmanager
def temporary_folder(*, kept: bool) -> Iterator[Path]:
    """Make a folder, and remove it at the end; if it is to be kept, only after an error."""
    folder = Path(tempfile.mkdtemp(prefix="sealed-demo-"))
    try:
        yield folder
    except BaseException:
        kept = False
        raise
    finally:
        if not kept:
            shutil.rmtree(folder)


def run(registry: Registry, findings: Findings, show: Show) -> None:
    """Do everything once, filling in the findings."""
    everybody = people(findings.records + 1)
    patients, newcomer = everybody[:-1], everybody[-1]
    show.start()
    with show.progress(len(patients)) as advance:
        for written in registry.write(patients):
            advance(written)

    findings.application_sees = {k: _plain(v) for k, v in registry.read(1).items()}
    findings.database_sees = {k: v.hex() for k, v in registry.stored(1).items()}
    findings.readable_values = registry.readable_values(patients)
    show.both_sides()

    findings.search = registry.find(patients[0].email.upper())
    show.search()

    for refusal in registry.refusals(1):
        findings.refusals.append(refusal)
    show.refusals()

    before = registry.sealer.keyset.primary.key_id.hex()
    after = registry.sealer.rotate().primary.key_id.hex()
    list(registry.write([newcomer]))
    findings.rows_by_key_after_rotation = registry.rows_by_key()
    findings.read_after_rotation = sum(
        found == person for found, person in zip(registry.read_all(), everybody, strict=True)
    )
    show.rotation(before, after)


class Show:
    """Prints the findings, one part after the other."""

    def __init__(self, out: Console, findings: Findings) -> None:
        self.out = out
        self.findings = findings

    def _say(self, message: str) -> None:
        say(self.out, message)

    def start(self) -> None:
        """Print where everything is."""
        self.out.rule("[bold]sealed demo")
        self._say(f"database  {self.findings.database}, table {TABLE}")
        self._say(f"keys      {self.findings.keys}\n")

    @contextmanager
    def progress(self, total: int) -> Iterator[Any]:
        """Show the progress of writing."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.out) as progress:
            task = progress.add_task("writing patients", total=total)
            yield lambda count: progress.advance(task, count)

    def both_sides(self) -> None:
        """Print one patient as the application and as the database see it."""
        table = Table(title="\nPatient 1", title_justify="left", expand=False)
        table.add_column("column")
        table.add_column("the application sees", style="green", overflow="fold")
        table.add_column("the database holds", style="red")
        for column in SEALED_COLUMNS:
            stored = bytes.fromhex(self.findings.database_sees[column])
            table.add_row(
                column,
                str(self.findings.application_sees[column]),
                _excerpt(stored),
            )
        self.out.print(table)
        readable = self.findings.readable_values
        self._say(
            f"{_mark(readable == 0)} {4 * self.findings.records} names, addresses, numbers and "
            f"dates written, {readable} of them readable in the table\n"
        )

    def search(self) -> None:
        """Print what was asked for, what the database was sent and what it found."""
        found = self.findings.search
        assert found is not None  # noqa: S101 - it was just made
        numbers = ", ".join(map(str, found.patients)) or "nobody"
        query = f'Patient.email == "{escape(found.asked)}"'
        self._say(f"{_mark(found.patients == [1])} {query} finds: patient {numbers}")
        self._say(f"    the database was sent {len(found.sent) // 2} bytes: {found.sent}")
        self._say("    the price: equal addresses have equal index values, and that shows\n")

    def refusals(self) -> None:
        """Print what was tried and how it was refused."""
        for refusal in self.findings.refusals:
            self._say(f"{_mark(bool(refusal.error))} {refusal.deed}")
            self._say(f"    [red]{refusal.error or 'NOT REFUSED'}[/]: {escape(refusal.message)}")
        self.out.print()

    def rotation(self, before: str, after: str) -> None:
        """Print what a new key changed."""
        counts = self.findings.rows_by_key_after_rotation
        self._say(f"key rotated: {before} → {after}, one more patient written")
        for key_id, rows in sorted(counts.items(), key=lambda item: item[0] == after):
            self._say(f"    {rows:>6} rows under {key_id}  (counted in SQL, without a key)")
        everything = self.findings.records + 1
        self._say(
            f"{_mark(self.findings.read_after_rotation == everything)} "
            f"{self.findings.read_after_rotation} of {everything} patients read and compared\n"
        )

    def end(self, *, kept: bool, own_file: bool) -> None:
        """Print the result and what is left to look at."""
        if self.findings.as_expected:
            self._say("[bold green]Everything as it should be.[/]")
        else:
            self._say("[bold red]Something was readable or accepted that should not be.[/]")
        if own_file:
            path = self.findings.database.removeprefix("sqlite:///")
            query = f"SELECT hex(email) FROM {TABLE} LIMIT 3"  # noqa: S608 - a text to read
            self._say(f'Look for yourself:  sqlite3 {path} "{query}"')
        elif kept:
            self._say(f"The table {TABLE} was kept.")


def _mark(good: bool) -> str:  # noqa: FBT001 - a mark is good or bad
    return "[green]✓[/]" if good else "[bold red]✗[/]"


def _excerpt(stored: bytes) -> str:
    """Return magic and suite, key id, and the end of the ciphertext."""
    return f"{stored[:4].hex()} {stored[4:12].hex()} … {stored[-6:].hex()}  ({len(stored)} bytes)"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | dict) else str(value)
