"""A fork while a lock is held: the child has locks of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from counted import Parts
from lock_places import locks_of

from sqlalchemy_sealed import Sealer, get_sealer
from sqlalchemy_sealed.testing.processes import CANNOT_FORK, in_child

pytestmark = [
    pytest.mark.skipif(CANNOT_FORK, reason="there is no fork here"),
    # Newer versions of Python warn that a fork of a process with threads may hang.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Let another thread have a lock meanwhile."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert taken.wait(60)
        yield
    finally:
        done.set()
        holder.join()


@pytest.mark.parametrize("named", [True, False], ids=["by name", "by hand"])
def test_no_lock_of_the_parent_holds_up_a_child(named: bool, parts: Parts) -> None:
    """Whichever lock another thread has at that moment: known, new and unknown keys open."""
    sealer = parts.sealer() if named else Sealer("by hand")
    if not named:
        sealer.configure(
            keystore=parts.keystore, provider=parts.provider, key_name="default", replace=True
        )
    writer = parts.sealer()
    values = [writer.seal(b"value", "a.b")]
    for _ in range(2):
        writer.rotate()
        values.append(writer.seal(b"value", "a.b"))
    match = sealer.matching(lambda key: lambda _value: key)

    def work() -> bytes:
        for data in values:
            assert sealer.open(data, "a.b") == b"value"
        match(None)
        sealer.warm()
        sealer.rotate()
        get_sealer("of a child")
        return sealer.seal(b"value", "a.b")

    places = locks_of(sealer)
    assert len(places) >= 8
    for owner, name in places:
        with held(getattr(owner, name)):
            in_child(work)
