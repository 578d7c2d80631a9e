"""Of `sealed keys`, what ends keys: disable and enable, and destroy."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click
from rich.markup import escape
from sqlalchemy import Connection

from ..keylife import check_can_destroy, check_can_disable, check_can_enable
from ..keymanager import KeyManager
from ..keys import KeyKind, KeyRecord, Keyset, KeyState
from ..keystores.connecting import shown
from ..protocols import Keystore
from ..providers.local import LocalRootKey
from ..scan import Scan, check_no_rows, said_rows, scan
from .database import connected
from .keyoptions import KeyId, dry_run_option, found, keystore_of, keystore_option
from .keyviews import fields_of
from .output import (
    Command,
    check_can_ask,
    console,
    count_of,
    json_option,
    print_json,
    say,
)

_NAME = click.option("--name", help="Its key name; by default all names are looked through.")
_SKIPPED = 10
"""How many columns that were not looked at are named."""


def _manager(keystore: Keystore) -> KeyManager:
    """Return what changes states. Nothing is wrapped, so any KEK will do."""
    return KeyManager(keystore, LocalRootKey.from_text(LocalRootKey.generate()))


@click.command(cls=Command)
@click.argument("key_id", metavar="ID", type=KeyId())
@_NAME
@keystore_option
@dry_run_option
@json_option
def disable(
    key_id: bytes, name: str | None, keystore_line: str, *, dry_run: bool, as_json: bool
) -> None:
    """
    Let a key open nothing until it is enabled again.

    What it sealed cannot be read meanwhile. Running applications stop using it when they next read
    the keystore. The primary and index keys in use are refused. Needs the keystore only.
    """
    store = keystore_of(keystore_line)
    keyset, record = found(store, key_id, name)
    check_can_disable(keyset, record)
    if not dry_run:
        keyset = _manager(store).disable(keyset.name, key_id)
    _tell(keyset, key_id, "disabled", dry_run=dry_run, as_json=as_json)


@click.command(cls=Command)
@click.argument("key_id", metavar="ID", type=KeyId())
@_NAME
@keystore_option
@dry_run_option
@json_option
def enable(
    key_id: bytes, name: str | None, keystore_line: str, *, dry_run: bool, as_json: bool
) -> None:
    """Let a disabled key be used again. Needs the keystore only."""
    store = keystore_of(keystore_line)
    keyset, record = found(store, key_id, name)
    check_can_enable(keyset, record)
    if not dry_run:
        keyset = _manager(store).enable(keyset.name, key_id)
    _tell(keyset, key_id, "enabled", dry_run=dry_run, as_json=as_json)


@click.command(cls=Command)
@click.argument("key_id", metavar="ID", type=KeyId())
@_NAME
@keystore_option
@click.option(
    "--scan",
    "urls",
    metavar="URL",
    multiple=True,
    help="A database in which no row may be under the key. Give all that may have some.",
)
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    help="Look in this schema only; several can be given. By default in all.",
)
@click.option("--unscanned", is_flag=True, help="Do not look for rows.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
def destroy(  # noqa: PLR0913 - the options
    key_id: bytes,
    name: str | None,
    keystore_line: str,
    urls: tuple[str, ...],
    schemas: tuple[str, ...],
    *,
    unscanned: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Erase a key. What it sealed can never be opened again.

    A data key is destroyed when no row of the given databases is under it; else it says where they
    are, and the exit code is 1. Disable it first, and wait until all applications have read the
    keystore: one that has not may seal further values under it. Needs the keystore only.
    """
    if not (yes or dry_run):
        check_can_ask(as_json=as_json)
    store = keystore_of(keystore_line)
    keyset, record = found(store, key_id, name)
    check_can_destroy(keyset, record)
    has_rows = record.kind is KeyKind.DATA and record.state is not KeyState.DESTROYED
    if has_rows and unscanned == bool(urls):
        raise click.UsageError(
            "give --scan URL for each database that may have rows under this key, or --unscanned"
        )
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for url in urls if has_rows]
        scans = [_scanned(each, key_id, schemas, as_json=as_json) for each in connections]
        rows = [each for one in scans for each in one.found]
        if rows and as_json:
            _print(keyset, key_id, scans, dry_run=True)
        if rows:
            check_no_rows(key_id, connections, schemas or None)
        asked = not (yes or dry_run)
        if asked:
            _ask(keyset, record)
        if not dry_run:
            # While somebody was asked, there may have come rows.
            again = connections if asked else []
            keyset = _manager(store).destroy(
                keyset.name,
                key_id,
                databases=again,
                schemas=schemas or None,
                unscanned=not again,
            )
    if as_json:
        _print(keyset, key_id, scans, dry_run=dry_run)
    else:
        _tell(keyset, key_id, "destroyed", dry_run=dry_run, as_json=False)


def _scanned(
    connection: Connection, key_id: bytes, schemas: tuple[str, ...], *, as_json: bool
) -> Scan:
    """Look for rows, and say what was looked at."""
    try:
        seen = scan(connection, [key_id], schemas or None)
    finally:
        connection.rollback()  # So that a second look sees what is there then.
    if as_json:
        return seen
    place = shown(connection.engine.url)
    result = said_rows(seen.found) if seen.found else "no row under this key"
    columns, tables = count_of(seen.columns, "column"), count_of(seen.tables, "table")
    say(console(), f"{escape(place)}: {columns} of {tables}: {escape(result)}")
    if seen.skipped:
        more = len(seen.skipped) - _SKIPPED
        named = ", ".join(seen.skipped[:_SKIPPED]) + (f" and {more} more" if more > 0 else "")
        say(console(), f"  not looked into: {escape(named)}")
    return seen


def _ask(keyset: Keyset, record: KeyRecord) -> None:
    if record.kind is KeyKind.DATA and record.state is KeyState.ENABLED:
        say(
            console(),
            "[yellow]mind:[/] the key is not disabled. An application that has not read the "
            "keystore since it was retired may seal further values under it, which are lost then.",
        )
    click.confirm(
        f"Destroy {record.kind} key {record.key_id.hex()} of {keyset.name!r} for ever?", abort=True
    )


def _tell(keyset: Keyset, key_id: bytes, word: str, *, dry_run: bool, as_json: bool) -> None:
    record = keyset.get(key_id)
    assert record is not None  # noqa: S101 - it was found
    if as_json:
        print_json(fields_of(record, keyset) | {"dry_run": dry_run})
        return
    whose = f"{record.kind} key {key_id.hex()} of {escape(repr(keyset.name))}"
    if dry_run:
        say(console(), f"{whose} would be {word}")
    else:
        say(console(), f"[green]✓[/] {whose} is {word}")


def _print(keyset: Keyset, key_id: bytes, scans: list[Scan], *, dry_run: bool) -> None:
    record = keyset.get(key_id)
    assert record is not None  # noqa: S101 - it was found
    document: dict[str, Any] = fields_of(record, keyset) | {"dry_run": dry_run}
    document["scans"] = [
        {
            "tables": each.tables,
            "columns": each.columns,
            "skipped": list(each.skipped),
            "found": [{"where": rows.where, "rows": rows.rows} for rows in each.found],
        }
        for each in scans
    ]
    print_json(document)
