"""The rules that all keystores share: which records may stand side by side."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from operator import attrgetter

from ..errors import KeystoreConflictError
from ..keys import KeyKind, KeyRecord

Place = tuple[KeyKind, int]
"""Kind and generation: what a key name has one record of."""
_KEPT = attrgetter("name", "kind", "generation", "key_id")
_NONE: dict[Place, KeyRecord] = {}


class RecordBook:
    """
    All records of a keystore. Immutable: a change returns a new book, or raises.

    Args:
        records: what it holds; KeystoreConflictError if two of them cannot stand side by side.
    """

    __slots__ = ("_ids", "_names")

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self._names: dict[str, dict[Place, KeyRecord]] = {}
        self._ids: set[bytes] = set()
        self._put(records)

    def _put(self, records: Iterable[KeyRecord]) -> None:
        names, ids = self._names, self._ids
        name: str | None = None
        places: dict[Place, KeyRecord] = {}
        for record in records:
            if record.name != name:
                name = record.name
                places = names.setdefault(name, {})
            place, key_id = (record.kind, record.generation), record.key_id
            if place in places or key_id in ids:
                raise taken(record)
            places[place] = record
            ids.add(key_id)

    @property
    def records(self) -> tuple[KeyRecord, ...]:
        """All records, those of one key name together."""
        return tuple(chain.from_iterable(places.values() for places in self._names.values()))

    def named(self, name: str) -> tuple[KeyRecord, ...]:
        """Return the records of one key name."""
        return tuple(self._names.get(name, {}).values())

    def names(self) -> tuple[str, ...]:
        """Return all key names, sorted."""
        return tuple(sorted(self._names))

    def added(self, *new: KeyRecord) -> RecordBook:
        """Return the book with *new* in it."""
        book = self._copy({record.name for record in new})
        book._ids = set(self._ids)
        book._put(new)
        return book

    def updated(self, pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> RecordBook:
        """Return the book with each *new* in the place of its *old*."""
        pairs = checked(pairs)
        book = self._copy({old.name for old, _ in pairs})
        names = book._names
        for old, new in pairs:
            places, place = names.get(old.name, _NONE), (old.kind, old.generation)
            stored = places.get(place)
            if stored is not old and stored != old:
                raise changed(old)
            places[place] = new
        return book

    def _copy(self, names: Iterable[str]) -> RecordBook:
        """Return a copy in which the records of these names may be changed."""
        book = RecordBook()
        book._ids = self._ids
        book._names = dict(self._names)
        for name in names:
            if name in book._names:
                book._names[name] = dict(book._names[name])
        return book


def place_of(record: KeyRecord) -> Place:
    """Return kind and generation."""
    return record.kind, record.generation


def checked(pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> list[tuple[KeyRecord, KeyRecord]]:
    """
    Return the pairs of an update.

    Raises:
        ValueError: a *new* that would not stand in the place of its *old*.
    """
    found = list(pairs)
    if any(_KEPT(old) != _KEPT(new) for old, new in found):
        raise ValueError("an update keeps name, kind, generation and key id")
    return found


def taken(record: KeyRecord) -> KeystoreConflictError:
    """Return the error for a record whose place or id is taken."""
    return KeystoreConflictError(
        f"key {record.name!r} already has its {record.kind} key of generation "
        f"{record.generation} or of this id: another process was first; load the keys again",
        key_id=record.key_id.hex(),
    )


def changed(old: KeyRecord) -> KeystoreConflictError:
    """Return the error for an update of a record that is not *old* any more."""
    return KeystoreConflictError(
        f"key {old.name!r} was changed by another process; load the keys again",
        key_id=old.key_id.hex(),
    )
