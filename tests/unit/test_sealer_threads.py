"""A sealer while its keys change: other threads, forks, and a keystore that is out of reach."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from sqlalchemy_sealed import Context, KeyManager, LocalRootKey, MemoryKeystore, Sealer, get_sealer
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeystoreConflictError,
    KeystoreError,
    UnknownKeyError,
)
from sqlalchemy_sealed.keys import KeyRecord

# Newer versions of Python warn that a fork of a process with threads may hang. That it does not is
# what is tested here.
forking = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class GatedKeystore(MemoryKeystore):
    """A keystore whose next reader waits at a gate, and which can be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.reached, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.broken = False

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        self.loads += 1
        if not self.gate.is_set():
            self.reached.set()
            self.gate.wait(30)
        if self.broken:
            raise KeystoreError("out of order; call the operator", where="the keystore")
        return super().load(name)


@pytest.fixture
def store(provider: LocalRootKey) -> GatedKeystore:
    """Return a keystore with a key named "default"."""
    store = GatedKeystore()
    KeyManager(store, provider).create("default")
    return store


@pytest.fixture
def configured(store: GatedKeystore, provider: LocalRootKey) -> Callable[[], Sealer]:
    """Return what makes a sealer that is configured with the keystore now."""

    def make() -> Sealer:
        sealer = get_sealer(f"threads-{uuid4()}")
        sealer.configure(keystore=store, provider=provider, key_name="default")
        return sealer

    return make


@pytest.fixture
def mine(configured: Callable[[], Sealer]) -> Sealer:
    """Return a sealer that was configured at the start."""
    return configured()


def in_child(work: Callable[[], bytes]) -> bytes:
    """Return what *work* returns in a forked child, which is ended if it hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(5)
            os.write(writing, work())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(status), "the child hung"
    return told


# -- threads


def test_all_threads_get_the_same_sealer() -> None:
    """A name that is new to thirty-two threads at once is one sealer."""
    name, barrier = f"threads-{uuid4()}", threading.Barrier(32)

    def get(_: int) -> int:
        barrier.wait()
        return id(get_sealer(name))

    with ThreadPoolExecutor(32) as pool:
        assert len(set(pool.map(get, range(32)))) == 1


@pytest.mark.parametrize("name", ["", None, 5, b"default", [], {}], ids=repr)
def test_a_name_is_a_text(name: object) -> None:
    """Anything else is refused where it is written, also what cannot be hashed."""
    with pytest.raises(ConfigurationError, match="a text that is not empty"):
        get_sealer(name)


def test_of_two_that_configure_one_is_told(store: GatedKeystore, provider: LocalRootKey) -> None:
    """Two threads that configure one sealer at once: the second does not replace silently."""
    sealer = get_sealer(f"threads-{uuid4()}")
    barrier = threading.Barrier(8)

    def configure(_: int) -> bool:
        barrier.wait()
        try:
            sealer.configure(keystore=store, provider=provider, key_name="default")
        except ConfigurationError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(configure, range(8))) == [False] * 7 + [True]


def test_what_is_sealed_during_rotations_opens(mine: Sealer) -> None:
    """Eight threads seal and open while the key is rotated ten times: every value opens."""
    stop = threading.Event()
    seal, open_ = mine.sealing(Context("a.b")), mine.opening(Context("a.b"))

    def use(number: int) -> list[bytes]:
        sealed = []
        while not stop.is_set():
            data = seal(b"%d" % number)
            assert open_(data) == b"%d" % number
            sealed.append(data)
        return sealed

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(use, number) for number in range(8)]
        for _ in range(10):
            mine.rotate()
        stop.set()
        sealed = {number: future.result() for number, future in enumerate(running)}
    for number, values in sealed.items():
        assert {open_(data) for data in values} <= {b"%d" % number}


def test_known_values_do_not_wait_for_a_slow_keystore(mine: Sealer, store: GatedKeystore) -> None:
    """While one thread refreshes, the others go on sealing and opening."""
    store.gate.clear()
    refresh = threading.Thread(target=mine.refresh)
    refresh.start()
    assert store.reached.wait(30)
    assert mine.open(mine.seal(b"value", "a.b"), "a.b") == b"value"
    store.gate.set()
    refresh.join()


# -- a keystore that changes, or is gone


def test_a_refresh_seals_under_the_primary_that_another_process_made(
    mine: Sealer, store: GatedKeystore, provider: LocalRootKey
) -> None:
    """Functions that were made before follow it, and so does what the sealer shows."""
    seal = mine.sealing(Context("a.b"))
    primary = KeyManager(store, provider).rotate("default").primary.key_id
    assert seal(b"")[4:12] != primary
    assert mine.refresh().primary.key_id == mine.keyset.primary.key_id == primary
    assert seal(b"")[4:12] == primary


def test_a_first_value_of_a_new_key_brings_its_primary(
    mine: Sealer, configured: Callable[[], Sealer]
) -> None:
    """A process that meets a value of the new primary seals under it from then on."""
    writer = configured()
    new = writer.rotate().primary.key_id
    assert mine.open(writer.seal(b"value", "a.b"), "a.b") == b"value"
    assert mine.seal(b"", "a.b")[4:12] == new


def test_a_new_key_that_all_threads_meet_at_once_is_read_once(
    mine: Sealer, store: GatedKeystore, configured: Callable[[], Sealer]
) -> None:
    """Sixteen threads open values of a key that is new to all: one read, and every value opens."""
    writer = configured()
    writer.rotate()
    new = writer.seal(b"value", "a.b")
    before, barrier = store.loads, threading.Barrier(17)
    store.gate.clear()

    def read(_: int) -> bytes:
        barrier.wait()
        return mine.open(new, "a.b")

    with ThreadPoolExecutor(16) as pool:
        reading = pool.map(read, range(16))
        barrier.wait()
        assert store.reached.wait(30)
        store.gate.set()
        assert set(reading) == {b"value"}
    assert store.loads == before + 1


def test_a_rotation_that_came_second_keeps_the_sealer_going(
    mine: Sealer, store: GatedKeystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a conflict the sealer still has its keys, and can rotate again."""
    before = mine.keyset

    def conflict(*_: KeyRecord) -> None:
        raise KeystoreConflictError("another process was first; load the keys again")

    monkeypatch.setattr(store, "add", conflict)
    with pytest.raises(KeystoreConflictError):
        mine.rotate()
    assert mine.keyset.records == before.records
    monkeypatch.undo()
    assert mine.rotate().primary.generation == before.primary.generation + 1


def test_an_unknown_key_while_the_keystore_is_gone_says_that(
    mine: Sealer, store: GatedKeystore, other_sealer: Sealer
) -> None:
    """The error is that of the keystore; when it is back, the key is looked for at once."""
    foreign = other_sealer.seal(b"value", "a.b")
    known = mine.seal(b"value", "a.b")
    store.broken = True
    for _ in range(2):
        with pytest.raises(KeystoreError, match=r"^the keystore: out of order"):
            mine.open(foreign, "a.b")
    assert mine.open(known, "a.b") == b"value"
    store.broken = False
    with pytest.raises(UnknownKeyError):
        mine.open(foreign, "a.b")


def test_replacing_the_configuration_reaches_functions_made_before(
    mine: Sealer, provider: LocalRootKey
) -> None:
    """After `replace=True` they seal under the new keys, and no longer open values of the old."""
    seal, open_ = mine.sealing(Context("a.b")), mine.opening(Context("a.b"))
    old = seal(b"old")
    assert open_(old) == b"old"
    other = MemoryKeystore()
    primary = KeyManager(other, provider).create("other").primary.key_id
    mine.configure(keystore=other, provider=provider, key_name="other", replace=True)
    assert seal(b"new")[4:12] == primary
    assert open_(seal(b"new")) == b"new"
    with pytest.raises(UnknownKeyError, match="'other' does not have"):
        open_(old)


def test_a_replacement_that_fails_changes_nothing(mine: Sealer, provider: LocalRootKey) -> None:
    """A keystore without the key leaves the sealer with the keys and the keystore it has."""
    before = mine.keyset
    with pytest.raises(KeystoreError, match="no data key named 'default'"):
        mine.configure(
            keystore=MemoryKeystore(), provider=provider, key_name="default", replace=True
        )
    assert mine.keyset is before
    assert mine.rotate().primary.generation == before.primary.generation + 1


# -- forks


@forking
def test_a_child_opens_what_its_parent_sealed_and_the_other_way_round(mine: Sealer) -> None:
    """Keys are there on both sides, also for functions that were made before the fork."""
    seal, open_ = mine.sealing(Context("a.b")), mine.opening(Context("a.b"))
    before = seal(b"parent")
    assert open_(before) == b"parent"
    told = in_child(lambda: seal(open_(before) + b" and child"))
    assert open_(told) == b"parent and child"


@forking
def test_a_child_picks_up_a_rotation_by_its_parent(
    mine: Sealer, configured: Callable[[], Sealer]
) -> None:
    """An unknown key makes the child read its own keystore."""
    writer = configured()
    writer.rotate()
    new = writer.seal(b"value", "a.b")
    assert in_child(lambda: mine.open(new, "a.b")) == b"value"


@forking
@pytest.mark.parametrize("use", ["open", "refresh", "another key", "another sealer"])
def test_a_fork_during_a_refresh_does_not_hang_the_child(
    use: str, mine: Sealer, store: GatedKeystore, configured: Callable[[], Sealer]
) -> None:
    """A child that is forked while another thread of its parent has the lock can use its keys."""
    old = mine.seal(b"old", "a.b")
    writer = configured()
    writer.rotate()
    new = writer.seal(b"new", "a.b")
    reader = configured()  # It has not unwrapped the older key yet.
    store.gate.clear()
    refresh = threading.Thread(target=mine.refresh)
    refresh.start()
    assert store.reached.wait(30)

    def work() -> bytes:
        store.gate.set()
        match use:
            case "open":
                return mine.open(old, "a.b")
            case "refresh":
                return mine.open(new, "a.b")
            case "another key":
                return reader.open(old, "a.b")
            case _:
                return get_sealer("made in the child").name.encode()

    try:
        told = in_child(work)
    finally:
        store.gate.set()
        refresh.join()
    assert told in (b"old", b"new", b"made in the child")


class GatedProvider(LocalRootKey):
    """A root key whose users wait at a gate."""

    __slots__ = ("gate", "reached")

    def __init__(self) -> None:
        super().__init__(random_key())
        self.reached, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        if not self.gate.is_set():
            self.reached.set()
            self.gate.wait(30)
        return super().unwrap(wrapped, binding)


@forking
def test_a_fork_during_an_unwrap_does_not_hang_the_child() -> None:
    """A child that is forked while another thread waits for the KEK provider can ask it, too."""
    store, provider = MemoryKeystore(), GatedProvider()
    KeyManager(store, provider).create("default")
    writer, reader = (get_sealer(f"threads-{uuid4()}") for _ in range(2))
    writer.configure(keystore=store, provider=provider, key_name="default")
    old = writer.seal(b"old", "a.b")
    writer.rotate()
    reader.configure(keystore=store, provider=provider, key_name="default")
    provider.gate.clear()
    opening = threading.Thread(target=reader.open, args=(old, "a.b"))
    opening.start()
    assert provider.reached.wait(30)

    def work() -> bytes:
        provider.gate.set()
        return reader.open(old, "a.b")

    try:
        assert in_child(work) == b"old"
    finally:
        provider.gate.set()
        opening.join()
