"""Key records as one JSON document, a line a record: what a file holds, and a secret of Vault."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter, is_
from typing import Any

from ..errors import KeystoreError
from ..keys import KeyRecord
from .fields import check, from_fields

FORMAT = "sqlalchemy-sealed keystore 1"
_encode = json.JSONEncoder(ensure_ascii=False).encode
_BESIDE_WRAPPED = attrgetter(*(each.name for each in fields(KeyRecord) if each.name != "wrapped"))


class Lines:
    """The lines of records, each made once. To be asked for all records of a keystore."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[KeyRecord | None, str]] = {}

    def of(self, records: Iterable[KeyRecord]) -> list[str]:
        """
        Return the lines of records, and forget those of all others.

        Raises:
            ConfigurationError: a record that could not be read again.
            ValueError: two of them have the same id.
        """
        records = tuple(records)
        known, nothing = self._known, (None, "")
        now = {
            record.key_id: found
            if (found := known.get(record.key_id, nothing))[0] is record
            else (record, _line_after(record, *found))
            for record in records
        }
        if len(now) != len(records):
            raise ValueError("two records have the same id")
        self._known = now
        return [line for _, line in now.values()]


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
    text = ",\n".join((lines or Lines()).of(records))
    return f'{{"format": {_encode(FORMAT)},\n "keys": [\n{text}\n ]}}\n'


def _line_after(record: KeyRecord, before: KeyRecord | None, text: str) -> str:
    """Return the line of a record. Where it was rewrapped and nothing else, of its line before."""
    new = record.wrapped
    if before is None or not (before.wrapped and new and new.isascii()):
        return f"  {line(record)}"
    if not all(map(is_, _BESIDE_WRAPPED(before), _BESIDE_WRAPPED(record))):
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


def from_document(text: str | bytes) -> list[KeyRecord]:
    """
    Return the records of a document, however it is spaced.

    Raises:
        KeystoreError: it is anything else than what `to_document` writes.
    """
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
