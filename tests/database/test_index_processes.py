"""The index key is rotated under processes that have read the keystore, or have not yet."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_keys import forget

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    FileKeystore,
    KeyManager,
    LocalRootKey,
    get_sealer,
)

# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")
WAIT = 60.0
PEOPLE = sa.Table(
    "people",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", EncryptedString(index=BlindIndex(unique=True))),
)


class Process:
    """Another process with the same keystore and database. It does what it is told, in turn."""

    def __init__(self, url: sa.URL, keystore: Path, provider: LocalRootKey) -> None:
        self._pipe, end = FORK.Pipe()
        self._process = FORK.Process(
            target=self._work, args=(end, url, keystore, provider), daemon=True
        )
        self._process.start()

    def _work(self, end: Any, url: sa.URL, keystore: Path, provider: LocalRootKey) -> None:
        get_sealer().configure(keystore=FileKeystore(keystore), provider=provider, replace=True)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        while (work := end.recv()) is not None:
            name, *arguments = work
            try:
                end.send((globals()[name](engine, *arguments), None))
            except Exception as error:
                end.send((None, f"{type(error).__name__}: {error}"))

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Let the process do something, and return its result."""
        self._pipe.send((work.__name__, *arguments))
        assert self._pipe.poll(WAIT)
        result, error = self._pipe.recv()
        assert error is None, error
        return result

    def stop(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join(WAIT)
        assert self._process.exitcode == 0


# -- what a process does


def refresh(engine: sa.Engine) -> str:
    """Read the keystore, and return the id of the primary."""
    return get_sealer().refresh().primary.key_id.hex()


def primary(engine: sa.Engine) -> str:
    """Return the primary that this process knows."""
    return get_sealer().keyset.primary.key_id.hex()


def insert(engine: sa.Engine, number: int) -> bool:
    """Store a person; say whether that was possible."""
    try:
        with engine.begin() as connection:
            connection.execute(sa.insert(PEOPLE).values(email=address(number)))
    except sa.exc.IntegrityError:
        return False
    return True


def equal(engine: sa.Engine, *numbers: int) -> list[int]:
    """Return how many rows are found for each number."""
    with engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(PEOPLE)
        return [
            connection.scalar(query.where(PEOPLE.c.email == address(number))) or 0
            for number in numbers
        ]


def unequal(engine: sa.Engine, number: int) -> int:
    """Return how many rows are found to be different."""
    with engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(PEOPLE)
        return connection.scalar(query.where(PEOPLE.c.email != address(number))) or 0


def read(engine: sa.Engine) -> list[str]:
    """Open all values."""
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.select(PEOPLE.c.email)))


def address(number: int) -> str:
    """Return the address of a person."""
    return f"{number}@example.org"


# -- the tests


@pytest.fixture
def provider() -> LocalRootKey:
    """Return a KEK provider."""
    return LocalRootKey.from_text(LocalRootKey.generate())


@pytest.fixture
def manager(tmp_path: Path, provider: LocalRootKey) -> KeyManager:
    """Return the manager of a keystore file."""
    manager = KeyManager(FileKeystore(tmp_path / "keys.json"), provider)
    manager.create("default")
    return manager


@pytest.fixture
def start(
    engine: sa.Engine, database_url: sa.URL, manager: KeyManager, provider: LocalRootKey
) -> Iterator[Callable[[], Process]]:
    """Return what starts a process on a database with an empty table."""
    PEOPLE.metadata.create_all(engine)
    engine.dispose()
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(database_url, manager.keystore.path, provider))
        started[-1](primary)  # It has read the keystore when it answers.
        return started[-1]

    yield start
    for process in started:
        process.stop()
    forget(get_sealer())


def test_with_an_announcement_no_process_misses_a_row(
    start: Callable[[], Process], manager: KeyManager
) -> None:
    """
    A process that read the keystore after the announcement, and not since, finds all rows.

    It goes on sealing under the old key, and the others find what it writes.
    """
    one, other = start(), start()
    assert one(insert, 1)
    manager.announce_index("default")
    one(refresh)
    other(refresh)
    old = primary_of(manager)
    assert one(insert, 2)
    manager.rotate("default", index=True)
    assert one(refresh) == primary_of(manager) != old
    assert one(insert, 3)
    assert other(primary) == old
    assert other(insert, 4)
    for process in (one, other):
        assert process(equal, 1, 2, 3, 4, 5) == [1, 1, 1, 1, 0]
        assert [process(unequal, number) for number in (1, 2, 3, 4)] == [3, 3, 3, 3]
    assert other(primary) == old, "the search alone did not read the keystore"
    assert other(read) == [address(number) for number in (1, 2, 3, 4)]
    assert other(primary) == primary_of(manager), "meeting a new data key did"


def test_without_one_a_process_misses_rows_until_it_reads_the_keystore(
    start: Callable[[], Process], manager: KeyManager
) -> None:
    """
    A process that knows the old index key only takes rows under the new one for unequal.

    So it is documented at `KeyManager.rotate`. The process that rotated finds everything.
    """
    one, other = start(), start()
    assert other(insert, 1)
    manager.rotate("default", index=True)
    one(refresh)
    assert one(insert, 2)
    assert other(insert, 3)
    assert one(equal, 1, 2, 3) == [1, 1, 1]
    assert other(equal, 1, 2, 3) == [1, 0, 1]
    assert other(unequal, 2) == 3
    assert not other(insert, 2), "the database knows better: unique columns stay unique"
    assert other(read) == [address(number) for number in (1, 2, 3)]
    assert other(equal, 1, 2, 3) == [1, 1, 1], "it opened a value under the new key"
    assert other(unequal, 2) == 2
    late = start()
    assert late(equal, 1, 2, 3) == [1, 1, 1], "a process that starts reads the keystore"


def test_refreshing_is_enough(start: Callable[[], Process], manager: KeyManager) -> None:
    """Without an announcement, a process finds the rows from its refresh on."""
    one, other = start(), start()
    manager.rotate("default", index=True)
    one(refresh)
    assert one(insert, 1)
    assert other(equal, 1) == [0]
    other(refresh)
    assert other(equal, 1) == [1]
    assert other(insert, 2)
    assert one(equal, 1, 2) == [1, 1]


def primary_of(manager: KeyManager) -> str:
    """Return the id of the primary as it is in the keystore."""
    return manager.keyset("default").primary.key_id.hex()
