"""Keys that this process has unwrapped: each one once, however many ask and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from weakref import WeakSet

from .errors import (
    ColdKeyError,
    ProviderError,
    ProviderLoginError,
    ProviderTrustError,
    ProviderUnavailableError,
)
from .flights import Errands, Flights, in_event_loop
from .keys import DataKey, KeyKind, KeyRecord, Keyset, KeyState, key_id_of
from .protocols import KEKProvider

K = TypeVar("K", DataKey, bytes)

PARALLEL = 8
"""How many keys are unwrapped at a time when all of them are."""

_GENERAL = (ProviderUnavailableError, ProviderTrustError, ProviderLoginError)


class Memo:
    """
    What a sealing or searching function made of keys, to be forgotten with them.

    Args:
        nothing: what there is before, and after.
    """

    __slots__ = ("__weakref__", "_nothing", "now")

    def __init__(self, *nothing: Any) -> None:
        self.now = self._nothing = nothing

    def forget(self) -> None:
        """Hold nothing."""
        self.now = self._nothing


class Unwrapped:
    """
    Unwrapped data keys and index keys by id. All caches of one keeper share it.

    Whether a key may be used is not known here: the cache looks at its record first.

    Args:
        provider: unwraps them.
        retry: seconds that a failure of a remote provider stands.
    """

    __slots__ = (
        "_data",
        "_errands",
        "_flights",
        "_index",
        "_lock",
        "_memos",
        "_provider",
        "is_remote",
    )

    def __init__(self, provider: KEKProvider, retry: float) -> None:
        self._provider = provider
        self.is_remote = bool(getattr(provider, "remote", False))
        self._data: dict[bytes, DataKey] = {}
        self._index: dict[bytes, bytes] = {}
        self._flights: Flights[DataKey | bytes] = Flights(
            retry if self.is_remote else 0.0, _GENERAL
        )
        self._errands = Errands()
        self._memos: WeakSet[Memo] = WeakSet()
        self._lock = threading.Lock()

    def data_key(self, record: KeyRecord, *, wait: bool = False) -> DataKey:
        """
        Return a data key.

        Args:
            record: of the key.
            wait: call the provider on this thread, also if an event loop runs on it.

        Raises:
            ProviderError: it cannot be unwrapped.
            ColdKeyError: it would have to be unwrapped on the thread of an event loop.
        """
        return self._data.get(record.key_id) or self._fetch(record, self._data, DataKey, wait=wait)

    def index_key(self, record: KeyRecord, *, wait: bool = False) -> bytes:
        """Return the 32 bytes of an index key; as `data_key`."""
        return self._index.get(record.key_id) or self._fetch(record, self._index, bytes, wait=wait)

    def unwrap_all(self, records: Iterable[KeyRecord]) -> None:
        """
        Unwrap keys, a few at a time if the provider is remote. Waits for all of them.

        Raises:
            ProviderError: one of them cannot be unwrapped; the rest may not have been tried.
        """

        def one(record: KeyRecord) -> None:
            if record.kind is KeyKind.DATA:
                self.data_key(record, wait=True)
            else:
                self.index_key(record, wait=True)

        records = list(records)
        if not self.is_remote or len(records) == 1:
            for record in records:
                one(record)
            return
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only this needs it

        with ThreadPoolExecutor(PARALLEL, "sqlalchemy-sealed keys") as pool:
            for _ in pool.map(one, records):
                pass

    def renew_index_keys(self, keyset: Keyset) -> None:
        """Unwrap index keys that came into use, where there are some already."""
        if not self._index:
            return
        for record in map(keyset.get, keyset.index_key_ids):
            if record is None or record.state is not KeyState.ENABLED:
                continue
            try:
                self.index_key(record, wait=True)
            except ProviderError:
                return  # It comes up again when the key is needed.

    def keep_only(self, keyset: Keyset) -> None:
        """Drop the keys that a keyset does not have, or not enabled."""
        _drop_unusable(self._data, keyset)
        _drop_unusable(self._index, keyset)

    def remember(self, memo: Memo, now: tuple[Any, ...]) -> None:
        """Put into *memo* what was made of keys."""
        with self._lock:
            self._memos.add(memo)
        memo.now = now

    def forget(self) -> None:
        """Drop all keys and what was made of them, as far as Python lets."""
        self._data.clear()
        self._index.clear()
        self.forget_made()

    def forget_made(self) -> None:
        """Drop what was made of keys. It is made again where it is needed."""
        with self._lock:
            for memo in self._memos:
                memo.forget()

    def renew_locks(self) -> None:
        """Take new locks, in a forked child, and forget what seals under a prefix of the parent."""
        self._lock = threading.Lock()
        self.forget_made()
        self._flights.renew()
        self._errands.renew()

    @property
    def count(self) -> int:
        """The number of data keys."""
        return len(self._data)

    def _fetch(
        self, record: KeyRecord, store: dict[bytes, K], make: Callable[[bytes], K], *, wait: bool
    ) -> K:
        key_id = record.key_id

        def load() -> K:
            # Put down before the flight ends: who comes later finds it, or joins the flight.
            key = store.get(key_id)
            if key is None:
                key = store[key_id] = make(unwrap(record, self._provider))
            return key

        try:
            if wait or not self.is_remote or not in_event_loop():
                key: K = self._flights.fetch(key_id, load)  # type: ignore[assignment]
                return key
            self._flights.raise_recent(key_id)
        except ProviderError as error:
            problem = error
        else:
            last = self._flights.last_problem(key_id)
            self._errands.send(key_id, lambda: self._flights.fetch(key_id, load))
            raise ColdKeyError(
                "a key has to be unwrapped by the KEK provider, and an event loop must not wait "
                "for it; it is being fetched: try again, and call `await sealer.awarm()` at the "
                f"start of the application{'' if last is None else f'; the last try: {last}'}",
                where=f"key {record.name!r}",
                key_id=key_id.hex(),
            )
        # An error that stands for all keys may have come up with another one.
        where = problem.where or f"key {record.name!r}"
        raise type(problem)(problem.problem, where=where, key_id=key_id.hex())


def _drop_unusable(store: dict[bytes, K], keyset: Keyset) -> None:
    for key_id in list(store):
        record = keyset.get(key_id)
        if record is None or record.state is not KeyState.ENABLED:
            store.pop(key_id, None)


def unwrap(record: KeyRecord, provider: KEKProvider) -> bytes:
    """
    Return the 32 bytes of a record's key.

    Raises:
        ProviderError: the provider refuses, or what it returns is not the key of this record.
    """
    try:
        material = provider.unwrap(record.wrapped, record.binding)
    except ProviderError as error:
        problem = error
    else:
        if key_id_of(material) == record.key_id:
            return material
        problem = ProviderError(
            "the unwrapped key has another id than its record: the wrapped key was swapped or "
            "damaged; restore the keystore from a backup"
        )
    at = "" if problem.where is None else f" at {problem.where}"
    where = f"key {record.name!r}{at}"
    raise type(problem)(problem.problem, where=where, key_id=record.key_id.hex())
