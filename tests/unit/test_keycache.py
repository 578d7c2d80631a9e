"""The unwrapped keys of a process: one provider call each, and nothing that should be gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import (
    DestroyedKeyError,
    KeystoreError,
    ProviderError,
    UnknownKeyError,
)
from sqlalchemy_sealed.keycache import KeyCache
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, Keyset


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
    new = KeyCache(manager.destroy("default", old, unscanned=True), provider, cache)
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


# -- index keys


def material_of(keyset: Keyset, key_id: bytes | None, provider: CountingProvider) -> bytes:
    """Return an index key, unwrapped beside the cache."""
    record = keyset.get(key_id)
    return LocalRootKey.unwrap(provider, record.wrapped, record.binding)


def cache_of(provider: CountingProvider, *records: KeyRecord) -> KeyCache:
    """Return a cache of a keyset that somebody changed by hand."""
    return KeyCache(Keyset("default", records), provider)


def test_an_index_key_is_unwrapped_when_it_is_first_needed(
    cache: KeyCache, provider: CountingProvider
) -> None:
    """Not at the start; then once, for searching and sealing together."""
    provider.asked.clear()
    for _ in range(3):
        (searched,) = cache.searched_keys()
        assert cache.sealing_index_keys() == (searched, searched)
    index = cache.keyset.latest(KeyKind.INDEX)
    assert provider.asked == [index.binding]
    assert searched == material_of(cache.keyset, index.key_id, provider)
    assert searched.hex() not in repr(cache)


def test_threads_unwrap_an_index_key_once(cache: KeyCache, provider: CountingProvider) -> None:
    """Sixteen threads that search at once make one call, and get one key."""
    provider.asked.clear()
    provider.patience = 0.05  # Time enough for a second call, if there were one.
    barrier = threading.Barrier(16)

    def search(_: int) -> bytes:
        barrier.wait()
        return cache.searched_keys()[0]

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(search, range(16)))) == 1
    assert len(provider.asked) == 1


def test_both_index_keys_are_used_while_one_is_rotated(
    manager: KeyManager, provider: CountingProvider
) -> None:
    """Searches look under the new one and the old one; new values are indexed under both."""
    keyset = manager.rotate("default", index=True)
    new, old = (material_of(keyset, key_id, provider) for key_id in keyset.index_key_ids)
    assert new != old
    rotated = KeyCache(keyset, provider)
    assert rotated.searched_keys() == [new, old]
    assert rotated.sealing_index_keys() == (new, old)
    for record in keyset.records:
        if record.kind is KeyKind.DATA and record != keyset.primary:
            manager.destroy("default", record.key_id, unscanned=True)
    resealed = KeyCache(manager.keyset("default"), provider)
    assert resealed.searched_keys() == [new]
    assert resealed.sealing_index_keys() == (new, old)


def test_an_announced_index_key_is_searched_and_seals_nothing(
    manager: KeyManager, provider: CountingProvider
) -> None:
    """Rows that another process indexes under it are found; this one makes none."""
    cache = KeyCache(manager.announce_index("default"), provider)
    old, announced = cache.searched_keys()
    assert cache.sealing_index_keys() == (old, old)
    assert announced == material_of(cache.keyset, cache.keyset.announced.key_id, provider)


def test_a_new_cache_takes_over_index_keys(
    cache: KeyCache, manager: KeyManager, provider: CountingProvider
) -> None:
    """After a rotation of the index key, only the new keys are unwrapped."""
    (old,) = cache.searched_keys()
    keyset = manager.rotate("default", index=True)
    provider.asked.clear()
    new = KeyCache(keyset, provider, cache)
    assert new.searched_keys()[1] is old
    added = [keyset.primary.binding, keyset.latest(KeyKind.INDEX).binding]
    assert provider.asked == added


@pytest.mark.parametrize("fate", ["destroyed", "missing", "a data key"])
def test_an_index_key_that_is_gone_stops_searching_and_sealing(
    fate: str, cache: KeyCache, keystore: MemoryKeystore, provider: CountingProvider
) -> None:
    """Also if it was unwrapped before. A search without it would miss rows, and say nothing."""
    cache.searched_keys()
    data = [record for record in keystore.load("default") if record.kind is KeyKind.DATA]
    (index,) = (record for record in keystore.load("default") if record.kind is KeyKind.INDEX)
    if fate == "a data key":
        data = [replace(record, index_key_id=data[0].key_id) for record in data]
    left = [index.destroyed()] if fate == "destroyed" else []
    keyset = Keyset("default", [*data, *left])
    after = KeyCache(keyset, provider, cache)
    for use in (after.searched_keys, after.sealing_index_keys):
        with pytest.raises(KeystoreError, match="restore the keystore from a backup") as caught:
            use()
        assert caught.value.key_id == keyset.primary.index_key_id.hex()
    assert after.data_key(data[0].key_id).key_id == data[0].key_id


def test_a_keyset_without_an_index_key_says_how_to_get_one(
    manager: KeyManager, provider: CountingProvider
) -> None:
    """Opening goes on; sealing and searching an indexed column need one."""
    cache = cache_of(provider, replace(manager.keyset("default").primary, index_key_id=None))
    for use in (cache.searched_keys, cache.sealing_index_keys):
        with pytest.raises(KeystoreError, match="'sealed keys rotate default --index'"):
            use()


def test_a_bridge_that_is_gone_stops_sealing_only(
    manager: KeyManager, provider: CountingProvider
) -> None:
    """Searches do not need it. Without it, a unique column could take a value twice."""
    keyset = manager.rotate("default", index=True)
    new = keyset.latest(KeyKind.INDEX)
    cache = cache_of(provider, keyset.primary, new)
    assert len(cache.searched_keys()) == 1
    with pytest.raises(KeystoreError, match="is not in the keystore") as caught:
        cache.sealing_index_keys()
    assert caught.value.key_id == keyset.primary.bridge_key_id.hex()


def test_more_index_keys_than_a_search_looks_under_are_refused(
    manager: KeyManager, provider: CountingProvider
) -> None:
    """Records that were brought back by hand: a search under two of three would miss rows."""
    data = [r for r in manager.keyset("default").records if r.kind is KeyKind.DATA][-3:]
    named = [replace(r, index_key_id=bytes([r.generation]) * 8) for r in data]
    cache = cache_of(provider, *named)
    with pytest.raises(KeystoreError, match="3 index keys in use"):
        cache.searched_keys()


def test_a_stray_data_key_stops_sealing(manager: KeyManager, provider: CountingProvider) -> None:
    """It has no index key in common with the primary, so a unique column would not stay so."""
    old = manager.keyset("default").primary
    keyset = manager.rotate("default", index=True)
    stripped = replace(keyset.primary, bridge_key_id=None)
    index = [record for record in keyset.records if record.kind is KeyKind.INDEX]
    cache = cache_of(provider, old, stripped, *index)
    assert len(cache.searched_keys()) == 2
    with pytest.raises(KeystoreError, match="no index key in common") as caught:
        cache.sealing_index_keys()
    assert caught.value.key_id == old.key_id.hex()


def test_a_provider_that_refuses_an_index_key_is_asked_again(
    cache: KeyCache, provider: CountingProvider
) -> None:
    """The error names the key and is not kept; nothing is searched under fewer keys."""
    provider.unreachable = True
    for use in (cache.searched_keys, cache.sealing_index_keys):
        with pytest.raises(ProviderError, match=r"^key 'default': out of reach") as caught:
            use()
        assert caught.value.key_id == cache.keyset.primary.index_key_id.hex()
    provider.unreachable = False
    assert len(cache.searched_keys()) == 1


def test_a_swapped_index_key_is_refused(manager: KeyManager, provider: CountingProvider) -> None:
    """The wrapped key of another index key does not unwrap under the id of this one."""
    keyset = manager.announce_index("default")
    one, two = (record for record in keyset.records if record.kind is KeyKind.INDEX)
    swapped = replace(one, wrapped=two.wrapped)
    cache = cache_of(provider, keyset.primary, swapped)
    with pytest.raises(ProviderError, match="swapped") as caught:
        cache.searched_keys()
    assert caught.value.key_id == one.key_id.hex()
