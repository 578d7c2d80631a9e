"""`sealed init`, and of `sealed keys` what makes and shows keys."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import click
from rich.markup import escape

from .. import environment, secretfile
from ..errors import ConfigurationError, KeystoreConflictError, KeystoreError
from ..keylife import ROTATE_EVERY
from ..keymanager import KeyManager
from ..keys import Keyset
from ..keystores.database import DatabaseKeystore
from ..keystores.file import FileKeystore
from ..protocols import Keystore, load_all
from ..providers.local import ROOT_KEY_VARIABLE, LocalRootKey
from ..sealer import DEFAULT
from .keyoptions import (
    RotateEvery,
    create_table_option,
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
from .rotate import announce_index, rotate


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
@create_table_option
@json_option
def init(
    keystore_line: str, root_key_file: Path, name: str, *, create_table: bool, as_json: bool
) -> None:
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
    keystore = keystore_of(keystore_line)
    if create_table:
        _database(keystore).create()
    provider, place, made = _root_key(root_key_file, keystore)
    keyset = KeyManager(keystore, provider).create(name)
    if as_json:
        print_json(
            {"root_key": place, "made_root_key": made, "keystore": _place(keystore)}
            | {"keys": [fields_of(record, keyset) for record in keyset.records]}
        )
        return
    out = console()
    say(out, f"[green]✓[/] root key   {'made' if made else 'used'}: {escape(place)}")
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


def _root_key(path: Path, keystore: Keystore) -> tuple[LocalRootKey, str, bool]:
    """Return the root key, its place, and whether it was made now."""
    if os.environ.get(ROOT_KEY_VARIABLE):
        return LocalRootKey.from_env(), f"${ROOT_KEY_VARIABLE}", False
    made = not _is_there(path)
    if made:
        if _has_keys(keystore):
            raise KeystoreError(
                "there is a keystore here, but not its root key; give the root key it was "
                f"made with, by {ROOT_KEY_VARIABLE} or --root-key-file",
                where=_place(keystore),
            )
        secretfile.create(path, LocalRootKey.generate().encode() + b"\n", "root key")
    return LocalRootKey.from_file(path), str(path), made


def _is_there(path: Path) -> bool:
    # Unlike `Path.exists`, it is no error where a folder above may not be searched.
    return os.path.lexists(path)


def _database(keystore: Keystore) -> DatabaseKeystore:
    """Return a keystore that has a table to be created."""
    if isinstance(keystore, DatabaseKeystore):
        return keystore
    raise click.UsageError("--create-table is for a keystore in a database")


def _has_keys(keystore: Keystore) -> bool:
    if isinstance(keystore, FileKeystore):
        return _is_there(keystore.path)
    return bool(keystore.names())


def _place(keystore: Keystore) -> str:
    return str(keystore.path) if isinstance(keystore, FileKeystore) else repr(keystore)


@click.group()
def keys() -> None:
    """Make, rotate, rewrap and end the keys of a keystore. Rows are not touched."""


for _command in (rotate, announce_index, rewrap, disable, enable, destroy):
    keys.add_command(_command)


@keys.command("list", cls=Command)
@keystore_option
@click.option("--name", help="Only this key name.")
@json_option
def list_keys(keystore_line: str, name: str | None, *, as_json: bool) -> None:
    """Show the keys. Needs the keystore only, not the KEK."""
    store = keystore_of(keystore_line)
    loaded = load_all(store, [name] if name else None)
    keysets = [Keyset(each, records) for each, records in loaded.items()]
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
@create_table_option
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
    database = _database(manager.keystore) if create_table else None
    keyset = None
    if dry_run:
        _check_free(manager, name, is_table=create_table)
    else:
        if database is not None:
            database.create()
        keyset = manager.create(name, rotate_every=rotate_every)
    _tell_created(name, keyset, manager.provider.version(), as_json=as_json)


def _tell_created(name: str, keyset: Keyset | None, version: str, *, as_json: bool) -> None:
    """Say which keys were made; without a keyset, what would be done."""
    if as_json:
        made = [] if keyset is None else [fields_of(record, keyset) for record in keyset.records]
        document = {"name": name, "version": version, "created": keyset is not None}
        print_json(document | {"dry_run": keyset is None, "keys": made})
    elif keyset is None:
        say(console(), f"{escape(repr(name))} would be made, wrapped by {escape(version)}")
    else:
        say(
            console(),
            f"[green]✓[/] {escape(repr(name))}: data key {keyset.primary.key_id.hex()}, wrapped "
            f"by {escape(version)}",
        )


def _check_free(manager: KeyManager, name: str, *, is_table: bool) -> None:
    """Refuse a key name that is taken, as far as there is a keystore already."""
    store = manager.keystore
    if is_table or (isinstance(store, FileKeystore) and not _is_there(store.path)):
        return
    if store.load(name):
        raise KeystoreConflictError(f"there are keys named {name!r} already")
