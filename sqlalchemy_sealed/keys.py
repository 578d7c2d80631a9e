"""
Data keys, their records, and keysets.

A data key is 32 random bytes that seal values. Its record is what a keystore keeps of it: the
key wrapped by a KEK, its id and its place in the keyset. A keyset is all records of one key
name; the data key of the highest generation is its primary and seals new values.

Nothing here shows key material: not in `repr`, not in a pickle.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter, eq
from typing import Any, NoReturn

from .aead import KEY_SIZE, Xaes, derive
from .context import pack
from .envelope import KEY_ID_SIZE
from .errors import KeystoreError

_INFO_AEAD = b"sqlalchemy-sealed v1 aead"
_INFO_KEY_ID = b"sqlalchemy-sealed v1 key id"
_BINDING = "sqlalchemy-sealed v1 wrapped key"

MAX_INDEX_KEYS = 2
"""How many index keys of one key name may be in use: a search looks under each of them."""


class KeyKind(StrEnum):
    """What a key is for."""

    DATA = "data"
    """Seals values."""
    INDEX = "index"
    """Makes blind-index values."""


class KeyState(StrEnum):
    """Whether a key can be used."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """Opens nothing until it is enabled again; the wrapped key is kept."""
    DESTROYED = "destroyed"
    """The wrapped key was erased. Values sealed under it can never be opened."""


by_place = attrgetter("kind", "generation")
"""The order in which records of one key name stand."""


@lru_cache(1024)
def _packed_place(name: str, kind: KeyKind) -> bytes:
    return pack((_BINDING, name, kind.value))


def key_id_of(material: bytes) -> bytes:
    """Return the key id, 8 bytes of HKDF-SHA256 of the 32 bytes of key material."""
    return derive(material, _INFO_KEY_ID, KEY_ID_SIZE)


@dataclass(frozen=True, slots=True, init=False)
class KeyRecord:
    """
    What a keystore keeps of one key. Holds no usable key.

    Attributes:
        name: the key name, that is the keyset it belongs to.
        kind: data key or index key.
        generation: 1 for the first key of this name and kind; the highest is the primary.
            A keystore refuses a second record of the same name, kind and generation, so that
            of two processes that rotate at once only one makes the new primary.
        key_id: 8 bytes.
        wrapped: the key wrapped by the KEK provider, in the provider's own text form;
            empty once destroyed.
        index_key_id: for a data key, the index key in use when it was made.
        bridge_key_id: for a data key made while the index key was rotated, the other index key,
            under which unique columns go on being indexed as well; else None.
        created: when it was made, in UTC.
        state: enabled, disabled or destroyed.
        due: when the next data key should take its place, in UTC; None for never.
    """

    name: str
    kind: KeyKind
    generation: int
    key_id: bytes
    wrapped: str
    created: datetime
    index_key_id: bytes | None = None
    bridge_key_id: bytes | None = None
    state: KeyState = KeyState.ENABLED
    due: datetime | None = None

    # As `dataclass` would make it, for half of the time: keystores hold thousands of them.
    def __init__(  # noqa: PLR0913, PLR0917 - the fields
        self,
        name: str,
        kind: KeyKind,
        generation: int,
        key_id: bytes,
        wrapped: str,
        created: datetime,
        index_key_id: bytes | None = None,
        bridge_key_id: bytes | None = None,
        state: KeyState = KeyState.ENABLED,
        due: datetime | None = None,
    ) -> None:
        _put_name(self, name)
        _put_kind(self, kind)
        _put_generation(self, generation)
        _put_key_id(self, key_id)
        _put_wrapped(self, wrapped)
        _put_created(self, created)
        _put_index_key_id(self, index_key_id)
        _put_bridge_key_id(self, bridge_key_id)
        _put_state(self, state)
        _put_due(self, due)

    @property
    def binding(self) -> bytes:
        """The bytes a wrapped key is bound to: its key name, kind and id."""
        key_id = hexlify(self.key_id)
        return _packed_place(self.name, self.kind) + len(key_id).to_bytes(2, "big") + key_id

    @property
    def index_pair(self) -> tuple[bytes | None, bytes | None]:
        """Of a data key: the index keys of the two slots of a unique column."""
        return self.index_key_id, self.bridge_key_id or self.index_key_id

    def with_wrapped(self, wrapped: str) -> KeyRecord:
        """Return this record with another wrapped form of the same key."""
        made: Any = _new(_Unfrozen)  # Thousands of them again.
        made.name = self.name
        made.kind = self.kind
        made.generation = self.generation
        made.key_id = self.key_id
        made.wrapped = wrapped
        made.created = self.created
        made.index_key_id = self.index_key_id
        made.bridge_key_id = self.bridge_key_id
        made.state = self.state
        made.due = self.due
        made.__class__ = KeyRecord
        return made  # type: ignore[no-any-return] # it is one now

    def with_state(self, state: KeyState) -> KeyRecord:
        """Return this record enabled or disabled."""
        return replace(self, state=state)

    def destroyed(self) -> KeyRecord:
        """Return this record without its wrapped key."""
        return replace(self, wrapped="", state=KeyState.DESTROYED)

    def __repr__(self) -> str:
        """Return a text without the wrapped key."""
        return (
            f"<KeyRecord {self.name!r} {self.kind} generation={self.generation} "
            f"id={self.key_id.hex()} {self.state}>"
        )


(
    _put_name,
    _put_kind,
    _put_generation,
    _put_key_id,
    _put_wrapped,
    _put_created,
    _put_index_key_id,
    _put_bridge_key_id,
    _put_state,
    _put_due,
) = (vars(KeyRecord)[each.name].__set__ for each in fields(KeyRecord))
_new = object.__new__


class _Unfrozen:
    """The slots of a record while they are filled, which is when it is given its class."""

    __slots__ = tuple(each.name for each in fields(KeyRecord))


def records_of(rows: Iterable[tuple[Any, ...]]) -> list[KeyRecord]:
    """Return the records of rows, which have all fields in order. For half of what calls take."""
    records: list[KeyRecord] = []
    put = records.append
    for name, kind, generation, key_id, wrapped, created, index, bridge, state, due in rows:
        made: Any = _new(_Unfrozen)
        made.name = name
        made.kind = kind
        made.generation = generation
        made.key_id = key_id
        made.wrapped = wrapped
        made.created = created
        made.index_key_id = index
        made.bridge_key_id = bridge
        made.state = state
        made.due = due
        made.__class__ = KeyRecord
        put(made)
    return records


class DataKey:
    """An unwrapped data key, ready to seal and open. Safe to share between threads."""

    __slots__ = ("key_id", "xaes")

    def __init__(self, material: bytes) -> None:
        self.key_id = key_id_of(material)
        self.xaes = Xaes(derive(material, _INFO_AEAD, KEY_SIZE))

    def __repr__(self) -> str:
        """Return the key id only."""
        return f"<DataKey id={self.key_id.hex()}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a key must not leave the process that way."""
        raise TypeError("a data key cannot be pickled")


class Keyset:
    """
    All records of one key name. Immutable.

    Attributes:
        name: the key name.
        records: all of them, by kind and generation.
        primary: the record of the data key that seals new values.
        announced: the newest index key, if no data key names it yet; else None.
        index_key_ids: ids of the index keys that are searched under: the primary's, those of
            other data keys that can still be opened, and the announced one. At most two
            (`MAX_INDEX_KEYS`).

    Raises:
        KeystoreError: there is no data key at all, or two records contradict each other.
    """

    __slots__ = ("_by_id", "announced", "index_key_ids", "name", "primary", "records")

    def __init__(self, name: str, records: Iterable[KeyRecord]) -> None:
        self.name = name
        self.records = tuple(sorted(records, key=by_place))
        data = [record for record in self.records if record.kind is KeyKind.DATA]
        if not data:
            raise KeystoreError(
                f"the keystore has no data key named {name!r}; make one with 'sealed init' or "
                "KeyManager.create()"
            )
        self._by_id = {record.key_id: record for record in self.records}
        places = {(record.kind, record.generation) for record in self.records}
        if len(self._by_id) != len(self.records) or len(places) != len(self.records):
            raise KeystoreError(
                f"the records of key {name!r} contradict each other: two of them have the same "
                "id or the same generation; restore the keystore from a backup"
            )
        self.primary = data[-1]
        # Found once: the guard asks for the index keys at each execution of some statements.
        self.announced = self._announced()
        self.index_key_ids = self._index_key_ids()

    def get(self, key_id: bytes) -> KeyRecord | None:
        """Return the record of this id, or None."""
        return self._by_id.get(key_id)

    def is_due(self, now: datetime) -> bool:
        """Whether the primary should be replaced by now."""
        return self.primary.due is not None and self.primary.due <= now

    def _index_key_ids(self) -> tuple[bytes, ...]:
        announced = self.announced
        named = [record.index_key_id for record in self._living_data()]
        ids = [self.primary.index_key_id, *named, announced.key_id if announced else None]
        return tuple(dict.fromkeys(key_id for key_id in ids if key_id is not None))

    def _announced(self) -> KeyRecord | None:
        latest = self.latest(KeyKind.INDEX)
        named = {r.index_key_id for r in self.records} | {r.bridge_key_id for r in self.records}
        if latest is None or latest.state is not KeyState.ENABLED or latest.key_id in named:
            return None
        return latest

    def uses(self, key_id: bytes) -> bool:
        """Whether a data key that can still be opened names this index key."""
        return any(
            key_id in (record.index_key_id, record.bridge_key_id) for record in self._living_data()
        )

    @property
    def stray(self) -> KeyRecord | None:
        """
        A data key that has no index key in common with the primary, at the same place, or None.

        Equal values under the two have equal slots nowhere, so a unique column could take both.
        No rotation makes such a keyset; a record that was brought back by hand may.
        """
        ours = self.primary.index_pair
        for record in self._living_data():
            if record.index_key_id is not None and not any(map(eq, record.index_pair, ours)):
                return record
        return None

    def _living_data(self) -> list[KeyRecord]:
        """Data keys whose values can be opened, or could be if they were enabled again."""
        return [
            record
            for record in self.records
            if record.kind is KeyKind.DATA and record.state is not KeyState.DESTROYED
        ]

    def latest(self, kind: KeyKind) -> KeyRecord | None:
        """Return the record of the highest generation of a kind, or None."""
        return max(
            (record for record in self.records if record.kind is kind),
            key=lambda record: record.generation,
            default=None,
        )

    def __repr__(self) -> str:
        """Return names and ids, no key material."""
        return (
            f"<Keyset {self.name!r} primary={self.primary.key_id.hex()} keys={len(self.records)}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the records, which hold wrapped keys only."""
        return Keyset, (self.name, self.records)
