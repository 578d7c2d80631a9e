"""Options that the commands on keys share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .. import environment
from ..errors import KeystoreError, SealedError
from ..keylife import LONGEST_PERIOD, SHORTEST_PERIOD, Every
from ..keymanager import KeyManager
from ..keys import KeyRecord, Keyset
from ..locators import keystore_at, provider_at
from ..protocols import KEKProvider, Keystore, load_all
from ..providers.moved import Moved
from .vaultoptions import Period

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class RotateEvery(Period):
    """How long a data key is the primary."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return a timedelta, or None for never."""
        if isinstance(value, Every):
            return value
        period = super().convert(value, param, ctx)
        if period is not None and not SHORTEST_PERIOD <= period <= LONGEST_PERIOD:
            self.fail("it is from 1h to 3650d, or never", param, ctx)
        return period


class KeyId(click.ParamType):  # type: ignore[type-arg] # not generic before click 8.4
    """A key id: 16 hexadecimal digits."""

    name = "key id"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the 8 bytes."""
        if isinstance(value, bytes):
            return value
        try:
            key_id = bytes.fromhex(value)
        except ValueError:
            key_id = b""
        if key_id.hex() != value.lower() or len(key_id) != 8:
            self.fail(
                "a key id has 16 hexadecimal digits; 'sealed keys list' shows them", param, ctx
            )
        return key_id


def keystore_option(command: F) -> F:
    """Add `--keystore` to a command."""
    return click.option(
        "--keystore",
        "keystore_line",
        metavar="PLACE",
        default=environment.keystore_line,
        show_default="SEALED_KEYSTORE, or sealed.keys.json",
        help="The keystore: a file, a database URL, or vault-kv:MOUNT/PATH.",
    )(command)


def kek_option(command: F) -> F:
    """Add `--kek` to a command."""
    return click.option(
        "--kek",
        "kek_line",
        metavar="PROVIDER",
        default=environment.kek_line,
        show_default="SEALED_KEK, or local",
        help="Who wraps the keys: local, passphrase, vault:MOUNT/KEY, rsa:FILE, aws-kms:KEY, "
        "pkcs11:LIBRARY?token=LABEL&key=LABEL.",
    )(command)


def create_table_option(command: F) -> F:
    """Add `--create-table` to a command."""
    return click.option(
        "--create-table", is_flag=True, help="Create the table of a database keystore, if missing."
    )(command)


def dry_run_option(command: F) -> F:
    """Add `--dry-run` to a command."""
    return click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")(
        command
    )


def keystore_of(line: str) -> Keystore:
    """Return the keystore of `--keystore`."""
    return _said_of("--keystore", lambda: keystore_at(line))


def provider_of(line: str, *old: str) -> KEKProvider:
    """Return the KEK provider of `--kek`, with those of `--old-kek` for what they wrapped."""
    new = _said_of("--kek", lambda: provider_at(line, environment.root_key))
    if not old:
        return new
    return Moved(new, *(_old_provider(line) for line in old))


def _old_provider(line: str) -> KEKProvider:
    return _said_of("--old-kek", lambda: provider_at(line, environment.root_key))


def manager_of(keystore_line: str, kek_line: str, *old: str) -> KeyManager:
    """Return what makes keys, by the lines of the options."""
    return KeyManager(keystore_of(keystore_line), provider_of(kek_line, *old))


def found(keystore: Keystore, key_id: bytes, name: str | None) -> tuple[Keyset, KeyRecord]:
    """
    Return the key of an id, and its keyset.

    Raises:
        KeystoreError: there is none.
    """
    for each, records in load_all(keystore, [name] if name else None).items():
        if any(record.key_id == key_id for record in records):
            keyset = Keyset(each, records)
            record = keyset.get(key_id)
            assert record is not None  # noqa: S101 - it is one of them
            return keyset, record
    whose = f"key {name!r}" if name else "the keystore"
    raise KeystoreError(f"{whose} has no key of this id", where=key_id.hex(), key_id=key_id.hex())


def _said_of(option: str, make: Callable[[], T]) -> T:
    """Make something, and let an error that does not say where it is name the option."""
    try:
        return make()
    except SealedError as error:
        problem = error if error.where else error.at(option)
    raise problem
