"""
What every keystore must do. A test class of a keystore inherits from `KeystoreSuite`.

It provides the fixture `store`: an empty keystore.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest

from ..errors import KeystoreConflictError
from ..keys import KeyKind, KeyRecord, KeyState
from ..protocols import Keystore, load_all, update_all


def record(name: str = "default", generation: int = 1, kind: KeyKind = KeyKind.DATA) -> KeyRecord:
    """Return a record that no other call returns the key id of."""
    text = f"{name} {generation} {kind}".encode()
    return KeyRecord(
        name=name,
        kind=kind,
        generation=generation,
        key_id=sha256(text).digest()[:8],
        wrapped=f"local:1:0011223344556677:{generation}",
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        index_key_id=b"\x01" * 8 if kind is KeyKind.DATA else None,
    )


class KeystoreSuite:
    """The behaviour that all keystores share."""

    def test_it_is_a_keystore(self, store: Keystore) -> None:
        """It has the methods of the protocol."""
        assert isinstance(store, Keystore)

    def test_what_was_added_is_loaded(self, store: Keystore) -> None:
        """Records come back as they were given, by key name."""
        records = [record(), record(kind=KeyKind.INDEX)]
        store.add(*records)
        store.add(record("pii"))
        assert set(store.load("default")) == set(records)
        assert store.load("pii") == (record("pii"),)
        assert store.names() == ("default", "pii")

    def test_an_unknown_name_has_no_records(self, store: Keystore) -> None:
        """A key name without records is empty, not an error."""
        store.add(record())
        assert store.load("unheard of") == ()

    def test_many_names_are_loaded(self, store: Keystore) -> None:
        """All of them, or those that are asked for; one without records is empty."""
        names = [f"name {number:04}" for number in range(30)]
        for name in names:
            store.add(record(name), record(name, kind=KeyKind.INDEX))
        loaded = load_all(store)
        assert tuple(loaded) == store.names() == tuple(names)
        assert all(set(loaded[name]) == set(store.load(name)) for name in names)
        some = load_all(store, iter(["name 0029", "unheard of", "name 0000", "name 0029"]))
        assert list(some) == ["name 0029", "unheard of", "name 0000"]
        assert [len(records) for records in some.values()] == [2, 0, 2]
        assert load_all(store, []) == {}

    @pytest.mark.parametrize(
        "second",
        [
            replace(record(), key_id=b"another."),
            replace(record(generation=2), key_id=record().key_id),
        ],
        ids=["same generation", "same id"],
    )
    def test_a_taken_place_is_a_conflict(self, store: Keystore, second: KeyRecord) -> None:
        """A second record of one generation, or of one id, is refused and changes nothing."""
        store.add(record())
        with pytest.raises(KeystoreConflictError):
            store.add(second)
        assert store.load("default") == (record(),)

    def test_all_records_are_added_or_none(self, store: Keystore) -> None:
        """A conflict of one record leaves out those that were given with it."""
        store.add(record())
        with pytest.raises(KeystoreConflictError):
            store.add(record(generation=2), record())
        assert store.load("default") == (record(),)

    def test_an_update_replaces_the_record_it_knows(self, store: Keystore) -> None:
        """An update of a record that was changed meanwhile is a conflict."""
        store.add(record(), record(generation=2))
        store.update(record(), record().destroyed())
        assert record().destroyed() in store.load("default")
        with pytest.raises(KeystoreConflictError):
            store.update(record(), replace(record(), wrapped="local:1:0011223344556677:other"))
        assert record(generation=2) in store.load("default")

    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "pä/tients é 患者 '\"\\ \n"},
            {"name": "x" * 1000},
            {"generation": 2**31 - 1},
            {"key_id": bytes(8)},
            {"key_id": b"\xff" * 8},
            {"wrapped": "vault:v1:" + "A" * 5000},
            {"created": datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30)))},
            {"index_key_id": None},
            {"bridge_key_id": b"\x02" * 8},
            {"due": datetime(2026, 4, 2, 3, 4, 5, tzinfo=UTC)},
            {"state": KeyState.DISABLED},
            {"wrapped": "", "state": KeyState.DESTROYED},
        ],
        ids=" ".join,
    )
    def test_every_field_comes_back_exactly(self, store: Keystore, changes: dict[str, Any]) -> None:
        """What a record says is neither shortened nor rounded nor escaped."""
        changed = replace(record(), **changes)
        store.add(changed)
        assert store.load(changed.name) == (changed,)
        assert store.load(changed.name)[0].created.utcoffset() is not None

    def test_names_are_told_apart_exactly(self, store: Keystore) -> None:
        """Case, accents, trailing spaces and pattern characters make other names."""
        names = ["key", "Key", "kéy", "key ", "k%", "k_y", "ke\u0301y"]
        for number, name in enumerate(names):
            store.add(replace(record(name), key_id=bytes([number]) * 8))
        assert store.names() == tuple(sorted(names))
        for name in names:
            assert [each.name for each in store.load(name)] == [name]

    def test_an_id_is_taken_in_all_kinds(self, store: Keystore) -> None:
        """A key id names one key, whatever its kind and generation."""
        store.add(record())
        for kind, generation in ((KeyKind.INDEX, 1), (KeyKind.DATA, 2), (KeyKind.INDEX, 2)):
            with pytest.raises(KeystoreConflictError):
                store.add(replace(record(), kind=kind, generation=generation))
        assert store.load("default") == (record(),)

    def test_records_given_together_must_not_meet(self, store: Keystore) -> None:
        """Two records of one call that take each other's place are refused, and none is added."""
        store.add(record("first"))
        with pytest.raises(KeystoreConflictError):
            store.add(record(), replace(record(), key_id=b"another."))
        assert store.names() == ("first",)

    def test_what_is_not_there_cannot_be_updated(self, store: Keystore) -> None:
        """An update adds nothing."""
        store.add(record())
        with pytest.raises(KeystoreConflictError):
            store.update(record(generation=2), record(generation=2).destroyed())
        assert store.load("default") == (record(),)

    @pytest.mark.parametrize(
        "changes",
        [{"name": "other"}, {"kind": KeyKind.INDEX}, {"generation": 2}, {"key_id": b"?" * 8}],
    )
    def test_an_update_does_not_move_a_record(
        self, store: Keystore, changes: dict[str, Any]
    ) -> None:
        """Name, kind, generation and id of a record are for ever."""
        store.add(record())
        with pytest.raises(ValueError, match="keeps name, kind, generation and key id"):
            store.update(record(), replace(record(), **changes))
        assert store.load("default") == (record(),)

    def test_many_records_are_updated(self, store: Keystore) -> None:
        """Records of several key names are replaced in one call, and no others."""
        for name in ("default", "pii"):
            store.add(*(record(name, generation) for generation in range(1, 31)))
        olds = [record(name, n) for name in ("pii", "default") for n in range(30, 10, -1)]
        update_all(store, [(old, old.with_wrapped(f"new:{old.generation}")) for old in olds])
        for name in ("default", "pii"):
            assert {(each.generation, each.wrapped) for each in store.load(name)} == {
                (n, f"new:{n}" if n > 10 else record(name, n).wrapped) for n in range(1, 31)
            }
        update_all(store, [])

    def test_many_records_of_a_name_are_updated_or_none(self, store: Keystore) -> None:
        """Of a keystore that can do it in one write: a conflict of one record stops the others."""
        if not hasattr(store, "update_many"):
            pytest.skip("it has no update_many")
        stored = [record(generation=generation) for generation in range(1, 6)]
        store.add(*stored)
        missing = record(generation=6)
        for other in (replace(stored[2], wrapped="changed"), missing):
            olds = [*stored[:2], other, *stored[3:]]
            with pytest.raises(KeystoreConflictError) as caught:
                update_all(store, [(old, old.with_state(KeyState.DISABLED)) for old in olds])
            assert set(store.load("default")) == set(stored)
            assert caught.value.key_id == other.key_id.hex()
        with pytest.raises(ValueError, match="keeps name, kind, generation and key id"):
            update_all(store, [(stored[0], stored[0].destroyed()), (stored[1], missing)])
        assert set(store.load("default")) == set(stored)

    def test_what_was_loaded_does_not_change(self, store: Keystore) -> None:
        """A later change is not seen by who loaded before."""
        store.add(record())
        loaded = store.load("default")
        store.add(record(generation=2))
        store.update(record(), record().destroyed())
        assert loaded == (record(),)

    def test_of_threads_that_add_one_generation_one_wins(self, store: Keystore) -> None:
        """The others get a conflict, and the record is that of the winner."""
        barrier = threading.Barrier(8)

        def add(number: int) -> KeyRecord | None:
            mine = replace(record(), key_id=bytes([number]) * 8)
            barrier.wait()
            try:
                store.add(mine)
            except KeystoreConflictError:
                return None
            return mine

        with ThreadPoolExecutor(8) as pool:
            won = [each for each in pool.map(add, range(8)) if each is not None]
        assert store.load("default") == tuple(won)
        assert len(won) == 1

    def test_what_threads_add_at_once_is_all_there(self, store: Keystore) -> None:
        """Records of different generations do not overwrite each other."""
        barrier = threading.Barrier(8)

        def add(number: int) -> None:
            barrier.wait()
            store.add(record(generation=number))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(1, 9)))
        assert sorted(r.generation for r in store.load("default")) == list(range(1, 9))

    def test_it_shows_no_wrapped_key(self, store: Keystore) -> None:
        """Neither its repr nor that of a conflict has a wrapped key in it."""
        store.add(record())
        with pytest.raises(KeystoreConflictError) as caught:
            store.add(record())
        assert record().wrapped not in f"{store!r} {store} {caught.value!r} {caught.value}"
        assert caught.value.key_id == record().key_id.hex()
