"""The unwrapped keys of a process: one provider call each, and nothing that should be gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import DestroyedKeyError, ProviderError, UnknownKeyError
from sqlalchemy_sealed.keycache import KeyCache
from sqlalchemy_sealed.keys import KeyKind


class CountingProvider(LocalRootKey):
    """A root key that notes whose keys it was asked for, and can be slow or out of reach."""

    __slots__ = ("asked", "asked_twice", "patience", "unreachable")

    def __init__(self) -> None:
        super().__init__(random_key())
        self.asked: list[bytes] = []
        self.asked_twice = threading.Event()
        self.patience = 0.0
        self.unreachable = False

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        if binding in self.asked:
            self.asked_twice.set()
        self.asked.append(binding)
        self.asked_twice.wait(self.patience)
        if self.unreachable:
            raise ProviderError("out of reach; try again later")
        return super().unwrap(wrapped, binding)


@pytest.fixture
def provider() -> CountingProvider:
    """Return a provider that counts."""
    return CountingProvider()


@pytest.fixture
def manager(keystore: MemoryKeystore, provider: CountingProvider) -> KeyManager:
    """Return the manager of a key with five data keys."""
    manager = KeyManager(keystore, provider)
    for _ in range(4):
        manager.rotate("default")
    provider.asked.clear()
    return manager


@pytest.fixture
def cache(manager: KeyManager, provider: CountingProvider) -> KeyCache:
    """Return a cache that was just made."""
    return KeyCache(manager.keyset("default"), provider)


def test_only_the_primary_is_unwrapped_at_the_start(
    cache: KeyCache, provider: CountingProvider
) -> None:
    """A start costs one call, however many keys there are."""
    assert provider.asked == [cache.keyset.primary.binding]
    assert cache.primary.key_id == cache.keyset.primary.key_id
    assert repr(cache) == "<KeyCache 'default' unwrapped=1>"


def test_each_key_is_unwrapped_once_for_all_threads(
    cache: KeyCache, provider: CountingProvider
) -> None:
    """Thirty-two threads that need five keys at once make one call for each, and share the keys."""
    data = [record for record in cache.keyset.records if record.kind is KeyKind.DATA]
    barrier = threading.Barrier(32)
    provider.patience = 0.05  # Time enough for a second call, if there were one.

    def use(number: int) -> list[int]:
        barrier.wait()
        order = data[number % 5 :] + data[: number % 5]
        keys = {record.key_id: cache.data_key(record.key_id) for record in order}
        return [id(keys[record.key_id]) for record in data]

    with ThreadPoolExecutor(32) as pool:
        assert len({tuple(ids) for ids in pool.map(use, range(32))}) == 1
    assert sorted(provider.asked) == sorted(record.binding for record in data)


def test_a_provider_that_was_out_of_reach_is_asked_again(
    cache: KeyCache, provider: CountingProvider
) -> None:
    """An error is not kept: it names the key, and the next call may succeed."""
    oldest = cache.keyset.records[0]
    provider.unreachable = True
    with pytest.raises(ProviderError, match=r"^key 'default': out of reach") as caught:
        cache.data_key(oldest.key_id)
    assert caught.value.key_id == oldest.key_id.hex()
    provider.unreachable = False
    assert cache.data_key(oldest.key_id).key_id == oldest.key_id


def test_an_index_key_opens_no_value(cache: KeyCache, provider: CountingProvider) -> None:
    """An envelope that names an index key is refused as one that names no key."""
    index = cache.keyset.latest(KeyKind.INDEX)
    assert index is not None
    with pytest.raises(UnknownKeyError, match=index.key_id.hex()):
        cache.data_key(index.key_id)
    assert index.binding not in provider.asked


def test_a_new_cache_takes_over_what_was_unwrapped(
    cache: KeyCache, manager: KeyManager, provider: CountingProvider
) -> None:
    """After a rotation only the new primary is unwrapped; the known keys are the same objects."""
    old = cache.primary
    rotated = manager.rotate("default")
    provider.asked.clear()
    new = KeyCache(rotated, provider, cache)
    assert new.data_key(old.key_id) is old
    assert provider.asked == [new.keyset.primary.binding]


def test_a_new_cache_does_not_take_over_a_destroyed_key(
    cache: KeyCache, manager: KeyManager, provider: CountingProvider
) -> None:
    """A key that was unwrapped before it was destroyed is not used any more."""
    old = cache.keyset.records[0].key_id
    cache.data_key(old)
    new = KeyCache(manager.destroy("default", old), provider, cache)
    with pytest.raises(DestroyedKeyError, match="can never be opened again") as caught:
        new.data_key(old)
    assert caught.value.key_id == old.hex()


def test_a_new_cache_does_not_take_over_a_key_that_is_gone(
    cache: KeyCache, keystore: MemoryKeystore, provider: CountingProvider
) -> None:
    """A keystore that was restored to an earlier state has its keys and no others."""
    other = MemoryKeystore()
    earlier = keystore.load("default")[:2]
    other.add(*earlier)
    new = KeyCache(KeyManager(other, provider).keyset("default"), provider, cache)
    with pytest.raises(UnknownKeyError):
        new.data_key(cache.keyset.primary.key_id)
