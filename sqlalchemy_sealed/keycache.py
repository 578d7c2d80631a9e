"""The data keys of one keyset, unwrapped once in this process and kept."""

from __future__ import annotations

import threading

from .errors import DestroyedKeyError, KeystoreError, ProviderError, UnknownKeyError
from .keys import DataKey, KeyKind, KeyRecord, Keyset, KeyState
from .protocols import KEKProvider


class KeyCache:
    """
    Data keys of a keyset by id. The keyset never changes; a refresh makes a new cache.

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

    __slots__ = ("_lock", "_provider", "_unwrapped", "keyset", "primary")

    def __init__(
        self, keyset: Keyset, provider: KEKProvider, previous: KeyCache | None = None
    ) -> None:
        self.keyset = keyset
        self._provider = provider
        self._lock = threading.Lock()
        self._unwrapped: dict[bytes, DataKey] = {}
        if previous is not None:
            self._unwrapped.update(previous._still_usable(keyset))
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

    def _unwrap(self, record: KeyRecord) -> DataKey:
        with self._lock:
            key = self._unwrapped.get(record.key_id)
            if key is None:
                key = self._unwrapped[record.key_id] = unwrap(record, self._provider)
            return key

    def _still_usable(self, keyset: Keyset) -> dict[bytes, DataKey]:
        usable = {}
        for key_id, key in list(self._unwrapped.items()):
            record = keyset.get(key_id)
            if record is not None and record.state is KeyState.ENABLED:
                usable[key_id] = key
        return usable

    def __repr__(self) -> str:
        """Return the keyset's name and how many of its keys are unwrapped."""
        return f"<KeyCache {self.keyset.name!r} unwrapped={len(self._unwrapped)}>"


def unwrap(record: KeyRecord, provider: KEKProvider) -> DataKey:
    """
    Return the data key of a record.

    Raises:
        ProviderError: the provider refuses, or what it returns is not the key of this record.
    """
    try:
        key = DataKey(provider.unwrap(record.wrapped, record.binding))
    except ProviderError as error:
        problem = error.problem
    else:
        if key.key_id == record.key_id:
            return key
        problem = (
            "the unwrapped key has another id than its record: the wrapped key was swapped or "
            "damaged; restore the keystore from a backup"
        )
    raise ProviderError(problem, where=f"key {record.name!r}", key_id=record.key_id.hex())
