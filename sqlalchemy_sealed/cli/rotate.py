"""Of `sealed keys`, what turns keys: rotate, and announce-index before it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape

from ..keylife import Every, check_can_announce, check_one_index_key
from ..keymanager import KeyManager
from ..keys import KeyKind, Keyset
from ..sealer import DEFAULT
from .keyoptions import RotateEvery, dry_run_option, kek_option, keystore_option, manager_of
from .keyviews import fields_of
from .output import Command, console, json_option, print_json, say


@click.command(cls=Command)
@click.argument("name", default=DEFAULT)
@keystore_option
@kek_option
@click.option(
    "--index",
    is_flag=True,
    help="Use a new index key from this data key on: the announced one, or one made now.",
)
@click.option("--if-due", is_flag=True, help="Do nothing unless the primary is due.")
@click.option(
    "--rotate-every",
    type=RotateEvery(),
    default=Every.AS_BEFORE,
    show_default="as before",
    help="When the next one is due: 30d, 36h, or never.",
)
@dry_run_option
@json_option
def rotate(  # noqa: PLR0913 - the options
    name: str,
    keystore_line: str,
    kek_line: str,
    rotate_every: Any,
    *,
    index: bool,
    if_due: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Make a new primary data key under NAME (by default "default").

    New values are sealed under it; older values keep their key and stay readable. Running
    applications take it up when they next read the keystore: at a start, at Sealer.refresh(),
    or when they meet the first value sealed under it.
    """
    manager = manager_of(keystore_line, kek_line)
    before = manager.keyset(name)
    keyset: Keyset | None = before
    if dry_run:
        keyset = before if _would_rotate(manager, before, index=index, if_due=if_due) else None
    elif if_due:
        keyset = manager.rotate_if_due(name, index=index, rotate_every=rotate_every)
    else:
        keyset = manager.rotate(name, index=index, rotate_every=rotate_every)
    if as_json:
        shown = manager.keyset(name) if keyset is None else keyset
        would = keyset is not None
        document = fields_of(shown.primary, shown) | {"rotated": would and not dry_run}
        print_json(document | {"dry_run": dry_run, "would_rotate": would and dry_run})
    elif keyset is None:
        say(console(), f"{escape(repr(name))}: not due; nothing was done")
    elif dry_run:
        say(
            console(),
            f"{escape(repr(name))}: a new primary would take the place of "
            f"{before.primary.key_id.hex()} (generation {before.primary.generation})",
        )
    else:
        _say_rotated(name, before, keyset, index=index)


def _would_rotate(manager: KeyManager, keyset: Keyset, *, index: bool, if_due: bool) -> bool:
    """Whether a rotation would make a new primary. What would refuse it, refuses here."""
    if if_due and not keyset.is_due(datetime.now(UTC)):
        return False
    manager.check_provider(keyset)
    if index:
        check_one_index_key(keyset)
    return True


def _say_rotated(name: str, before: Keyset, keyset: Keyset, *, index: bool) -> None:
    made = keyset.primary
    say(
        console(),
        f"[green]✓[/] {escape(repr(name))}: primary is now {made.key_id.hex()} (generation "
        f"{made.generation}); {before.primary.key_id.hex()} stays and opens what it sealed",
    )
    if index and made.index_key_id is not None:
        say(console(), f"  index key is now {made.index_key_id.hex()}")
    if index and made.bridge_key_id is not None:
        say(
            console(),
            f"  {made.bridge_key_id.hex()} is searched, too, until the rows are resealed and the "
            "data keys that name it are destroyed",
        )


@click.command("announce-index", cls=Command)
@click.argument("name", default=DEFAULT)
@keystore_option
@kek_option
@dry_run_option
@json_option
def announce_index(
    name: str, keystore_line: str, kek_line: str, *, dry_run: bool, as_json: bool
) -> None:
    """
    Make the index key that the next `rotate --index` of NAME will use.

    Applications that read the keystore from now on search under it, too. Let all of them
    refresh or restart before you rotate: then none of them misses a row.
    """
    manager = manager_of(keystore_line, kek_line)
    keyset = manager.keyset(name)
    if dry_run:
        check_can_announce(keyset)
        manager.check_provider(keyset)
    else:
        keyset = manager.announce_index(name)
    record = keyset.announced
    if as_json:
        shown = keyset.latest(KeyKind.INDEX) if record is None else record
        document = {} if shown is None else fields_of(shown, keyset)
        print_json(document | {"announced": record is not None, "dry_run": dry_run})
    elif record is None:
        say(console(), f"{escape(repr(name))}: an index key would be announced")
    else:
        say(
            console(),
            f"[green]✓[/] {escape(repr(name))}: index key {record.key_id.hex()} is announced; "
            "when all applications have read the keystore, run "
            f"'sealed keys rotate {escape(name)} --index'",
        )
