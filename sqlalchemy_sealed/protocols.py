"""
The two protocols of key management. Any provider goes with any keystore.

A *KEK provider* holds, or reaches, the key that wraps data keys: a local root key, Vault, a KMS.
A *keystore* keeps the wrapped data keys: memory, a file, a database table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from .keys import KeyRecord, by_place


@runtime_checkable
class KEKProvider(Protocol):
    """
    Wraps and unwraps keys of 32 bytes.

    Wrapping is authenticated and bound: a key wrapped with one *binding* does not unwrap with
    another. All three methods raise `ProviderError`, and no error shows a key.
    """

    def wrap(self, key: bytes, binding: bytes) -> str:
        """Return *key* (32 bytes) wrapped, as ASCII text without white space."""
        ...

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """Return the 32 bytes of a wrapped key."""
        ...

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """Return the same key wrapped under the current version of the KEK."""
        ...

    def version(self) -> str:
        """Return a public name of the KEK and its current version, for lists and logs."""
        ...


@runtime_checkable
class Keystore(Protocol):
    """
    Keeps key records. Every method is atomic: all of it happens, or nothing.

    All of them raise `KeystoreError` where the place cannot be read, written or trusted.

    A keystore may have more, and need not:

    * `remote`, which is True where a call may take long, such as one over the network;
    * `load_many(names)`, a `load` of many key names in one reading; see `load_all`;
    * `read_wrapped()`, a reading of all records that goes on while they are used; see
      `read_wrapped`;
    * `update_many(pairs)`, an `update` of many records in one write a key name; see `update_all`;
    * `update_size`, how many records are best updated at once, where that is not as many as
      there are: in a table, a row costs the same in any number of them.
    """

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """Return all records of a key name, in no special order; empty if there are none."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records, sorted."""
        ...

    def add(self, *records: KeyRecord) -> None:
        """
        Add records of one key name, all or none.

        Raises:
            KeystoreConflictError: the key name has a record of that kind and generation, or of
                that key id, already.
        """
        ...

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """
        Replace *old* by *new*, which has the same name, kind, generation and key id.

        Raises:
            KeystoreConflictError: the stored record is not *old* any more.
        """
        ...


def load_all(
    keystore: Keystore, names: Iterable[str] | None = None
) -> dict[str, tuple[KeyRecord, ...]]:
    """
    Return all records of key names, by default of all that there are, by key name.

    In one reading where the keystore has the method `load_many`, which returns just that. Other
    keystores get one `load` after the other.

    Args:
        keystore: any keystore.
        names: key names; those without records are empty, as for `Keystore.load`.
    """
    wanted = keystore.names() if names is None else tuple(dict.fromkeys(names))
    load_many = getattr(keystore, "load_many", None)
    if load_many is None:
        return {name: keystore.load(name) for name in wanted}
    loaded: dict[str, tuple[KeyRecord, ...]] = load_many(wanted)
    return loaded


def read_wrapped(keystore: Keystore) -> tuple[int, Iterator[KeyRecord]]:
    """
    Return how many records have a wrapped key, and these records.

    Where the keystore has the method `read_wrapped`, which returns just that, records are made as
    they are asked for, so that the first ones can be worked at while others are still read. What
    is damaged is then found on the way. Other keystores are read as a whole, by `load_all`.

    Args:
        keystore: any keystore.
    """
    read = getattr(keystore, "read_wrapped", None)
    if read is None:
        loaded = (sorted(some, key=by_place) for some in load_all(keystore).values())
        records = [each for some in loaded for each in some if each.wrapped]
        return len(records), iter(records)
    found: tuple[int, Iterator[KeyRecord]] = read()
    return found


def update_all(keystore: Keystore, pairs: Iterable[tuple[KeyRecord, KeyRecord]]) -> None:
    """
    Replace each *old* by its *new*, in one write where the keystore can do that.

    A keystore that has the method `update_many` replaces all records of a key name or none of
    them; memory, file and database do so for all key names together. Other keystores get one
    `update` after the other, and those before a failure stay.

    Args:
        keystore: any keystore.
        pairs: *old* and *new*, as for `Keystore.update`; no record twice.

    Raises:
        KeystoreConflictError: a stored record is not its *old* any more.
    """
    update_many = getattr(keystore, "update_many", None)
    if update_many is not None:
        update_many(pairs)
        return
    for old, new in pairs:
        keystore.update(old, new)
