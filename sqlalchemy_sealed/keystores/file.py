"""
A keystore in one JSON file: the embedded default.

The file holds wrapped keys only, yet it must not be readable by others: with the root key it
opens everything. It is replaced atomically under a lock file, so that concurrent processes and
a crash in the middle of a write leave the old content or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import secretfile
from ..envelope import KEY_ID_SIZE
from ..errors import KeystoreConflictError, KeystoreError
from ..keys import KeyKind, KeyRecord, KeyState
from .book import RecordBook

FORMAT = "sqlalchemy-sealed keystore 1"
MAX_GENERATION = 1 << 31
LOCK_SECONDS = 10.0
"""How long a change waits for another process's change before it gives up."""
_WHAT = "keystore"


class FileKeystore:
    """
    Keystore in a file of mode 0600.

    Args:
        path: the file. `add` makes it if it is missing; its directory must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """
        Return all records of a key name.

        Raises:
            KeystoreError: missing, damaged, unreadable, or readable by others.
        """
        return self._read().named(name)

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records."""
        return self._read().names()

    def add(self, *records: KeyRecord) -> None:
        """Add records, all or none; KeystoreConflictError if a place or an id is taken."""
        self._change(lambda book: book.added(*records), may_create=True)

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """Replace a record; KeystoreConflictError if it is not *old* any more."""
        self._change(lambda book: book.updated(old, new), may_create=False)

    def _change(self, change: Callable[[RecordBook], RecordBook], *, may_create: bool) -> None:
        with self._locked():
            missing = may_create and not self.path.exists()
            book = change(RecordBook() if missing else self._read())
            secretfile.replace(self._place, _to_json(book), _WHAT)

    @property
    def _place(self) -> Path:
        """The file itself: a link to it is the same keystore, and stays a link."""
        return Path(os.path.realpath(self.path))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._place.parent.is_dir():
            # The lock would make it; a mistaken path should not.
            raise KeystoreError(
                "the directory of the keystore does not exist", where=str(self.path)
            )
        unlockable: str | None = None
        lock = FileLock(f"{self._place}.lock", timeout=LOCK_SECONDS, mode=secretfile.OWNER_ONLY)
        try:
            lock.acquire()
        except Timeout:
            pass
        except OSError as error:
            unlockable = f"the lock file cannot be made: {error.strerror}"
        else:
            try:
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
        try:
            return RecordBook().added(*_from_json(data))
        except KeystoreError as error:
            problem = str(error)
        raise KeystoreError(
            f"the keystore is damaged: {problem}; restore it from a backup", where=str(self.path)
        )

    def __repr__(self) -> str:
        """Return the path."""
        return f"FileKeystore({str(self.path)!r})"


def _to_json(book: RecordBook) -> bytes:
    document = {"format": FORMAT, "keys": [_fields(record) for record in book.records]}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _fields(record: KeyRecord) -> dict[str, Any]:
    bridge = record.bridge_key_id
    return {
        "name": record.name,
        "kind": str(record.kind),
        "generation": record.generation,
        "id": record.key_id.hex(),
        "wrapped": record.wrapped,
        "created": record.created.isoformat(),
        "index_key_id": record.index_key_id.hex() if record.index_key_id else None,
        "state": str(record.state),
    } | ({"bridge_key_id": bridge.hex()} if bridge else {})


def _from_json(data: bytes) -> list[KeyRecord]:
    try:
        document = json.loads(data, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise KeystoreError("it is not JSON")
    if document.get("format") != FORMAT or not isinstance(document.get("keys"), list):
        raise KeystoreError(f"it does not say format {FORMAT!r}")
    if len(document) != 2:
        raise KeystoreError(f"it does not say format {FORMAT!r}")
    return [_record(number, fields) for number, fields in enumerate(document["keys"], start=1)]


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member that is there twice")
    return members


def _record(number: int, fields: Any) -> KeyRecord:
    try:
        record = KeyRecord(
            name=fields["name"],
            kind=KeyKind(fields["kind"]),
            generation=fields["generation"],
            key_id=bytes.fromhex(fields["id"]),
            wrapped=fields["wrapped"],
            created=datetime.fromisoformat(fields["created"]),
            index_key_id=None
            if fields["index_key_id"] is None
            else bytes.fromhex(fields["index_key_id"]),
            bridge_key_id=bytes.fromhex(fields["bridge_key_id"])
            if "bridge_key_id" in fields
            else None,
            state=KeyState(fields["state"]),
        )
        # Canonical or refuse: what we would write must be what is there.
        if _fields(record) == fields and _plausible(record):
            return record
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise KeystoreError(f"record {number} is not a key record")


def _plausible(record: KeyRecord) -> bool:
    return (
        isinstance(record.name, str)
        and isinstance(record.wrapped, str)
        and type(record.generation) is int
        and 1 <= record.generation <= MAX_GENERATION
        and record.wrapped.isascii()
        and _is_unicode(record.name)
        and len(record.index_key_id or record.key_id) == KEY_ID_SIZE
        and len(record.bridge_key_id or record.key_id) == KEY_ID_SIZE
        and len(record.key_id) == KEY_ID_SIZE
        and record.created.utcoffset() is not None
        and (record.state is KeyState.ENABLED) == bool(record.wrapped)
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
