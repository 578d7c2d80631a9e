"""
A keystore file that was damaged or tampered with: an error of ours, and never another key.

A wrapped key is bound to its name, kind and id, so those cannot be exchanged. What is not bound,
generation, creation and index keys, can be changed by who can write the file; they could take the
newest key away as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, Sealer
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import KeystoreError, ProviderError
from sqlalchemy_sealed.keycache import unwrap

PROVIDER = LocalRootKey(random_key())
untimed = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def keystore(tmp_path: Path) -> FileKeystore:
    """Return a keystore of two names, with three data keys and two index keys each."""
    keystore = FileKeystore(tmp_path / "keys.json")
    for name in ("default", "pii"):
        KeyManager(keystore, PROVIDER).create(name)
        KeyManager(keystore, PROVIDER).rotate(name, index=True)
        KeyManager(keystore, PROVIDER).rotate(name)
    return keystore


@pytest.fixture
def undamaged(keystore: FileKeystore) -> bytes:
    """Return the file as it was written."""
    return keystore.path.read_bytes()


def material(keystore: FileKeystore) -> set[tuple[str, str, bytes, bytes]]:
    """Return all keys that can be unwrapped: name, kind, id and the key itself."""
    found = set()
    for name in keystore.names():
        for record in KeyManager(keystore, PROVIDER).keyset(name).records:
            key = unwrap(record, PROVIDER)
            found.add((record.name, str(record.kind), record.key_id, key))
    return found


def holds_nothing_else(keystore: FileKeystore, damaged: bytes, original: bytes) -> None:
    """See that what a damaged file gives are keys of the original, if it gives any."""
    keystore.path.write_bytes(original)
    keys = material(keystore)
    keystore.path.write_bytes(damaged)
    try:
        found = material(keystore)
    except (KeystoreError, ProviderError):
        return
    assert found <= keys


@untimed
@given(data=st.data())
def test_changed_bytes_give_no_other_key(
    data: st.DataObject, keystore: FileKeystore, undamaged: bytes
) -> None:
    """Bytes that were overwritten anywhere are an error, or all keys are still the right ones."""
    damaged = bytearray(undamaged)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(undamaged) - 1))] = data.draw(st.integers(0, 255))
    holds_nothing_else(keystore, bytes(damaged), undamaged)


@untimed
@given(data=st.data())
def test_a_piece_that_is_lost_or_doubled_gives_no_other_key(
    data: st.DataObject, keystore: FileKeystore, undamaged: bytes
) -> None:
    """A part of the file that is missing, or that stands in another place, too."""
    start, end, to = sorted(data.draw(st.integers(0, len(undamaged))) for _ in range(3))
    piece = undamaged[start:end] if data.draw(st.booleans()) else b""
    damaged = undamaged[:start] + undamaged[end:to] + piece + undamaged[to:]
    holds_nothing_else(keystore, damaged, undamaged)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)


@untimed
@given(data=st.data())
def test_a_changed_field_gives_no_other_key(
    data: st.DataObject, keystore: FileKeystore, undamaged: bytes
) -> None:
    """Any field of any record may become anything, or that of another record."""
    document = json.loads(undamaged)
    record = data.draw(st.sampled_from(document["keys"]))
    field = data.draw(st.sampled_from(sorted({*record, "bridge_key_id"})))
    others = st.sampled_from([other.get(field) for other in document["keys"]])
    record[field] = data.draw(others | anything)
    holds_nothing_else(keystore, json.dumps(document).encode(), undamaged)


@pytest.mark.parametrize("field", ["name", "kind", "id", "wrapped"])
def test_swapped_fields_are_refused(field: str, keystore: FileKeystore, undamaged: bytes) -> None:
    """Two records that exchange their name, kind, id or wrapped key: neither can be used."""
    document = json.loads(undamaged)
    one = next(each for each in document["keys"] if each["kind"] == "data")
    alike = {"name", "kind", "generation"} - {field}
    if field in ("id", "wrapped"):
        alike.remove("name")
    two = next(
        each
        for each in document["keys"]
        if each[field] != one[field] and all(each[name] == one[name] for name in alike)
    )
    one[field], two[field] = two[field], one[field]
    keystore.path.write_text(json.dumps(document))
    manager = KeyManager(keystore, PROVIDER)
    for name in manager.keystore.names():
        for record in manager.keyset(name).records:
            if record.key_id.hex() in (one["id"], two["id"]):
                with pytest.raises(ProviderError, match="damaged, or swapped"):
                    PROVIDER.unwrap(record.wrapped, record.binding)


def with_field(field: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    """Return what gives a field of the last record another value."""
    return lambda document: document["keys"][-1].update({field: value})


DAMAGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an index key id that is too short": with_field("index_key_id", "ab"),
    "an index key id that is empty": with_field("index_key_id", ""),
    "a bridge that is too short": with_field("bridge_key_id", "ab"),
    "a bridge that is empty": with_field("bridge_key_id", ""),
    "a bridge that is null": with_field("bridge_key_id", None),
    "a bridge in upper case": with_field("bridge_key_id", "AA" * 8),
    "an id that is too long": with_field("id", "00" * 9),
    "an id in upper case": lambda document: document["keys"][-1].update(id="AA" * 8),
    "a name that is not Unicode": with_field("name", "\ud800"),
    "a wrapped key that is not Unicode": with_field("wrapped", "local:1:\ud800:AAAA"),
    "generation 0": with_field("generation", 0),
    "a generation that no rotation can follow": with_field("generation", 10**4300 - 1),
    "a generation that is not whole": with_field("generation", 1.0),
    "a time without a zone": with_field("created", "2026-01-01T00:00:00"),
    "a destroyed key that is there": with_field("state", "destroyed"),
    "a key that is missing": with_field("wrapped", ""),
    "two keys of one id": lambda document: document["keys"].append(
        document["keys"][-1] | {"generation": 9}
    ),
    "two keys of one generation": lambda document: document["keys"].append(
        document["keys"][-1] | {"id": "00" * 8}
    ),
    "a member of the document that is not known": lambda document: document.update(extra=1),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_told_with_its_place_and_a_remedy(
    damage: Any, keystore: FileKeystore, undamaged: bytes
) -> None:
    """Reading, and changing, name the file, what is wrong with it and where to get another."""
    document = json.loads(undamaged)
    damage(document)
    damaged = json.dumps(document).encode()
    keystore.path.write_bytes(damaged)
    for use in (keystore.names, lambda: KeyManager(keystore, PROVIDER).rotate("default")):
        with pytest.raises(KeystoreError, match=r"the keystore is damaged: .*backup$") as caught:
            use()
        assert caught.value.where == str(keystore.path)
    assert keystore.path.read_bytes() == damaged


def test_a_member_that_is_there_twice_is_damage(keystore: FileKeystore, undamaged: bytes) -> None:
    """JSON that two readers would understand differently is not read."""
    keystore.path.write_bytes(undamaged.replace(b'"name":', b'"name": "other",\n   "name":', 1))
    with pytest.raises(KeystoreError, match="damaged"):
        keystore.names()


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"format":' * 100_000, "1" * 5000, "\ufeff{}", "NaN", '"\ud800"'],
    ids=["deep list", "deep object", "long number", "byte order mark", "NaN", "surrogate"],
)
def test_json_that_no_keystore_is_made_of_is_damage(text: str, keystore: FileKeystore) -> None:
    """Whatever the reader of JSON makes of it, the error is ours and names the file."""
    keystore.path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(KeystoreError, match="the keystore is damaged") as caught:
        keystore.names()
    assert caught.value.where == str(keystore.path)


def test_a_sealer_is_not_configured_from_a_damaged_keystore(
    keystore: FileKeystore, undamaged: bytes, other_sealer: Sealer
) -> None:
    """The sealer keeps the keys it has, and goes on sealing."""
    keystore.path.write_bytes(undamaged[:-10])
    before = other_sealer.keyset
    with pytest.raises(KeystoreError, match="damaged"):
        other_sealer.configure(
            keystore=keystore, provider=PROVIDER, key_name="default", replace=True
        )
    assert other_sealer.keyset is before
    assert other_sealer.open(other_sealer.seal(b"value", "a.b"), "a.b") == b"value"
