"""A keystore and a KEK provider that behave as remote ones, note every call, and can fail."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from sqlalchemy_sealed import (
    KeyLimits,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    flights,
    get_sealer,
    keycache,
    keykeeper,
    opening,
    sealing,
)
from sqlalchemy_sealed.errors import KeystoreError, ProviderUnreachableError
from sqlalchemy_sealed.keys import KeyRecord
from sqlalchemy_sealed.keystores.book import RecordBook

PAST = datetime(2020, 1, 1, tzinfo=UTC)


class Clock:
    """The monotonic clock that limits are measured with, which a test sets forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = keykeeper.monotonic
        self.ahead = 0.0
        for module in (keykeeper, sealing, opening, keycache, flights):
            monkeypatch.setattr(module, "monotonic", self)

    def __call__(self) -> float:
        return self._now() + self.ahead


class CountedKeystore(MemoryKeystore):
    """A remote keystore. `threads` are those that read it."""

    remote = True

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.delay = 0.0
        self.broken = False
        self.threads: set[int] = set()

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        self.loads += 1
        self.threads.add(threading.get_ident())
        time.sleep(self.delay)
        if self.broken:
            raise KeystoreError("out of order")
        return super().load(name)

    def put(self, *records: KeyRecord) -> None:
        """Hold these records and no others."""
        self._book = RecordBook(records)


class CountedProvider(LocalRootKey):
    """A remote KEK provider. `threads` are those that call it."""

    remote = True

    def __init__(self) -> None:
        super().__init__(os.urandom(32))
        self.unwraps = self.versions = self.running = self.most = 0
        self.delay = 0.0
        self.broken = False
        self.threads: set[int] = set()
        self._count = threading.Lock()

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        with self._count:
            self.unwraps += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self._answer()
            return super().unwrap(wrapped, binding)
        finally:
            with self._count:
                self.running -= 1

    def version(self) -> str:
        self.versions += 1
        self._answer()
        return super().version()

    def _answer(self) -> None:
        self.threads.add(threading.get_ident())
        time.sleep(self.delay)
        if self.broken:
            raise ProviderUnreachableError("it does not answer")


class Parts:
    """A keystore, a provider, and sealers over them."""

    def __init__(self) -> None:
        self.keystore, self.provider = CountedKeystore(), CountedProvider()
        self.manager = KeyManager(self.keystore, self.provider)
        self.manager.create("default")

    def sealer(self, limits: KeyLimits | None = None) -> Sealer:
        """Return a new sealer, as another process would have."""
        sealer = get_sealer(f"counted-{uuid4()}")
        sealer.configure(
            keystore=self.keystore, provider=self.provider, key_name="default", limits=limits
        )
        return sealer

    def records(self) -> tuple[KeyRecord, ...]:
        """Return what the keystore holds, without a count."""
        return self.keystore._book.records

    def break_(self, broken: bool = True) -> None:
        """Let keystore and provider fail, or answer again."""
        self.keystore.broken = self.provider.broken = broken

    def calls_of(self, use: Callable[[], object]) -> tuple[int, int, int]:
        """Return how often *use* reads the keystore, unwraps a key, asks for the version."""
        before = self._calls()
        use()
        return tuple(now - then for now, then in zip(self._calls(), before, strict=True))

    def _calls(self) -> tuple[int, int, int]:
        return self.keystore.loads, self.provider.unwraps, self.provider.versions


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the background."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
