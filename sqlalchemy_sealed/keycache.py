"""The keys of one keyset as a process uses them, up to their limits."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

from .aead import OpenerCache
from .errors import (
    DestroyedKeyError,
    DisabledKeyError,
    KeystoreError,
    ProviderDeniedError,
    StaleKeysError,
    UnknownKeyError,
)
from .keys import MAX_INDEX_KEYS, DataKey, KeyKind, Keyset, KeyState
from .limits import KeyLimits
from .protocols import KEKProvider
from .unwrapped import Memo, Unwrapped
from .unwrapped import unwrap as unwrap

Head = tuple[OpenerCache, int, bool]
"""Of a header that was checked: what opens, where the nonce begins, whether there is padding."""


class KeyCache:
    """
    Keys of a keyset by id. The keyset never changes; a refresh makes a new cache.

    The primary is unwrapped at once, so a wrong KEK shows at the start; the others when first
    needed, one provider call each, however many threads ask. A process that uses index keys has
    new ones unwrapped with a refresh. Safe to share between threads.

    Args:
        keyset: the records.
        provider: unwraps them.
        previous: the cache before a refresh. Its unwrapped keys are taken over, and its limits
            hold until `keep` is called; without one, they begin now.
        limits: how long the keys may be used.
        own: a data key that this process made and cannot unwrap, since it has the public half of
            the KEK only. New values are sealed under it.

    Attributes:
        heads: what opens values, by their first 12 bytes.
        primary: what new values are sealed under; None if it is disabled or destroyed, or the
            keys were forgotten.
        seal_attend_at, open_attend_at: when sealing and opening have to look after the keys.
        fresh_until, open_until: the limits, on the monotonic clock.

    Raises:
        ProviderError: the primary cannot be unwrapped.
        KeystoreError: there is no previous cache, and the primary is disabled or destroyed.
    """

    __slots__ = (
        "_forgotten",
        "_lock",
        "_own",
        "_retired",
        "_unwrapped",
        "fresh_until",
        "heads",
        "keyset",
        "limits",
        "open_attend_at",
        "open_until",
        "primary",
        "seal_attend_at",
    )

    fresh_until: float
    open_until: float
    seal_attend_at: float
    open_attend_at: float

    def __init__(
        self,
        keyset: Keyset,
        provider: KEKProvider,
        previous: KeyCache | None = None,
        *,
        limits: KeyLimits | None = None,
        own: DataKey | None = None,
    ) -> None:
        self.keyset = keyset
        self.limits = limits or KeyLimits()
        self.heads: dict[bytes, Head] = {}
        self._own = own
        self._forgotten = self._retired = False
        self._lock = threading.Lock()
        self._unwrapped: Unwrapped = (
            Unwrapped(provider, self.limits.retry) if previous is None else previous._unwrapped
        )
        self.primary: DataKey | None = own
        if own is None and keyset.primary.state is KeyState.ENABLED:
            self.primary = self._unwrapped.data_key(keyset.primary, wait=True)
        if self.primary is None and previous is None:
            raise self._without_primary()
        self._unwrapped.keep_only(keyset)
        if previous is None:
            self.keep(monotonic())
            return
        previous.retire()
        self._unwrapped.renew_index_keys(keyset)
        self.fresh_until, self.open_until = previous.fresh_until, previous.open_until
        self.seal_attend_at = previous.seal_attend_at
        self.open_attend_at = previous.open_attend_at

    # -- limits

    def keep(self, since: float) -> bool:
        """
        Start all limits anew, and return True: keystore and provider were asked and answered.

        Args:
            since: when they were asked.

        Returns:
            Whether there is something to keep. Keys that were forgotten do not come back.
        """
        with self._lock:
            if self._forgotten:
                return False
            self.fresh_until = since + self.limits.fresh
            self.open_until = since + self.limits.cache
            self.seal_attend_at = self.open_attend_at = since + self.limits.refresh
            if self.primary is None:  # Perhaps there is a new one soon.
                self.seal_attend_at = min(since + self.limits.retry, self.fresh_until)
            return True

    def postpone(self) -> None:
        """Put off the next look after the keys, but not past a limit."""
        with self._lock:
            later = monotonic() + self.limits.retry
            self.seal_attend_at = min(later, self.fresh_until)
            self.open_attend_at = min(later, self.open_until)

    def forget_in_time(self) -> None:
        """Drop all unwrapped keys, as far as Python lets, if the cache limit is past."""
        with self._lock:
            if self._forgotten or monotonic() < self.open_until:
                return
            self._forgotten = True
            self.primary = self._own = None
            self.heads.clear()
            self._unwrapped.forget()

    def retire(self) -> None:
        """Forget what was made of these keys, for good: others have taken their place."""
        with self._lock:
            self._retired = True
            self._unwrapped.forget_made()

    def remember(self, memo: Memo, now: tuple[Any, ...]) -> None:
        """Put into *memo* what was made of these keys, to be forgotten with them."""
        with self._lock:
            if not (self._forgotten or self._retired):
                self._unwrapped.remember(memo, now)

    @property
    def is_remote(self) -> bool:
        """Whether unwrapping a key may block."""
        return self._unwrapped.is_remote

    def renew_locks(self) -> None:
        """Take new locks, in a forked child: the old ones may be held by a thread of the parent."""
        self._lock = threading.Lock()
        self._unwrapped.renew_locks()

    # -- data keys

    def data_key(self, key_id: bytes) -> DataKey:
        """
        Return the data key of an id.

        Raises:
            UnknownKeyError: the keyset has no data key of this id.
            DestroyedKeyError, DisabledKeyError: it has one that is not usable.
            ProviderError: it cannot be unwrapped.
            ColdKeyError: it would have to be unwrapped on the thread of an event loop.
        """
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
        if record.state is KeyState.DISABLED:
            raise DisabledKeyError(
                f"the value was sealed under data key {key_id.hex()}, which is disabled; 'sealed "
                "keys enable' makes it usable again",
                key_id=key_id.hex(),
            )
        return self._unwrapped.data_key(record)

    def sealing_key(self) -> DataKey:
        """
        Return the primary.

        Raises:
            KeystoreError: it is disabled or destroyed.
            StaleKeysError: the keys were forgotten.
        """
        primary = self.primary
        if primary is not None:
            return primary
        raise self._without_primary()

    def _without_primary(self) -> KeystoreError:
        record = self.keyset.primary
        if record.state is KeyState.ENABLED:
            return StaleKeysError(
                f"the keys were forgotten: the cache limit of {self.limits.cache:g} seconds is "
                "past",
                where=f"key {self.keyset.name!r}",
            )
        return KeystoreError(
            f"the primary of {self.keyset.name!r} is {record.state}; rotate to make a new one",
            key_id=record.key_id.hex(),
        )

    # -- index keys

    def searched_keys(self) -> list[bytes]:
        """
        Return the index keys that values are searched under, 32 bytes each.

        Raises:
            KeystoreError: there is none or there are too many, or one is missing, disabled or
                destroyed.
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
        if self._own is not None:
            raise ProviderDeniedError(
                "this process holds the public half of the KEK only, so it cannot make blind "
                "indexes; seal columns without index= here"
            )
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
        record = self.keyset.get(key_id)
        problem = None
        if record is None or record.kind is not KeyKind.INDEX:
            problem = "is not in the keystore"
        elif record.state is KeyState.DISABLED:
            problem = "is disabled"
        elif record.state is KeyState.DESTROYED:
            problem = "was destroyed"
        if record is None or problem is not None:
            raise KeystoreError(
                f"index key {key_id.hex()} {problem}, while data keys of {self.keyset.name!r} name "
                "it; enable it, or restore the keystore from a backup",
                key_id=key_id.hex(),
            )
        return self._unwrapped.index_key(record)

    def _without_index_key(self) -> KeystoreError:
        return KeystoreError(
            f"key {self.keyset.name!r} has no index key; make one with 'sealed keys rotate "
            f"{self.keyset.name} --index'"
        )

    # -- fetching

    def warm(self) -> None:
        """
        Unwrap every key that is not destroyed or disabled.

        Raises:
            ProviderError: one of them cannot be unwrapped.
        """
        if self._own is None:
            records = self.keyset.records
            self._unwrapped.unwrap_all(r for r in records if r.state is KeyState.ENABLED)

    def __repr__(self) -> str:
        """Return the keyset's name and how many of its keys are unwrapped."""
        return f"<KeyCache {self.keyset.name!r} unwrapped={self._unwrapped.count}>"
