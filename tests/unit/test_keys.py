"""Keys, their records, and keysets."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime

import pytest

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore
from sqlalchemy_sealed.aead import derive
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeystoreConflictError,
    KeystoreError,
    ProviderError,
)
from sqlalchemy_sealed.keycache import KeyCache
from sqlalchemy_sealed.keys import (
    DataKey,
    KeyKind,
    KeyRecord,
    Keyset,
    KeyState,
    key_id_of,
    records_of,
)
from sqlalchemy_sealed.testing import record


def test_a_key_id_is_derived_from_the_key() -> None:
    """The id is 8 bytes of HKDF, so a key cannot be given another id."""
    material = bytes(range(32))
    assert key_id_of(material) == derive(material, b"sqlalchemy-sealed v1 key id", 8)
    assert DataKey(material).key_id == key_id_of(material)


def test_a_key_does_not_leave_the_process() -> None:
    """A data key shows its id only, and cannot be pickled."""
    key = DataKey(bytes(range(32)))
    assert repr(key) == f"<DataKey id={key.key_id.hex()}>"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(key)


EACH_FIELD = KeyRecord(
    name="default",
    kind=KeyKind.INDEX,
    generation=3,
    key_id=b"8 bytes.",
    wrapped="old",
    created=datetime(2026, 1, 2, tzinfo=UTC),
    index_key_id=b"another.",
    bridge_key_id=b"a third.",
    state=KeyState.DISABLED,
    due=datetime(2027, 1, 2, tzinfo=UTC),
)


def test_records_that_are_made_fast_are_as_all_others() -> None:
    """Those of rows, and rewrapped ones: each field in its place, and none can be set."""
    row = tuple(getattr(EACH_FIELD, each.name) for each in fields(KeyRecord))
    rewrapped = EACH_FIELD.with_wrapped("new")
    assert records_of([row, row]) == [EACH_FIELD, EACH_FIELD]
    assert rewrapped == replace(EACH_FIELD, wrapped="new")
    for made in (rewrapped, *records_of([row])):
        assert type(made) is KeyRecord
        assert pickle.loads(pickle.dumps(made)) == made
        with pytest.raises(FrozenInstanceError):
            made.wrapped = ""  # type: ignore[misc]


def test_the_highest_generation_is_the_primary() -> None:
    """The order in which records are loaded does not matter."""
    records = [record(generation=2), record(generation=3), record(kind=KeyKind.INDEX), record()]
    assert Keyset("default", records).primary == record(generation=3)


def test_a_destroyed_primary_stays_the_primary() -> None:
    """An older key does not become the primary again by itself."""
    keyset = Keyset("default", [record(), record(generation=2).destroyed()])
    assert keyset.primary.state is KeyState.DESTROYED


def test_a_keyset_needs_a_data_key() -> None:
    """A name without data keys is an error that says how to make one."""
    with pytest.raises(KeystoreError, match=r"'default'; make one with 'sealed init'"):
        Keyset("default", [record(kind=KeyKind.INDEX)])


@pytest.mark.parametrize(
    "second",
    [replace(record(), key_id=b"another."), replace(record(generation=2), key_id=record().key_id)],
    ids=["same generation", "same id"],
)
def test_records_that_contradict_each_other_are_refused(second) -> None:
    """Two records of one place or one id are damage, whatever keystore they come from."""
    with pytest.raises(KeystoreError, match="contradict each other"):
        Keyset("default", [record(), second])


def test_a_keyset_shows_ids_and_can_be_pickled(keystore: MemoryKeystore) -> None:
    """Neither its repr nor that of a record has a wrapped key in it."""
    keyset = Keyset("default", keystore.load("default"))
    again = pickle.loads(pickle.dumps(keyset))
    assert again.records == keyset.records
    for each in keyset.records:
        assert each.key_id.hex() in repr(each)
        assert each.wrapped not in repr(each) + repr(keyset)


def test_a_new_name_gets_a_data_key_and_an_index_key(keystore, provider) -> None:
    """The first data key names the index key that was made with it."""
    keyset = KeyManager(keystore, provider).keyset("default")
    index = keyset.latest(KeyKind.INDEX)
    assert index is not None
    assert keyset.primary.index_key_id == index.key_id


# -- which index keys a keyset has in use

ONE, TWO, THREE = (bytes([number]) * 8 for number in (1, 2, 3))


def data(generation: int, index: bytes | None, bridge: bytes | None = None) -> KeyRecord:
    """Return the record of a data key that names index keys."""
    return replace(record(generation=generation), index_key_id=index, bridge_key_id=bridge)


def index_key(generation: int, key_id: bytes) -> KeyRecord:
    """Return the record of an index key."""
    return replace(record(generation=generation, kind=KeyKind.INDEX), key_id=key_id)


KEYSETS = {
    # what it is: (its records, the index keys that are searched under, the announced one)
    "one": ([data(1, ONE), index_key(1, ONE)], (ONE,), None),
    "the same one for two data keys": (
        [data(1, ONE), data(2, ONE), index_key(1, ONE)],
        (ONE,),
        None,
    ),
    "the primary's first": (
        [data(1, ONE), data(2, TWO, ONE), index_key(1, ONE), index_key(2, TWO)],
        (TWO, ONE),
        None,
    ),
    "a bridge is not searched": (
        [data(1, ONE).destroyed(), data(2, TWO, ONE), index_key(1, ONE), index_key(2, TWO)],
        (TWO,),
        None,
    ),
    "that of a destroyed data key is not searched": (
        [data(1, ONE).destroyed(), data(2, TWO), index_key(1, ONE), index_key(2, TWO)],
        (TWO,),
        None,
    ),
    "an announced one is searched": (
        [data(1, ONE), index_key(1, ONE), index_key(2, TWO)],
        (ONE, TWO),
        TWO,
    ),
    "an announced one that was destroyed is not": (
        [data(1, ONE), index_key(1, ONE), index_key(2, TWO).destroyed()],
        (ONE,),
        None,
    ),
    "an index key that only a destroyed data key names is not announced": (
        [data(1, TWO).destroyed(), data(2, ONE), index_key(1, ONE), index_key(2, TWO)],
        (ONE,),
        None,
    ),
    "an older one that no data key names is not announced": (
        [data(1, TWO), index_key(1, ONE), index_key(2, TWO)],
        (TWO,),
        None,
    ),
    "a bridge is not announced": (
        [data(1, ONE, TWO), index_key(1, ONE), index_key(2, TWO)],
        (ONE,),
        None,
    ),
    "none": ([data(1, None)], (), None),
    "a destroyed primary": ([data(1, ONE), data(2, TWO, ONE).destroyed()], (TWO, ONE), None),
}


@pytest.mark.parametrize(("records", "searched", "announced"), KEYSETS.values(), ids=KEYSETS)
def test_the_index_keys_in_use_follow_from_the_records(
    records: list[KeyRecord], searched: tuple[bytes, ...], announced: bytes | None
) -> None:
    """Those that data keys name which can still be opened, and one that is announced."""
    keyset = Keyset("default", reversed(records))
    assert keyset.index_key_ids == searched
    assert (keyset.announced and keyset.announced.key_id) == announced


def test_an_index_key_is_used_by_its_data_keys_and_as_a_bridge() -> None:
    """A data key that was destroyed uses none."""
    keyset = Keyset("default", [data(1, ONE).destroyed(), data(2, TWO, THREE)])
    assert [keyset.uses(key_id) for key_id in (ONE, TWO, THREE)] == [False, True, True]


@pytest.mark.parametrize(
    ("records", "stray"),
    [
        ([data(1, ONE), data(2, TWO, ONE), data(3, TWO, ONE)], None),
        ([data(2, TWO, ONE), data(3, TWO)], None),
        ([data(1, None), data(2, ONE)], None),
        ([data(1, ONE), data(2, TWO)], 1),
        ([data(1, ONE).destroyed(), data(2, TWO)], None),
        ([data(1, ONE, TWO), data(2, TWO, ONE)], 1),
    ],
)
def test_a_data_key_that_shares_no_slot_with_the_primary_is_stray(
    records: list[KeyRecord], stray: int | None
) -> None:
    """Equal values under the two would have equal index values at no place."""
    found = Keyset("default", records).stray
    assert (found and found.generation) == stray


def test_a_destroyed_data_key_keeps_the_names_of_its_index_keys() -> None:
    """The record still says what the index values of its rows were made with."""
    destroyed = data(2, TWO, ONE).destroyed()
    assert (destroyed.index_key_id, destroyed.bridge_key_id) == (TWO, ONE)


def test_a_name_is_created_once(keystore, provider) -> None:
    """A second creation is refused and changes nothing, and so is an empty name."""
    before = keystore.load("default")
    with pytest.raises(KeystoreConflictError, match="sealed keys rotate"):
        KeyManager(keystore, provider).create("default")
    assert keystore.load("default") == before
    with pytest.raises(ConfigurationError, match="text that is not empty"):
        KeyManager(keystore, provider).create("")


def test_a_rotation_adds_a_primary_and_keeps_the_index_key(keystore, provider) -> None:
    """Older data keys stay as they are."""
    manager = KeyManager(keystore, provider)
    old = manager.keyset("default")
    new = manager.rotate("default")
    assert new.primary.generation == 2
    assert new.primary.index_key_id == old.primary.index_key_id
    assert set(old.records) < set(new.records)


def test_a_destroyed_key_has_no_wrapped_key(keystore, provider) -> None:
    """Destroying erases the wrapped key and keeps the record, so that its values are explained."""
    manager = KeyManager(keystore, provider)
    old = manager.keyset("default").primary
    manager.rotate("default")
    destroyed = manager.destroy("default", old.key_id, unscanned=True).get(old.key_id)
    assert destroyed is not None
    assert (destroyed.wrapped, destroyed.state) == ("", KeyState.DESTROYED)


def test_the_primary_and_unknown_keys_are_not_destroyed(keystore, provider) -> None:
    """New values need the primary; both errors name the key."""
    manager = KeyManager(keystore, provider)
    with pytest.raises(KeystoreError, match="rotate first") as caught:
        manager.destroy("default", manager.keyset("default").primary.key_id, unscanned=True)
    assert caught.value.key_id == manager.keyset("default").primary.key_id.hex()
    with pytest.raises(KeystoreError, match="no key of this id"):
        manager.destroy("default", b"unknown.", unscanned=True)


def test_swapped_wrapped_keys_are_refused(keystore, provider: LocalRootKey) -> None:
    """A wrapped key under the record of another id, name or kind does not unwrap."""
    manager = KeyManager(keystore, provider)
    old, new = manager.keyset("default").primary, manager.rotate("default").primary
    for swapped in (
        replace(new, wrapped=old.wrapped),
        replace(new, name="other"),
        replace(new, kind=KeyKind.INDEX),
        replace(new, key_id=old.key_id),
    ):
        with pytest.raises(ProviderError, match="swapped"):
            provider.unwrap(swapped.wrapped, swapped.binding)


class Careless:
    """A KEK provider that does not bind: it unwraps anything to one key."""

    def wrap(self, key: bytes, binding: bytes) -> str:
        return "wrapped"

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        return bytes(32)

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        return wrapped

    def version(self) -> str:
        return "careless:1"


def test_a_key_with_another_id_is_refused_whatever_the_provider_says() -> None:
    """The id is computed again after unwrapping, and the error names key and id."""
    with pytest.raises(ProviderError, match="another id than its record") as caught:
        KeyCache(Keyset("default", [record()]), Careless())
    assert caught.value.where == "key 'default'"
    assert caught.value.key_id == record().key_id.hex()


def test_a_destroyed_primary_cannot_be_used(keystore, provider) -> None:
    """Sealing under it is refused at the start, with what to do."""
    primary = KeyManager(keystore, provider).keyset("default").primary
    keyset = Keyset("default", [primary.destroyed()])
    with pytest.raises(KeystoreError, match="destroyed; rotate to make a new one"):
        KeyCache(keyset, provider)
