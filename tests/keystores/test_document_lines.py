"""A file of keys is written a line a record, and lines of records that stay are not made again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_sealed import FileKeystore
from sqlalchemy_sealed.errors import ConfigurationError, KeystoreError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, KeyState
from sqlalchemy_sealed.keystores import document
from sqlalchemy_sealed.keystores.document import (
    Lines,
    Reading,
    from_document,
    line,
    to_document,
)
from sqlalchemy_sealed.keystores.fields import to_fields
from sqlalchemy_sealed.testing import record

LATER = datetime(2027, 1, 31, 23, 59, 59, 5, timezone(timedelta(hours=-3, minutes=-30)))
RECORDS = {
    "plain": record(),
    "index key": record(kind=KeyKind.INDEX),
    "many generations": replace(record(), generation=1 << 31),
    "no index key": replace(record(), index_key_id=None),
    "bridge": replace(record(), bridge_key_id=b"\0bridge\xff"),
    "due": replace(record(), due=LATER),
    "bridge and due": replace(record(), bridge_key_id=b"8 bytes.", due=LATER.astimezone(UTC)),
    "zone": replace(record(), created=LATER),
    "disabled": record().with_state(KeyState.DISABLED),
    "destroyed": record().destroyed(),
    "odd name": record('"quoted" \\ {"wrapped": "x"}, \n\t\0\x1f\x7f é \N{KEY} \u2028'),
    "odd wrapped key": record().with_wrapped('"\\}, {'),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
def test_a_line_is_the_json_of_the_fields(kind: str) -> None:
    """To the letter what `json` writes, and read back as the same record."""
    text = line(RECORDS[kind])
    assert text == json.dumps(to_fields(RECORDS[kind]), ensure_ascii=False)
    assert from_document(to_document([RECORDS[kind]])) == [RECORDS[kind]]


def test_a_record_that_could_not_be_read_again_has_no_line() -> None:
    """Nor is it remembered."""
    bad, lines = replace(record(), created=datetime(2026, 1, 1)), Lines()  # noqa: DTZ001
    with pytest.raises(ConfigurationError):
        lines.of([bad])
    assert lines.of([record()]) == [f"  {line(record())}"]


def test_no_record_is_dropped_for_its_id() -> None:
    """Two of one id are no keystore; the last one would take the place of the first."""
    with pytest.raises(ValueError, match="same id"):
        to_document([record(), replace(record("other"), key_id=record().key_id)])


def test_only_lines_of_changed_records_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a record was rewrapped, not even that. The file is as if all lines were made anew."""
    made: list[KeyRecord] = []
    make = document._around
    monkeypatch.setattr(document, "_around", lambda each: made.append(each) or make(each))
    keystore = FileKeystore(tmp_path / "keys.json")
    olds = [record(name, n) for name in ("a", "b") for n in range(1, 51)]
    keystore.add(*olds)
    made.clear()
    rewrapped = [old.with_wrapped("new") for old in olds[20:30]]
    disabled = olds[40].with_state(KeyState.DISABLED)
    keystore.update_many(zip(olds[20:30], rewrapped, strict=True))
    keystore.update(olds[40], disabled)
    keystore.add(record("c"))
    assert made == [disabled, record("c")]
    now = [*olds[:20], *rewrapped, *olds[30:40], disabled, *olds[41:], record("c")]
    assert keystore.path.read_text() == to_document(now)


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("wrapped", ["new", '"wrapped": "', "", "\N{KEY}"], ids=ascii)
def test_the_line_of_a_rewrapped_record_is_that_of_a_new_one(kind: str, wrapped: str) -> None:
    """To the letter, and refused just as well."""
    before, lines = RECORDS[kind], Lines()
    lines.of([before])
    after = before.with_wrapped(wrapped)
    try:
        expected = line(after)
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            lines.of([after])
    else:
        assert lines.of([after]) == [f"  {expected}"]


CHANGES = {
    "name": "other",
    "kind": KeyKind.INDEX,
    "generation": 7,
    "created": LATER,
    "index_key_id": b"another.",
    "bridge_key_id": b"8 bytes.",
    "state": KeyState.DISABLED,
    "due": LATER,
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_record_that_is_different_in_more_than_its_wrapped_key_has_a_new_line(field: str) -> None:
    """Whatever else it is."""
    before, lines = record(), Lines()
    lines.of([before])
    after: KeyRecord = replace(before, wrapped="new", **{field: CHANGES[field]})  # type: ignore[arg-type]
    assert lines.of([after]) == [f"  {line(after)}"]


def test_lines_stay_with_their_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another order, with some gone and others come, changed or not; few are made anew."""
    made: list[KeyRecord] = []
    make, lines = document._around, Lines()
    monkeypatch.setattr(document, "_around", lambda each: made.append(each) or make(each))
    a, b, c, d = (record(name, index) for index, name in enumerate("abcd", 1))
    rewrapped, disabled = b.with_wrapped("new"), c.with_state(KeyState.DISABLED)
    lines.of([a, b, c])
    for now, new in (
        ([b, a, c], []),
        ([c, rewrapped], []),
        ([disabled, rewrapped, d], [disabled, d]),
        ([d, a], [a]),
        ([a, d, b], [b]),
        ([], []),
    ):
        made.clear()
        texts = lines.of(now)
        assert made == new
        assert texts == [f"  {line(each)}" for each in now]
    lines.of([a, b])
    with pytest.raises(ValueError, match="same id"):
        lines.of([a, replace(b, key_id=a.key_id)])


@pytest.mark.parametrize("bad", [{"due": datetime(2027, 1, 1)}, {"wrapped": b"new"}], ids=str)  # noqa: DTZ001
def test_lines_that_cannot_be_made_leave_the_others_as_they_were(bad: dict[str, Any]) -> None:
    """A change of which nothing is written is not remembered in part."""
    lines, olds = Lines(), [record(), record(generation=2)]
    lines.of(olds)
    with pytest.raises((ConfigurationError, TypeError)):
        lines.of([olds[0].with_state(KeyState.DISABLED), replace(olds[1], **bad)])
    assert lines.of(olds) == [f"  {line(each)}" for each in olds]


def test_a_record_that_another_process_changed_has_a_new_line(tmp_path: Path) -> None:
    """What is known of the file as it was is not written over what it is."""
    ours, theirs = (FileKeystore(tmp_path / "keys.json") for _ in range(2))
    ours.add(record(), record(generation=2))
    theirs.update(record(), record().destroyed())
    ours.update(record(generation=2), record(generation=2).with_wrapped("new"))
    assert FileKeystore(ours.path).load("default") == (
        record().destroyed(),
        record(generation=2).with_wrapped("new"),
    )


# -- a document that is spaced as we do it is read line by line, for less than JSON takes


def read(text: str) -> list[KeyRecord] | str:
    """Return the records of a document, or why it has none."""
    try:
        return from_document(text)
    except KeystoreError as error:
        return error.problem


def read_as_json(text: str) -> list[KeyRecord] | str:
    """Return the same, of the same document spaced in another way."""
    return read(f" {text}")


@pytest.mark.parametrize("kind", RECORDS)
def test_lines_are_read_as_json_is(kind: str) -> None:
    """Whatever stands beside a record; their texts are those to be written again."""
    records = [RECORDS["plain"], replace(RECORDS[kind], key_id=b"another.", generation=7)]
    text = to_document(records)
    assert read(text) == read_as_json(text) == records
    reading = Reading(text)
    assert to_document(list(reading), reading.lines) == text


DAMAGE = {
    "no such kind": ('"data"', '"date"'),
    "no such state": ('"enabled"', '"enable"'),
    "destroyed with a key": ('"enabled"', '"destroyed"'),
    "generation 0": ('"generation": 1', '"generation": 0'),
    "generation with a zero": ('"generation": 1', '"generation": 01'),
    "too high a generation": ('"generation": 1', '"generation": 2147483649'),
    "a generation in quotes": ('"generation": 1', '"generation": "1"'),
    "digits of another script": ('"generation": 1', '"generation": \u0661'),
    "a short id": (record().key_id.hex(), record().key_id.hex()[:-2]),
    "an id in capitals": (record().key_id.hex(), record().key_id.hex().upper()),
    "a member that is missing": ('"state": "enabled"', ""),
    "a member that is there twice": ('"kind": "data"', '"kind": "data", "kind": "data"'),
    "another order": ('"kind": "data", "generation": 1', '"generation": 1, "kind": "data"'),
    "a month 13": ("-01-", "-13-"),
    "a second 60": (":00+", ":60+"),
    "an hour 24": ("T00:", "T24:"),
    "a fraction of nothing": (":00+00:00", ":00.000000+00:00"),
    "a time without a zone": (":00+00:00", ":00"),
    "a zone of minus nothing": (":00+00:00", ":00-00:00"),
    "a zone by its letter": (":00+00:00", ":00Z"),
    "a wrapped key that is not ASCII": (record().wrapped, "\N{KEY}"),
    "no wrapped key": (record().wrapped, ""),
    "a control character": ('"name": "', '"name": "\x01'),
    "an escape": ('"name": "', '"name": "\\u0041'),
    "half a character": ('"name": "', '"name": "\\ud800'),
    "space at the end": ('"enabled"}', '"enabled"} '),
    "space inside": ('"kind":', '"kind" :'),
    "two in one line": ("},\n  {", "}, {"),
    "no comma": ("},\n", "}\n"),
    "a comma too many": ("}\n ]", "},\n ]"),
    "an empty line": ("},\n", "},\n\n"),
    "an empty last line": ("}\n ]", "},\n\n ]"),
    "something before": ('  {"name"', '  1 {"name"'),
    "a line of something else": ("},\n", "},\n  1,\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("some", [1, document._SOME], ids=["one by one", "many at once"])
def test_a_line_that_is_not_quite_ours_is_what_it_is_to_json(
    kind: str, some: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same records, or the same refusal; in the first line, and in the last one."""
    monkeypatch.setattr(document, "_SOME", some)
    made = datetime(2026, 1, 1, tzinfo=UTC)
    records = [replace(record(generation=n), created=made) for n in (1, 2)]
    old, new = DAMAGE[kind]
    text = to_document(records)
    assert old in text
    for damaged in (text.replace(old, new, 1), new.join(text.rsplit(old, 1))):
        expected = read_as_json(damaged)
        assert read(damaged) == expected
        if not isinstance(expected, str):
            reading = Reading(damaged)
            assert to_document(list(reading), reading.lines) == to_document(expected)


def test_an_id_that_is_there_twice_is_found_by_the_reader(tmp_path: Path) -> None:
    """Each line by itself is sound."""
    keystore = FileKeystore(tmp_path / "keys.json")
    keystore.add(record(), record(generation=2))
    text = keystore.path.read_text()
    ids = [each.key_id.hex() for each in keystore.load("default")]
    keystore.path.write_text(text.replace(ids[1], ids[0]))
    with pytest.raises(KeystoreError, match="damaged"):
        FileKeystore(keystore.path).names()
