"""
The recipe: values in, envelopes out, under the keys of one key name.

Synopsis:

    from sqlalchemy_sealed import FileKeystore, LocalRootKey, get_sealer

    get_sealer().configure(                        # once, when the application starts
        keystore=FileKeystore("sealed.keys.json"),
        provider=LocalRootKey.from_env("SEALED_ROOT_KEY"),
    )

A sealer is named. Sealed types hold the name only, and look the keys up at every call: a sealer
that is configured later, or whose key was rotated, takes effect at the next statement.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from .aead import InvalidTag, OpenerCache
from .context import Context
from .envelope import (
    HEADER_SIZE,
    NONCE_SIZE,
    PADDED_SUITES,
    SLOT_SIZE,
    TOKEN_SUITES,
    Envelope,
    header,
    parse,
    suite_of,
)
from .errors import (
    ConfigurationError,
    DecodingError,
    NotConfiguredError,
    OpenError,
    OptionError,
)
from .keycache import KeyCache
from .keymanager import KeyManager
from .keys import DataKey, Keyset
from .padding import MAX_BLOCK, is_block, unpad
from .padding import pad as add_padding
from .protocols import KEKProvider, Keystore

DEFAULT = "default"
"""The name of the sealer that types use unless they name another."""

MISS_SECONDS = 1.0
"""How long a key id that the keystore does not have is not looked for again."""
MAX_MISSES = 1000
"""How many such key ids are remembered."""

_Heads = dict[bytes, tuple[OpenerCache, int, bool]]


class Sealer:
    """
    Seals and opens values under the keys of one key name. Get it from `get_sealer`.

    Safe to share between threads, and across a fork.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._manager: KeyManager | None = None
        self._cache: KeyCache | None = None
        self._key_name = name
        self._lock = threading.RLock()
        self._missed: dict[bytes, float] = {}

    # -- keys

    def configure(
        self,
        *,
        keystore: Keystore,
        provider: KEKProvider,
        key_name: str | None = None,
        replace: bool = False,
    ) -> None:
        """
        Say where the keys lie and who unwraps them. Loads them and unwraps the primary.

        Args:
            keystore: where the wrapped data keys lie.
            provider: the KEK provider that unwraps them.
            key_name: the key name in the keystore; by default the name of this sealer.
            replace: allow a sealer that is configured already to be configured anew. Statements
                that were compiled before use the new keys, too.

        Raises:
            ConfigurationError: configured already, and *replace* is not given.
            KeystoreError: the keystore cannot be read or has no key of this name.
            ProviderError: the primary data key cannot be unwrapped, as with a wrong root key.
        """
        with self._lock:
            if self._cache is not None and not replace:
                raise ConfigurationError(
                    f"sealer {self.name!r} is configured already; pass replace=True to change it"
                )
            manager = KeyManager(keystore, provider)
            cache = KeyCache(manager.keyset(key_name or self.name), provider)
            self._key_name = key_name or self.name
            self._manager, self._cache = manager, cache
            self._missed.clear()

    @property
    def keyset(self) -> Keyset:
        """The keyset as this process knows it. Holds no usable key."""
        return self._keys().keyset

    @property
    def is_configured(self) -> bool:
        """Whether `configure` was called."""
        return self._cache is not None

    def refresh(self) -> Keyset:
        """
        Read the keystore again, as after a rotation by another process.

        Raises:
            KeystoreError, ProviderError: as `configure`; the keys known so far stay in use.
        """
        with self._lock:
            manager, cache = self._manager, self._keys()
            assert manager is not None  # noqa: S101 - set together with the cache
            self._cache = KeyCache(manager.keyset(self._key_name), manager.provider, cache)
            return self._cache.keyset

    def rotate(self, *, index: bool = False) -> Keyset:
        """
        Make a new primary data key and use it from the next seal on.

        Older keys stay and open what they sealed; rows keep their key until they are resealed.

        Args:
            index: rotate the index key, too; see `KeyManager.rotate`.

        Raises:
            KeystoreError: *index* while the last rotation of the index key is not finished.
            KeystoreConflictError: another process rotated at the same moment.
        """
        with self._lock:
            self._keys()
            assert self._manager is not None  # noqa: S101 - set together with the cache
            self._manager.rotate(self._key_name, index=index)
            return self.refresh()

    # -- values

    def seal(self, plaintext: bytes, context: Context | str, *, pad: int | None = None) -> bytes:
        """
        Return an envelope.

        Args:
            plaintext: at most 2^31 - 1 bytes.
            context: what the value is bound to; opening needs the same.
            pad: hide the length, by padding to a multiple of this many bytes (suite 2).

        Raises:
            NotConfiguredError: the sealer has no keys.
            ValueRefusedError: the plaintext is too large.
        """
        return self.sealing(_context(context), pad=pad)(plaintext)

    def open(self, data: bytes, context: Context | str) -> bytes:
        """
        Return the plaintext of an envelope.

        Raises:
            NotConfiguredError: the sealer has no keys.
            NotAnEnvelopeError, UnknownKeyError, DestroyedKeyError, AuthenticationError: the
                four ways in which a stored value cannot be opened.
        """
        return self.opening(_context(context))(data)

    def sealing(self, context: Context, *, pad: int | None = None) -> Callable[[bytes], bytes]:
        """
        Return a function that seals for one context, as `seal` does.

        It follows the sealer: keys are looked up at each call. This is what bind processors
        use; it costs one AES-GCM call and little more.
        """
        suite = suite_of(padded=pad is not None, tokens=False)
        if pad is not None and not is_block(pad):
            raise OptionError(f"pad must be a whole number of bytes from 2 to {MAX_BLOCK}")
        bound = bytes(context)
        current: tuple[DataKey | None, bytes, bytes] = (None, b"", b"")

        def seal(plaintext: bytes) -> bytes:
            nonlocal current
            cache = self._cache
            if cache is None:
                self._raise_not_configured()
            key, head, aad = current
            if key is None or key is not cache.primary:
                key = cache.primary
                head = header(suite, 0, key.key_id)
                aad = head + bound
                current = (key, head, aad)
            if pad is not None:
                plaintext = add_padding(plaintext, pad)
            return head + key.xaes.seal(plaintext, aad)

        return seal

    def sealing_indexed(
        self,
        context: Context,
        slots: int,
        maker: Callable[[bytes, bytes], Callable[[Any], bytes]],
        *,
        tokens: bool = False,
        pad: int | None = None,
    ) -> Callable[[bytes, Any], bytes]:
        """
        Return a function that seals an encoded value together with what it is searched by.

        Args:
            context: as for `sealing`.
            slots: how many blind-index slots there are, 0 to 15.
            maker: makes, of two index keys, the function from a value to its slots, and to its
                token block after them.
            tokens: whether there is a token block (suites 3 and 4).
            pad: as for `sealing`.
        """
        suite = suite_of(padded=pad is not None, tokens=tokens)
        bound = bytes(context)
        current: tuple[KeyCache | None, bytes, Callable[[Any], bytes]] = (None, b"", bytes)

        def seal(plaintext: bytes, value: Any) -> bytes:
            nonlocal current
            cache, head, slots_of = current
            if cache is None or cache is not self._cache:
                cache = self._keys()
                head = header(suite, slots, cache.primary.key_id)
                slots_of = maker(*cache.sealing_index_keys())
                current = (cache, head, slots_of)
            head += slots_of(value)
            if pad is not None:
                plaintext = add_padding(plaintext, pad)
            return head + cache.primary.xaes.seal(plaintext, head + bound)

        return seal

    def matching(
        self, maker: Callable[[bytes], Callable[[Any], bytes]]
    ) -> Callable[[Any], list[bytes]]:
        """
        Return a function from a searched value to its slots under every index key in use.

        Args:
            maker: makes, of an index key, the function from a value to its slot.
        """
        current: tuple[KeyCache | None, list[Callable[[Any], bytes]]] = (None, [])

        def match(value: Any) -> list[bytes]:
            nonlocal current
            cache, functions = current
            if cache is None or cache is not self._cache:
                cache = self._keys()
                functions = [maker(key) for key in cache.searched_keys()]
                current = (cache, functions)
            if len(functions) == 1:
                return [functions[0](value)]
            return [function(value) for function in functions]

        return match

    def opening(self, context: Context) -> Callable[[bytes], bytes]:
        """
        Return a function that opens for one context, as `open` does.

        It follows the sealer, as `sealing`. The first value under a header goes the long way
        and is checked field by field; the next ones need one dict lookup for all of that.
        """
        bound = bytes(context)
        current: tuple[KeyCache | None, _Heads] = (None, {})

        def open_(data: bytes) -> bytes:
            nonlocal current
            cache, heads = current
            if cache is self._cache:
                try:
                    openers, end, padded = heads[data[:HEADER_SIZE]]
                    at = end + 12
                    plaintext = openers[data[end:at]](
                        data[at : at + 12], data[at + 12 :], data[:end] + bound
                    )
                    return unpad(plaintext) if padded else plaintext
                except (KeyError, ValueError, InvalidTag, DecodingError):
                    pass  # Not opened: go the long way, which says why.
            plaintext, cache, head = self._open(data, context, bound)
            known, heads = current
            if known is not cache:
                heads = {}
                current = (cache, heads)
            # Into the dict of the cache that opened it, also if another thread was faster.
            if head is not None:
                heads[data[:HEADER_SIZE]] = head
            return plaintext

        return open_

    def _open(
        self, data: bytes, context: Context, bound: bytes
    ) -> tuple[bytes, KeyCache, tuple[OpenerCache, int, bool] | None]:
        self._keys()
        try:
            envelope = parse(data)
            cache = self._cache_with(envelope)
            key = cache.data_key(envelope.key_id)
            head = data[: len(data) - len(envelope.sealed) - NONCE_SIZE]
            plaintext = key.xaes.open(envelope.nonce, envelope.sealed, head + bound)
            padded = envelope.suite in PADDED_SUITES
            end = HEADER_SIZE + SLOT_SIZE * len(envelope.slots)
            # A token block is checked in each value, so those go the long way.
            with_tokens = envelope.suite in TOKEN_SUITES
            known = None if with_tokens else (key.xaes.openers, end, padded)
            return unpad(plaintext) if padded else plaintext, cache, known
        except OpenError as error:
            problem = error
        raise problem.at(str(context))

    def _cache_with(self, envelope: Envelope) -> KeyCache:
        """Return the cache, after one look into the keystore if it does not know the key."""
        cache = self._keys()
        if cache.keyset.get(envelope.key_id) is not None:
            return cache
        with self._lock:
            if cache is not self._cache:
                return self._keys()
            now = time.monotonic()
            if now - self._missed.get(envelope.key_id, float("-inf")) < MISS_SECONDS:
                return cache
            self.refresh()
            if len(self._missed) >= MAX_MISSES:
                self._missed.clear()
            self._missed[envelope.key_id] = now
            return self._keys()

    def _keys(self) -> KeyCache:
        if self._cache is None:
            self._raise_not_configured()
        return self._cache

    def _raise_not_configured(self) -> NoReturn:
        raise NotConfiguredError(
            f"sealer {self.name!r} has no keys yet; call get_sealer({self.name!r}).configure("
            "keystore=..., provider=...) when the application starts"
        )

    def __repr__(self) -> str:
        """Return the name and the public half of the keys."""
        if self._cache is None:
            return f"<Sealer {self.name!r} not configured>"
        return f"<Sealer {self.name!r} {self._cache.keyset!r}>"

    def __reduce__(self) -> tuple[Callable[[str], Sealer], tuple[str]]:
        """Pickle as the name: keys do not leave the process."""
        return get_sealer, (self.name,)


_sealers: dict[str, Sealer] = {}


def _after_fork() -> None:
    """Give a forked child locks of its own: a thread that held one is not there any more."""
    global _sealers_lock
    _sealers_lock = threading.Lock()
    for sealer in _sealers.values():
        sealer._lock = threading.RLock()
        if sealer._cache is not None:
            sealer._cache.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_sealers_lock = threading.Lock()


def get_sealer(name: str = DEFAULT) -> Sealer:
    """
    Return the sealer of a name; the same one for the same name, as with loggers.

    It can be declared at import and configured later.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError("a sealer name must be a text that is not empty")
    with _sealers_lock:
        sealer = _sealers.get(name)
        if sealer is None:
            sealer = _sealers[name] = Sealer(name)
        return sealer


def _context(context: Context | str) -> Context:
    return context if isinstance(context, Context) else Context(context)
