"""Keys as commands show them: as rows of a table, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from ..keylife import Stage, stage
from ..keys import KeyKind, KeyRecord, Keyset
from .output import count_of

_STYLES = {
    Stage.PRIMARY: "green",
    Stage.ANNOUNCED: "yellow",
    Stage.DISABLED: "yellow",
    Stage.DESTROYED: "red",
}


def fields_of(record: KeyRecord, keyset: Keyset) -> dict[str, Any]:
    """Return what is public of a key, as JSON has it."""
    is_primary = record == keyset.primary
    return {
        "name": record.name,
        "kind": str(record.kind),
        "generation": record.generation,
        "id": record.key_id.hex(),
        "state": str(record.state),
        "stage": stage(record, keyset).value,
        "primary": is_primary,
        "created": record.created.isoformat(),
        "due": None if record.due is None else record.due.isoformat(),
        "overdue": is_primary and keyset.is_due(datetime.now(UTC)),
        "bridge_key_id": record.bridge_key_id.hex() if record.bridge_key_id else None,
        "index_key_id": record.index_key_id.hex() if record.index_key_id else None,
    }


def table_of(keysets: Iterable[Keyset]) -> Table:
    """Return the table of all keys of some key names."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "kind", "gen.", "id", "state", "created", "rotation"):
        table.add_column(heading, justify="right" if heading == "gen." else "left")
    table.columns[3].no_wrap = True
    for keyset in keysets:
        for record in keyset.records:
            table.add_row(*_row(record, keyset))
    return table


def _row(record: KeyRecord, keyset: Keyset) -> list[str]:
    where = stage(record, keyset)
    word = where.value
    if record == keyset.primary and where is not Stage.PRIMARY:
        word = f"{word}, primary"
    style = _STYLES.get(where)
    return [
        escape(record.name if record.name.isprintable() else repr(record.name)),
        str(record.kind),
        str(record.generation),
        record.key_id.hex(),
        f"[{style}]{word}[/]" if style else word,
        record.created.astimezone(UTC).date().isoformat(),
        due_of(record, keyset, datetime.now(UTC)),
    ]


def due_of(record: KeyRecord, keyset: Keyset, now: datetime) -> str:
    """Return when a primary is to be replaced, in words; nothing for other keys."""
    if record.kind is not KeyKind.DATA or record != keyset.primary:
        return ""
    if record.due is None:
        return "never due"
    days = abs(record.due - now).days
    count = count_of(days, "day")
    if record.due > now:
        return f"due in {count}" if days else "due in less than a day"
    return f"[red]overdue for {count}[/]" if days else "[red]overdue[/]"
