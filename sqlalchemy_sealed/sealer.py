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
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

from . import sealing
from .context import Context
from .errors import ConfigurationError, NotConfiguredError
from .keykeeper import KeyKeeper
from .keymanager import KeyManager
from .keys import Keyset
from .limits import KeyLimits
from .opening import Form, opening, opening_plain
from .protocols import KEKProvider, Keystore

DEFAULT = "default"
"""The name of the sealer that types use unless they name another."""


class Sealer:
    """
    Seals and opens values under the keys of one key name. Get it from `get_sealer`.

    Safe to share between threads, and across a fork.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.keeper: KeyKeeper | None = None
        self._lock = threading.RLock()
        _alive.add(self)

    # -- keys

    def configure(
        self,
        *,
        keystore: Keystore,
        provider: KEKProvider,
        key_name: str | None = None,
        limits: KeyLimits | None = None,
        replace: bool = False,
    ) -> None:
        """
        Say where the keys lie and who unwraps them. Loads them and unwraps the primary.

        Args:
            keystore: where the wrapped data keys lie.
            provider: the KEK provider that unwraps them.
            key_name: the key name in the keystore; by default the name of this sealer.
            limits: how long the keys may be used without asking again; see `KeyLimits`.
            replace: allow a sealer that is configured already to be configured anew. Statements
                that were compiled before use the new keys, too.

        Raises:
            ConfigurationError: configured already, and *replace* is not given.
            KeystoreError: the keystore cannot be read or has no key of this name.
            ProviderError: the primary data key cannot be unwrapped, as with a wrong root key.
        """
        with self._lock:
            if self.keeper is not None and not replace:
                raise ConfigurationError(
                    f"sealer {self.name!r} is configured already; pass replace=True to change it"
                )
            before = self.keeper
            self.keeper = KeyKeeper(KeyManager(keystore, provider), key_name or self.name, limits)
            if before is not None:
                before.cache.retire()

    @property
    def keyset(self) -> Keyset:
        """The keyset as this process knows it. Holds no usable key."""
        return self.kept().cache.keyset

    @property
    def is_configured(self) -> bool:
        """Whether `configure` was called."""
        return self.keeper is not None

    def refresh(self) -> Keyset:
        """
        Read the keystore again, as after a rotation by another process.

        Raises:
            KeystoreError, ProviderError: as `configure`; the keys known so far stay in use.
        """
        return self.kept().refresh()

    def warm(self) -> None:
        """
        Read the keystore and unwrap every usable key, so that no value has to wait for one.

        Raises:
            KeystoreError, ProviderError: as `configure`; or a key cannot be unwrapped.
        """
        self.kept().warm()

    async def awarm(self) -> None:
        """
        Do as `warm`, on a thread. An asyncio application awaits it at its start.

        Processors of values run on the thread of the event loop and must not wait; a key that
        would have to be fetched there is a `ColdKeyError`.
        """
        from asyncio import to_thread  # noqa: PLC0415 - what uses it has imported it

        await to_thread(self.warm)

    async def arefresh(self) -> Keyset:
        """Do as `refresh`, on a thread."""
        from asyncio import to_thread  # noqa: PLC0415

        return await to_thread(self.refresh)

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
        keeper = self.kept()
        keeper.manager.rotate(keeper.name, index=index)
        return self.refresh()

    def rotate_if_due(self, *, index: bool = False) -> Keyset | None:
        """
        Rotate if the primary is due, as `rotate`: once in 90 days unless a key says otherwise.

        For a job that runs every day, say. Of many processes that do it at once, one rotates; the
        others take up its new primary.

        Args:
            index: as in `rotate`.

        Returns:
            The new keyset; None if this process did not rotate.

        Raises:
            KeystoreError, ProviderError: as `KeyManager.rotate_if_due`.
        """
        keeper = self.kept()
        rotated = keeper.manager.rotate_if_due(keeper.name, index=index)
        if rotated is not None or self.keyset.is_due(datetime.now(UTC)):
            self.refresh()
        return rotated

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
        where = _context(context)
        seal = sealing.sealing(self, lambda: where, _as_it_is, pad=pad, nothing=_NEVER, once=True)
        sealed: bytes = seal(plaintext)
        return sealed

    def open(self, data: bytes, context: Context | str) -> bytes:
        """
        Return the plaintext of an envelope.

        Raises:
            NotConfiguredError: the sealer has no keys.
            NotAnEnvelopeError, UnknownKeyError, DestroyedKeyError, DisabledKeyError,
            AuthenticationError: the five ways in which a stored value cannot be opened.
        """
        where = _context(context)
        opened: bytes = opening(self, lambda: where, _BYTES)(data)
        return opened

    def sealing(self, context: Context, *, pad: int | None = None) -> Callable[[bytes], bytes]:
        """
        Return a function that seals for one context, as `seal` does.

        It follows the sealer: keys are looked up at each call.
        """
        return sealing.sealing(self, lambda: context, _as_it_is, pad=pad, nothing=_NEVER)

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
        return sealing.sealing_indexed(self, context, slots, maker, tokens=tokens, pad=pad)

    def matching(
        self, maker: Callable[[bytes], Callable[[Any], bytes]]
    ) -> Callable[[Any], list[bytes]]:
        """
        Return a function from a searched value to its slots under every index key in use.

        Args:
            maker: makes, of an index key, the function from a value to its slot.
        """
        return sealing.matching(self, maker)

    def opening(self, context: Context) -> Callable[[bytes], bytes]:
        """
        Return a function that opens for one context, as `open` does.

        It follows the sealer, as `sealing`.
        """
        return opening_plain(self, lambda: context, _BYTES)

    def kept(self) -> KeyKeeper:
        """
        Return who keeps the keys.

        Raises:
            NotConfiguredError: `configure` was not called.
        """
        if self.keeper is not None:
            return self.keeper
        raise NotConfiguredError(
            f"sealer {self.name!r} has no keys yet; call get_sealer({self.name!r}).configure("
            "keystore=..., provider=...) when the application starts"
        )

    def __repr__(self) -> str:
        """Return the name and the public half of the keys."""
        if self.keeper is None:
            return f"<Sealer {self.name!r} not configured>"
        return f"<Sealer {self.name!r} {self.keyset!r}>"

    def __reduce__(self) -> tuple[Callable[[str], Sealer], tuple[str]]:
        """Pickle as the name: keys do not leave the process."""
        return get_sealer, (self.name,)


_sealers: dict[str, Sealer] = {}
_alive: WeakSet[Sealer] = WeakSet()


def _after_fork() -> None:
    """Give a forked child locks of its own: a thread that held one is not there any more."""
    global _sealers_lock
    _sealers_lock = threading.Lock()
    for sealer in list(_alive):
        sealer._lock = threading.RLock()
        if sealer.keeper is not None:
            sealer.keeper.renew_locks()


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


def _as_it_is(data: bytes) -> bytes:
    return data


_NEVER = object()
_BYTES = Form(_as_it_is, _as_it_is, _as_it_is, _NEVER)
