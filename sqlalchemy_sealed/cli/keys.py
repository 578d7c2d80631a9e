"""`sealed init` and `sealed keys`."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from .. import environment, secretfile
from ..errors import KeystoreError
from ..keymanager import KeyManager
from ..keys import KeyRecord, Keyset
from ..keystores.file import FileKeystore
from ..providers.local import ROOT_KEY_VARIABLE, LocalRootKey
from ..sealer import DEFAULT
from .output import Command, console, json_option, print_json, say

F = TypeVar("F", bound=Callable[..., Any])


def keystore_option(command: F) -> F:
    """Add `--keystore` to a command."""
    return click.option(
        "--keystore",
        type=click.Path(dir_okay=False, path_type=Path),
        default=environment.keystore_path,
        show_default="SEALED_KEYSTORE, or sealed.keys.json",
        help="The keystore file.",
    )(command)


@click.command(cls=Command)
@keystore_option
@click.option(
    "--root-key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=environment.root_key_path,
    show_default="SEALED_ROOT_KEY_FILE, or sealed.root.key",
    help="The root key file. Not used when SEALED_ROOT_KEY is set.",
)
@click.option("--name", default=DEFAULT, show_default=True, help="The name of the first key.")
@json_option
def init(keystore: Path, root_key_file: Path, name: str, *, as_json: bool) -> None:
    """
    Make a root key and a keystore with a first data key.

    The root key wraps the data keys in the keystore. Keep the two apart: who has both, and the
    database, can open everything. Neither is ever overwritten. Run it again with another --name
    to add a key to the same keystore.
    """
    made_root_key = False
    if os.environ.get(ROOT_KEY_VARIABLE):
        provider, place = LocalRootKey.from_env(), f"${ROOT_KEY_VARIABLE}"
    else:
        if not root_key_file.exists():
            if keystore.exists():
                raise KeystoreError(
                    "there is a keystore here, but not its root key; give the root key it was "
                    f"made with, by {ROOT_KEY_VARIABLE} or --root-key-file",
                    where=str(keystore),
                )
            secretfile.create(root_key_file, LocalRootKey.generate().encode() + b"\n", "root key")
            made_root_key = True
        provider, place = LocalRootKey.from_file(root_key_file), str(root_key_file)
    keyset = KeyManager(FileKeystore(keystore), provider).create(name)
    if as_json:
        print_json(
            {"root_key": place, "made_root_key": made_root_key, "keystore": str(keystore)}
            | {"keys": [_fields(record, keyset) for record in keyset.records]}
        )
        return
    out = console()
    say(out, f"[green]✓[/] root key   {'made' if made_root_key else 'used'}: {escape(place)}")
    say(out, f"[green]✓[/] keystore   {escape(str(keystore))}")
    say(out, f"[green]✓[/] data key   {escape(repr(name))}, id {keyset.primary.key_id.hex()}")
    say(
        out,
        "\nKeep the root key out of version control, out of the database and out of its "
        "backups;\nkeep a copy of both files where you will find it: without them the data is "
        "lost.\n\nIn the application:\n\n"
        "    from sqlalchemy_sealed import configure_from_env\n"
        f"    configure_from_env({'' if name == DEFAULT else escape(repr(name))})",
    )


@click.group()
def keys() -> None:
    """List and rotate the keys of a keystore. Rows are not touched."""


@keys.command("list", cls=Command)
@keystore_option
@click.option("--name", help="Only this key name.")
@json_option
def list_keys(keystore: Path, name: str | None, *, as_json: bool) -> None:
    """Show the keys. Needs the keystore only, not the root key."""
    store = FileKeystore(keystore)
    keysets = [Keyset(n, store.load(n)) for n in ([name] if name else store.names())]
    if as_json:
        print_json([_fields(record, keyset) for keyset in keysets for record in keyset.records])
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("name", "kind", "gen.", "id", "state", "created", "age"):
        table.add_column(heading, justify="right" if heading in ("gen.", "age") else "left")
    table.columns[3].no_wrap = True
    for keyset in keysets:
        for record in keyset.records:
            table.add_row(*_row(record, keyset))
    console().print(table)


@keys.command(cls=Command)
@click.argument("name", default=DEFAULT)
@keystore_option
@click.option(
    "--index",
    is_flag=True,
    help="Use a new index key from this data key on: the announced one, or one made now.",
)
@json_option
def rotate(name: str, keystore: Path, *, index: bool, as_json: bool) -> None:
    """
    Make a new primary data key under NAME (by default "default").

    New values are sealed under it; older values keep their key and stay readable. Running
    applications take it up when they next read the keystore: at a start, at Sealer.refresh(),
    or when they meet the first value sealed under it.
    """
    manager = KeyManager(FileKeystore(keystore), environment.root_key())
    old = manager.keyset(name).primary
    keyset = manager.rotate(name, index=index)
    if as_json:
        print_json(_fields(keyset.primary, keyset))
        return
    say(
        console(),
        f"[green]✓[/] {escape(repr(name))}: primary is now {keyset.primary.key_id.hex()} "
        f"(generation {keyset.primary.generation}); {old.key_id.hex()} stays and opens what it "
        "sealed",
    )
    made = keyset.primary
    if index and made.index_key_id is not None:
        say(console(), f"  index key is now {made.index_key_id.hex()}")
    if index and made.bridge_key_id is not None:
        say(
            console(),
            f"  {made.bridge_key_id.hex()} is searched, too, until the rows are resealed and the "
            "data keys that name it are destroyed",
        )


@keys.command("announce-index", cls=Command)
@click.argument("name", default=DEFAULT)
@keystore_option
@json_option
def announce_index(name: str, keystore: Path, *, as_json: bool) -> None:
    """
    Make the index key that the next `rotate --index` of NAME will use.

    Applications that read the keystore from now on search under it, too. Let all of them
    refresh or restart before you rotate: then none of them misses a row.
    """
    keyset = KeyManager(FileKeystore(keystore), environment.root_key()).announce_index(name)
    record = keyset.announced
    assert record is not None  # noqa: S101 - it was just made
    if as_json:
        print_json(_fields(record, keyset))
        return
    say(
        console(),
        f"[green]✓[/] {escape(repr(name))}: index key {record.key_id.hex()} is announced; when "
        f"all applications have read the keystore, run 'sealed keys rotate {escape(name)} --index'",
    )


def _fields(record: KeyRecord, keyset: Keyset) -> dict[str, Any]:
    return {
        "name": record.name,
        "kind": str(record.kind),
        "generation": record.generation,
        "id": record.key_id.hex(),
        "state": str(record.state),
        "primary": record == keyset.primary,
        "created": record.created.isoformat(),
        "bridge_key_id": record.bridge_key_id.hex() if record.bridge_key_id else None,
        "index_key_id": record.index_key_id.hex() if record.index_key_id else None,
    }


def _row(record: KeyRecord, keyset: Keyset) -> list[str]:
    state = str(record.state) + (", primary" if record == keyset.primary else "")
    if record == keyset.announced:
        state = "announced"
    age = datetime.now(UTC) - record.created
    created = record.created.astimezone(UTC).date().isoformat()
    return [
        record.name,
        str(record.kind),
        str(record.generation),
        record.key_id.hex(),
        state,
        created,
        f"{age.days} days",
    ]
