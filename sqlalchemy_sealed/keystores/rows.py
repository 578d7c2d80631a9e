"""
Records as rows of a table of keys, and back: those as we write them, for little work.

What is not quite such a row is left to `fields`, which says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..keys import KeyRecord
from .fields import ID, KINDS, MAX_GENERATION, STATES, TIME, check

_is_ours = re.compile(
    rf"(?:{'|'.join(KINDS)}) {ID} {TIME} (?:None|{ID}) (?:None|{ID}) (?:None|{TIME})"
).fullmatch


def record_of(row: Sequence[Any]) -> KeyRecord | None:
    """Return the record of a row, its columns as in `keys_table`; None if it is not quite ours."""
    name, kind, generation, key_id, wrapped, created, index, bridge, state, due = row
    if not (type(name) is type(wrapped) is str and type(generation) is int and wrapped.isascii()):
        return None
    if not 1 <= generation <= MAX_GENERATION or (state == "destroyed") != (not wrapped):
        return None
    if state not in STATES or not _is_ours(f"{kind} {key_id} {created} {index} {bridge} {due}"):
        return None
    try:
        name.encode()
        return KeyRecord(
            name,
            KINDS[kind],
            generation,
            bytes.fromhex(key_id),
            wrapped,
            datetime.fromisoformat(created),
            None if index is None else bytes.fromhex(index),
            None if bridge is None else bytes.fromhex(bridge),
            STATES[state],
            None if due is None else datetime.fromisoformat(due),
        )
    except (KeyError, TypeError, ValueError):
        return None


def row_of(record: KeyRecord) -> tuple[Any, ...]:
    """
    Return the row of a record, its columns as in `keys_table`.

    Raises:
        ConfigurationError: a record that could not be read again.
    """
    check(record)
    index, bridge, due = record.index_key_id, record.bridge_key_id, record.due
    return (
        record.name,
        record.kind.value,
        record.generation,
        record.key_id.hex(),
        record.wrapped,
        record.created.isoformat(),
        None if index is None else index.hex(),
        None if bridge is None else bridge.hex(),
        record.state.value,
        None if due is None else due.isoformat(),
    )


def check_wrapped(record: KeyRecord) -> None:
    """
    Refuse a record that was made of a sound one by `with_wrapped`, and could not be read again.

    Raises:
        ConfigurationError: as `row_of`.
    """
    if not (record.wrapped and record.wrapped.isascii()):
        check(record)
