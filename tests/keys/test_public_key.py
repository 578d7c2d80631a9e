"""A process that holds the public half of the KEK: it seals, and opens nothing."""

from __future__ import annotations

from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa

from sqlalchemy_sealed import KeyManager, MemoryKeystore, Sealer, get_sealer
from sqlalchemy_sealed.errors import KeystoreConflictError, ProviderDeniedError
from sqlalchemy_sealed.keys import KeyState
from sqlalchemy_sealed.providers.rsa import RsaKey


@pytest.fixture(scope="module")
def pair() -> tuple[RsaKey, RsaKey]:
    """Return the private and the public half of a key pair."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    return RsaKey(private), RsaKey(public)


@pytest.fixture
def store(pair) -> MemoryKeystore:
    """Return a keystore under the key pair."""
    store = MemoryKeystore()
    KeyManager(store, pair[0]).create("default")
    return store


def sealer_of(store: MemoryKeystore, provider: RsaKey) -> Sealer:
    """Return a new sealer."""
    sealer = get_sealer(f"public-{uuid4()}")
    sealer.configure(keystore=store, provider=provider, key_name="default")
    return sealer


def test_what_it_seals_is_opened_with_the_private_key_only(pair, store) -> None:
    """Not even the process that sealed a value can open it; it makes no blind index either."""
    reader, writer = sealer_of(store, pair[0]), sealer_of(store, pair[1])
    data = writer.seal(b"value", "a.b")
    with pytest.raises(ProviderDeniedError, match="public key only"):
        writer.open(data, "a.b")
    with pytest.raises(ProviderDeniedError, match="blind indexes"):
        writer.kept().cache.sealing_index_keys()
    with pytest.raises(ProviderDeniedError):
        writer.kept().cache.searched_keys()
    assert reader.open(data, "a.b") == b"value"
    writer.warm()


@pytest.mark.parametrize("state", [KeyState.DISABLED, KeyState.DESTROYED])
def test_a_key_of_its_own_that_was_taken_away_is_replaced(state, pair, store) -> None:
    """After a refresh it seals under a new one; otherwise it keeps the one it has."""
    writer = sealer_of(store, pair[1])
    own = writer.seal(b"", "a.b")[4:12]
    KeyManager(store, pair[0]).rotate("default")
    writer.refresh()
    assert writer.seal(b"", "a.b")[4:12] == own
    record = writer.keyset.get(own)
    gone = record.destroyed() if state is KeyState.DESTROYED else record.with_state(state)
    store.update(record, gone)
    writer.refresh()
    data = writer.seal(b"value", "a.b")
    assert data[4:12] != own
    assert sealer_of(store, pair[0]).open(data, "a.b") == b"value"


def test_two_that_start_at_once_both_get_a_key(pair, store, monkeypatch) -> None:
    """Who comes second takes the next place."""
    add, conflicts = store.add, [1, 2, 3]

    def contended(*records):
        if conflicts:
            conflicts.pop()
            raise KeystoreConflictError("another process was first")
        add(*records)

    monkeypatch.setattr(store, "add", contended)
    assert sealer_of(store, pair[1]).seal(b"", "a.b")
