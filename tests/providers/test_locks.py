"""A lock that a forked child finds free."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from sqlalchemy_sealed import locks
from sqlalchemy_sealed.locks import ForkLock
from sqlalchemy_sealed.testing.processes import in_child

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def test_one_thread_at_a_time_has_it() -> None:
    """Eight threads count in turns, and lose nothing."""
    lock, count = ForkLock(), [0]

    def work() -> None:
        for _ in range(1000):
            with lock:
                seen = count[0]
                count[0] = seen + 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count == [8000]


def test_it_is_free_after_an_error() -> None:
    """An exception inside of it ends it."""
    lock = ForkLock()
    with pytest.raises(ValueError, match="inside"), lock:
        raise ValueError("inside")
    with lock:
        pass


def test_a_child_finds_it_free() -> None:
    """A thread of the parent holds it at the moment of the fork, and the child does not wait."""
    lock, held, done = ForkLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)

    def work() -> bytes:
        with lock:
            return b"free"

    try:
        assert in_child(work) == b"free"
        assert lock._lock.locked(), "the parent still holds it"
    finally:
        done.set()
        thread.join()


def test_it_does_not_live_on() -> None:
    """A lock that nobody has any more is forgotten."""
    lock = ForkLock()
    assert lock in locks._locks
    gone = weakref.ref(lock)
    del lock
    gc.collect()
    assert gone() is None
