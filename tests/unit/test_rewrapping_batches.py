"""Rewrapped keys are written in batches, each while the next one comes in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore, rewrapping
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import KeystoreError, ProviderUnreachableError
from sqlalchemy_sealed.keycache import unwrap
from sqlalchemy_sealed.keys import KeyRecord
from sqlalchemy_sealed.providers.moved import Moved

PATIENCE = 30
KEYS = 40
Pairs = Iterable[tuple[KeyRecord, KeyRecord]]


class Watched(MemoryKeystore):
    """A keystore that notes its writes, and does something before each."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.before: Callable[[int], object] = lambda _: None

    def update_many(self, pairs: Pairs) -> None:
        pairs = list(pairs)
        self.before(len(self.batches))
        super().update_many(pairs)
        self.batches.append(len(pairs))
        self.threads.add(threading.get_ident())


class Watching(Moved):
    """A KEK provider that does something before each key, which are counted from 0."""

    count = 0
    before: Callable[[int], object] = staticmethod(lambda _: None)

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        self.before(self.count)
        self.count += 1
        return super().rewrap(wrapped, binding)


@pytest.fixture
def provider() -> Watching:
    """Return a provider over a new root key, which takes over what the old one wrapped."""
    return Watching(LocalRootKey(random_key()), LocalRootKey(random_key()))


@pytest.fixture
def keystore(provider: Watching, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Return a keystore with 40 keys, of which 10 are written at once."""
    monkeypatch.setattr(rewrapping, "BATCH", 10)
    keystore = Watched()
    for number in range(KEYS // 2):
        KeyManager(keystore, provider.old[0]).create(f"tenant-{number}")
    return keystore


def rewrap_again(keystore: Watched, provider: Watching) -> tuple[int, int]:
    """Run to the end, see that every key unwraps, and return how many were left and were done."""
    provider.before = keystore.before = lambda _: None
    manager = KeyManager(keystore, provider)
    done = manager.rewrap()
    assert all(len(unwrap(record, provider.new)) == 32 for record in manager.records())
    return done.rewrapped, done.current


def test_a_batch_is_written_while_the_next_one_comes_in(
    keystore: Watched, provider: Watching
) -> None:
    """Here each of the two waits for the other, as neither could if they took turns."""
    writing, asking = threading.Event(), threading.Event()

    def before_a_write(batch: int) -> None:
        if batch == 0:
            writing.set()
            assert asking.wait(PATIENCE)

    def before_a_key(number: int) -> None:
        if number == 15:
            asking.set()
            assert writing.wait(PATIENCE)

    keystore.before, provider.before = before_a_write, before_a_key
    assert KeyManager(keystore, provider).rewrap().rewrapped == KEYS
    assert sum(keystore.batches) == KEYS


def test_a_few_keys_are_written_at_once_and_here(keystore: Watched, provider: Watching) -> None:
    """No thread is started for less than a batch."""
    KeyManager(keystore, provider).rewrap(["tenant-1", "tenant-2"])
    assert keystore.batches == [4]
    assert keystore.threads == {threading.get_ident()}


def test_progress_is_told_on_the_thread_of_the_caller(
    keystore: Watched, provider: Watching
) -> None:
    """It tells what is written, from none to all."""
    told, threads = [], set()

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        threads.add(threading.get_ident())
        assert sum(keystore.batches) >= done

    KeyManager(keystore, provider).rewrap(progress=tell)
    assert told == [(0, KEYS), (10, KEYS), (20, KEYS), (30, KEYS), (40, KEYS)]
    assert threads == {threading.get_ident()}


def test_after_a_failure_of_the_keystore_nothing_more_is_written(
    keystore: Watched, provider: Watching
) -> None:
    """What was written before is kept, and the provider is not asked for the rest."""

    def fail(batch: int) -> None:
        if batch == 1:
            raise KeystoreError("the disk is full")

    keystore.before = fail
    with pytest.raises(KeystoreError, match="the disk is full"):
        KeyManager(keystore, provider).rewrap()
    assert keystore.batches == [10]
    assert provider.count == 30
    assert rewrap_again(keystore, provider) == (30, 10)


def test_a_failure_of_the_provider_does_not_undo_the_batch_that_is_being_written(
    keystore: Watched, provider: Watching
) -> None:
    """Nor is what came in since then lost."""
    failed = threading.Event()

    def fail(number: int) -> None:
        if number == 25:
            failed.set()
            raise ProviderUnreachableError("nobody answers")

    provider.before = fail
    keystore.before = lambda batch: batch != 1 or failed.wait(PATIENCE)
    with pytest.raises(ProviderUnreachableError):
        KeyManager(keystore, provider).rewrap()
    assert keystore.batches == [10, 10, 5]
    assert rewrap_again(keystore, provider) == (15, 25)


def test_of_two_failures_that_of_the_keystore_comes_up(
    keystore: Watched, provider: Watching
) -> None:
    """It says why less is kept than the provider did."""
    failed = threading.Event()

    def gone(number: int) -> None:
        if number == 15:
            failed.set()
            raise ProviderUnreachableError("nobody answers")

    def full(_: int) -> None:
        assert failed.wait(PATIENCE)
        raise KeystoreError("the disk is full")

    provider.before, keystore.before = gone, full
    with pytest.raises(KeystoreError, match="the disk is full"):
        KeyManager(keystore, provider).rewrap()
    assert keystore.batches == []
    assert rewrap_again(keystore, provider) == (KEYS, 0)


def test_who_stops_a_run_keeps_what_it_did(keystore: Watched, provider: Watching) -> None:
    """Ctrl-C ends it after what came in is written."""

    def stop(number: int) -> None:
        if number == 27:
            raise KeyboardInterrupt

    provider.before = stop
    with pytest.raises(KeyboardInterrupt):
        KeyManager(keystore, provider).rewrap()
    assert keystore.batches == [10, 10, 7]
    assert rewrap_again(keystore, provider) == (13, 27)
