"""Key records as one JSON document, a line a record: what a file holds, and a secret of Vault."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from ..errors import KeystoreError
from ..keys import KeyRecord
from .fields import (
    ID,
    KINDS,
    MAX_GENERATION,
    STATES,
    TIME,
    check,
    from_fields,
    is_rewrapped,
    not_a_record,
)

FORMAT = "sqlalchemy-sealed keystore 1"
# The texts are those that JSON holds as they are.
_lines_of_ours = re.compile(
    r'^  \{"name": "([^"\\\x00-\x1f\ud800-\udfff]*+)", '
    rf'"kind": "({"|".join(KINDS)})", "generation": ([1-9][0-9]{{0,9}}+), "id": "({ID})", '
    rf'"wrapped": "([ !#-\[\]-\x7f]*+)", "created": "({TIME})", '
    rf'"index_key_id": (?:null|"({ID})"), "state": "({"|".join(STATES)})"'
    rf'(?:, "bridge_key_id": "({ID})")?(?:, "due": "({TIME})")?\}}(?:,\n|\Z)',
    re.MULTILINE,
).findall
_SOME = 30_000
"""How many characters are read at once, where nobody waits for all of them: some 100 lines."""
_encode = json.encoder.encode_basestring
_HEAD, _BETWEEN, _TAIL = f'{{"format": {_encode(FORMAT)},\n "keys": [\n', ",\n", "\n ]}\n"
_START, _END = len(_HEAD), -len(_TAIL)


class Lines:
    """
    The lines of records, each made once. To be asked for all records of a keystore.

    Args:
        records: such as were read, no two of them with the same id.
        texts: their lines, as `to_document` wrote them.
    """

    __slots__ = ("_records", "_texts")

    def __init__(self, records: Sequence[KeyRecord] = (), texts: Iterable[str] = ()) -> None:
        self._records = {record.key_id: record for record in records}
        self._texts = dict(zip((record.key_id for record in records), texts, strict=True))

    def of(self, records: Iterable[KeyRecord]) -> list[str]:
        """
        Return the lines of records, and forget those of all others.

        Raises:
            ConfigurationError: a record that could not be read again.
            ValueError: two of them have the same id.
        """
        records = tuple(records)
        now = {record.key_id: record for record in records}
        if len(now) != len(records):
            raise ValueError("two records have the same id")
        known, before = self._records.get, self._texts
        texts = [
            before[key_id]
            if (old := known(key_id)) is record
            else _line_after(record, old, before[key_id] if old else "")
            for key_id, record in now.items()
        ]
        self._records, self._texts = now, dict(zip(now, texts, strict=True))
        return texts


def to_document(records: Iterable[KeyRecord], lines: Lines | None = None) -> str:
    """
    Return the document of records.

    Args:
        records: no two of them with the same id.
        lines: those of the document before, where there was one.

    Raises:
        ConfigurationError: a record that could not be read again.
        ValueError: two of them have the same id.
    """
    return f"{_HEAD}{_BETWEEN.join((lines or Lines()).of(records))}{_TAIL}"


def _line_after(record: KeyRecord, before: KeyRecord | None, text: str) -> str:
    """Return the line of a record. Where it was rewrapped and nothing else, of its line before."""
    new = record.wrapped
    if before is None or not (before.wrapped and new and new.isascii()):
        return f"  {line(record)}"
    if not is_rewrapped(before, record):
        return f"  {line(record)}"
    # A text in JSON has no quotation mark of its own, so nothing but the member begins like this.
    member = '"wrapped": '
    return text.replace(member + _encode(before.wrapped), member + _encode(new), 1)


def line(record: KeyRecord) -> str:
    """
    Return the JSON text of `to_fields(record)`, for a third of the work.

    Raises:
        ConfigurationError: a record that could not be read again.
    """
    check(record)
    index, bridge, due = record.index_key_id, record.bridge_key_id, record.due
    bridged = "" if bridge is None else f', "bridge_key_id": "{bridge.hex()}"'
    ends = "" if due is None else f', "due": "{due.isoformat()}"'
    return (
        f'{{"name": {_encode(record.name)}, "kind": "{record.kind}", '
        f'"generation": {record.generation}, "id": "{record.key_id.hex()}", '
        f'"wrapped": {_encode(record.wrapped)}, "created": "{record.created.isoformat()}", '
        f'"index_key_id": {_quoted(index)}, "state": "{record.state}"{bridged}{ends}}}'
    )


def _quoted(key_id: bytes | None) -> str:
    return "null" if key_id is None else f'"{key_id.hex()}"'


def _of_lines(found: Iterable[tuple[str, ...]], before: int) -> list[KeyRecord]:
    """
    Return the records of lines that were found, of which nothing else is left to be checked.

    Args:
        found: the groups of each line.
        before: how many records stand before these.

    Raises:
        KeystoreError: no such generation, time, or state.
    """
    records: list[KeyRecord] = []
    moment, to_bytes, put = datetime.fromisoformat, bytes.fromhex, records.append
    try:
        for name, kind, number, key_id, wrapped, created, index, state, bridge, due in found:
            generation = int(number)
            if generation > MAX_GENERATION or (state == "destroyed") == bool(wrapped):
                break
            record = KeyRecord(
                name,
                KINDS[kind],
                generation,
                to_bytes(key_id),
                wrapped,
                moment(created),
                to_bytes(index) if index else None,
                to_bytes(bridge) if bridge else None,
                STATES[state],
                moment(due) if due else None,
            )
            put(record)
        else:
            return records
    except ValueError:
        pass
    raise not_a_record(before + len(records) + 1)


def from_document(text: str | bytes) -> list[KeyRecord]:
    """
    Return the records of a document, however it is spaced.

    Raises:
        KeystoreError: it is anything else than what `to_document` writes.
    """
    return list(Reading(text))


class Reading:
    """
    The records of a document, however it is spaced: each made once, when it is asked for.

    Can be shared between threads: what one of them has made is there for the others.

    Args:
        text: the document.

    Attributes:
        records: those that were made.

    Raises:
        KeystoreError: it is anything else than what `to_document` writes. Where it is spaced as
            that does it, this is found out on the way.
    """

    __slots__ = ("_at", "_end", "_lines", "_lock", "_ours", "_text", "records")

    def __init__(self, text: str | bytes) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._ours, self._at, self._end = "", _START, 0
        self._lines: list[str] = []
        self.records: list[KeyRecord] = []
        if isinstance(text, bytes):
            try:
                text = text.decode()
            except UnicodeDecodeError:  # JSON may be in other encodings.
                text = ""
        if text.startswith(_HEAD) and text.endswith(_TAIL):
            self._end = len(text) + _END
        if self._end > _START:
            self._ours = text
        else:
            self.records = _of_json(self._text)

    @property
    def wrapped(self) -> int:
        """How many records have a wrapped key, as far as that can be told before they are made."""
        if not self._ours:
            return sum(1 for record in self.records if record.wrapped)
        # A text in JSON has no quotation mark of its own, so nothing but the member is like this.
        destroyed = self._ours.count('"wrapped": ""')
        return self._ours.count("\n", _START, self._end) + 1 - destroyed

    @property
    def lines(self) -> Lines:
        """The lines of all records, once these are made; none where they are spaced otherwise."""
        return Lines(self.records, self._lines) if self._lines else Lines()

    def __iter__(self) -> Iterator[KeyRecord]:
        """Yield the records."""
        done = 0
        while done < len(self.records) or self._make_some(done):
            some = self.records[done:]
            yield from some
            done += len(some)

    def _make_some(self, known: int) -> bool:
        """Make some records of those that are left. Whether there are more than are known."""
        with self._lock:
            text, start = self._ours, self._at
            if text and start <= self._end:
                end = text.find(_BETWEEN, start + _SOME, self._end)
                end = self._end if end < 0 else end
                some = text[start:end]
                lines, found = some.split(_BETWEEN), _lines_of_ours(some)
                if len(found) == len(lines) == some.count("\n") + 1:
                    self.records += _of_lines(found, len(self.records))
                    self._lines += lines
                    self._at = end + len(_BETWEEN)
                else:
                    # It is spaced in another way, or has a name that JSON escapes, or the time of
                    # another zone. To JSON, each line before these is one record as well.
                    self.records = _of_json(self._text)
                    self._ours, self._lines = "", []
            return len(self.records) > known


def _of_json(text: str | bytes) -> list[KeyRecord]:
    try:
        document = json.loads(text, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise KeystoreError("it is not JSON")
    if document.get("format") != FORMAT or not isinstance(document.get("keys"), list):
        raise KeystoreError(f"it does not say format {FORMAT!r}")
    if len(document) != 2:
        raise KeystoreError(f"it does not say format {FORMAT!r}")
    return [from_fields(each, number) for number, each in enumerate(document["keys"], start=1)]


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member that is there twice")
    return members
