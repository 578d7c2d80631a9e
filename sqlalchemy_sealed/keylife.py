"""
The life of a key: when its successor is due, and what may be done to it in which state.

    made → primary → retired ⇄ disabled → destroyed

A data key is the primary until a rotation makes the next one. Then it is retired: it opens what
it sealed, and seals nothing new. Disabled, it opens nothing; that can be undone. Destroyed, its
wrapped form is erased; that cannot.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum

from .errors import KeystoreConflictError, KeystoreError, OptionError
from .keys import MAX_INDEX_KEYS, KeyKind, KeyRecord, Keyset, KeyState

ROTATE_EVERY = timedelta(days=90)
"""
How long a data key is the primary by default.

NIST SP 800-57 part 1 revision 5, table 1, gives a symmetric data-encryption key at most 2 years
in which it encrypts. A shorter period bounds how many values one leaked data key opens.
"""
SHORTEST_PERIOD = timedelta(hours=1)
LONGEST_PERIOD = timedelta(days=3650)


class Every(Enum):
    """A period that is not given in days."""

    AS_BEFORE = "as before"
    """The period of the primary that is replaced."""


Period = timedelta | Every | None
"""How long a data key is the primary; None for without end."""


class Stage(Enum):
    """Where in its life a key is, in the words of lists."""

    PRIMARY = "primary"
    RETIRED = "retired"
    IN_USE = "in use"
    """An index key that a data key names."""
    ANNOUNCED = "announced"
    UNUSED = "unused"
    """An index key that nothing needs any more."""
    DISABLED = "disabled"
    DESTROYED = "destroyed"


def stage(record: KeyRecord, keyset: Keyset) -> Stage:
    """Return where in its life a key of a keyset is."""
    if record.state is not KeyState.ENABLED:
        return Stage.DISABLED if record.state is KeyState.DISABLED else Stage.DESTROYED
    if record.kind is KeyKind.DATA:
        return Stage.PRIMARY if record == keyset.primary else Stage.RETIRED
    if record == keyset.announced:
        return Stage.ANNOUNCED
    return Stage.IN_USE if keyset.uses(record.key_id) else Stage.UNUSED


# -- when the next one is due


def moment(now: datetime | None) -> datetime:
    """
    Return a time in UTC and to the second, by default the present one.

    Raises:
        OptionError: it does not say its time zone.
    """
    if now is None:
        now = datetime.now(UTC)
    if now.utcoffset() is None:
        raise OptionError("a time without a time zone cannot be compared; give one with tzinfo")
    return now.astimezone(UTC).replace(microsecond=0)


def checked_period(period: timedelta | None) -> timedelta | None:
    """
    Return how long a data key is the primary, in whole seconds; None for without end.

    Raises:
        OptionError: shorter than an hour, or longer than 3,650 days.
    """
    if period is None:
        return None
    if not isinstance(period, timedelta) or not SHORTEST_PERIOD <= period <= LONGEST_PERIOD:
        raise OptionError(
            "rotate_every is a timedelta from 1 hour to 3,650 days, or None for never"
        )
    return timedelta(seconds=int(period.total_seconds()))


def period_of(record: KeyRecord) -> timedelta | None:
    """
    Return how long a data key was meant to be the primary; None for without end.

    90 days where its times were changed by hand, so that no successor is due when it is made.
    """
    if record.due is None:
        return None
    period = record.due - record.created
    return period if SHORTEST_PERIOD <= period <= LONGEST_PERIOD else ROTATE_EVERY


def bridge_beside(keyset: Keyset, index_key_id: bytes | None) -> bytes | None:
    """Return the index key that a new data key is to name besides its own, or None."""
    others = (each for each in keyset.index_key_ids if each != index_key_id and keyset.uses(each))
    return next(others, None)


# -- what may be done


def check_can_disable(keyset: Keyset, record: KeyRecord) -> None:
    """
    Refuse to disable a key that the application cannot work without.

    Raises:
        KeystoreError: it is the primary or an index key in use, or it was destroyed.
    """
    _check_not_primary(keyset, record)
    _check_index_key(keyset, record)
    if record.state is KeyState.DESTROYED:
        raise _destroyed(keyset, record)


def check_can_enable(keyset: Keyset, record: KeyRecord) -> None:
    """
    Refuse to enable a key that is gone.

    Raises:
        KeystoreError: it was destroyed.
    """
    if record.state is KeyState.DESTROYED:
        raise _destroyed(keyset, record)


def check_can_destroy(keyset: Keyset, record: KeyRecord) -> None:
    """
    Refuse to destroy a key that the application cannot work without. Rows are not looked at.

    Raises:
        KeystoreError: it is the primary, or an index key in use.
    """
    _check_not_primary(keyset, record)
    _check_index_key(keyset, record)


def check_one_index_key(keyset: Keyset) -> None:
    """
    Refuse a second rotation of the index key before the first one is finished.

    Raises:
        KeystoreError: two index keys are in use.
    """
    in_use = [r for r in keyset.records if r.kind is KeyKind.INDEX and keyset.uses(r.key_id)]
    if len(in_use) < MAX_INDEX_KEYS:
        return
    raise KeystoreError(
        f"the index key of {keyset.name!r} is being rotated already: reseal the rows and destroy "
        f"the data keys that name index key {in_use[0].key_id.hex()} first",
        key_id=in_use[0].key_id.hex(),
    )


def check_can_announce(keyset: Keyset) -> None:
    """
    Refuse to announce an index key that could not be the next one.

    Raises:
        KeystoreError: two index keys are in use.
        KeystoreConflictError: one is announced already.
    """
    check_one_index_key(keyset)
    if keyset.announced is not None:
        raise KeystoreConflictError(
            f"key {keyset.name!r} has an announced index key already; rotate(index=True) uses it",
            key_id=keyset.announced.key_id.hex(),
        )


def _check_not_primary(keyset: Keyset, record: KeyRecord) -> None:
    if record == keyset.primary:
        raise KeystoreError(
            f"this is the primary of {keyset.name!r}, new values need it; rotate first",
            key_id=record.key_id.hex(),
        )


def _check_index_key(keyset: Keyset, record: KeyRecord) -> None:
    if record.kind is not KeyKind.INDEX:
        return
    if record.key_id in keyset.index_key_ids:
        raise KeystoreError(
            f"this index key of {keyset.name!r} is in use: data keys that are not destroyed name "
            "it, or it is announced; reseal the rows and destroy those data keys first",
            key_id=record.key_id.hex(),
        )
    if keyset.uses(record.key_id):
        raise KeystoreError(
            f"this index key of {keyset.name!r} keeps unique columns unique until the rows under "
            "data keys that name it are resealed; rotate, reseal and destroy those first",
            key_id=record.key_id.hex(),
        )


def _destroyed(keyset: Keyset, record: KeyRecord) -> KeystoreError:
    return KeystoreError(
        f"this key of {keyset.name!r} was destroyed; nothing brings it back but a backup of the "
        "keystore",
        key_id=record.key_id.hex(),
    )
