"""The life of a key: made, primary, retired, disabled, destroyed; and when the next one is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore
from sqlalchemy_sealed.errors import (
    DisabledKeyError,
    KeystoreConflictError,
    KeystoreError,
    OptionError,
    ProviderError,
)
from sqlalchemy_sealed.keycache import KeyCache
from sqlalchemy_sealed.keylife import Stage, stage
from sqlalchemy_sealed.keys import KeyKind, Keyset, KeyState

DAY = timedelta(days=1)


@pytest.fixture
def manager(keystore: MemoryKeystore, provider: LocalRootKey) -> KeyManager:
    """Return the manager of a key named "default"."""
    return KeyManager(keystore, provider)


def stages(keyset: Keyset) -> list[str]:
    """Return the stages of all keys, the data keys first."""
    return [stage(record, keyset).value for record in keyset.records]


# -- when the next one is due


def test_a_data_key_is_the_primary_for_ninety_days(manager: KeyManager) -> None:
    """By default; the index key has no date of its own."""
    data, index = manager.keyset("default").records
    assert data.due - data.created == timedelta(days=90)
    assert index.due is None


def test_each_key_name_has_its_own_period(manager: KeyManager) -> None:
    """A rotation keeps to it, unless it is given another, which the next ones keep to."""
    first = manager.create("pii", rotate_every=30 * DAY).primary
    second = manager.rotate("pii").primary
    third = manager.rotate("pii", rotate_every=7 * DAY).primary
    fourth = manager.rotate("pii", rotate_every=None).primary
    fifth = manager.rotate("pii").primary
    sixth = manager.rotate("pii", rotate_every=DAY).primary
    periods = [r.due and r.due - r.created for r in (first, second, third, fourth, fifth, sixth)]
    assert periods == [30 * DAY, 30 * DAY, 7 * DAY, None, None, DAY]
    assert manager.keyset("default").primary.due == (
        manager.keyset("default").primary.created + 90 * DAY
    )


def test_a_period_of_parts_of_a_second_is_kept_to_the_second(manager: KeyManager) -> None:
    """As the times of a record are."""
    primary = manager.create("pii", rotate_every=timedelta(hours=1, milliseconds=999)).primary
    assert primary.due - primary.created == timedelta(hours=1)


@pytest.mark.parametrize(
    "period",
    [timedelta(0), timedelta(minutes=59), -DAY, 3651 * DAY, timedelta.max, 90, "90d"],
    ids=str,
)
def test_a_period_out_of_bounds_is_refused(period, manager: KeyManager) -> None:
    """Nothing is made."""
    with pytest.raises(OptionError, match="1 hour to 3,650 days"):
        manager.create("pii", rotate_every=period)
    with pytest.raises(OptionError, match="1 hour to 3,650 days"):
        manager.rotate("default", rotate_every=period)
    assert manager.keystore.names() == ("default",)
    assert len(manager.keyset("default").records) == 2


def test_a_primary_is_replaced_once_it_is_due(manager: KeyManager) -> None:
    """Not a second before, and once."""
    due = manager.keyset("default").primary.due
    assert manager.rotate_if_due("default") is None
    assert manager.rotate_if_due("default", now=due - timedelta(seconds=1)) is None
    rotated = manager.rotate_if_due("default", now=due)
    assert rotated.primary.generation == 2
    assert (rotated.primary.created, rotated.primary.due) == (due, due + 90 * DAY)
    assert manager.rotate_if_due("default", now=due) is None
    assert manager.rotate_if_due("default", now=due + 90 * DAY).primary.generation == 3


def test_a_key_without_end_is_never_due(manager: KeyManager) -> None:
    """Until a rotation gives it a period."""
    manager.rotate("default", rotate_every=None)
    assert manager.rotate_if_due("default", now=datetime(9999, 1, 1, tzinfo=UTC)) is None


def test_a_clock_that_went_back_rotates_nothing(manager: KeyManager) -> None:
    """A key that was made in what is the future now is not due, and can be rotated by hand."""
    future = datetime(2100, 1, 1, tzinfo=UTC)
    manager.rotate("default", now=future)
    for now in (None, future - 1000 * DAY, datetime(1970, 1, 1, tzinfo=UTC)):
        assert manager.rotate_if_due("default", now=now) is None
    by_hand = manager.rotate("default").primary
    assert by_hand.generation == 3
    assert by_hand.created < future
    assert by_hand.due - by_hand.created == 90 * DAY


def test_a_time_says_its_zone(manager: KeyManager) -> None:
    """A time of any zone is compared; one without is refused, since it could mean any of them."""
    due = manager.keyset("default").primary.due
    east = due.astimezone(timezone(timedelta(hours=14)))
    assert manager.rotate_if_due("default", now=east).primary.created == due
    for rotate in (manager.rotate, manager.rotate_if_due):
        with pytest.raises(OptionError, match="without a time zone"):
            rotate("default", now=due.replace(tzinfo=None))


def test_a_rotation_that_came_first_is_enough(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two processes that find a key due, one rotates; the other one is content."""
    due = manager.keyset("default").primary.due
    other = KeyManager(manager.keystore, manager.provider)
    wrap = manager.provider.wrap
    meanwhile = iter([lambda: other.rotate_if_due("default", now=due)])

    def wrap_slowly(self: LocalRootKey, key: bytes, binding: bytes) -> str:
        for rotate in meanwhile:
            rotate()
        return wrap(key, binding)

    monkeypatch.setattr(LocalRootKey, "wrap", wrap_slowly)
    assert manager.rotate_if_due("default", now=due) is None
    assert manager.keyset("default").primary.generation == 2


def test_a_conflict_that_is_no_rotation_is_an_error(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keystore that another process keeps locked leaves the key due, and that is said."""

    def add(self: MemoryKeystore, *records: object) -> None:
        raise KeystoreConflictError("another process has held the lock for 10 seconds")

    due = manager.keyset("default").primary.due
    monkeypatch.setattr(MemoryKeystore, "add", add)
    with pytest.raises(KeystoreConflictError, match="held the lock"):
        manager.rotate_if_due("default", now=due)


def test_an_index_key_is_rotated_when_the_data_key_is_due(manager: KeyManager) -> None:
    """With a new data key, as always."""
    due = manager.keyset("default").primary.due
    rotated = manager.rotate_if_due("default", index=True, rotate_every=DAY, now=due)
    assert rotated.primary.bridge_key_id is not None
    assert rotated.primary.due == due + DAY


# -- disabled and enabled


def test_a_key_goes_through_its_life(manager: KeyManager, provider: LocalRootKey) -> None:
    """Each state is seen in the keyset, and in what the key opens."""
    old = manager.keyset("default").primary
    assert stages(manager.keyset("default")) == ["primary", "in use"]
    assert stages(manager.rotate("default")) == ["retired", "primary", "in use"]

    disabled = manager.disable("default", old.key_id)
    assert stages(disabled) == ["disabled", "primary", "in use"]
    assert disabled.get(old.key_id).wrapped == old.wrapped
    with pytest.raises(DisabledKeyError, match="'sealed keys enable'") as caught:
        KeyCache(disabled, provider).data_key(old.key_id)
    assert caught.value.key_id == old.key_id.hex()

    enabled = manager.enable("default", old.key_id)
    assert enabled.get(old.key_id) == old
    assert KeyCache(enabled, provider).data_key(old.key_id).key_id == old.key_id

    manager.disable("default", old.key_id)
    destroyed = manager.destroy("default", old.key_id, unscanned=True)
    assert stages(destroyed) == ["destroyed", "primary", "in use"]
    assert destroyed.get(old.key_id).wrapped == ""


def test_what_is_done_twice_changes_nothing(manager: KeyManager) -> None:
    """To disable a disabled key, or to enable an enabled one, is done already."""
    old = manager.keyset("default").primary.key_id
    manager.rotate("default")
    assert manager.enable("default", old).records == manager.keyset("default").records
    once = manager.disable("default", old)
    assert manager.disable("default", old).records == once.records


def test_the_primary_is_not_disabled(manager: KeyManager) -> None:
    """New values need it; a rotation comes first."""
    primary = manager.keyset("default").primary.key_id
    with pytest.raises(KeystoreError, match="rotate first") as caught:
        manager.disable("default", primary)
    assert caught.value.key_id == primary.hex()
    assert manager.keyset("default").primary.state is KeyState.ENABLED


def test_a_primary_that_was_disabled_by_hand_can_be_enabled(manager: KeyManager) -> None:
    """Nothing is sealed meanwhile; a rotation would help as well."""
    primary = manager.keyset("default").primary
    manager.keystore.update(primary, primary.with_state(KeyState.DISABLED))
    assert stages(manager.keyset("default"))[0] == Stage.DISABLED.value
    assert manager.enable("default", primary.key_id).primary == primary
    manager.keystore.update(primary, primary.with_state(KeyState.DISABLED))
    assert manager.rotate("default").primary.generation == 2


def test_an_index_key_in_use_is_not_disabled(manager: KeyManager) -> None:
    """Neither one that is searched under, nor an announced one, nor one that keeps a bridge."""
    announced = manager.announce_index("default")
    first = announced.primary.key_id
    assert stages(announced) == ["primary", "in use", "announced"]
    for record in announced.records[1:]:
        with pytest.raises(KeystoreError, match="is in use"):
            manager.disable("default", record.key_id)
    manager.rotate("default", index=True)
    keyset = manager.destroy("default", first, unscanned=True)
    bridge = keyset.primary.bridge_key_id
    with pytest.raises(KeystoreError, match="keeps unique columns unique"):
        manager.disable("default", bridge)


def test_an_index_key_that_nothing_needs_is_disabled_and_enabled(manager: KeyManager) -> None:
    """And is then no announced key: data keys that are destroyed named it."""
    first = manager.keyset("default").primary
    second = manager.rotate("default", index=True).primary
    manager.destroy("default", first.key_id, unscanned=True)
    manager.rotate("default")
    unused = manager.destroy("default", second.key_id, unscanned=True)
    assert stages(unused) == ["destroyed", "destroyed", "primary", "unused", "in use"]
    assert stages(manager.disable("default", first.index_key_id))[3] == "disabled"
    assert manager.enable("default", first.index_key_id).records == unused.records


def test_disabled_keys_keep_unique_columns_unique(manager: KeyManager) -> None:
    """
    Their rows would be read again once they are enabled, so their index keys stay in use.

    New values are indexed under the bridge, and searches look under the old index key, just as if
    the old data key were enabled.
    """
    first = manager.keyset("default").primary
    manager.rotate("default", index=True)
    keyset = manager.disable("default", first.key_id)
    assert keyset.uses(first.index_key_id)
    assert first.index_key_id in keyset.index_key_ids
    assert keyset.stray is None
    rotated = manager.rotate("default")
    assert rotated.primary.bridge_key_id == first.index_key_id
    for change in (manager.disable, manager.destroy):
        with pytest.raises(KeystoreError, match="is in use"):
            change("default", first.index_key_id)
    with pytest.raises(KeystoreError, match="is being rotated already"):
        manager.rotate("default", index=True)


def test_a_destroyed_key_stays_destroyed(manager: KeyManager) -> None:
    """It can be neither enabled nor disabled."""
    old = manager.keyset("default").primary.key_id
    manager.rotate("default")
    destroyed = manager.destroy("default", old, unscanned=True)
    for change in (manager.enable, manager.disable):
        with pytest.raises(KeystoreError, match="a backup of the keystore") as caught:
            change("default", old)
        assert caught.value.key_id == old.hex()
    assert manager.keyset("default").records == destroyed.records


@pytest.mark.parametrize("deed", ["enable", "disable", "destroy"])
def test_a_key_that_is_not_there_is_named(deed: str, manager: KeyManager) -> None:
    """An id of another key name is not taken for one of this."""
    manager.create("pii")
    foreign = manager.keyset("pii").primary.key_id
    with pytest.raises(KeystoreError, match="'default' has no key of this id") as caught:
        getattr(manager, deed)("default", foreign)
    assert caught.value.key_id == foreign.hex()


# -- destroyed


def test_a_data_key_is_not_destroyed_unlooked(manager: KeyManager) -> None:
    """Somebody has to say which databases may have rows under it, or that none is looked at."""
    old = manager.keyset("default").primary.key_id
    manager.rotate("default")
    with pytest.raises(KeystoreError, match="no database was given to look in") as caught:
        manager.destroy("default", old)
    assert caught.value.key_id == old.hex()
    assert manager.keyset("default").get(old).state is KeyState.ENABLED


def test_the_root_key_is_tried_on_what_is_left(manager: KeyManager) -> None:
    """With a destroyed primary, another data key shows whether it is the right KEK."""
    primary = manager.rotate("default").primary
    manager.keystore.update(primary, primary.destroyed())
    wrong = KeyManager(manager.keystore, LocalRootKey.from_text(LocalRootKey.generate()))
    with pytest.raises(ProviderError, match="wrong root key"):
        wrong.rotate("default")
    assert manager.rotate("default").primary.generation == 3
    kinds = [record.kind for record in manager.keyset("default").records]
    assert kinds.count(KeyKind.DATA) == 3
