"""Work in batches, two of them at a time, and what comes of it in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from sqlalchemy_sealed.vault.batches import AT_A_TIME, in_batches

PATIENCE = 30


def test_the_answers_are_in_the_order_of_the_items() -> None:
    """Also where a later batch is answered first."""

    def work(batch: list[int]) -> list[int]:
        time.sleep(0.01 if batch[0] % 20 else 0)
        return batch

    found = list(in_batches(work, range(95), 10))
    assert [len(each) for each in found] == [10] * 9 + [5]
    assert [n for each in found for n in each] == list(range(95))


@pytest.mark.parametrize("count", [0, 9])
def test_less_than_a_batch_starts_no_thread(count: int) -> None:
    """A single key is rewrapped where it is asked for."""
    found = list(in_batches(lambda _: threading.get_ident(), range(count), 10))
    assert found == [threading.get_ident()] * min(count, 1)


def test_two_batches_are_worked_at_together_and_no_more() -> None:
    """Each of the two waits until the other one has begun."""
    together = threading.Barrier(AT_A_TIME)
    lock, now, most = threading.Lock(), 0, 0

    def work(_: list[int]) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(PATIENCE)
        with lock:
            now -= 1

    assert len(list(in_batches(work, range(80), 10))) == 8
    assert most == AT_A_TIME == 2


def test_items_are_asked_for_on_the_thread_of_the_caller() -> None:
    """An iterator of the caller's may be bound to its thread, as a cursor of SQLite is."""
    threads = set()

    def items() -> Iterator[int]:
        for number in range(100):
            threads.add(threading.get_ident())
            yield number

    assert len(list(in_batches(len, items(), 10))) == 10
    assert threads == {threading.get_ident()}


def test_after_a_failure_few_batches_are_begun() -> None:
    """Those before it have been answered; those under way are waited for, and no others begun."""
    begun, ended, done = [], [], []

    def work(batch: list[int]) -> int:
        begun.append(batch[0])
        if batch[0] == 30:
            raise LookupError
        ended.append(batch[0])
        return batch[0]

    with pytest.raises(LookupError):  # noqa: PT012
        for each in in_batches(work, range(1000), 10):
            done.append(each)
    assert done == [0, 10, 20]
    assert len(begun) <= 4 + AT_A_TIME + 1
    assert len(ended) == len(begun) - 1


def test_who_stops_early_leaves_no_thread_behind() -> None:
    """The threads have ended when the iterator is closed."""
    answers = in_batches(len, range(1000), 10)
    assert next(answers) == 10
    answers.close()
    assert not [each for each in threading.enumerate() if "batches" in each.name]
