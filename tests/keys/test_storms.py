"""Many at once: one call of the provider, one reading of the keystore, an error for each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from counted import Parts

from sqlalchemy_sealed import KeyLimits, Sealer, keykeeper
from sqlalchemy_sealed.errors import ProviderUnreachableError, UnknownKeyError
from sqlalchemy_sealed.unwrapped import PARALLEL


def together(count: int, use):
    """Return the results of *count* threads that start at one moment."""
    barrier = threading.Barrier(count)

    def one(_: int):
        barrier.wait()
        try:
            return use()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_thousand_threads_make_one_call(parts: Parts) -> None:
    """A cold key that a thousand threads need at once is unwrapped once."""
    data = parts.sealer().seal(b"value", "a.b")
    parts.manager.rotate("default")
    reader = parts.sealer()
    parts.provider.delay = 0.05
    before = parts.provider.unwraps
    assert together(1000, lambda: reader.open(data, "a.b")) == [b"value"] * 1000
    assert parts.provider.unwraps == before + 1


def test_a_thousand_threads_share_one_failure(parts: Parts, clock) -> None:
    """Each gets an error of its own; the provider is asked again after `retry`, not before."""
    data = parts.sealer().seal(b"value", "a.b")
    parts.manager.rotate("default")
    reader = parts.sealer(KeyLimits(retry=60))
    parts.provider.delay, parts.provider.broken = 0.05, True
    before = parts.provider.unwraps
    errors = together(1000, lambda: reader.open(data, "a.b"))
    assert {type(error) for error in errors} == {ProviderUnreachableError}
    assert len({id(error) for error in errors}) == 1000
    assert parts.provider.unwraps == before + 1
    parts.provider.broken = False
    clock.ahead = 61
    assert reader.open(data, "a.b") == b"value"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an id that was not found stand for longer than a test takes."""
    monkeypatch.setattr(keykeeper, "MISS_SECONDS", 600)


@pytest.mark.usefixtures("patience")
def test_many_unknown_keys_are_no_storm(parts: Parts) -> None:
    """A thousand foreign ids make a few readings."""
    sealer = parts.sealer()
    data = sealer.seal(b"value", "a.b")
    loads = parts.keystore.loads
    for number in range(1000):
        with pytest.raises(UnknownKeyError):
            sealer.open(data[:4] + number.to_bytes(8) + data[12:], "a.b")
    assert parts.keystore.loads - loads <= keykeeper.BURST + 1


@pytest.mark.usefixtures("patience")
def test_an_unknown_key_that_all_threads_need_is_one_look(parts: Parts) -> None:
    """A second one at most, for those who came while it was made: the key may be newer than it."""
    sealer = parts.sealer()
    data = sealer.seal(b"value", "a.b")
    unknown = data[:4] + bytes(8) + data[12:]
    parts.keystore.delay = 1.0  # Longer than it takes a thousand threads to start.
    loads = parts.keystore.loads
    errors = together(1000, lambda: sealer.open(unknown, "a.b"))
    assert {type(error) for error in errors} == {UnknownKeyError}
    assert 1 <= parts.keystore.loads - loads <= 2
    with pytest.raises(UnknownKeyError):
        sealer.open(unknown, "a.b")
    assert parts.keystore.loads - loads <= 2


@pytest.mark.parametrize("threads", [1, 500])
def test_known_keys_do_not_suffer_from_unknown_ones(threads: int, parts: Parts, clock) -> None:
    """After a second without looks, a new key is found at once; however many foreign ids came."""
    sealer = parts.sealer()
    data = sealer.seal(b"value", "a.b")
    numbers = count()

    def miss() -> bytes:
        return sealer.open(data[:4] + next(numbers).to_bytes(8) + data[12:], "a.b")

    for _ in range(50 if threads == 1 else 1):
        (kind,) = {type(error) for error in together(threads, miss)}
        assert kind is UnknownKeyError
    parts.manager.rotate("default")
    new = parts.sealer().seal(b"new", "a.b")
    clock.ahead = 1.1
    assert sealer.open(new, "a.b") == b"new"


def test_warming_is_parallel_and_bounded(parts: Parts) -> None:
    """Every key is unwrapped once, a few at a time."""
    for _ in range(20):
        parts.manager.rotate("default")
    sealer = parts.sealer()
    parts.provider.delay, parts.provider.most = 0.02, 0
    assert parts.calls_of(sealer.warm) == (1, 21, 1)
    assert 1 < parts.provider.most <= PARALLEL
    assert parts.calls_of(sealer.warm) == (1, 0, 1)


def test_a_process_with_a_thousand_keys_unwraps_what_it_uses(parts: Parts) -> None:
    """The primary at the start, another one when it is needed, and no others."""
    data = parts.sealer().seal(b"value", "a.b")
    for _ in range(1000):
        parts.manager.rotate("default")
    sealers: list[Sealer] = []
    assert parts.calls_of(lambda: sealers.append(parts.sealer())) == (1, 1, 0)
    (sealer,) = sealers
    assert len(sealer.keyset.records) == 1002
    assert parts.calls_of(lambda: sealer.open(sealer.seal(b"", "a.b"), "a.b")) == (0, 0, 0)
    assert parts.calls_of(lambda: sealer.open(data, "a.b")) == (0, 1, 0)
    assert sealer.kept().cache._unwrapped.count == 2
