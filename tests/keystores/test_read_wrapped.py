"""Keys are rewrapped while the rest of a keystore is still read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine

from sqlalchemy_sealed import FileKeystore, KeyManager, MemoryKeystore, rewrapping
from sqlalchemy_sealed.errors import KeystoreError
from sqlalchemy_sealed.keys import KeyRecord, KeyState
from sqlalchemy_sealed.keystores import document
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.document import to_document
from sqlalchemy_sealed.keystores.rows import record_of, row_of
from sqlalchemy_sealed.protocols import Keystore, read_wrapped
from sqlalchemy_sealed.testing import record

COUNT = 500
RECORDS = [record(name, n) for name in ("a", "b") for n in range(1, COUNT // 2 + 1)]


class Renaming:
    """A KEK provider that gives each key another wrapped form, and notes which it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def version(self) -> str:
        """Return a name."""
        return "new"

    def rewrap_many(self, items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Yield new wrapped keys."""
        for wrapped, _ in items:
            self.given.append(wrapped)
            yield f"new:{wrapped}"

    def __getattr__(self, name: str) -> Any:
        if name == "is_current":
            raise AttributeError(name)
        raise AssertionError(name)


def file_with(path: Path, records: list[KeyRecord]) -> FileKeystore:
    """Return a file of keys as another process would open it."""
    path.write_text(to_document(records))
    path.chmod(0o600)
    return FileKeystore(path)


def assert_read(keystore: Keystore, records: list[KeyRecord]) -> None:
    """See that all records that are not destroyed come, and that their number is told before."""
    count, found = read_wrapped(keystore)
    wrapped = [each for each in records if each.wrapped]
    assert count == len(wrapped)
    assert {each.key_id: each for each in found} == {each.key_id: each for each in wrapped}


SOME = [
    record(),
    record(generation=2).destroyed(),
    record('"wrapped": ""', 3),
    record("odd \N{KEY} \n", 4).with_state(KeyState.DISABLED),
    replace(record("b", 5), due=datetime(2027, 1, 1, tzinfo=UTC), bridge_key_id=b"8 bytes."),
]


def test_what_is_not_destroyed_is_read_from_a_file(tmp_path: Path) -> None:
    """For the first time, again, and where it is spaced in another way."""
    for records in (SOME, SOME[:2], []):
        keystore = file_with(tmp_path / "keys.json", records)
        assert_read(keystore, records)
        assert_read(keystore, records)
        keystore.path.write_text(f" {to_document(records)}")
        assert_read(keystore, records)
        assert_read(FileKeystore(keystore.path), records)


@ON_MARIADB_TOO
def test_what_is_not_destroyed_is_read_from_a_table(engine: Engine) -> None:
    """In one query."""
    keystore = DatabaseKeystore(engine)
    keystore.create()
    assert_read(keystore, [])
    for each in SOME:
        keystore.add(each)
    assert_read(keystore, SOME)


def test_what_is_not_destroyed_is_read_from_another_keystore() -> None:
    """One that has the methods of the protocol only."""
    keystore = MemoryKeystore()
    for each in SOME:
        keystore.add(each)
    assert_read(keystore, SOME)


def test_damage_that_is_found_on_the_way_stops_all(tmp_path: Path) -> None:
    """Keys before it were asked for; none is written, and the file is what it was."""
    keystore = file_with(tmp_path / "keys.json", RECORDS)
    text = keystore.path.read_text()
    last = text.rindex('"kind": "data"')
    keystore.path.write_text(text[:last] + text[last:].replace('"data"', '"date"'))
    before, provider = keystore.path.read_bytes(), Renaming()
    with pytest.raises(KeystoreError, match="damaged: record 500 is not a key record"):
        KeyManager(keystore, provider).rewrap()  # type: ignore[arg-type]
    assert COUNT // 2 < len(provider.given) < COUNT
    assert keystore.path.read_bytes() == before


def test_two_records_that_contradict_each_other_stop_all(tmp_path: Path) -> None:
    """That shows when all are read, and before any is written."""
    keystore = file_with(tmp_path / "keys.json", RECORDS)
    ids = RECORDS[0].key_id.hex(), RECORDS[-1].key_id.hex()
    keystore.path.write_text(keystore.path.read_text().replace(*ids))
    before = keystore.path.read_bytes()
    with pytest.raises(KeystoreError, match="damaged"):
        KeyManager(keystore, Renaming()).rewrap()  # type: ignore[arg-type]
    assert keystore.path.read_bytes() == before


def test_a_file_is_read_once_though_it_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that comes before the end goes on with what was read."""
    made: list[str] = []
    make = document._of_lines

    def making(found: Sequence[tuple[str, ...]], before: int) -> list[KeyRecord]:
        records = make(found, before)
        made.extend(each.key_id.hex() for each in records)
        return records

    monkeypatch.setattr(document, "_of_lines", making)
    monkeypatch.setattr(rewrapping, "BATCH", 50)
    keystore = file_with(tmp_path / "keys.json", RECORDS)
    done = KeyManager(keystore, Renaming()).rewrap()  # type: ignore[arg-type]
    assert done.rewrapped == COUNT
    assert made == [each.key_id.hex() for each in RECORDS]
    records = FileKeystore(keystore.path).load("a") + FileKeystore(keystore.path).load("b")
    assert list(records) == [each.with_wrapped(f"new:{each.wrapped}") for each in RECORDS]


# -- rows of a table, read and written for little work


@pytest.mark.parametrize("each", SOME, ids=lambda each: ascii(each.name))
def test_a_row_of_ours_is_its_record(each: KeyRecord) -> None:
    """Both ways."""
    assert record_of(row_of(each)) == each


ROW = row_of(replace(SOME[4], index_key_id=b"another."))
DAMAGE: dict[str, tuple[int, Any]] = {
    "a name of bytes": (0, b"b"),
    "half a character in the name": (0, "\ud800"),
    "another kind": (1, "root"),
    "generation 0": (2, 0),
    "a generation in quotes": (2, "5"),
    "a generation that is a truth": (2, True),
    "too high a generation": (2, 1 << 32),
    "a short id": (3, "00"),
    "an id in capitals": (3, "ABCDEF0123456789"),
    "a line end after an id": (3, f"{ROW[3]}\n"),
    "no wrapped key": (4, ""),
    "a wrapped key of bytes": (4, b"x"),
    "a wrapped key that is not ASCII": (4, "\N{KEY}"),
    "nothing as wrapped key": (4, None),
    "a month 13": (5, "2026-13-01T00:00:00+00:00"),
    "another zone": (5, "2026-12-01T00:00:00+01:00"),
    "no time": (5, None),
    "an index key that is none": (6, "x"),
    "a bridge that is none": (7, ""),
    "another state": (8, "lost"),
    "destroyed with a wrapped key": (8, "destroyed"),
    "due at another time": (9, "2026-12-01"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_row_that_is_not_quite_ours_is_left_to_others(kind: str) -> None:
    """They say what is wrong with it, or know another way to write the same."""
    place, value = DAMAGE[kind]
    assert record_of(ROW) is not None
    assert record_of((*ROW[:place], value, *ROW[place + 1 :])) is None
