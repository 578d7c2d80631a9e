"""The rules that all keystores share: which records may stand side by side."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import KeystoreConflictError
from ..keys import KeyRecord


@dataclass(frozen=True, slots=True)
class RecordBook:
    """All records of a keystore. Immutable: a change returns a new book, or raises."""

    records: tuple[KeyRecord, ...] = ()

    def named(self, name: str) -> tuple[KeyRecord, ...]:
        """Return the records of one key name."""
        return tuple(record for record in self.records if record.name == name)

    def names(self) -> tuple[str, ...]:
        """Return all key names, sorted."""
        return tuple(sorted({record.name for record in self.records}))

    def added(self, *new: KeyRecord) -> RecordBook:
        """Return the book with *new* in it."""
        records = self.records
        for record in new:
            for other in records:
                if _place(other) == _place(record) or other.key_id == record.key_id:
                    raise KeystoreConflictError(
                        f"key {record.name!r} already has its {record.kind} key of generation "
                        f"{record.generation} or of this id: another process was first; load "
                        "the keys again",
                        key_id=record.key_id.hex(),
                    )
            records = (*records, record)
        return RecordBook(records)

    def updated(self, old: KeyRecord, new: KeyRecord) -> RecordBook:
        """Return the book with *new* in the place of *old*."""
        if old not in self.records:
            raise KeystoreConflictError(
                f"key {old.name!r} was changed by another process; load the keys again",
                key_id=old.key_id.hex(),
            )
        if (_place(old), old.key_id) != (_place(new), new.key_id):
            raise ValueError("an update keeps name, kind, generation and key id")
        return RecordBook(tuple(new if record == old else record for record in self.records))


def _place(record: KeyRecord) -> tuple[str, str, int]:
    return record.name, record.kind, record.generation
