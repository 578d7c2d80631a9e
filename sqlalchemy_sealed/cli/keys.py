"""`sealed init`, and of `sealed keys` what makes and shows keys."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from .. import environment, secretfile
from ..errors import ConfigurationError, KeystoreError
from ..keylife import ROTATE_EVERY, Every, check_one_index_key
from ..keymanager import KeyManager
from ..keys import Keyset
from ..keystores.database import DatabaseKeystore
from ..keystores.file import FileKeystore
from ..protocols import Keystore
from ..providers.local import ROOT_KEY_VARIABLE, LocalRootKey
from ..sealer import DEFAULT
from .keyoptions import (
    RotateEvery,
    dry_run_option,
    kek_option,
    keystore_of,
    keystore_option,
    manager_of,
)
from .keystates import destroy, disable, enable
from .keyviews import fields_of, table_of
from .output import Command, console, json_option, print_json, say
from .rewrap import rewrap


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
def init(keystore_line: str, root_key_file: Path, name: str, *, as_json: bool) -> None:
    """
    Make a root key and a keystore with a first data key.

    The root key wraps the data keys in the keystore. Keep the two apart: who has both, and the
    database, can open everything. Neither is ever overwritten. Run it again with another --name
    to add a key to the same keystore. Where another KEK wraps the keys, use 'sealed keys create'.
    """
    if environment.kek_line() != environment.DEFAULT_KEK:
        raise ConfigurationError(
            "another KEK than the root key is set; 'sealed keys create' makes keys under it",
            where=environment.KEK_VARIABLE,
        )
    keystore, made_root_key = keystore_of(keystore_line), False
    if os.environ.get(ROOT_KEY_VARIABLE):
        provider, place = LocalRootKey.from_env(), f"${ROOT_KEY_VARIABLE}"
    else:
        if not root_key_file.exists():
            if _has_keys(keystore):
                raise KeystoreError(
                    "there is a keystore here, but not its root key; give the root key it was "
                    f"made with, by {ROOT_KEY_VARIABLE} or --root-key-file",
                    where=_place(keystore),
                )
            secretfile.create(root_key_file, LocalRootKey.generate().encode() + b"\n", "root key")
            made_root_key = True
        provider, place = LocalRootKey.from_file(root_key_file), str(root_key_file)
    keyset = KeyManager(keystore, provider).create(name)
    if as_json:
        print_json(
            {"root_key": place, "made_root_key": made_root_key, "keystore": _place(keystore)}
            | {"keys": [fields_of(record, keyset) for record in keyset.records]}
        )
        return
    out = console()
    say(out, f"[green]✓[/] root key   {'made' if made_root_key else 'used'}: {escape(place)}")
    say(out, f"[green]✓[/] keystore   {escape(_place(keystore))}")
    say(out, f"[green]✓[/] data key   {escape(repr(name))}, id {keyset.primary.key_id.hex()}")
    say(
        out,
        "\nKeep the root key out of version control, out of the database and out of its "
        "backups;\nkeep a copy of both files where you will find it: without them the data is "
        "lost.\n\nIn the application:\n\n"
        "    from sqlalchemy_sealed import configure_from_env\n"
        f"    configure_from_env({'' if name == DEFAULT else escape(repr(name))})",
    )


def _has_keys(keystore: Keystore) -> bool:
    if isinstance(keystore, FileKeystore):
        return keystore.path.exists()
    return bool(keystore.names())


def _place(keystore: Keystore) -> str:
    return str(keystore.path) if isinstance(keystore, FileKeystore) else repr(keystore)


@click.group()
def keys() -> None:
    """Make, rotate, rewrap and end the keys of a keystore. Rows are not touched."""


for _command in (rewrap, disable, enable, destroy):
    keys.add_command(_command)


@keys.command("list", cls=Command)
@keystore_option
@click.option("--name", help="Only this key name.")
@json_option
def list_keys(keystore_line: str, name: str | None, *, as_json: bool) -> None:
    """Show the keys. Needs the keystore only, not the KEK."""
    store = keystore_of(keystore_line)
    keysets = [Keyset(n, store.load(n)) for n in ([name] if name else store.names())]
    if as_json:
        print_json([fields_of(record, keyset) for keyset in keysets for record in keyset.records])
    else:
        console().print(table_of(keysets))


@keys.command(cls=Command)
@click.argument("name", default=DEFAULT)
@keystore_option
@kek_option
@click.option(
    "--rotate-every",
    type=RotateEvery(),
    default=ROTATE_EVERY,
    show_default="90d",
    help="When a new primary is due: 30d, 36h, or never.",
)
@click.option("--create-table", is_flag=True, help="Create the table of a database keystore.")
@dry_run_option
@json_option
def create(  # noqa: PLR0913 - the options
    name: str,
    keystore_line: str,
    kek_line: str,
    rotate_every: timedelta | None,
    *,
    create_table: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Make the first data key and index key of a new key name (by default "default").

    They are wrapped by the KEK, which must be there. For a root key in a file, 'sealed init' makes
    all of it.
    """
    manager = manager_of(keystore_line, kek_line)
    is_table = isinstance(manager.keystore, DatabaseKeystore)
    if create_table and not is_table:
        raise click.UsageError("--create-table is for a keystore in a database")
    if dry_run:
        _check_free(manager, name, is_table=create_table)
        version = manager.provider.version()
        if as_json:
            print_json({"name": name, "version": version, "created": False})
        else:
            say(console(), f"{escape(repr(name))} would be made, wrapped by {escape(version)}")
        return
    if create_table and isinstance(manager.keystore, DatabaseKeystore):
        manager.keystore.create()
    keyset = manager.create(name, rotate_every=rotate_every)
    if as_json:
        print_json([fields_of(record, keyset) for record in keyset.records])
        return
    say(
        console(),
        f"[green]✓[/] {escape(repr(name))}: data key {keyset.primary.key_id.hex()}, wrapped by "
        f"{escape(manager.provider.version())}",
    )


def _check_free(manager: KeyManager, name: str, *, is_table: bool) -> None:
    """Refuse a key name that is taken, as far as there is a keystore already."""
    store = manager.keystore
    if is_table or (isinstance(store, FileKeystore) and not store.path.exists()):
        return
    if store.load(name):
        raise KeystoreError(f"there are keys named {name!r} already")


@keys.command(cls=Command)
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
        done = keyset is not None and not dry_run
        print_json(fields_of(shown.primary, shown) | {"rotated": done})
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


@keys.command("announce-index", cls=Command)
@click.argument("name", default=DEFAULT)
@keystore_option
@kek_option
@json_option
def announce_index(name: str, keystore_line: str, kek_line: str, *, as_json: bool) -> None:
    """
    Make the index key that the next `rotate --index` of NAME will use.

    Applications that read the keystore from now on search under it, too. Let all of them
    refresh or restart before you rotate: then none of them misses a row.
    """
    keyset = manager_of(keystore_line, kek_line).announce_index(name)
    record = keyset.announced
    assert record is not None  # noqa: S101 - it was just made
    if as_json:
        print_json(fields_of(record, keyset))
        return
    say(
        console(),
        f"[green]✓[/] {escape(repr(name))}: index key {record.key_id.hex()} is announced; when "
        f"all applications have read the keystore, run 'sealed keys rotate {escape(name)} --index'",
    )
