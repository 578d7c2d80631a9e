"""Key records as one JSON document, a line a record: what a file holds, and a secret of Vault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ..errors import KeystoreError
from ..keys import KeyRecord
from .fields import KINDS, MAX_GENERATION, STATES, check, from_fields, is_rewrapped, not_a_record

FORMAT = "sqlalchemy-sealed keystore 1"
_ID = "[0-9a-f]{16}"
# A time of UTC as `isoformat` writes it; what else there may be, such as a month 13, it refuses.
_TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
    r"(?:\.(?!000000)[0-9]{6})?\+00:00"
)
# The texts are those that JSON holds as they are.
_find_all = re.compile(
    r'^  \{"name": "([^"\\\x00-\x1f\ud800-\udfff]*+)", '
    rf'"kind": "({"|".join(KINDS)})", "generation": ([1-9][0-9]{{0,9}}+), "id": "({_ID})", '
    rf'"wrapped": "([ !#-\[\]-\x7f]*+)", "created": "({_TIME})", '
    rf'"index_key_id": (?:null|"({_ID})"), "state": "({"|".join(STATES)})"'
    rf'(?:, "bridge_key_id": "({_ID})")?(?:, "due": "({_TIME})")?\}}(?:,\n|\Z)',
    re.MULTILINE,
).findall
_encode = json.encoder.encode_basestring
_HEAD, _BETWEEN, _TAIL = f'{{"format": {_encode(FORMAT)},\n "keys": [\n', ",\n", "\n ]}\n"


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


def _of_line(  # noqa: PLR0913, PLR0917 - the fields
    number: int,
    name: str,
    kind: str,
    generation: str,
    key_id: str,
    wrapped: str,
    created: str,
    index: str,
    state: str,
    bridge: str,
    due: str,
) -> KeyRecord:
    """
    Return the record of a line that was found, of which nothing else is left to be checked.

    Raises:
        KeystoreError: no such generation, time, or state.
    """
    try:
        record = KeyRecord(
            name,
            KINDS[kind],
            int(generation),
            bytes.fromhex(key_id),
            wrapped,
            datetime.fromisoformat(created),
            bytes.fromhex(index) if index else None,
            bytes.fromhex(bridge) if bridge else None,
            STATES[state],
            datetime.fromisoformat(due) if due else None,
        )
    except ValueError:
        pass
    else:
        if record.generation <= MAX_GENERATION and (state == "destroyed") != bool(wrapped):
            return record
    raise not_a_record(number)


def from_document(text: str | bytes) -> list[KeyRecord]:
    """
    Return the records of a document, however it is spaced.

    Raises:
        KeystoreError: it is anything else than what `to_document` writes.
    """
    return records_and_lines(text)[0]


def records_and_lines(text: str | bytes) -> tuple[list[KeyRecord], Lines]:
    """
    Return the records of a document, and their lines where it is spaced as we do it.

    Raises:
        KeystoreError: as `from_document`.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:  # JSON may be in other encodings.
            return _of_json(text), Lines()
    if text.startswith(_HEAD) and text.endswith(_TAIL):
        body = text[len(_HEAD) : -len(_TAIL)]
        found, lines = _find_all(body), body.split(_BETWEEN)
        # One of ours is one line, whole; so are all of them, if there are as many.
        if len(found) == len(lines) == body.count("\n") + 1:
            records = [_of_line(number, *each) for number, each in enumerate(found, start=1)]
            return records, Lines(records, lines)
    # Spaced in another way, or with a name that JSON escapes, or the time of another zone.
    return _of_json(text), Lines()


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
