"""New keys, wrapped by a KEK provider, as the records that a keystore keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from .aead import random_key
from .keys import DataKey, KeyKind, KeyRecord, key_id_of
from .protocols import KEKProvider


def new_index_key(
    provider: KEKProvider, name: str, generation: int, created: datetime
) -> KeyRecord:
    """Return an index key of 32 random bytes, wrapped."""
    return _wrapped(provider, random_key(), name, KeyKind.INDEX, generation, created)


def new_data_key(  # noqa: PLR0913, PLR0917 - the parts of a record
    provider: KEKProvider,
    name: str,
    generation: int,
    created: datetime,
    period: timedelta | None,
    index_key_id: bytes | None,
    bridge_key_id: bytes | None = None,
) -> KeyRecord:
    """
    Return a data key of 32 random bytes, wrapped.

    Args:
        provider: wraps it.
        name: its key name.
        generation: its place among the data keys of that name.
        created: the present time.
        period: how long it is to be the primary; None for without end.
        index_key_id: the index key that values under it are indexed under.
        bridge_key_id: the one that unique columns are indexed under besides.
    """
    record = _wrapped(provider, random_key(), name, KeyKind.DATA, generation, created)
    return _with_plan(record, period, index_key_id, bridge_key_id)


def own_data_key(
    provider: KEKProvider, primary: KeyRecord, created: datetime, period: timedelta | None
) -> tuple[DataKey, KeyRecord]:
    """Return the successor of a primary for a process that cannot unwrap it: key and record."""
    material = random_key()
    record = _wrapped(
        provider, material, primary.name, KeyKind.DATA, primary.generation + 1, created
    )
    record = _with_plan(record, period, primary.index_key_id, primary.bridge_key_id)
    return DataKey(material), record


def _with_plan(
    record: KeyRecord,
    period: timedelta | None,
    index_key_id: bytes | None,
    bridge_key_id: bytes | None,
) -> KeyRecord:
    """Return a data key that is due after a period, and names its index keys."""
    due = None if period is None else record.created + period
    return replace(record, index_key_id=index_key_id, bridge_key_id=bridge_key_id, due=due)


def _wrapped(  # noqa: PLR0913, PLR0917 - the parts of a record
    provider: KEKProvider,
    material: bytes,
    name: str,
    kind: KeyKind,
    generation: int,
    created: datetime,
) -> KeyRecord:
    record = KeyRecord(
        name=name,
        kind=kind,
        generation=generation,
        key_id=key_id_of(material),
        wrapped="",
        created=created,
    )
    return record.with_wrapped(provider.wrap(material, record.binding))
