"""What is done to the keys of a keystore: create, rotate, list. Rows are not touched."""

from __future__ import annotations

from datetime import UTC, datetime

from .aead import random_key
from .errors import ConfigurationError, KeystoreConflictError, KeystoreError
from .keys import KeyKind, KeyRecord, Keyset, KeyState, key_id_of
from .protocols import KEKProvider, Keystore


class KeyManager:
    """
    Makes keys with a KEK provider and keeps them in a keystore.

    Args:
        keystore: where wrapped keys lie.
        provider: who wraps them.
    """

    def __init__(self, keystore: Keystore, provider: KEKProvider) -> None:
        self.keystore = keystore
        self.provider = provider

    def keyset(self, name: str) -> Keyset:
        """
        Return the keyset of a key name as it is in the keystore now.

        Raises:
            KeystoreError: no key of this name, or the keystore cannot be read.
        """
        return Keyset(name, self.keystore.load(name))

    def create(self, name: str) -> Keyset:
        """
        Make the first data key and the first index key of a new key name.

        Raises:
            ConfigurationError: the name is empty.
            KeystoreConflictError: there are keys of this name already.
        """
        if not name:
            raise ConfigurationError("a key name must not be empty")
        index = self._new(name, KeyKind.INDEX, 1)
        data = self._new(name, KeyKind.DATA, 1, index.key_id)
        try:
            self.keystore.add(index, data)
        except KeystoreConflictError as error:
            if error.key_id is None:  # not about a record: another process holds the lock
                raise
        else:
            return self.keyset(name)
        raise KeystoreConflictError(
            f"there are keys named {name!r} already; 'sealed keys rotate' makes a new primary"
        )

    def rotate(self, name: str) -> Keyset:
        """
        Make a new primary data key. Older keys stay and open what they sealed.

        Rows keep their key until they are resealed. The index key stays the same.

        Raises:
            KeystoreConflictError: another process rotated at the same moment; its new primary
                is in the keystore, and nothing was added.
        """
        keyset = self.keyset(name)
        if keyset.primary.state is KeyState.ENABLED:
            # With a wrong KEK the new primary would be one that no application can unwrap.
            self.provider.unwrap(keyset.primary.wrapped, keyset.primary.binding)
        record = self._new(
            name, KeyKind.DATA, keyset.primary.generation + 1, keyset.primary.index_key_id
        )
        self.keystore.add(record)
        return self.keyset(name)

    def destroy(self, name: str, key_id: bytes) -> Keyset:
        """
        Erase a wrapped key. Values sealed under it can never be opened again.

        Whether any row still needs the key is not looked at here.

        Raises:
            KeystoreError: no such key, or it is the primary, which new values need.
        """
        keyset = self.keyset(name)
        record = keyset.get(key_id)
        if record is None:
            raise KeystoreError(f"key {name!r} has no key of this id", key_id=key_id.hex())
        if record == keyset.primary:
            raise KeystoreError(
                f"this is the primary of {name!r}, new values need it; rotate first",
                key_id=key_id.hex(),
            )
        self.keystore.update(record, record.destroyed())
        return self.keyset(name)

    def _new(
        self, name: str, kind: KeyKind, generation: int, index_key_id: bytes | None = None
    ) -> KeyRecord:
        material = random_key()
        record = KeyRecord(
            name=name,
            kind=kind,
            generation=generation,
            key_id=key_id_of(material),
            wrapped="",
            created=datetime.now(UTC).replace(microsecond=0),
            index_key_id=index_key_id,
        )
        return record.with_wrapped(self.provider.wrap(material, record.binding))
