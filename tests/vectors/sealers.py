"""Sealers over given key material, as vectors and random tests need them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count

from sqlalchemy_sealed import LocalRootKey, MemoryKeystore, Sealer
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, KeyState, key_id_of

NAME = "vectors"


def sealer_with(keys: Iterable[bytes], destroyed_key_ids: Iterable[bytes] = ()) -> Sealer:
    """Return a sealer that has these data keys, the last one as primary, and lost others."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    generations = count(1)
    records = [
        _record(next(generations), key_id, state=KeyState.DESTROYED) for key_id in destroyed_key_ids
    ]
    for key in keys:
        record = _record(next(generations), key_id_of(key))
        records.append(record.with_wrapped(provider.wrap(key, record.binding)))
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
