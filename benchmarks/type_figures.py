"""The page of the documentation with the figures of types, and its picture, from one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from common import Report, Result
from type_loads import COLLECTED, ORM, PACKAGE
from type_tables import OPERATIONS
from type_ways import BY_HAND, FLOOR, OURS, PLAIN, POSTGRESQL, SQLITE

DOCS = Path(__file__).parents[1] / "docs" / "explanation"
PAGE, PICTURE = "type-figures.md", "type-figures.svg"
IMPORT_BAR = 30.0
"""Milliseconds."""
INTRODUCTION = """\
Made by `python benchmarks/bench_types.py --docs`; [Performance](performance.md#sealed-types) says
what they mean. Times are microseconds a row of three texts of 20 characters, medians of one run in
which all sides took turns. The bound is what the ratio before it should not exceed."""


@dataclass
class Figures:
    """
    What is not a time of a case.

    Attributes:
        skipped: for each package that took no part why not.
        sizes: bytes of a row on disk, by database and way.
        memory: peaks of a streamed read in KiB, by database and way.
        imports: milliseconds, by what is imported.
    """

    skipped: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    imports: dict[str, float] = field(default_factory=dict)

    def added_import(self, when: str = "") -> float:
        """Milliseconds that the package adds to the import of sqlalchemy.orm."""
        return self.imports[PACKAGE + when] - self.imports[ORM + when]

    def counts(self) -> dict[str, int]:
        """Return all of it by what it says, in whole numbers."""
        counts = {
            f"bytes of a row on disk, {database}, {way}": round(size)
            for database, sizes in self.sizes.items()
            for way, size in sizes.items()
        }
        for database, peaks in self.memory.items():
            for way, (few, all_) in peaks.items():
                counts[f"KiB, streamed, a tenth of the rows, {database}, {way}"] = round(few)
                counts[f"KiB, streamed, all rows, {database}, {way}"] = round(all_)
        for name, milliseconds in self.imports.items():
            counts[f"ms, a Python that imports {name}"] = round(milliseconds)
        for when in (COLLECTED, ""):
            counts[f"ms, added by sqlalchemy_sealed{when} (bound {IMPORT_BAR:.0f})"] = round(
                self.added_import(when)
            )
        return counts


def write_docs(report: Report, figures: Figures) -> None:
    """Write the page and the picture."""
    (DOCS / PAGE).write_text(page(report, figures))
    (DOCS / PICTURE).write_text(picture(report.results))


def page(report: Report, figures: Figures) -> str:
    """Return the page."""
    parts = [
        "# Figures of sealed types",
        INTRODUCTION,
        f"![What each adds to a plain column]({PICTURE})",
        "## Against a plain column and AES-GCM by hand",
    ]
    parts += [_floor_table(report.results, database) for database in (POSTGRESQL, SQLITE)]
    parts += ["## The two processors alone", _values_table(report.results)]
    parts.append("## Against other packages")
    parts += [_peer_table(report.results, database) for database in (POSTGRESQL, SQLITE)]
    if figures.skipped:
        skipped = (f"{name}: {reason}" for name, reason in figures.skipped.items())
        parts.append("Not timed: " + "; ".join(skipped) + ".")
    parts += ["## Disk, memory, import", _sizes_table(figures), _rest_table(figures)]
    parts.append(", ".join(f"{name} {value}" for name, value in report.settings.items()) + ".")
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _section(results: list[Result], section: str) -> dict[str, Result]:
    return {result.name: result for result in results if result.section == section}


def _ratio(result: Result | None) -> str:
    if result is None or result.ratio is None:
        return ""
    number = f"{result.ratio:.2f}"
    if result.bar is None:
        return number
    return f"{number} ({'≤' if result.is_met else '**above**'} {result.bar:.2f})"


def _floor_table(results: list[Result], database: str) -> str:
    rows = []
    for operation in OPERATIONS:
        found = _section(results, f"{database}, {operation}")
        times = [f"{found[way].microseconds:.1f}" for way in (PLAIN, FLOOR, BY_HAND, OURS)]
        ratios = [_ratio(found[OURS]), _ratio(found[f"{OURS}, against plain"])]
        rows.append([operation, *times, *ratios])
    return _table([database, PLAIN, FLOOR, BY_HAND, OURS, "ours / by hand", "ours / plain"], rows)


def _values_table(results: list[Result]) -> str:
    sections = dict.fromkeys(r.section for r in results if " processor, " in r.section)
    rows = []
    for section in sections:
        found = _section(results, section)
        times = [f"{found[way].microseconds:.2f}" for way in (FLOOR, OURS)]
        rows.append([section, *times, _ratio(found[OURS])])
    return _table(["microseconds a value", FLOOR, OURS, "ratio"], rows)


def _peer_table(results: list[Result], database: str) -> str:
    sections = {
        operation: _section(results, f"{database}, {operation}, beside other packages")
        for operation in OPERATIONS
    }
    names = [name for name in next(iter(sections.values())) if "time added" not in name]
    rows = []
    for name in names:
        cells = [found[name] for found in sections.values()]
        rows.append([name, *(_with_ratio(cell) for cell in cells)])
    last = [found.get(f"{OURS}, time added") for found in sections.values()]
    if names:
        rows.append(["ours adds, of what the nearest adds", *map(_ratio, last)])
    return _table([f"{database}: µs (ratio to plain)", *OPERATIONS], rows)


def _with_ratio(result: Result) -> str:
    ratio = "" if result.ratio is None else f" ({result.ratio:.2f})"
    return f"{result.microseconds:.1f}{ratio}"


def _sizes_table(figures: Figures) -> str:
    names = dict.fromkeys(name for sizes in figures.sizes.values() for name in sizes)
    rows = [
        [name, *(f"{s[name]:.0f}" if name in s else "" for s in figures.sizes.values())]
        for name in names
    ]
    return _table(["bytes a row on disk", *figures.sizes], rows)


def _rest_table(figures: Figures) -> str:
    rows = [
        [f"peak of a streamed read, {database}, {way}", f"{few:.0f} KiB", f"{all_:.0f} KiB"]
        for database, peaks in figures.memory.items()
        for way, (few, all_) in peaks.items()
    ]
    bound = f"bound {IMPORT_BAR:.0f} ms"
    added = "`import sqlalchemy_sealed`, after `sqlalchemy.orm`"
    rows.append([f"{added}{COLLECTED}", f"{figures.added_import(COLLECTED):.0f} ms", bound])
    rows.append([f"{added}, as it comes", f"{figures.added_import():.0f} ms", bound])
    return _table(["", "a tenth of the rows", "all rows"], rows)


# -- the picture

_WIDTH, _LEFT, _BAR, _GAP = 760, 250, 14, 6


def picture(results: list[Result]) -> str:
    """Return an SVG: what each way adds to a plain column, ORM select and bulk insert."""
    parts: list[str] = []
    top = 30
    for operation in ("ORM select", "ORM bulk insert"):
        found = _section(results, f"{POSTGRESQL}, {operation}, beside other packages")
        names = [name for name in found if name != PLAIN and "time added" not in name]
        adds = {
            name: max(0.0, found[name].microseconds - found[PLAIN].microseconds)
            for name in names
            if "pgcrypto" not in name
        }
        parts.append(_text(10, top, f"{operation}, PostgreSQL: µs a row, added to a plain one", 13))
        top += 14
        for name, microseconds in sorted(adds.items(), key=lambda item: item[1]):
            parts.append(_one_bar(top, name, microseconds, max(adds.values(), default=1.0)))
            top += _BAR + _GAP
        top += 26
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" '
        'font-family="sans-serif">\n<rect width="100%" height="100%" fill="#fff"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _one_bar(top: int, name: str, microseconds: float, largest: float) -> str:
    width = round((_WIDTH - _LEFT - 70) * microseconds / largest, 1)
    colour = "#0b6e4f" if name == OURS else "#9aa5b1"
    return (
        f'{_text(10, top + 11, name, 12)}\n<rect x="{_LEFT}" y="{top}" width="{width}" '
        f'height="{_BAR}" fill="{colour}"/>\n'
        f"{_text(_LEFT + width + 6, top + 11, f'{microseconds:.1f}', 12)}"
    )


def _text(left: float, top: int, words: str, size: int) -> str:
    return f'<text x="{left:g}" y="{top}" font-size="{size}" fill="#222">{words}</text>'
