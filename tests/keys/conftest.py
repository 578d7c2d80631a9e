"""Fixtures of the key cache tests."""

from __future__ import annotations

import pytest
from counted import Clock, Parts


@pytest.fixture
def parts() -> Parts:
    """Return a keystore and a provider that note every call, with one key."""
    return Parts()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that limits are measured with."""
    return Clock(monkeypatch)
