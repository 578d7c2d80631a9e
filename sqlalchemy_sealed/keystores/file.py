"""
A keystore in one JSON file: the embedded default.

The file holds wrapped keys only, yet it must not be readable by others: with the root key it
opens everything. It is replaced atomically under a lock file, so that concurrent processes and
a crash in the middle of a write leave the old content or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import secretfile
from ..errors import KeystoreConflictError, KeystoreError
from ..keys import KeyRecord
from .book import RecordBook
from .document import Lines, Reading, to_document

LOCK_SECONDS = 10.0
"""How long a change waits for another process's change before it gives up."""
_WHAT = "keystore"


class FileKeystore:
    """
    Keystore in a file of mode 0600.

    Args:
        path: the file. `add` makes it if it is missing; its directory must exist.

    Raises:
        OptionError: no file can have this path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = secretfile.path_of(path)
        self._known: tuple[bytes, RecordBook] = (b"", RecordBook())
        self._lines = Lines()
        self._begun: tuple[bytes, Reading] | None = None

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """
        Return all records of a key name.

        Raises:
            KeystoreError: missing, damaged, unreadable, or readable by others.
        """
        return self._read().named(name)

    def load_many(self, names: Iterable[str]) -> dict[str, tuple[KeyRecord, ...]]:
        """Return all records of some key names, from one reading of the file."""
        book = self._read()
        return {name: book.named(name) for name in names}

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records."""
        return self._read().names()

    def read_wrapped(self) -> tuple[int, Iterator[KeyRecord]]:
        """Return how many records have a wrapped key, and these, made as they are asked for."""
        data = secretfile.read(self.path, _WHAT)
        known, book = self._known
        if data == known:
            records = [record for record in book.records if record.wrapped]
            return len(records), iter(records)
        reading = self._reading(data)
        return reading.wrapped, self._wrapped(data, reading)

    def _wrapped(self, data: bytes, reading: Reading) -> Iterator[KeyRecord]:
        """Yield the records of a document that have a wrapped key, and keep all in the end."""
        known, problem = self._known, ""
        try:
            for record in reading:
                if record.wrapped:
                    yield record
            if self._known is known:  # Else it was written meanwhile.
                self._keep(data, reading)
        except KeystoreError as error:
            problem = str(error)
        if problem:
            raise self._damaged(problem)

    def add(self, *records: KeyRecord) -> None:
        """Add records, all or none; KeystoreConflictError if a place or an id is taken."""
        self._change(lambda book: book.added(*records), may_create=True)

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """Replace a record; KeystoreConflictError if it is not *old* any more."""
        self.update_many([(old, new)])

    def update_many(self, pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> None:
        """Replace records in one write, all or none."""
        pairs = list(pairs)
        self._change(lambda book: book.updated(pairs), may_create=False)

    def _change(self, change: Callable[[RecordBook], RecordBook], *, may_create: bool) -> None:
        with self._locked():
            missing = may_create and not os.path.exists(self.path)  # noqa: PTH110 - see below
            book = change(RecordBook() if missing else self._read())
            data = to_document(book.records, self._lines).encode()
            secretfile.replace(self._place, data, _WHAT)
            self._known = data, book

    @property
    def _place(self) -> Path:
        """The file itself: a link to it is the same keystore, and stays a link."""
        return Path(os.path.realpath(self.path))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        place = self._place
        # Unlike that of `Path`, it is no error where a folder above may not be searched.
        if not os.path.isdir(place.parent):  # noqa: PTH112
            # The lock would make it; a mistaken path should not.
            raise KeystoreError(
                "the directory of the keystore does not exist, or cannot be reached",
                where=str(self.path),
            )
        from filelock import FileLock, Timeout  # noqa: PLC0415 - readers need no lock

        unlockable: str | None = None
        lock = FileLock(f"{place}.lock", timeout=LOCK_SECONDS, mode=secretfile.OWNER_ONLY)
        try:
            secretfile.make_lock(Path(lock.lock_file), place)
            lock.acquire()
        except Timeout:
            pass
        except (OSError, NotImplementedError) as error:  # The latter where nothing can be locked.
            reason = getattr(error, "strerror", None) or "the file system has no locks"
            unlockable = f"the lock file cannot be made or used: {reason}"
        else:
            try:
                secretfile.remove_unfinished(place, Path(lock.lock_file))
                yield
            finally:
                lock.release()
            return
        if unlockable is not None:
            raise KeystoreError(unlockable, where=str(self.path))
        raise KeystoreConflictError(
            f"another process has held the lock for {LOCK_SECONDS:.0f} seconds",
            where=str(self.path),
        )

    def _read(self) -> RecordBook:
        data = secretfile.read(self.path, _WHAT)
        known, book = self._known
        if data == known:
            return book
        reading = self._reading(data)
        try:
            for _ in reading:
                pass
            return self._keep(data, reading)
        except KeystoreError as error:
            problem = str(error)
        raise self._damaged(problem)

    def _reading(self, data: bytes) -> Reading:
        """Return a reading of a document, or the one of it that was begun."""
        begun = self._begun
        if begun is not None and begun[0] == data:
            return begun[1]
        try:
            reading = Reading(data)
        except KeystoreError as error:
            problem = str(error)
        else:
            self._begun = data, reading
            return reading
        raise self._damaged(problem)

    def _keep(self, data: bytes, reading: Reading) -> RecordBook:
        """Keep all records of a document that was read, since most readings find the same one."""
        book = RecordBook(reading.records)
        self._known, self._lines, self._begun = (data, book), reading.lines, None
        return book

    def _damaged(self, problem: str) -> KeystoreError:
        return KeystoreError(
            f"the keystore is damaged: {problem}; restore it from a backup", where=str(self.path)
        )

    def __repr__(self) -> str:
        """Return the path."""
        return f"FileKeystore({str(self.path)!r})"
