"""
The two protocols of key management. Any provider goes with any keystore.

A *KEK provider* holds, or reaches, the key that wraps data keys: a local root key, Vault, a KMS.
A *keystore* keeps the wrapped data keys: memory, a file, a database table.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .keys import KeyRecord


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
    """

    def load(self, name: str) -> tuple[KeyRecord, ...]:
        """Return all records of a key name, in no special order; empty if there are none."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the key names that have records, sorted."""
        ...

    def add(self, *records: KeyRecord) -> None:
        """
        Add records, all or none.

        Raises:
            KeystoreConflictError: a record of that name, kind and generation, or of that key
                id, is there already.
        """
        ...

    def update(self, old: KeyRecord, new: KeyRecord) -> None:
        """
        Replace *old* by *new*, which has the same name, kind, generation and key id.

        Raises:
            KeystoreConflictError: the stored record is not *old* any more.
        """
        ...
