"""
A keystore in Vault's KV engine, version 2: one secret a key name.

Of two processes that change a key name at once, the second one reads it again and tries once
more, so that nothing is lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from ..errors import ConfigurationError, KeystoreConflictError, KeystoreError
from ..keys import KeyRecord, KeyState
from ..vault.client import Vault
from .book import RecordBook, checked
from .document import from_document, to_document
from .kvsecrets import LostAnswerError, Secrets, damaged

ATTEMPTS = 50
"""How often a change is tried while others change the same key name."""
_PAUSE = 0.01


class VaultKV:
    """
    Keystore in Vault. Safe to share between threads, and across a fork.

    Args:
        vault: the server; by default that of VAULT_ADDR, with the login of the environment.
        mount: where the KV engine, version 2, is mounted.
        path: below what path the key names are kept.

    The records of one call to `add` are of one key name. `update_many` is one write a key name.

    Raises:
        ConfigurationError: an empty path.
        MissingExtraError: the extra "vault" is not installed.
        ProviderUnreachableError: no address.
    """

    remote = True

    def __init__(
        self, vault: Vault | None = None, *, mount: str = "secret", path: str = "sealed"
    ) -> None:
        self.mount = mount.strip("/")
        self.path = path.strip("/")
        if not self.mount or not self.path:
            raise ConfigurationError("VaultKV needs a mount, and a path there of its own")
        self.vault = Vault() if vault is None else vault
        self._secrets = Secrets(self.vault, self.mount, self.path)

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """
        Return all records of a key name.

        Raises:
            KeystoreError: damaged or deleted, or Vault does not answer or does not allow it.
        """
        return self._read(name)[0].records

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records."""
        return tuple(sorted(self._secrets.names()))

    def add(self, *records: KeyRecord) -> None:
        """Add records, all or none; KeystoreConflictError if a place or an id is taken."""
        names = {record.name for record in records}
        if len(names) > 1:
            raise ConfigurationError(
                "records of several key names lie in several secrets, and cannot be added at once"
            )
        for name in names:
            self._change(name, records, lambda book: book.added(*records))

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """Replace a record; KeystoreConflictError if it is not *old* any more."""
        self.update_many([(old, new)])

    def update_many(self, pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> None:
        """
        Replace records, all of a key name or none; one key name after the other.

        A key that is destroyed is destroyed in all older versions of the secret, too.

        Raises:
            KeystoreConflictError: a record is not its *old* any more.
            KeystoreError: as `load`; or a key is destroyed, and this login may not destroy
                older versions of the secret. Then nothing is changed.
        """
        by_name: dict[str, list[tuple[KeyRecord, KeyRecord]]] = {}
        for pair in checked(pairs):
            by_name.setdefault(pair[0].name, []).append(pair)
        for name, some in by_name.items():
            new = [new for _, new in some]
            destroys = any(record.state is KeyState.DESTROYED for record in new)
            if destroys:
                self._secrets.check_can_destroy(name)
            version = self._change(name, new, lambda book, some=some: book.updated(some))  # type: ignore[misc]
            if destroys:
                self._secrets.destroy_older(name, version)

    def _change(
        self, name: str, new: Iterable[KeyRecord], change: Callable[[RecordBook], RecordBook]
    ) -> int:
        """Change the records of a key name, and return the version of the secret that has it."""
        for attempt in range(1, ATTEMPTS + 1):
            book, version = self._read(name)
            changed = change(book)
            if changed.records == book.records:
                return version
            problem = self._secrets.write(name, to_document(changed.records), version)
            if problem is None:
                return version + 1
            current, now = self._read(name)
            if now == version:
                raise problem
            if isinstance(problem, LostAnswerError) and set(new) <= set(current.records):
                return now
            # Another process was first. It has made progress; so shall we.
            time.sleep(random.uniform(0, _PAUSE * min(attempt, 10)))  # noqa: S311
        raise KeystoreConflictError(
            f"key {name!r} is being changed by other processes again and again; nothing was "
            "written, try again",
            where=self._secrets.place(name),
        )

    def _read(self, name: str) -> tuple[RecordBook, int]:
        """Return the records, and the version of the secret; 0 if there is none."""
        text, version = self._secrets.read(name)
        if text is None:
            return RecordBook(), version
        try:
            records = from_document(text)
            if all(record.name == name for record in records):
                return RecordBook(records), version
            problem = "it holds a key of another name"
        except KeystoreError as error:
            problem = error.problem
        raise damaged(problem, self._secrets.place(name))

    def __repr__(self) -> str:
        """Return server and path."""
        return f"VaultKV({self.vault!r}, mount={self.mount!r}, path={self.path!r})"
