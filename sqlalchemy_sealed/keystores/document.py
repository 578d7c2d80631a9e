"""Key records as one JSON document, a line a record: what a file holds, and a secret of Vault."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..errors import KeystoreError
from ..keys import KeyRecord
from .fields import from_fields, to_fields

FORMAT = "sqlalchemy-sealed keystore 1"
_encode = json.JSONEncoder(ensure_ascii=False).encode


def to_document(records: Iterable[KeyRecord]) -> str:
    """
    Return the document of records.

    Raises:
        ConfigurationError: a record that could not be read again.
    """
    lines = ",\n".join(f"  {_encode(to_fields(record))}" for record in records)
    return f'{{"format": {_encode(FORMAT)},\n "keys": [\n{lines}\n ]}}\n'


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
    return [from_fields(fields, number) for number, fields in enumerate(document["keys"], start=1)]


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member that is there twice")
    return members
