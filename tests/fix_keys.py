"""Fixtures: keys, and the default sealer configured with them."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore, Sealer, get_sealer


@pytest.fixture
def provider() -> LocalRootKey:
    """Return a KEK provider over a new root key."""
    return LocalRootKey.from_text(LocalRootKey.generate())


@pytest.fixture
def keystore(provider: LocalRootKey) -> MemoryKeystore:
    """Return a keystore with one data key under the name "default"."""
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create("default")
    return keystore


@pytest.fixture
def sealer(keystore: MemoryKeystore, provider: LocalRootKey) -> Iterator[Sealer]:
    """Return the default sealer, configured for this test and forgotten after it."""
    sealer = get_sealer()
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    yield sealer
    forget(sealer)


@pytest.fixture
def other_sealer(provider: LocalRootKey) -> Sealer:
    """Return a configured sealer of a name of its own, with keys of its own."""
    name = f"other-{uuid4()}"
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create(name)
    sealer = get_sealer(name)
    sealer.configure(keystore=keystore, provider=provider)
    return sealer


def forget(sealer: Sealer) -> None:
    """Put a sealer back into the state before `configure`."""
    sealer.keeper = None
