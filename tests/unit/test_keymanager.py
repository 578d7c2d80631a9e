"""What is done to keys: the states in which it is refused, and what is left afterwards."""

from __future__ import annotations

from dataclasses import replace
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
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, Keyset, KeyState
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
    once = manager.destroy("default", old, unscanned=True)
    assert manager.destroy("default", old, unscanned=True).records == once.records
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


# -- the index key is rotated


def index_keys(keyset: Keyset) -> list[bytes]:
    """Return the ids of all index keys, the oldest first."""
    return [record.key_id for record in keyset.records if record.kind is KeyKind.INDEX]


def test_a_new_index_key_comes_with_a_new_data_key(manager: KeyManager) -> None:
    """The new primary names it, and bridges to the old one; both are searched under."""
    before = manager.keyset("default")
    after = manager.rotate("default", index=True)
    old, new = index_keys(after)
    assert (before.primary.index_key_id, before.primary.bridge_key_id) == (old, None)
    assert (after.primary.index_key_id, after.primary.bridge_key_id) == (new, old)
    assert after.index_key_ids == (new, old)
    assert set(before.records) < set(after.records)
    assert len(after.records) == len(before.records) + 2


def test_both_new_keys_are_added_at_once(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reader sees an index key without its data key, or a data key without its index key."""
    added = []
    add = MemoryKeystore.add

    def noting(self: MemoryKeystore, *records: KeyRecord) -> None:
        added.append({record.kind for record in records})
        add(self, *records)

    monkeypatch.setattr(MemoryKeystore, "add", noting)
    manager.rotate("default", index=True)
    assert added == [{KeyKind.INDEX, KeyKind.DATA}]


def test_the_bridge_stays_while_rows_need_it(manager: KeyManager) -> None:
    """A plain rotation keeps it; it ends with the first data key made after the old ones."""
    first = manager.keyset("default").primary
    second = manager.rotate("default", index=True).primary
    third = manager.rotate("default").primary
    old, new = index_keys(manager.keyset("default"))
    assert (third.index_key_id, third.bridge_key_id) == (new, old)

    assert manager.destroy("default", first.key_id, unscanned=True).index_key_ids == (new,)
    last = manager.rotate("default").primary
    assert (last.index_key_id, last.bridge_key_id) == (new, None)

    assert manager.keyset("default").uses(old)
    for record in (second, third):
        manager.destroy("default", record.key_id, unscanned=True)
    assert not manager.keyset("default").uses(old)
    assert manager.destroy("default", old, unscanned=True).get(old).state is KeyState.DESTROYED


def test_a_second_rotation_waits_for_the_first(manager: KeyManager) -> None:
    """Refused as long as a data key names the old index key, as its own or as its bridge."""
    first = manager.keyset("default").primary
    second = manager.rotate("default", index=True).primary
    old = index_keys(manager.keyset("default"))[0]

    def refused() -> None:
        before = manager.keyset("default").records
        with pytest.raises(KeystoreError, match="is being rotated already") as caught:
            manager.rotate("default", index=True)
        with pytest.raises(KeystoreError, match="is being rotated already"):
            manager.announce_index("default")
        assert caught.value.key_id == old.hex()
        assert old.hex() in str(caught.value)
        assert manager.keyset("default").records == before

    refused()
    manager.rotate("default")
    refused()
    manager.destroy("default", first.key_id, unscanned=True)
    refused()  # the second and third data key have it as their bridge
    third = manager.keyset("default").primary
    manager.rotate("default")
    refused()
    for record in (second, third):
        manager.destroy("default", record.key_id, unscanned=True)
    keyset = manager.rotate("default", index=True)
    assert len(index_keys(keyset)) == 3
    assert keyset.index_key_ids == (index_keys(keyset)[2], index_keys(keyset)[1])


def test_an_announced_key_is_searched_before_it_is_used(manager: KeyManager) -> None:
    """Values are indexed under it only after the rotation that it was announced for."""
    old = manager.keyset("default").primary.index_key_id
    announced = manager.announce_index("default").announced
    assert announced is not None
    plain = manager.rotate("default")
    assert plain.announced == announced
    assert plain.index_key_ids == (old, announced.key_id)
    assert (plain.primary.index_key_id, plain.primary.bridge_key_id) == (old, None)

    rotated = manager.rotate("default", index=True)
    assert rotated.announced is None
    assert index_keys(rotated) == [old, announced.key_id]
    assert (rotated.primary.index_key_id, rotated.primary.bridge_key_id) == (announced.key_id, old)


def test_an_index_key_is_announced_once(manager: KeyManager) -> None:
    """A second announcement says that there is one, and names it."""
    announced = manager.announce_index("default").announced
    assert announced is not None
    with pytest.raises(KeystoreConflictError, match=r"rotate\(index=True\) uses it") as caught:
        manager.announce_index("default")
    assert caught.value.key_id == announced.key_id.hex()
    assert len(index_keys(manager.keyset("default"))) == 2


@pytest.mark.parametrize("deed", ["announce_index", "rotate"])
def test_of_two_that_make_an_index_key_at_once_one_wins(
    deed: str, manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one gets a conflict and adds nothing, not even a data key."""
    other = KeyManager(manager.keystore, manager.provider)
    wrap = manager.provider.wrap
    meanwhile = iter([lambda: other.announce_index("default")])

    def wrap_slowly(self: LocalRootKey, key: bytes, binding: bytes) -> str:
        for announce in meanwhile:
            announce()
        return wrap(key, binding)

    monkeypatch.setattr(LocalRootKey, "wrap", wrap_slowly)
    with pytest.raises(KeystoreConflictError, match="load the keys again"):
        getattr(manager, deed)("default", **({"index": True} if deed == "rotate" else {}))
    keyset = manager.keyset("default")
    assert len(index_keys(keyset)) == 2
    assert keyset.primary.generation == 1


@pytest.mark.parametrize("deed", ["announce_index", "rotate"])
def test_a_wrong_root_key_makes_no_index_key(deed: str, manager: KeyManager) -> None:
    """A search would fail in every application that reads the keystore."""
    before = manager.keyset("default").records
    wrong = KeyManager(manager.keystore, LocalRootKey.from_text(LocalRootKey.generate()))
    with pytest.raises(ProviderError, match="wrong root key"):
        getattr(wrong, deed)("default", **({"index": True} if deed == "rotate" else {}))
    assert manager.keyset("default").records == before


def test_an_index_key_in_use_is_not_destroyed(manager: KeyManager) -> None:
    """Rows under its data keys would not be found any more; nor is an announced one."""
    announced = manager.announce_index("default")
    for record in announced.records:
        if record.kind is KeyKind.INDEX:
            with pytest.raises(KeystoreError, match="is in use") as caught:
                manager.destroy("default", record.key_id, unscanned=True)
            assert caught.value.key_id == record.key_id.hex()
    assert manager.keyset("default").records == announced.records


def test_an_index_key_that_keeps_a_bridge_is_not_destroyed(manager: KeyManager) -> None:
    """No row is searched under it, but unique columns are unique by it."""
    first = manager.keyset("default").primary
    manager.rotate("default", index=True)
    keyset = manager.destroy("default", first.key_id, unscanned=True)
    old, new = index_keys(keyset)
    assert keyset.index_key_ids == (new,)
    with pytest.raises(KeystoreError, match="keeps unique columns unique") as caught:
        manager.destroy("default", old, unscanned=True)
    assert caught.value.key_id == old.hex()
    assert manager.keyset("default").records == keyset.records


def test_a_key_that_was_made_without_an_index_key_gets_one(
    manager: KeyManager, provider: LocalRootKey
) -> None:
    """There is nothing to bridge to: its rows have no index values."""
    without = replace(manager.keyset("default").primary, index_key_id=None)
    keystore = MemoryKeystore()
    keystore.add(without)
    keyset = KeyManager(keystore, provider).rotate("default", index=True)
    assert keyset.primary.index_key_id == keyset.index_key_ids[0]
    assert keyset.primary.bridge_key_id is None
    assert len(keyset.index_key_ids) == 1
