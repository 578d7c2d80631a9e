"""What is done to keys: the states in which it is refused, and what is left afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, MemoryKeystore
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeystoreConflictError,
    KeystoreError,
    ProviderError,
)
from sqlalchemy_sealed.keycache import KeyCache
from sqlalchemy_sealed.keys import KeyKind, KeyState
from sqlalchemy_sealed.keystores import file as file_module


@pytest.fixture
def manager(keystore: MemoryKeystore, provider: LocalRootKey) -> KeyManager:
    """Return the manager of a key named "default"."""
    return KeyManager(keystore, provider)


def test_every_key_of_a_long_row_of_rotations_unwraps(
    manager: KeyManager, provider: LocalRootKey
) -> None:
    """Twenty rotations leave twenty-one data keys of unbroken generations and one primary."""
    for _ in range(20):
        manager.rotate("default")
    keyset = manager.keyset("default")
    data = [record for record in keyset.records if record.kind is KeyKind.DATA]
    assert [record.generation for record in data] == list(range(1, 22))
    assert keyset.primary == data[-1]
    cache = KeyCache(keyset, provider)
    assert [cache.data_key(r.key_id).key_id for r in data] == [r.key_id for r in data]


def test_a_key_says_when_it_was_made(manager: KeyManager) -> None:
    """In UTC and to the second, so that every keystore can keep it exactly."""
    created = manager.rotate("default").primary.created
    assert created.utcoffset() == timedelta(0)
    assert created.microsecond == 0
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)


def test_names_have_keys_of_their_own(manager: KeyManager) -> None:
    """A rotation of one name leaves the others as they are."""
    before = manager.keyset("default").records
    manager.create("pii")
    manager.rotate("pii")
    assert manager.keyset("default").records == before
    ids = {record.key_id for record in manager.keyset("pii").records}
    assert ids.isdisjoint(record.key_id for record in before)


@pytest.mark.parametrize("name", ["", "\ud800", "x" * 65536], ids=["empty", "surrogate", "long"])
def test_a_name_that_nothing_can_be_bound_to_is_refused(manager: KeyManager, name: str) -> None:
    """Nothing is added under a name that is empty, not Unicode or too long."""
    with pytest.raises(ConfigurationError):
        manager.create(name)
    assert manager.keystore.names() == ("default",)


def test_a_destroyed_primary_is_followed_by_a_new_one(
    manager: KeyManager, provider: LocalRootKey
) -> None:
    """A keystore whose primary was destroyed is mended by a rotation, as its error says."""
    primary = manager.keyset("default").primary
    manager.keystore.update(primary, primary.destroyed())
    with pytest.raises(KeystoreError, match="rotate to make a new one") as caught:
        KeyCache(manager.keyset("default"), provider)
    assert caught.value.key_id == primary.key_id.hex()
    rotated = manager.rotate("default")
    assert rotated.primary.generation == 2
    assert KeyCache(rotated, provider).primary.key_id == rotated.primary.key_id


def test_destroying_twice_changes_nothing(manager: KeyManager) -> None:
    """A key that is destroyed already stays so."""
    old = manager.keyset("default").primary.key_id
    manager.rotate("default")
    once = manager.destroy("default", old)
    assert manager.destroy("default", old).records == once.records
    assert once.get(old).state is KeyState.DESTROYED


def test_a_wrong_root_key_makes_no_primary(manager: KeyManager, provider: LocalRootKey) -> None:
    """A rotation under another KEK than that of the keystore is refused: nobody could use it."""
    before = manager.keyset("default").records
    wrong = LocalRootKey.from_text(LocalRootKey.generate())
    with pytest.raises(ProviderError, match="wrong root key"):
        KeyManager(manager.keystore, wrong).rotate("default")
    assert manager.keyset("default").records == before


def test_a_rotation_that_comes_second_is_refused(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between loading and adding, another process made the next primary; it stays the primary."""
    other = KeyManager(manager.keystore, manager.provider)
    wrap = manager.provider.wrap
    meanwhile = iter([lambda: other.rotate("default")])

    def wrap_slowly(self: LocalRootKey, key: bytes, binding: bytes) -> str:
        for rotate in meanwhile:
            rotate()
        return wrap(key, binding)

    monkeypatch.setattr(LocalRootKey, "wrap", wrap_slowly)
    with pytest.raises(KeystoreConflictError, match="load the keys again") as caught:
        manager.rotate("default")
    keyset = manager.keyset("default")
    assert keyset.primary.generation == 2
    assert len(keyset.records) == 3
    assert caught.value.key_id not in {record.key_id.hex() for record in keyset.records}


def test_a_key_of_a_busy_keystore_is_not_said_to_exist(
    tmp_path: Path, provider: LocalRootKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creating a name while another process holds the lock says that, and nothing else."""
    keystore = FileKeystore(tmp_path / "keys.json")
    monkeypatch.setattr(file_module, "LOCK_SECONDS", 0.05)
    with keystore._locked(), pytest.raises(KeystoreConflictError, match="held the lock") as caught:
        KeyManager(FileKeystore(keystore.path), provider).create("default")
    assert "already" not in str(caught.value)


def test_a_keystore_that_cannot_be_locked_is_not_a_conflict(
    tmp_path: Path, provider: LocalRootKey
) -> None:
    """A lock file that cannot be made is an error of the place: to try again does not help."""
    (tmp_path / "keys.json.lock").mkdir()
    with pytest.raises(KeystoreError, match="the lock file cannot be made") as caught:
        KeyManager(FileKeystore(tmp_path / "keys.json"), provider).create("default")
    assert not isinstance(caught.value, KeystoreConflictError)
    assert caught.value.where == str(tmp_path / "keys.json")
