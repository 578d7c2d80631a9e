"""A lock that a forked child finds free, whichever thread of the parent held it."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet


class ForkLock:
    """
    A lock for what a child of a fork goes on using: `with lock: ...`. Not reentrant.

    A plain lock that a thread of the parent holds at the moment of a fork is locked for ever in
    the child, since that thread is not there to release it.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self.renew()
        _locks.add(self)

    def renew(self) -> None:
        """Be free, in a forked child."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_locks: WeakSet[ForkLock] = WeakSet()


def _after_fork() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
