"""What is done to the keys of a keystore: create, rotate, rewrap, disable, destroy; not to rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from .context import PART, is_part
from .errors import ConfigurationError, KeystoreConflictError, KeystoreError
from .keycache import unwrap
from .keylife import (
    ROTATE_EVERY,
    Every,
    Period,
    bridge_beside,
    check_can_announce,
    check_can_destroy,
    check_can_disable,
    check_can_enable,
    check_one_index_key,
    checked_period,
    moment,
    period_of,
)
from .keymaking import new_data_key, new_index_key, own_data_key
from .keys import DataKey, KeyKind, KeyRecord, Keyset, KeyState, by_place
from .protocols import KEKProvider, Keystore, load_all

if TYPE_CHECKING:
    from .rewrapping import Progress, Rewrapped


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

    # -- making keys

    def create(self, name: str, *, rotate_every: timedelta | None = ROTATE_EVERY) -> Keyset:
        """
        Make the first data key and the first index key of a new key name.

        Args:
            name: the key name.
            rotate_every: how long a data key is the primary, to the second: 90 days by default,
                from 1 hour to 3,650 days, or None for without end. Rotations keep to it.

        Raises:
            ConfigurationError: the name is empty, or the period is out of bounds.
            KeystoreConflictError: there are keys of this name already.
        """
        if not is_part(name):
            raise ConfigurationError(f"a key name must be {PART}")
        now, period = moment(None), checked_period(rotate_every)
        index = new_index_key(self.provider, name, 1, now)
        data = new_data_key(self.provider, name, 1, now, period, index.key_id)
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

    def rotate(
        self,
        name: str,
        *,
        index: bool = False,
        rotate_every: Period = Every.AS_BEFORE,
        now: datetime | None = None,
    ) -> Keyset:
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
            rotate_every: how long the new data key is to be the primary, as in `create`; by
                default as long as the one before was meant to be.
            now: the time at which it is made; by default that of the clock.

        Raises:
            OptionError: the period is out of bounds, or *now* has no time zone.
            KeystoreError: *index* while the last rotation of the index key is not finished.
            KeystoreConflictError: another process rotated at the same moment; its new primary
                is in the keystore, and nothing was added.
            ProviderError: the keys that are there cannot be unwrapped; with this provider, no
                application could unwrap a new one.
        """
        return self._rotated(self.keyset(name), index, rotate_every, moment(now))

    def rotate_if_due(
        self,
        name: str,
        *,
        index: bool = False,
        rotate_every: Period = Every.AS_BEFORE,
        now: datetime | None = None,
    ) -> Keyset | None:
        """
        Rotate if the primary is due, as `rotate`. Return the new keyset, or None if it is not.

        Of several processes that do this at once, one rotates, and the others return None. A
        clock that went back finds the primary not due yet.

        Args:
            name: the key name.
            index: as in `rotate`.
            rotate_every: as in `rotate`.
            now: the present time; by default that of the clock.

        Raises:
            OptionError, KeystoreError, ProviderError: as `rotate`.
        """
        time = moment(now)
        keyset = self.keyset(name)
        if not keyset.is_due(time):
            return None
        try:
            return self._rotated(keyset, index, rotate_every, time)
        except KeystoreConflictError:
            if self.keyset(name).is_due(time):
                raise
        return None

    def _rotated(
        self,
        keyset: Keyset,
        index: bool,  # noqa: FBT001 - as in `rotate`
        rotate_every: Period,
        now: datetime,
    ) -> Keyset:
        primary = keyset.primary
        period = (
            period_of(primary) if isinstance(rotate_every, Every) else checked_period(rotate_every)
        )
        self.check_provider(keyset)
        new: list[KeyRecord] = []
        index_key_id = primary.index_key_id
        if index:
            check_one_index_key(keyset)
            announced = keyset.announced
            if announced is None:
                announced = self._next_index_key(keyset, now)
                new = [announced]
            index_key_id = announced.key_id
        bridge = bridge_beside(keyset, index_key_id)
        successor = primary.generation + 1
        new.append(
            new_data_key(self.provider, keyset.name, successor, now, period, index_key_id, bridge)
        )
        self.keystore.add(*new)
        return self.keyset(keyset.name)

    def _next_index_key(self, keyset: Keyset, now: datetime) -> KeyRecord:
        latest = keyset.latest(KeyKind.INDEX)
        generation = 1 if latest is None else latest.generation + 1
        return new_index_key(self.provider, keyset.name, generation, now)

    def check_provider(self, keyset: Keyset) -> None:
        """
        Unwrap the newest data key that is not destroyed: applications will have to do the same.

        Raises:
            ProviderError: it cannot be unwrapped.
        """
        usable = [r for r in keyset.records if r.kind is KeyKind.DATA and r.wrapped]
        if usable:
            unwrap(usable[-1], self.provider)

    def rotate_own(self, name: str) -> tuple[Keyset, DataKey]:
        """
        Make a data key that this process seals under, where it can wrap and not unwrap.

        It becomes the primary, as every new data key.

        Raises:
            KeystoreConflictError: another process rotated at the same moment.
        """
        primary = self.keyset(name).primary
        key, record = own_data_key(self.provider, primary, moment(None), period_of(primary))
        self.keystore.add(record)
        return self.keyset(name), key

    def announce_index(self, name: str) -> Keyset:
        """
        Make the index key that the next `rotate(index=True)` will use.

        From now on, processes that read the keystore search under it, too. So no process misses
        a row when the first value is sealed under it.

        Raises:
            KeystoreError: the last rotation of the index key is not finished.
            KeystoreConflictError: one is announced already, perhaps at this moment.
            ProviderError: as `rotate`.
        """
        keyset = self.keyset(name)
        check_can_announce(keyset)
        self.check_provider(keyset)
        self.keystore.add(self._next_index_key(keyset, moment(None)))
        return self.keyset(name)

    # -- what is done to a key

    def disable(self, name: str, key_id: bytes) -> Keyset:
        """
        Let a key open nothing until `enable`. Its wrapped form is kept.

        Processes stop using it when they next read the keystore.

        Raises:
            KeystoreError: no such key, it is the primary or an index key in use, or it was
                destroyed.
        """
        return self._with_state(name, key_id, KeyState.DISABLED)

    def enable(self, name: str, key_id: bytes) -> Keyset:
        """
        Let a disabled key be used again.

        Raises:
            KeystoreError: no such key, or it was destroyed.
        """
        return self._with_state(name, key_id, KeyState.ENABLED)

    def _with_state(self, name: str, key_id: bytes, state: KeyState) -> Keyset:
        keyset, record = self._found(name, key_id)
        check = check_can_enable if state is KeyState.ENABLED else check_can_disable
        check(keyset, record)
        if record.state is state:
            return keyset
        self.keystore.update(record, record.with_state(state))
        return self.keyset(name)

    def destroy(
        self,
        name: str,
        key_id: bytes,
        *,
        databases: Iterable[Connection] = (),
        schemas: Sequence[str] | None = None,
        unscanned: bool = False,
    ) -> Keyset:
        """
        Erase a wrapped key. Values sealed under it can never be opened again.

        Before a data key is destroyed, let every process refresh that seals: one that has not
        read the keystore since the last rotation goes on sealing under the key that it knows, and
        nobody could open that. To be sure, disable the key first and wait for the freshness limit
        (`KeyLimits.fresh`).

        Rows that are left under a destroyed key keep their index values: in a unique column, what
        they held stays taken while that index key is in use. Delete such rows.

        Args:
            name: the key name.
            key_id: which key, 8 bytes.
            databases: connections to all databases that may have rows under this data key, in no
                transaction; see `scan`.
            schemas: where to look in them; by default in all schemas.
            unscanned: destroy a data key without looking for rows.

        Raises:
            KeystoreError: no such key, it is the primary, which new values need, it is an index
                key that data keys still name, or it is a data key and there are rows under it or
                nobody has looked.
            ConfigurationError: a database cannot be read as a whole, or a connection is in a
                transaction.
        """
        keyset, record = self._found(name, key_id)
        check_can_destroy(keyset, record)
        is_there = record.state is not KeyState.DESTROYED
        if is_there and record.kind is KeyKind.DATA and not unscanned:
            from .scan import check_no_rows  # noqa: PLC0415 - only destroying needs it

            check_no_rows(key_id, databases, schemas)
        # Done again where it is destroyed: a keystore that keeps older versions may not have got
        # to the end of them.
        self.keystore.update(record, record.destroyed())
        return self.keyset(name)

    def rewrap(
        self, names: Iterable[str] | None = None, *, progress: Progress | None = None
    ) -> Rewrapped:
        """
        Rewrap keys under the current version of the KEK, after that was turned.

        The keys stay the same, and so do rows. A run that was killed is simply run again. A key
        that cannot be rewrapped stays as it was, is named in the result, and stops no other.

        Args:
            names: the key names; by default all of the keystore.
            progress: called now and then with how many keys are done, and how many there are.

        Raises:
            KeystoreError: the keystore cannot be read or written.
            ProviderError: the provider cannot be asked (any more). What was rewrapped is kept.
        """
        from . import rewrapping  # noqa: PLC0415 - only this needs it

        records = None if names is None else self.records(names)
        return rewrapping.rewrap_all(self.keystore, records, self.provider, progress)

    def records(self, names: Iterable[str] | None = None) -> list[KeyRecord]:
        """Return the records of key names, by default of all that there are."""
        found: list[KeyRecord] = []
        for name, records in load_all(self.keystore, names).items():
            found += sorted(records, key=by_place) or Keyset(name, records).records
        return found

    def _found(self, name: str, key_id: bytes) -> tuple[Keyset, KeyRecord]:
        keyset = self.keyset(name)
        record = keyset.get(key_id)
        if record is None:
            raise KeystoreError(f"key {name!r} has no key of this id", key_id=key_id.hex())
        return keyset, record
