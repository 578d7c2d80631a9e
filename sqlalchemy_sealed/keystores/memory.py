"""A keystore in memory: for tests, and for keys that live as long as the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..keys import KeyRecord
from .book import RecordBook


class MemoryKeystore:
    """Keystore in this process's memory. Safe to share between threads."""

    def __init__(self) -> None:
        self._book = RecordBook()
        self._lock = threading.Lock()

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """Return all records of a key name."""
        return self._book.named(name)

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records."""
        return self._book.names()

    def add(self, *records: KeyRecord) -> None:
        """Add records, all or none; KeystoreConflictError if a place or an id is taken."""
        with self._lock:
            self._book = self._book.added(*records)

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """Replace a record; KeystoreConflictError if it is not *old* any more."""
        self.update_many([(old, new)])

    def update_many(self, pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> None:
        """Replace records, all or none."""
        pairs = list(pairs)
        with self._lock:
            self._book = self._book.updated(pairs)

    def __repr__(self) -> str:
        """Return the number of records."""
        return f"<MemoryKeystore records={len(self._book.records)}>"
