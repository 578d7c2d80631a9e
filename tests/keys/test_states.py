"""The state matrix: what each state of a key, known here or there, means and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from counted import PAST, Parts

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.errors import (
    DestroyedKeyError,
    DisabledKeyError,
    KeystoreError,
    SealedError,
    UnknownKeyError,
)
from sqlalchemy_sealed.keys import KeyRecord, KeyState

CHANGES: dict[str, Callable[[KeyRecord], list[KeyRecord]]] = {
    "valid": lambda record: [record],
    "retired": lambda record: [record],
    "expired": lambda record: [replace(record, due=PAST)],
    "missing": lambda record: [],
    "disabled": lambda record: [record.with_state(KeyState.DISABLED)],
    "destroyed": lambda record: [record.destroyed()],
}


def change(parts: Parts, key_id: bytes, state: str) -> None:
    """Bring a key into a state in the keystore."""
    changed = []
    for record in parts.records():
        changed += CHANGES[state](record) if record.key_id == key_id else [record]
    parts.keystore.put(*changed)


def outcome(sealer: Sealer, data: bytes) -> type[SealedError] | bytes:
    """Return the value, or the class of the error."""
    try:
        return sealer.open(data, "a.b")
    except SealedError as error:
        assert error.key_id == data[4:12].hex()  # noqa: PT017 - a value is as good
        return type(error)


# place, state: what opening gives, and reads, unwraps and questions for the version.
OPENING = {
    ("cache", "valid"): (b"value", (0, 0, 0)),
    ("cache", "retired"): (b"value", (0, 0, 0)),
    ("cache", "expired"): (b"value", (0, 0, 0)),
    ("cache", "missing"): (UnknownKeyError, (1, 0, 1)),
    ("cache", "disabled"): (DisabledKeyError, (0, 0, 0)),
    ("cache", "destroyed"): (DestroyedKeyError, (0, 0, 0)),
    ("keystore", "valid"): (b"value", (0, 0, 0)),
    ("keystore", "retired"): (b"value", (0, 1, 0)),
    ("keystore", "expired"): (b"value", (0, 1, 0)),
    ("keystore", "missing"): (UnknownKeyError, (1, 0, 1)),
    ("keystore", "disabled"): (DisabledKeyError, (0, 0, 0)),
    ("keystore", "destroyed"): (DestroyedKeyError, (0, 0, 0)),
    ("provider", "valid"): (b"value", (1, 1, 1)),
    ("provider", "retired"): (b"value", (1, 2, 1)),
    ("provider", "expired"): (b"value", (1, 2, 1)),
    ("provider", "missing"): (UnknownKeyError, (1, 1, 1)),
    ("provider", "disabled"): (DisabledKeyError, (1, 1, 1)),
    ("provider", "destroyed"): (DestroyedKeyError, (1, 1, 1)),
}


@pytest.mark.parametrize(("place", "state"), OPENING)
def test_opening(place: str, state: str, parts: Parts) -> None:
    """
    The key of a value is unwrapped here already, known by its record, or new to this process.

    A second time costs nothing, and ends alike.
    """
    early = parts.sealer()
    if place == "provider":
        parts.manager.rotate("default")
    writer = parts.sealer()
    data = writer.seal(b"value", "a.b")
    if place == "cache":
        assert early.open(data, "a.b") == b"value"
    if state != "valid":
        parts.manager.rotate("default")
    change(parts, data[4:12], state)
    reader = parts.sealer() if place == "keystore" else early
    if place == "cache":
        reader.refresh()
    expected, calls = OPENING[place, state]
    results: list[object] = []
    assert parts.calls_of(lambda: results.append(outcome(reader, data))) == calls
    assert parts.calls_of(lambda: results.append(outcome(reader, data))) == (0, 0, 0)
    assert results == [expected, expected]


@pytest.mark.parametrize("state", ["valid", "expired", "disabled", "destroyed"])
def test_sealing_after_a_refresh(state: str, parts: Parts) -> None:
    """A primary that was disabled or destroyed seals nothing; older keys go on opening."""
    sealer = parts.sealer()
    old = sealer.seal(b"old", "a.b")
    new = sealer.rotate().primary.key_id
    change(parts, new, state)
    assert parts.calls_of(sealer.refresh) == (1, 0, 1)
    if state in ("valid", "expired"):
        assert parts.calls_of(lambda: sealer.seal(b"", "a.b")) == (0, 0, 0)
    else:
        with pytest.raises(KeystoreError, match=f"{state}; rotate to make a new one") as caught:
            sealer.seal(b"", "a.b")
        assert caught.value.key_id == new.hex()
    assert sealer.open(old, "a.b") == b"old"


@pytest.mark.parametrize("state", ["disabled", "destroyed", "missing"])
def test_sealing_at_the_start(state: str, parts: Parts) -> None:
    """A process does not start without a primary that it can use."""
    change(parts, parts.records()[1].key_id, state)
    with pytest.raises(KeystoreError):
        parts.sealer()
    assert parts.provider.unwraps == 0


def test_an_enabled_key_opens_again(parts: Parts) -> None:
    """Disabling is reversible: after a refresh, one call of the provider brings the key back."""
    sealer = parts.sealer()
    data = sealer.seal(b"value", "a.b")
    sealer.rotate()
    change(parts, data[4:12], "disabled")
    sealer.refresh()
    assert outcome(sealer, data) is DisabledKeyError
    parts.keystore.put(*(r.with_state(KeyState.ENABLED) for r in parts.records()))
    sealer.refresh()
    assert parts.calls_of(lambda: sealer.open(data, "a.b")) == (0, 1, 0)
