"""Key records as one JSON document, a line a record: what a file holds, and a secret of Vault."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import attrgetter, is_, itemgetter
from typing import Any, TypeVar

from ..errors import KeystoreError
from ..keys import KeyRecord, records_of
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
# The texts are those that JSON holds as they are. A line of anything else is found as nothing.
_lines_of_ours = re.compile(
    r'^(?:  (\{"name": "([^"\\\x00-\x1f\ud800-\udfff]*+)", '
    rf'"kind": "({"|".join(KINDS)})", "generation": ([1-9][0-9]{{0,9}}+), "id": "({ID})", '
    rf'"wrapped": )"([ !#-\[\]-\x7f]*+)"(, "created": "({TIME})", '
    rf'"index_key_id": (?:null|"({ID})"), "state": "({"|".join(STATES)})"'
    rf'(?:, "bridge_key_id": "({ID})"|)(?:, "due": "({TIME})"|)\}})(?:,\n|\Z)|)',
    re.MULTILINE,
).findall
_head, _tail = itemgetter(0), itemgetter(6)
_SOME = 30_000
"""How many characters are read at once, where nobody waits for all of them: some 100 lines."""
_encode = json.encoder.encode_basestring
_HEAD, _BETWEEN, _TAIL = f'{{"format": {_encode(FORMAT)},\n "keys": [\n', ",\n", "\n ]}\n"
_START, _END = len(_HEAD), -len(_TAIL)
_id = attrgetter("key_id")
T = TypeVar("T")


class Lines:
    """
    The lines of records, of which all but the wrapped key is made once.

    Args:
        records: such as were read, no two of them with the same id.
        heads: of each line, what `to_document` wrote before the wrapped key.
        tails: and after it.
    """

    __slots__ = ("_heads", "_records", "_tails")

    def __init__(
        self,
        records: Iterable[KeyRecord] = (),
        heads: Iterable[str] = (),
        tails: Iterable[str] = (),
    ) -> None:
        self._records, self._heads, self._tails = list(records), list(heads), list(tails)

    def of(self, records: Iterable[KeyRecord]) -> list[str]:
        """
        Return the lines of records, and forget those of all others.

        To be asked for all records of a keystore; soonest done in the order of the time before.

        Raises:
            ConfigurationError: a record that could not be read again.
            ValueError: two of them have the same id, and were not read so.
        """
        now = list(records)
        before, heads, tails = self._in_order(now)
        made = {
            place: _around(record)
            for place, (record, old) in enumerate(zip(now, before, strict=True))
            if record is not old and not (old and is_rewrapped(old, record))
        }
        if made:
            heads, tails = heads.copy(), tails.copy()
        for place, (head, tail) in made.items():
            heads[place], tails[place] = head, tail
        texts = [
            f"  {head}{_encode(record.wrapped)}{tail}"
            for record, head, tail in zip(now, heads, tails, strict=True)
        ]
        self._records, self._heads, self._tails = now, heads, tails
        return texts

    def _in_order(
        self, records: Sequence[KeyRecord]
    ) -> tuple[Sequence[KeyRecord | None], list[str], list[str]]:
        """Return what is known of the same ids: their records and lines, or nothing of some."""
        before = self._records
        if len(records) == len(before) and all(map(is_, map(_id, records), map(_id, before))):
            return before, self._heads, self._tails
        places: dict[bytes, int] = {each.key_id: place for place, each in enumerate(before)}
        if len(set(map(_id, records))) != len(records):
            raise ValueError("two records have the same id")
        at = [places.get(each.key_id) for each in records]
        return (
            [None if place is None else before[place] for place in at],
            ["" if place is None else self._heads[place] for place in at],
            ["" if place is None else self._tails[place] for place in at],
        )


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


def line(record: KeyRecord) -> str:
    """
    Return the JSON text of `to_fields(record)`, for a third of the work.

    Raises:
        ConfigurationError: a record that could not be read again.
    """
    head, tail = _around(record)
    return f"{head}{_encode(record.wrapped)}{tail}"


def _around(record: KeyRecord) -> tuple[str, str]:
    """Return what stands before and after the wrapped key in a line."""
    check(record)
    index, bridge, due = record.index_key_id, record.bridge_key_id, record.due
    bridged = "" if bridge is None else f', "bridge_key_id": "{bridge.hex()}"'
    ends = "" if due is None else f', "due": "{due.isoformat()}"'
    head = (
        f'{{"name": {_encode(record.name)}, "kind": "{record.kind}", '
        f'"generation": {record.generation}, "id": "{record.key_id.hex()}", "wrapped": '
    )
    tail = (
        f', "created": "{record.created.isoformat()}", '
        f'"index_key_id": {_quoted(index)}, "state": "{record.state}"{bridged}{ends}}}'
    )
    return head, tail


def _quoted(key_id: bytes | None) -> str:
    return "null" if key_id is None else f'"{key_id.hex()}"'


def _of_lines(found: Sequence[tuple[str, ...]], before: int) -> list[KeyRecord]:
    """
    Return the records of lines that were found, of which nothing else is left to be checked.

    Args:
        found: the groups of each line, at least one.
        before: how many records stand before these.

    Raises:
        KeystoreError: no such generation, time, or state.
    """
    records = _made(found)
    if records is not None:
        return records
    bad = (n for n, each in enumerate(found, before + 1) if _made([each]) is None)
    raise not_a_record(next(bad))


def _made(found: Sequence[tuple[str, ...]]) -> list[KeyRecord] | None:
    """Return the records of lines, None if one of them has none: field by field, not by line."""
    _, names, kinds, numbers, ids, wrapped, _, created, indexes, states, bridges, dues = zip(
        *found, strict=True
    )
    generations = list(map(int, numbers))
    if max(generations) > MAX_GENERATION:
        return None
    if ("" in wrapped or "destroyed" in states) and any(
        bool(each) == (state == "destroyed") for each, state in zip(wrapped, states, strict=True)
    ):
        return None
    try:
        return records_of(
            zip(
                names,
                map(KINDS.__getitem__, kinds),
                generations,
                map(bytes.fromhex, ids),
                wrapped,
                map(datetime.fromisoformat, created),
                _each(bytes.fromhex, indexes),
                _each(bytes.fromhex, bridges),
                map(STATES.__getitem__, states),
                _each(datetime.fromisoformat, dues),
                strict=True,
            )
        )
    except ValueError:
        return None


def _each(read: Callable[[str], T], texts: Iterable[str]) -> list[T | None]:
    return [read(text) if text else None for text in texts]


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

    __slots__ = ("_at", "_end", "_heads", "_lock", "_ours", "_tails", "_text", "records")

    def __init__(self, text: str | bytes) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._ours, self._at, self._end = "", _START, 0
        self._heads: list[str] = []
        self._tails: list[str] = []
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
        destroyed = self._ours.count('"state": "destroyed"')
        return self._ours.count("\n", _START, self._end) + 1 - destroyed

    @property
    def lines(self) -> Lines:
        """The lines of all records, once these are made; none where they are spaced otherwise."""
        if not self._heads:
            return Lines()
        return Lines(self.records, self._heads, self._tails)

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
                found = _lines_of_ours(text[start:end])
                if all(map(_head, found)):
                    self.records += _of_lines(found, len(self.records))
                    self._heads += map(_head, found)
                    self._tails += map(_tail, found)
                    self._at = end + len(_BETWEEN)
                else:
                    # It is spaced in another way, or has a name that JSON escapes, or the time of
                    # another zone. To JSON, each line before these is one record as well.
                    self.records = _of_json(self._text)
                    self._ours, self._heads, self._tails = "", [], []
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
