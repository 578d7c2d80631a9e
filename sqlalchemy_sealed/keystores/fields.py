"""Key records as plain fields, as JSON documents and tables hold them, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..envelope import KEY_ID_SIZE
from ..errors import ConfigurationError, KeystoreError
from ..keys import KeyKind, KeyRecord, KeyState

MAX_GENERATION = 1 << 31
ID = "[0-9a-f]{16}"
"""How an id of 8 bytes is written."""
TIME = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
    r"(?:\.(?!000000)[0-9]{6}|)\+00:00"
)
"""A time of UTC as `isoformat` writes it. A month 13, and so on, it refuses itself."""
KINDS = {each.value: each for each in KeyKind}
STATES = {each.value: each for each in KeyState}


def to_fields(record: KeyRecord) -> dict[str, Any]:
    """
    Return the fields of a record: texts, numbers and None.

    A bridge and a due date are left out where there are none.

    Raises:
        ConfigurationError: a record that could not be read again, such as one whose name is not
            Unicode. It is not written.
    """
    check(record)
    return _fields(record)


def check(record: KeyRecord) -> None:
    """Raise ConfigurationError for a record that could not be read again."""
    if _is_plausible(record):
        return
    raise ConfigurationError(
        "a key record that could not be read again is not written: its key name must be Unicode, "
        "its wrapped key ASCII, its ids 8 bytes, its times have a zone",
        key_id=record.key_id.hex(),
    )


def is_rewrapped(old: KeyRecord, new: KeyRecord) -> bool:
    """
    Whether a record was made of a sound one by `with_wrapped`, and is sound itself.

    Nothing else is different. It is not looked at any more.
    """
    return (
        bool(old.wrapped and new.wrapped)
        and new.wrapped.isascii()
        and old.name is new.name
        and old.kind is new.kind
        and old.generation is new.generation
        and old.key_id is new.key_id
        and old.created is new.created
        and old.index_key_id is new.index_key_id
        and old.bridge_key_id is new.bridge_key_id
        and old.state is new.state
        and old.due is new.due
    )


def from_fields(given: Any, number: int) -> KeyRecord:
    """
    Return the record of fields.

    Args:
        given: what `to_fields` returns; anything else is refused.
        number: which record it is, for the error.

    Raises:
        KeystoreError: not the fields of a key record.
    """
    try:
        record = KeyRecord(
            name=given["name"],
            kind=KINDS[given["kind"]],
            generation=given["generation"],
            key_id=bytes.fromhex(given["id"]),
            wrapped=given["wrapped"],
            created=datetime.fromisoformat(given["created"]),
            index_key_id=_key_id(given["index_key_id"]),
            bridge_key_id=_key_id(given.get("bridge_key_id")),
            state=STATES[given["state"]],
            due=_moment(given.get("due")),
        )
        # Canonical or refuse: what we would write must be what is there.
        if _is_plausible(record) and _fields(record) == given:
            return record
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise not_a_record(number)


def not_a_record(number: int) -> KeystoreError:
    """Return the error for fields that are not those of a key record."""
    return KeystoreError(f"record {number} is not a key record")


def _fields(record: KeyRecord) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": record.name,
        "kind": str(record.kind),
        "generation": record.generation,
        "id": record.key_id.hex(),
        "wrapped": record.wrapped,
        "created": record.created.isoformat(),
        "index_key_id": None if record.index_key_id is None else record.index_key_id.hex(),
        "state": str(record.state),
    }
    if record.bridge_key_id is not None:
        made["bridge_key_id"] = record.bridge_key_id.hex()
    if record.due is not None:
        made["due"] = record.due.isoformat()
    return made


def _key_id(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _is_plausible(record: KeyRecord) -> bool:
    index, bridge = record.index_key_id, record.bridge_key_id
    return (
        isinstance(record.name, str)
        and isinstance(record.wrapped, str)
        and type(record.generation) is int
        and 1 <= record.generation <= MAX_GENERATION
        and record.wrapped.isascii()
        and _is_unicode(record.name)
        and len(record.key_id) == KEY_ID_SIZE
        and (index is None or len(index) == KEY_ID_SIZE)
        and (bridge is None or len(bridge) == KEY_ID_SIZE)
        and record.created.utcoffset() is not None
        and (record.due is None or record.due.utcoffset() is not None)
        and (record.state is KeyState.DESTROYED) == (not record.wrapped)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
