"""Changing many records at once, of keystores that can do it and of those that cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqlalchemy_sealed import FileKeystore, MemoryKeystore
from sqlalchemy_sealed.errors import KeystoreConflictError
from sqlalchemy_sealed.keys import KeyRecord
from sqlalchemy_sealed.keystores.book import RecordBook
from sqlalchemy_sealed.protocols import Keystore, update_all
from sqlalchemy_sealed.testing import KeystoreSuite, record


class FewMethods:
    """A keystore with the methods of the protocol and no others, as somebody may have written."""

    def __init__(self) -> None:
        self.inner = MemoryKeystore()
        self.load: Callable[[str], tuple[KeyRecord, ...]] = self.inner.load
        self.names: Callable[[], tuple[str, ...]] = self.inner.names
        self.add: Callable[..., None] = self.inner.add
        self.update: Callable[[KeyRecord, KeyRecord], None] = self.inner.update


@pytest.fixture
def store() -> FewMethods:
    """Return an empty keystore."""
    return FewMethods()


class TestFewMethods(KeystoreSuite):
    """It does what every keystore does."""


def test_without_update_many_there_is_one_update_after_the_other(store: FewMethods) -> None:
    """What was changed before a conflict stays changed."""
    olds = [record(generation=n) for n in (1, 2, 3)]
    store.add(olds[0], olds[2])
    with pytest.raises(KeystoreConflictError):
        update_all(store, ((old, old.with_wrapped("new")) for old in olds))
    assert {each.wrapped for each in store.load("default")} == {"new", olds[2].wrapped}


def test_with_update_many_a_file_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of records and key names."""
    keystore = FileKeystore(tmp_path / "keys.json")
    olds = [record(name, n) for name in ("a", "b") for n in range(1, 51)]
    keystore.add(*olds)
    written: list[Path] = []
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda *names: written.append(names[1]) or rename(*names))
    update_all(keystore, [(old, old.with_wrapped("new")) for old in olds])
    assert written == [keystore.path]
    assert {each.wrapped for name in ("a", "b") for each in keystore.load(name)} == {"new"}


@pytest.mark.parametrize("keystore", [MemoryKeystore(), FewMethods()], ids=["many", "few"])
def test_pairs_may_be_an_iterator(keystore: Keystore) -> None:
    """They are taken once."""
    keystore.add(record())
    update_all(keystore, iter([(record(), record().destroyed())]))
    assert keystore.load("default") == (record().destroyed(),)


def test_an_id_is_taken_in_all_names_of_memory() -> None:
    """A key id names one key in the whole keystore."""
    keystore = MemoryKeystore()
    keystore.add(record())
    with pytest.raises(KeystoreConflictError):
        keystore.add(record("other", 2), replace(record("other"), key_id=record().key_id))
    assert keystore.names() == ("default",)


def test_a_book_is_never_changed() -> None:
    """A change returns another one; what a reader holds stays as it is."""
    book = RecordBook([record(), record("other")])
    added = book.added(record(generation=2))
    updated = added.updated([(record(), record().destroyed())])
    assert book.records == (record(), record("other"))
    assert added.named("default") == (record(), record(generation=2))
    assert updated.named("default") == (record().destroyed(), record(generation=2))
    assert updated.named("other") == book.named("other")
    for each in (book, added, updated):
        with pytest.raises(KeystoreConflictError):
            each.added(replace(record("new"), key_id=record().key_id))
