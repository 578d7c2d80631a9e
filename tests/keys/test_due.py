"""Rotation when a key is due, by the sealer of an application; and clocks that are wrong."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from counted import PAST, Clock, Parts

from sqlalchemy_sealed import KeyLimits
from sqlalchemy_sealed.keylife import ROTATE_EVERY
from sqlalchemy_sealed.keys import KeyKind

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def set_times(parts: Parts, created: datetime, due: datetime | None) -> None:
    """Give all records other times, as a machine with another clock would."""
    data = {"created": created, "due": due}
    parts.keystore.put(
        *(
            replace(each, **data if each.kind is KeyKind.DATA else {"created": created})
            for each in parts.records()
        )
    )


def test_a_key_that_is_not_due_stays(parts: Parts) -> None:
    """One reading of the keystore, and nothing else."""
    sealer = parts.sealer()
    assert parts.calls_of(sealer.rotate_if_due) == (1, 0, 0)
    assert sealer.rotate_if_due() is None
    assert sealer.keyset.primary.due - sealer.keyset.primary.created == ROTATE_EVERY


def test_a_key_that_is_due_is_replaced_at_once(parts: Parts) -> None:
    """The next value is sealed under the new one, and older ones open."""
    sealer = parts.sealer()
    data = sealer.seal(b"value", "a.b")
    set_times(parts, PAST - ROTATE_EVERY, PAST)
    rotated = sealer.rotate_if_due()
    assert rotated.primary.generation == 2
    assert sealer.seal(b"", "a.b")[4:12] == rotated.primary.key_id
    assert sealer.open(data, "a.b") == b"value"
    assert sealer.rotate_if_due() is None


def test_an_index_key_is_rotated_with_it(parts: Parts) -> None:
    """If that is asked for."""
    set_times(parts, PAST - ROTATE_EVERY, PAST)
    assert parts.sealer().rotate_if_due(index=True).primary.bridge_key_id is not None


def test_of_many_processes_one_rotates(parts: Parts) -> None:
    """All others take up its new primary, without waiting for a refresh."""
    set_times(parts, PAST - ROTATE_EVERY, PAST)
    sealers = [parts.sealer() for _ in range(8)]
    barrier = threading.Barrier(len(sealers))

    def rotate(number: int) -> bool:
        barrier.wait()
        return sealers[number].rotate_if_due() is not None

    with ThreadPoolExecutor(len(sealers)) as pool:
        assert sorted(pool.map(rotate, range(len(sealers)))) == [False] * 7 + [True]
    (new,) = {sealer.seal(b"", "a.b")[4:12] for sealer in sealers}
    assert new == max(parts.records(), key=lambda each: each.generation).key_id


# -- clocks


@pytest.mark.parametrize(
    ("created", "due"),
    [
        (FUTURE, FUTURE + ROTATE_EVERY),
        (FUTURE, PAST),
        (PAST, None),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
    ],
    ids=["made in the future", "due before it was made", "never due", "as far as dates go"],
)
def test_keys_of_a_wrong_clock_are_used(
    parts: Parts, created: datetime, due: datetime | None
) -> None:
    """Their times say when to rotate, and never whether a value opens; the next is a good one."""
    set_times(parts, created, due)
    sealer = parts.sealer()
    data = sealer.seal(b"value", "a.b")
    assert sealer.open(data, "a.b") == b"value"
    is_due = due is not None and due < datetime.now(UTC)
    assert (sealer.rotate_if_due() is not None) == is_due
    before = datetime.now(UTC) - timedelta(seconds=1)
    primary = sealer.rotate().primary
    assert before <= primary.created <= datetime.now(UTC)
    assert primary.due == (None if due is None else primary.created + ROTATE_EVERY)
    assert sealer.rotate_if_due() is None
    assert sealer.open(data, "a.b") == b"value"


def test_the_clock_on_the_wall_does_not_count(
    parts: Parts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set back or forward by years, no limit comes sooner or later."""
    sealer = parts.sealer(KeyLimits(refresh=10, fresh=100, cache=1000))
    data = sealer.seal(b"value", "a.b")
    for wrong in (0.0, -1e9, 4e9):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert parts.calls_of(lambda: sealer.open(data, "a.b")) == (0, 0, 0)
        assert parts.calls_of(lambda: sealer.seal(b"", "a.b")) == (0, 0, 0)


def test_the_clock_of_limits_may_stand_still(parts: Parts, clock: Clock) -> None:
    """A monotonic clock that gives the same time twice, or went back, makes nothing fail."""
    sealer = parts.sealer(KeyLimits(refresh=10, fresh=100, cache=1000))
    data = sealer.seal(b"value", "a.b")
    clock.ahead = -5000
    for _ in range(2):
        assert sealer.open(data, "a.b") == b"value"
        sealer.refresh()
    clock.ahead = 0
    assert sealer.open(sealer.seal(b"value", "a.b"), "a.b") == b"value"
