"""
What every keystore must do. A test module of a keystore inherits from `KeystoreSuite`.

It provides the fixture `store`: an empty keystore.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sqlalchemy_sealed import Keystore
from sqlalchemy_sealed.errors import KeystoreConflictError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord


def record(name: str = "default", generation: int = 1, kind: KeyKind = KeyKind.DATA) -> KeyRecord:
    """Return a record that no other call returns the key id of."""
    text = f"{name} {generation} {kind}".encode()
    return KeyRecord(
        name=name,
        kind=kind,
        generation=generation,
        key_id=(text * 8)[:7] + bytes([generation % 256 ^ len(kind)]),
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
        records = [record(), record(kind=KeyKind.INDEX), record("pii")]
        store.add(*records)
        assert set(store.load("default")) == set(records[:2])
        assert store.load("pii") == (records[2],)
        assert store.names() == ("default", "pii")

    def test_an_unknown_name_has_no_records(self, store: Keystore) -> None:
        """A key name without records is empty, not an error."""
        store.add(record())
        assert store.load("unheard of") == ()

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
