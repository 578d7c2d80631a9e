"""Sealers over given key material, as vectors and random tests need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from sqlalchemy_sealed import LocalRootKey, MemoryKeystore, Sealer
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, KeyState, key_id_of

NAME = "vectors"


def sealer_with(
    keys: Iterable[bytes],
    destroyed_key_ids: Iterable[bytes] = (),
    *,
    disabled_key_ids: Iterable[bytes] = (),
    index_key: bytes | None = None,
) -> Sealer:
    """
    Return a sealer over given keys.

    Args:
        keys: its data keys, the last one being the primary.
        destroyed_key_ids: ids of data keys that it lost.
        disabled_key_ids: which of its data keys are disabled.
        index_key: its index key.
    """
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    generations = count(1)
    records = [
        _record(next(generations), key_id, state=KeyState.DESTROYED) for key_id in destroyed_key_ids
    ]
    index_key_id = None if index_key is None else key_id_of(index_key)
    disabled = set(disabled_key_ids)
    for key in keys:
        key_id = key_id_of(key)
        state = KeyState.DISABLED if key_id in disabled else KeyState.ENABLED
        record = _record(next(generations), key_id, state=state)
        record = replace(record, index_key_id=index_key_id)
        records.append(record.with_wrapped(provider.wrap(key, record.binding)))
    if index_key is not None:
        record = replace(_record(1, key_id_of(index_key)), kind=KeyKind.INDEX)
        records.append(record.with_wrapped(provider.wrap(index_key, record.binding)))
    keystore = MemoryKeystore()
    keystore.add(*records)
    sealer = Sealer(NAME)
    sealer.configure(keystore=keystore, provider=provider)
    return sealer


def _record(generation: int, key_id: bytes, *, state: KeyState = KeyState.ENABLED) -> KeyRecord:
    return KeyRecord(
        name=NAME,
        kind=KeyKind.DATA,
        generation=generation,
        key_id=key_id,
        wrapped="",
        created=datetime(2025, 1, 1, tzinfo=UTC),
        state=state,
    )
