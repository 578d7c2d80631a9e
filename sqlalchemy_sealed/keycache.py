"""The keys of one keyset, unwrapped once in this process and kept."""

from __future__ import annotations

import threading
from typing import TypeVar

from .errors import DestroyedKeyError, KeystoreError, ProviderError, UnknownKeyError
from .keys import (
    MAX_INDEX_KEYS,
    DataKey,
    KeyKind,
    KeyRecord,
    Keyset,
    KeyState,
    key_id_of,
)
from .protocols import KEKProvider

K = TypeVar("K")


class KeyCache:
    """
    Keys of a keyset by id. The keyset never changes; a refresh makes a new cache.

    The primary is unwrapped at once, so a wrong KEK shows at the start; the others when first
    needed, one provider call each. Safe to share between threads.

    Args:
        keyset: the records.
        provider: unwraps them.
        previous: the cache before a refresh; its unwrapped keys are taken over.

    Raises:
        ProviderError: the primary cannot be unwrapped.
        KeystoreError: the primary was destroyed.
    """

    __slots__ = ("_index_keys", "_lock", "_provider", "_unwrapped", "keyset", "primary")

    def __init__(
        self, keyset: Keyset, provider: KEKProvider, previous: KeyCache | None = None
    ) -> None:
        self.keyset = keyset
        self._provider = provider
        self._lock = threading.Lock()
        self._unwrapped: dict[bytes, DataKey] = {}
        self._index_keys: dict[bytes, bytes] = {}
        if previous is not None:
            self._unwrapped.update(_still_usable(previous._unwrapped, keyset))
            self._index_keys.update(_still_usable(previous._index_keys, keyset))
        if keyset.primary.state is not KeyState.ENABLED:
            raise KeystoreError(
                f"the primary of {keyset.name!r} is {keyset.primary.state}; rotate to make a new "
                "one",
                key_id=keyset.primary.key_id.hex(),
            )
        self.primary = self._unwrap(keyset.primary)

    def renew_lock(self) -> None:
        """Take a new lock, in a forked child: the old one may be held by a thread of the parent."""
        self._lock = threading.Lock()

    def data_key(self, key_id: bytes) -> DataKey:
        """
        Return the data key of an id.

        Raises:
            UnknownKeyError: the keyset has no data key of this id.
            DestroyedKeyError: it had one; it was destroyed.
            ProviderError: it cannot be unwrapped.
        """
        key = self._unwrapped.get(key_id)
        if key is not None:
            return key
        record = self.keyset.get(key_id)
        if record is None or record.kind is not KeyKind.DATA:
            raise UnknownKeyError(
                f"the value was sealed under data key {key_id.hex()}, which key "
                f"{self.keyset.name!r} does not have; is this the right keystore and key name?",
                key_id=key_id.hex(),
            )
        if record.state is KeyState.DESTROYED:
            raise DestroyedKeyError(
                f"the value was sealed under data key {key_id.hex()}, which was destroyed; it "
                "can never be opened again",
                key_id=key_id.hex(),
            )
        return self._unwrap(record)

    def searched_keys(self) -> list[bytes]:
        """
        Return the index keys that values are searched under, 32 bytes each.

        Raises:
            KeystoreError: there is none or there are too many, or one is missing or was destroyed.
            ProviderError: one cannot be unwrapped.
        """
        ids = self.keyset.index_key_ids
        if not ids:
            raise self._without_index_key()
        if len(ids) > MAX_INDEX_KEYS:
            raise KeystoreError(
                f"key {self.keyset.name!r} has {len(ids)} index keys in use, of which a search "
                f"looks under {MAX_INDEX_KEYS}: records were changed or brought back by hand; "
                "restore the keystore from a backup"
            )
        return [self._index_key(key_id) for key_id in ids]

    def sealing_index_keys(self) -> tuple[bytes, bytes]:
        """
        Return the index key that new values are indexed under, and the one that unique columns
        are indexed under besides; the same one unless the index key is being rotated.

        Raises:
            KeystoreError: as `searched_keys`, or a data key has no index key in common with the
                primary, so that unique columns would not stay unique.
            ProviderError: as `searched_keys`.
        """
        primary = self.keyset.primary
        if primary.index_key_id is None:
            raise self._without_index_key()
        stray = self.keyset.stray
        if stray is not None:
            raise KeystoreError(
                f"data key {stray.key_id.hex()} of {self.keyset.name!r} has no index key in common "
                "with the primary, so unique columns would not stay unique: records were changed "
                "or brought back by hand; 'sealed keys rotate' makes a primary that fits",
                key_id=stray.key_id.hex(),
            )
        current = self._index_key(primary.index_key_id)
        if primary.bridge_key_id is None:
            return current, current
        return current, self._index_key(primary.bridge_key_id)

    def _index_key(self, key_id: bytes) -> bytes:
        key = self._index_keys.get(key_id)
        if key is not None:
            return key
        record = self.keyset.get(key_id)
        problem = None
        if record is None or record.kind is not KeyKind.INDEX:
            problem = "is not in the keystore"
        elif record.state is KeyState.DESTROYED:
            problem = "was destroyed"
        if record is None or problem is not None:
            raise KeystoreError(
                f"index key {key_id.hex()} {problem}, while data keys of {self.keyset.name!r} name "
                "it; restore the keystore from a backup",
                key_id=key_id.hex(),
            )
        with self._lock:
            if key_id not in self._index_keys:
                self._index_keys[key_id] = unwrap(record, self._provider)
            return self._index_keys[key_id]

    def _without_index_key(self) -> KeystoreError:
        return KeystoreError(
            f"key {self.keyset.name!r} has no index key; make one with 'sealed keys rotate "
            f"{self.keyset.name} --index'"
        )

    def _unwrap(self, record: KeyRecord) -> DataKey:
        with self._lock:
            key = self._unwrapped.get(record.key_id)
            if key is None:
                key = DataKey(unwrap(record, self._provider))
                self._unwrapped[record.key_id] = key
            return key

    def __repr__(self) -> str:
        """Return the keyset's name and how many of its keys are unwrapped."""
        return f"<KeyCache {self.keyset.name!r} unwrapped={len(self._unwrapped)}>"


def _still_usable(unwrapped: dict[bytes, K], keyset: Keyset) -> dict[bytes, K]:
    usable = {}
    for key_id, key in list(unwrapped.items()):
        record = keyset.get(key_id)
        if record is not None and record.state is KeyState.ENABLED:
            usable[key_id] = key
    return usable


def unwrap(record: KeyRecord, provider: KEKProvider) -> bytes:
    """
    Return the 32 bytes of a record's key.

    Raises:
        ProviderError: the provider refuses, or what it returns is not the key of this record.
    """
    try:
        material = provider.unwrap(record.wrapped, record.binding)
    except ProviderError as error:
        problem = error.problem
    else:
        if key_id_of(material) == record.key_id:
            return material
        problem = (
            "the unwrapped key has another id than its record: the wrapped key was swapped or "
            "damaged; restore the keystore from a backup"
        )
    raise ProviderError(problem, where=f"key {record.name!r}", key_id=record.key_id.hex())
