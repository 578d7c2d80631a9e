"""Fixtures of the key cache tests."""

from __future__ import annotations

import pytest
from counted import Parts

from sqlalchemy_sealed import flights, keycache, keykeeper
from sqlalchemy_sealed import sealing as functions


@pytest.fixture
def parts() -> Parts:
    """Return a keystore and a provider that note every call, with one key."""
    return Parts()


class Clock:
    """The monotonic clock, which a test sets forward."""

    def __init__(self, now) -> None:
        self._now = now
        self.ahead = 0.0

    def __call__(self) -> float:
        return self._now() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that limits are measured with."""
    clock = Clock(keykeeper.monotonic)
    for module in (keykeeper, functions, keycache, flights):
        monkeypatch.setattr(module, "monotonic", clock)
    return clock
