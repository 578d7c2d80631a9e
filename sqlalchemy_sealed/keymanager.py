"""What is done to the keys of a keystore: create, rotate, list. Rows are not touched."""

from __future__ import annotations

from datetime import UTC, datetime

from .aead import random_key
from .errors import ConfigurationError, KeystoreConflictError, KeystoreError
from .keycache import unwrap
from .keys import MAX_INDEX_KEYS, KeyKind, KeyRecord, Keyset, KeyState, key_id_of
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

    def rotate(self, name: str, *, index: bool = False) -> Keyset:
        """
        Make a new primary data key. Older keys stay and open what they sealed.

        Rows keep their key until they are resealed.

        Args:
            name: the key name.
            index: use a new index key from this data key on: the announced one, or one that is
                made now. Rows are found under both index keys while both are in use. A process
                that has not read the keystore since knows the old index key only: to it, rows
                under the new one are equal to no value, so that `==` misses them and `!=` does
                not, until it refreshes or opens one of them. To rotate while others are running,
                call `announce_index` first and let all of them refresh. Unique columns stay
                unique in either case.

        Raises:
            KeystoreError: *index* while the last rotation of the index key is not finished.
            KeystoreConflictError: another process rotated at the same moment; its new primary
                is in the keystore, and nothing was added.
            ProviderError: the primary cannot be unwrapped; with this provider, no application
                could unwrap a new one.
        """
        keyset = self.keyset(name)
        if keyset.primary.state is KeyState.ENABLED:
            unwrap(keyset.primary, self.provider)
        new: list[KeyRecord] = []
        index_key_id = keyset.primary.index_key_id
        if index:
            _check_one_index_key(keyset)
            announced = keyset.announced
            if announced is None:
                announced = self._new_index_key(keyset)
                new = [announced]
            index_key_id = announced.key_id
        others = [
            key_id
            for key_id in keyset.index_key_ids
            if key_id != index_key_id and keyset.uses(key_id)
        ]
        new.append(
            self._new(
                name,
                KeyKind.DATA,
                keyset.primary.generation + 1,
                index_key_id,
                others[0] if others else None,
            )
        )
        self.keystore.add(*new)
        return self.keyset(name)

    def announce_index(self, name: str) -> Keyset:
        """
        Make the index key that the next `rotate(index=True)` will use.

        From now on, processes that read the keystore search under it, too. So no process misses
        a row when the first value is sealed under it.

        Raises:
            KeystoreError: the last rotation of the index key is not finished.
            KeystoreConflictError: one is announced already, perhaps at this moment.
        """
        keyset = self.keyset(name)
        _check_one_index_key(keyset)
        if keyset.announced is not None:
            raise KeystoreConflictError(
                f"key {name!r} has an announced index key already; rotate(index=True) uses it",
                key_id=keyset.announced.key_id.hex(),
            )
        if keyset.primary.state is KeyState.ENABLED:
            unwrap(keyset.primary, self.provider)
        self.keystore.add(self._new_index_key(keyset))
        return self.keyset(name)

    def _new_index_key(self, keyset: Keyset) -> KeyRecord:
        latest = keyset.latest(KeyKind.INDEX)
        generation = 1 if latest is None else latest.generation + 1
        return self._new(keyset.name, KeyKind.INDEX, generation)

    def destroy(self, name: str, key_id: bytes) -> Keyset:
        """
        Erase a wrapped key. Values sealed under it can never be opened again.

        Whether any row still needs the key is not looked at here. Before a data key is destroyed,
        let every process refresh that seals: one that has not read the keystore since the last
        rotation goes on sealing under the key that it knows, and nobody could open that.

        Rows that are left under a destroyed key keep their index values: in a unique column, what
        they held stays taken while that index key is in use. Delete such rows.

        Raises:
            KeystoreError: no such key, it is the primary, which new values need, or it is an
                index key that data keys still name.
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
        if record.kind is KeyKind.INDEX and key_id in keyset.index_key_ids:
            raise KeystoreError(
                f"this index key of {name!r} is in use: data keys that are not destroyed name "
                "it, or it is announced; reseal the rows and destroy those data keys first",
                key_id=key_id.hex(),
            )
        if record.kind is KeyKind.INDEX and keyset.uses(key_id):
            raise KeystoreError(
                f"this index key of {name!r} keeps unique columns unique until the rows under "
                "data keys that name it are resealed; rotate, reseal and destroy those first",
                key_id=key_id.hex(),
            )
        self.keystore.update(record, record.destroyed())
        return self.keyset(name)

    def _new(
        self,
        name: str,
        kind: KeyKind,
        generation: int,
        index_key_id: bytes | None = None,
        bridge_key_id: bytes | None = None,
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
            bridge_key_id=bridge_key_id,
        )
        return record.with_wrapped(self.provider.wrap(material, record.binding))


def _check_one_index_key(keyset: Keyset) -> None:
    """Refuse a second rotation of the index key before the first one is finished."""
    in_use = [r for r in keyset.records if r.kind is KeyKind.INDEX and keyset.uses(r.key_id)]
    if len(in_use) < MAX_INDEX_KEYS:
        return
    raise KeystoreError(
        f"the index key of {keyset.name!r} is being rotated already: reseal the rows and destroy "
        f"the data keys that name index key {in_use[0].key_id.hex()} first",
        key_id=in_use[0].key_id.hex(),
    )
