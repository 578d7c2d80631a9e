"""
Keeps the keys of one sealer at hand: asks again in time, once, and says when it was too long ago.

As the Kubernetes KMS plugin (version 2) does it: past the freshness limit nothing is sealed, and
opening goes on until the cache limit.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import Any, Protocol

from .errors import (
    ColdKeyError,
    KeystoreConflictError,
    OptionError,
    SealedError,
    StaleKeysError,
)
from .flights import Errands, Flights, in_event_loop
from .keycache import KeyCache
from .keymanager import KeyManager
from .keys import DataKey, Keyset, KeyState
from .limits import KeyLimits

log = logging.getLogger("sqlalchemy_sealed.keys")

MISS_SECONDS = 1.0
"""How long a key id that the keystore does not have is not looked for again."""
MAX_MISSES = 1000
"""How many such key ids are remembered."""
BURST = 10
"""How many looks in a row may find nothing; after that there is one in MISS_SECONDS."""
CONFLICTS = 20
"""How often another process may be first when this one makes a key of its own."""


class KeyKeeper:
    """
    The keys of one key name, as this process knows them.

    Args:
        manager: reads the keystore, asks the KEK provider.
        name: the key name.
        limits: how long keys may be used without asking again.

    Raises:
        KeystoreError: the keystore cannot be read or has no key of this name.
        OptionError: the limits are no `KeyLimits`.
        ProviderError: the primary cannot be unwrapped, as with a wrong KEK.
    """

    __slots__ = (
        "_claims",
        "_errands",
        "_lock",
        "_looks_until",
        "_missed",
        "_own",
        "_read_at",
        "_refreshing",
        "_told",
        "cache",
        "limits",
        "manager",
        "name",
    )

    def __init__(self, manager: KeyManager, name: str, limits: KeyLimits | None = None) -> None:
        if limits is not None and not isinstance(limits, KeyLimits):
            raise OptionError("limits= takes KeyLimits")
        self.manager = manager
        self.name = name
        self.limits = limits or KeyLimits()
        self._missed: dict[bytes, float] = {}
        self._looks_until = self._read_at = float("-inf")
        self._own: DataKey | None = None
        self._told = False
        self._refreshing: Flights[KeyCache] = Flights(self.limits.retry)
        self._errands = Errands()
        self._lock = threading.RLock()
        self._claims = threading.Lock()
        self.cache = self._loaded(None)

    @property
    def is_remote(self) -> bool:
        """Whether keystore or KEK provider may block."""
        parts: tuple[Any, ...] = (self.manager.keystore, self.manager.provider)
        return any(getattr(part, "remote", False) for part in parts)

    def renew_locks(self) -> None:
        """Take new locks, in a forked child: the old ones may be held by a thread of the parent."""
        self._lock = threading.RLock()
        self._claims = threading.Lock()
        self._refreshing.renew()
        self._errands.renew()
        self.cache.renew_locks()

    # -- asking again

    def refresh(self) -> Keyset:
        """
        Read the keystore again, as after a rotation by another process.

        Raises:
            KeystoreError, ProviderError: the keys known so far stay in use, up to their limits.
        """
        with self._lock:
            self.cache = self._loaded(self.cache)
            return self.cache.keyset

    def _loaded(self, previous: KeyCache | None) -> KeyCache:
        started = monotonic()
        keyset = self.manager.keyset(self.name)
        can_unwrap = getattr(self.manager.provider, "can_unwrap", True)
        if not can_unwrap:
            keyset = self._with_own_key(keyset)
        cache = previous
        if cache is None or cache.keyset.records != keyset.records:
            cache = self._cache_of(keyset, previous)
        if previous is not None:
            # From now on, also if the provider does not answer: a key that was disabled or
            # destroyed is not used any more.
            self.cache = cache
            if self.is_remote and can_unwrap:
                # Access that was withdrawn shows here, and not when the next key is unwrapped.
                self.manager.provider.version()
        if not cache.keep(started):  # Its keys were forgotten.
            cache = self._cache_of(keyset, cache)
            cache.keep(started)
        self._read_at = started
        return cache

    def _cache_of(self, keyset: Keyset, previous: KeyCache | None) -> KeyCache:
        provider = self.manager.provider
        return KeyCache(keyset, provider, previous, limits=self.limits, own=self._own)

    def _with_own_key(self, keyset: Keyset) -> Keyset:
        """Make a data key to seal under, where those of others cannot be unwrapped."""
        record = None if self._own is None else keyset.get(self._own.key_id)
        if record is not None and record.state is KeyState.ENABLED:
            return keyset
        for _ in range(CONFLICTS - 1):
            try:
                keyset, self._own = self.manager.rotate_own(self.name)
            except KeystoreConflictError:
                continue  # Another process that starts was first. There is a place for each.
            return keyset
        keyset, self._own = self.manager.rotate_own(self.name)
        return keyset

    def attend(self, *, sealing: bool) -> KeyCache:
        """
        Look after keys that were not asked for in a while, and return those to use.

        Up to the limit, nobody waits for a remote keystore or provider; the keys are asked for
        in the background, by one thread at a time.

        Raises:
            StaleKeysError: past a limit, and keystore or provider still do not answer.
        """
        with self._claims:
            cache = self.cache
            now = monotonic()
            if now < (cache.seal_attend_at if sealing else cache.open_attend_at):
                return cache  # Another thread was faster.
            stale = now >= (cache.fresh_until if sealing else cache.open_until)
            if not stale:
                cache.postpone()
        if stale:
            return self._refresh_or_refuse(cache, sealing=sealing)
        if self.is_remote:
            self._errands.send("refresh", self._refresh_quietly)
        else:
            self._refresh_quietly()
        return self.cache

    def _refresh_or_refuse(self, cache: KeyCache, *, sealing: bool) -> KeyCache:
        if self.is_remote and in_event_loop():
            problem = self._refreshing.last_problem("refresh") or "they are being asked; try again"
            self._errands.send("refresh", self._refresh_quietly)
        else:
            try:
                return self._refresh_once()
            except SealedError as error:
                problem = str(error)
        if monotonic() >= cache.open_until:
            self.cache.forget_in_time()
            self._own = None
        limit, seconds = (
            ("freshness", self.limits.fresh) if sealing else ("cache", self.limits.cache)
        )
        raise StaleKeysError(
            f"keystore or KEK provider have not answered for longer than the {limit} limit of "
            f"{seconds:g} seconds, so nothing is {'sealed' if sealing else 'opened'}: {problem}",
            where=f"key {self.name!r}",
        )

    def _refresh_quietly(self) -> None:
        """Refresh; of a failure, say so once in the log until it is over."""
        try:
            self._refresh_once()
        except SealedError as error:
            if not self._told:
                log.warning("the keys named %r cannot be refreshed: %s", self.name, error)
            self._told = True
        else:
            if self._told:
                log.info("the keys named %r can be refreshed again", self.name)
            self._told = False

    def _refresh_once(self, *, recent: bool = True) -> KeyCache:
        def load() -> KeyCache:
            self.refresh()
            return self.cache

        return self._refreshing.fetch("refresh", load, recent=recent)

    # -- keys that are not known

    def cache_with(self, key_id: bytes) -> KeyCache:
        """
        Return the keys, after one look into the keystore if this one is not among them.

        Raises:
            ColdKeyError: the look would block an event loop; it happens in the background.
            KeystoreError, ProviderError: the keystore cannot be read.
        """
        cache = self.cache
        if cache.keyset.get(key_id) is not None:
            return cache
        asked = monotonic()
        if not self._may_look(key_id, asked):
            return cache
        if not self.is_remote or not in_event_loop():
            return self._look_for(key_id, asked)
        self._refreshing.raise_recent("refresh")
        self._errands.send("look", lambda: self._look_for(key_id, asked))
        if key_id in self._missed:
            return cache  # It was looked for, and is looked for again, should it come yet.
        raise ColdKeyError(
            "a value was sealed under a data key that this process does not know yet, and an "
            "event loop must not wait for the keystore; it is being read: try again",
            where=f"key {self.name!r}",
            key_id=key_id.hex(),
        )

    def _look_for(self, key_id: bytes, asked: float) -> KeyCache:
        if self._read_at < asked:
            # A failure stands for all who look, but a keystore at hand is tried again at once.
            self._refresh_once(recent=self.is_remote)
        if self.cache.keyset.get(key_id) is None and self._read_at < asked:
            self._refresh_once()  # That was a reading begun before; the key may be new.
        cache = self.cache
        if cache.keyset.get(key_id) is None:
            if len(self._missed) >= MAX_MISSES:
                self._missed.clear()
            now = monotonic()
            self._missed[key_id] = now
            # Many that looked together count as no more than a whole burst.
            most = now + (BURST + 1) * MISS_SECONDS
            self._looks_until = min(max(self._looks_until, now) + MISS_SECONDS, most)
        return cache

    def _may_look(self, key_id: bytes, now: float) -> bool:
        """Whether to look for a key id now: one at a time, and few that are not found."""
        if now - self._missed.get(key_id, float("-inf")) < MISS_SECONDS:
            return False
        return self._looks_until - now < BURST * MISS_SECONDS or MISS_SECONDS == 0

    # -- beforehand

    def warm(self) -> None:
        """
        Read the keystore and unwrap every usable key, so that no value has to wait for one.

        Raises:
            KeystoreError, ProviderError: as `refresh`; or a key cannot be unwrapped.
        """
        self.refresh()
        self.cache.warm()

    def __repr__(self) -> str:
        """Return the key name."""
        return f"<KeyKeeper {self.name!r}>"


class Keys(Protocol):
    """Who has the keys: a sealer."""

    keeper: KeyKeeper | None

    def kept(self) -> KeyKeeper:
        """Return the keeper, or raise NotConfiguredError."""
        ...
