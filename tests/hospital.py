"""
A small application that works, and the mistakes that can be made with it.

Two of its columns have no CHECK constraint, as in a table that was made before: plaintext can be
written past their types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from sqlalchemy_sealed import (
    EncryptedInteger,
    EncryptedJSON,
    EncryptedString,
    FileKeystore,
    KeyManager,
    LocalRootKey,
    Sealer,
)

SEALER = "the sealer of bad input"
PATIENTS = sa.Table(
    "patients",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", EncryptedString(20, sealer=SEALER, check=False)),
    sa.Column("phone", EncryptedString(sealer=SEALER, storage="text", check=False)),
    sa.Column("age", EncryptedInteger(sealer=SEALER)),
    sa.Column("chart", EncryptedJSON(sealer=SEALER)),
    sa.Column("ward", EncryptedString(sealer="nobody configured this")),
)


@dataclass
class Hospital:
    """An application: a keystore file, a root key file, a sealer, and a database with one row."""

    directory: Path
    keystore: FileKeystore
    root_key: Path
    sealer: Sealer
    engine: Engine

    @property
    def manager(self) -> KeyManager:
        """The manager of the keystore."""
        return KeyManager(self.keystore, LocalRootKey.from_file(self.root_key))

    def start(self) -> None:
        """Configure the sealer, as the application does when it starts."""
        self.sealer.configure(
            keystore=FileKeystore(self.keystore.path),
            provider=LocalRootKey.from_file(self.root_key),
            key_name="default",
            replace=True,
        )

    def write(self, **values: Any) -> None:
        """Store a patient."""
        with self.engine.begin() as connection:
            connection.execute(PATIENTS.insert(), values)

    def read(self, column: str = "email") -> Any:
        """Read one column of the row."""
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(PATIENTS.c[column]).where(PATIENTS.c.id == 1))

    def stored(self, column: str = "email") -> Any:
        """Return what the database has in a column."""
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(f"SELECT {column} FROM patients").scalar_one()

    def overwrite(self, value: Any, column: str = "email") -> None:
        """Write past the type."""
        with self.engine.begin() as connection:
            statement = sa.text(f"UPDATE patients SET {column} = :value")
            connection.execute(statement, {"value": value})


def read_under_a_destroyed_key(hospital: Hospital) -> None:
    """Read a value whose key was destroyed."""
    old = hospital.sealer.keyset.primary.key_id
    hospital.manager.rotate("default")
    hospital.manager.destroy("default", old, unscanned=True)
    hospital.sealer.refresh()
    hospital.read()


def read_under_a_key_of_another_keystore(hospital: Hospital) -> None:
    """Read a value with the keystore of another application."""
    hospital.keystore.path.unlink()
    hospital.manager.create("default")
    hospital.start()
    hospital.read()


def start_with_another_root_key(hospital: Hospital) -> None:
    """Start with a root key that did not make the keystore."""
    hospital.root_key.write_text(LocalRootKey.generate())
    hospital.start()


def start_with(file: str, change: Callable[[Path], object]) -> Callable[[Hospital], None]:
    """Return what starts the application after one of its files was changed."""

    def start(hospital: Hospital) -> None:
        change(hospital.directory / file)
        hospital.start()

    return start


def read_after(change: Callable[[bytes], Any]) -> Callable[[Hospital], Any]:
    """Return what reads the e-mail address after its stored bytes were changed."""

    def read(hospital: Hospital) -> Any:
        hospital.overwrite(change(hospital.stored()))
        return hospital.read()

    return read


def move(source: str, target: str) -> Callable[[Hospital], Any]:
    """Return what reads a column into which another one was copied."""

    def read(hospital: Hospital) -> Any:
        hospital.overwrite(hospital.stored(source), target)
        return hospital.read(target)

    return read


def flip(at: int) -> Callable[[bytes], bytes]:
    """Return what flips a bit of one byte."""
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def query_without_a_context(hospital: Hospital) -> None:
    """Use a type that belongs to no column."""
    with hospital.engine.connect() as connection:
        connection.execute(sa.select(sa.literal("x", EncryptedString(sealer=SEALER))))


def rotate_second(hospital: Hospital) -> None:
    """Add a generation that another process added first."""
    primary = hospital.manager.keyset("default").primary
    hospital.keystore.add(primary)
