"""
What the demonstration does, without how it is shown.

Two sessions look at one table: `Session` through the types, as the application does, and plain
SQL past the types, as someone with a copy of the database does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session

from ... import secretfile
from ...envelope import KEY_ID_SIZE, MAGIC, SLOT_SIZE
from ...errors import ConfigurationError, MissingExtraError, OpenError, RefusedOperationError
from ...keymanager import KeyManager
from ...keystores.connecting import shown
from ...keystores.file import FileKeystore
from ...providers.local import LocalRootKey
from ...sealer import Sealer, get_sealer
from .model import SEALED_COLUMNS, SEALER, TABLE, Base, Patient
from .records import Person

BATCH = 50


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was tried, and how it was refused; no error if it was not."""

    deed: str
    error: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """The address that was asked for, the bytes that were sent in its place, the patients found."""

    asked: str
    sent: str
    patients: list[int]


def connect(url: str) -> Engine:
    """
    Return an engine that has connected once.

    Raises:
        MissingExtraError: the driver is not installed.
        ConfigurationError: not a URL of SQLite or PostgreSQL, no connection, or the table of
            the demonstration is there already.
    """
    parsed = _parsed(url)
    try:
        engine = create_engine(parsed)
        exists = inspect(engine).has_table(TABLE)
    except ModuleNotFoundError as error:
        if error.name == "psycopg":
            problem: ConfigurationError = MissingExtraError.named("postgresql", "a PostgreSQL URL")
        else:
            problem = ConfigurationError(f"the database driver {error.name!r} is not installed")
    except NoSuchModuleError:
        problem = _not_a_url()
    except DBAPIError as error:
        problem = ConfigurationError(
            f"no connection: {str(error.orig).strip()}", where=shown(parsed)
        )
    else:
        if not exists:
            return engine
        engine.dispose()
        problem = ConfigurationError(
            f"there is a table {TABLE} already; drop it if it is from an earlier run with --keep",
            where=shown(parsed),
        )
    raise problem


def _not_a_url() -> ConfigurationError:
    return ConfigurationError(
        "this is not a database URL; examples: sqlite:///demo.sqlite, "
        "postgresql://user:password@localhost/database"
    )


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        pass
    else:
        if parsed.drivername in ("postgresql", "postgres"):
            return parsed.set(drivername="postgresql+psycopg")
        return parsed
    raise _not_a_url()


def make_keys(folder: Path) -> Sealer:
    """Make a root key file and a keystore in *folder* and return the sealer that uses them."""
    root_key_file = folder / "sealed.root.key"
    secretfile.create(root_key_file, LocalRootKey.generate().encode() + b"\n", "root key")
    provider = LocalRootKey.from_file(root_key_file)
    keystore = FileKeystore(folder / "sealed.keys.json")
    KeyManager(keystore, provider).create(SEALER)
    sealer = get_sealer(SEALER)
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    return sealer


class Registry:
    """The patients in one database."""

    def __init__(self, engine: Engine, sealer: Sealer) -> None:
        self.engine = engine
        self.sealer = sealer

    def create(self) -> None:
        """Create the table."""
        Base.metadata.create_all(self.engine)

    def drop(self) -> None:
        """Drop the table."""
        Base.metadata.drop_all(self.engine)

    def write(self, people: Iterable[Person]) -> Iterator[int]:
        """Write people in batches, and yield how many each batch had."""
        people = list(people)
        for start in range(0, len(people), BATCH):
            batch = people[start : start + BATCH]
            with Session(self.engine) as session:
                for person in batch:
                    session.add(
                        Patient(
                            name=person.name,
                            email=person.email,
                            phone=person.phone,
                            born=person.born,
                            chart=person.chart,
                        )
                    )
                session.commit()
            yield len(batch)

    def read(self, number: int) -> dict[str, Any]:
        """Return what the application sees of one patient."""
        with Session(self.engine) as session:
            patient = session.get_one(Patient, number)
            return {column: getattr(patient, column) for column in SEALED_COLUMNS}

    def find(self, email: str) -> Found:
        """Find patients by e-mail address, and note what the database was sent."""
        sent: list[bytes] = []

        def note(_: Any, __: Any, ___: str, parameters: Any, *____: Any) -> None:
            values = parameters.values() if isinstance(parameters, dict) else parameters
            sent.extend(bytes(value) for value in values)

        event.listen(self.engine, "before_cursor_execute", note)
        try:
            with Session(self.engine) as session:
                found = session.scalars(select(Patient.id).where(Patient.email == email)).all()
        finally:
            event.remove(self.engine, "before_cursor_execute", note)
        # With one index key, a database may be sent the same index value twice.
        parts = [
            data[at : at + SLOT_SIZE] for data in sent for at in range(0, len(data), SLOT_SIZE)
        ]
        return Found(email, b"".join(dict.fromkeys(parts)).hex(), list(found))

    def read_all(self) -> list[Person]:
        """Return all patients, opened."""
        with Session(self.engine) as session:
            return [
                Person(p.name, p.email, p.phone, p.born, p.chart)
                for p in session.scalars(select(Patient).order_by(Patient.id))
            ]

    def stored(self, number: int) -> dict[str, bytes]:
        """Return what the database holds of one patient."""
        columns = ", ".join(SEALED_COLUMNS)
        with self.engine.connect() as connection:
            row = connection.execute(
                text(f"SELECT {columns} FROM {TABLE} WHERE id = :id"),  # noqa: S608 - constants
                {"id": number},
            ).one()
        return {name: bytes(value) for name, value in zip(SEALED_COLUMNS, row, strict=True)}

    def readable_values(self, people: Iterable[Person]) -> int:
        """Return how many of the names, addresses and numbers stand readable in the table."""
        columns = ", ".join(SEALED_COLUMNS)
        with self.engine.connect() as connection:
            rows = connection.execute(text(f"SELECT {columns} FROM {TABLE}"))  # noqa: S608
            everything = b"\n".join(bytes(value) for row in rows for value in row)
        return sum(
            value.encode() in everything
            for person in people
            for value in (person.name, person.email, person.phone, person.born.isoformat())
        )

    def rows_by_key(self) -> dict[str, int]:
        """Return how many rows each data key sealed. SQL on the header, without any key."""
        start = len(MAGIC) + 2
        with self.engine.connect() as connection:
            rows = connection.execute(
                text(
                    f"SELECT substr(email, {start}, {KEY_ID_SIZE}) FROM {TABLE}"  # noqa: S608
                )
            )
            return dict(Counter(bytes(row[0]).hex() for row in rows))

    def refusals(self, number: int) -> Iterator[Refusal]:
        """
        Try what must not work: to read a damaged value, to write plaintext past the type, and
        to ask what the database could only answer wrongly. The value is put back.
        """
        stored = self.stored(number)
        flipped = bytearray(stored["email"])
        flipped[-1] ^= 1
        damages = {
            "one bit of the stored e-mail address was changed": bytes(flipped),
            "the stored phone number was copied into the e-mail column": stored["phone"],
        }
        for deed, value in damages.items():
            self._overwrite(number, value)
            yield _attempt(deed, lambda: self.read(number))
        self._overwrite(number, stored["email"])
        yield _attempt(
            "plaintext was written into the e-mail column by raw SQL",
            lambda: self._overwrite(number, b"eve@example.org"),
        )
        yield _attempt(
            'the database was asked for Patient.name.like("A%")',
            lambda: select(Patient).where(Patient.name.like("A%")),
        )

    def _overwrite(self, number: int, value: bytes) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text(f"UPDATE {TABLE} SET email = :value WHERE id = :id"),  # noqa: S608
                {"value": value, "id": number},
            )


def _attempt(deed: str, do: Callable[[], object]) -> Refusal:
    try:
        do()
    except (OpenError, RefusedOperationError) as error:
        return Refusal(deed, type(error).__name__, str(error))
    except IntegrityError as error:
        # PostgreSQL quotes the row in the lines after the first one.
        return Refusal(deed, type(error).__name__, str(error.orig).partition("\n")[0])
    return Refusal(deed, None, "it was done")
