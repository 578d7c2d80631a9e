"""Work in forked children, and on threads that are busy meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

CANNOT_FORK = not hasattr(os, "fork")
PATIENCE = 60
"""Seconds after which a child is taken to hang."""


def in_child(work: Callable[[], bytes]) -> bytes:
    """Return what *work* returns in a forked child; an AssertionError if it fails or hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status, told = 1, b""
        try:
            signal.alarm(PATIENCE)
            told = work()
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is told
            told = traceback.format_exc().encode()
        finally:
            os.write(writing, told)
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read()
    _, status = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(status), f"the child hung, or was killed: {status}"
    assert status == 0, told.decode(errors="replace")
    return told


@contextmanager
def busy(call: Callable[[], Any]) -> Iterator[None]:
    """Make a call again and again on another thread meanwhile."""
    stop, started = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            call()
            started.set()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        started.wait(PATIENCE)
        try:
            yield
        finally:
            stop.set()
        future.result()
