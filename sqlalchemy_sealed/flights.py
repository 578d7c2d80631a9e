"""Concurrent requests for one thing share one call, and its failure; work off the caller's way."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from time import monotonic
from typing import Any, Generic, TypeVar

from .errors import ProviderError, SealedError

T = TypeVar("T")

log = logging.getLogger("sqlalchemy_sealed.keys")

MAX_ERRANDS = 16
"""How many errands run at a time. One that finds no place is not done; it is asked for again."""

_EVERYTHING = object()


class Flights(Generic[T]):
    """
    Calls in flight, by what they ask for.

    The first caller makes the call, the others wait for it. All get its result or its error. An
    error stands for *retry* seconds: who asks meanwhile gets it without a call, so that a
    provider that is down is not asked once a value.

    Args:
        retry: seconds that an error stands.
        general: errors that say nothing of what was asked for, such as that a server cannot be
            reached. They stand for everything.
    """

    __slots__ = ("_failed", "_flying", "_general", "_lock", "_retry")

    def __init__(self, retry: float, general: tuple[type[SealedError], ...] = ()) -> None:
        self._retry = retry
        self._general = general
        self._failed: dict[Hashable, tuple[float, SealedError]] = {}
        self.renew()

    def renew(self) -> None:
        """Forget what is in flight, in a forked child: the threads that made the calls are gone."""
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Future[T]] = {}

    def fetch(self, key: Hashable, load: Callable[[], T], *, recent: bool = True) -> T:
        """
        Return what *load* returns, calling it once for all who ask at the same time.

        Args:
            key: what is asked for.
            load: the call. It must not ask for the same thing.
            recent: whether an error that still stands is an answer.

        Raises:
            SealedError: that of the call; each caller gets an instance of its own. An error of
                another kind goes to the caller whose call it was, and the others get a
                `ProviderError` that names its class and nothing else of it.
        """
        mine: Future[T] = Future()
        while True:
            with self._lock:
                if recent:
                    self._raise_recent(key)
                flying = self._flying.setdefault(key, mine)
            if flying is mine:
                return self._call(key, mine, load)
            problem: Any = flying.exception()
            if problem is None:
                return flying.result()
            if isinstance(problem, SealedError):
                raise problem.again()
            # The thread that made the call was interrupted: that is not our error. Ask again.

    def raise_recent(self, key: Hashable) -> None:
        """Raise the error that stands, if there is one."""
        with self._lock:
            self._raise_recent(key)

    def last_problem(self, key: Hashable) -> str | None:
        """Return what the last call failed with, also if that does not stand any more."""
        with self._lock:
            failed = self._failed.get(key) or self._failed.get(_EVERYTHING)
        return None if failed is None else str(failed[1])

    def _call(self, key: Hashable, future: Future[T], load: Callable[[], T]) -> T:
        try:
            result = load()
        except SealedError as error:
            shared = error
        except Exception as error:
            name = type(error).__name__
            self._fail(key, future, ProviderError(f"it failed with an unexpected {name}"))
            raise
        except BaseException as error:
            with self._lock:
                del self._flying[key]
            future.set_exception(error)
            raise
        else:
            with self._lock:
                del self._flying[key]
                self._failed.pop(key, None)
                self._failed.pop(_EVERYTHING, None)
            future.set_result(result)
            return result
        self._fail(key, future, shared.again())
        raise shared.again()

    def _fail(self, key: Hashable, future: Future[T], error: SealedError) -> None:
        failed = (monotonic() + self._retry, error)
        with self._lock:
            del self._flying[key]
            self._failed[key] = failed
            if isinstance(error, self._general):
                self._failed[_EVERYTHING] = failed
        future.set_exception(error)

    def _raise_recent(self, key: Hashable) -> None:
        for asked in (key, _EVERYTHING):
            until, problem = self._failed.get(asked, (0.0, None))
            if problem is not None and monotonic() < until:
                raise problem.again()


class Errands:
    """
    Work in the background: a thread for each errand, which is not sent twice at a time.

    What an errand fails with comes up again where it matters, so it is not told here.
    """

    __slots__ = ("_lock", "_running")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget what is running, in a forked child: the threads are not here."""
        self._lock = threading.Lock()
        self._running: set[Hashable] = set()

    def send(self, name: Hashable, work: Callable[[], object]) -> bool:
        """Start an errand, unless it runs already or too many do. Return whether it was sent."""
        with self._lock:
            if name in self._running or len(self._running) >= MAX_ERRANDS:
                return False
            self._running.add(name)
        thread = threading.Thread(
            target=self._run, args=(name, work), name="sqlalchemy-sealed keys", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # There are no more threads, or the process ends.
            self._end(name)
            return False
        return True

    def _run(self, name: Hashable, work: Callable[[], object]) -> None:
        try:
            work()
        except SealedError:
            pass
        except Exception as error:  # noqa: BLE001 - its text and its frames may hold anything
            log.warning("keys could not be fetched: an unexpected %s", type(error).__name__)
        finally:
            self._end(name)

    def _end(self, name: Hashable) -> None:
        with self._lock:
            self._running.discard(name)


def in_event_loop() -> bool:
    """Whether an event loop runs on this thread, also where a greenlet hides it."""
    # Who runs a loop has imported this; another thread may be about to, and not have got there.
    running = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    return running is not None and running() is not None
