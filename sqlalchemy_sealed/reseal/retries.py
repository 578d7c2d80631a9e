"""
Waiting for what passes by itself: locks of others, and a database that is away.

What is done again is one statement in one transaction. Each of them may be done twice: a page is
only read, and of a batch that was written no row is as it was read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.nap import sleep_using_event

from .failures import Cause, cause_of, passes_by_itself, problem_of

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
"""Seconds, doubled each time, of which a random part is waited."""


@dataclass(frozen=True, slots=True)
class Waits:
    """
    How long a run waits for what passes by itself.

    Attributes:
        locked: seconds that it tries to write rows that other transactions hold. Rows that are
            held for longer are left, and looked at again at the end.
        away: seconds that it waits for a database that is restarted or cannot be reached.
    """

    locked: float = 60.0
    away: float = 600.0


class Interrupted(Exception):  # noqa: N818 - no error, an end
    """The run was asked to stop while it waited."""


class Patience:
    """
    Tries again, with growing waits, for as long as a run may wait.

    Args:
        waits: how long that is.
        stop: ends the wait when it is set.
        where: the table, for errors.
    """

    def __init__(self, waits: Waits | None = None, stop: threading.Event | None = None) -> None:
        self.waits = waits or Waits()
        self.stop = stop or threading.Event()
        self.writers: set[int] = set()
        """Process ids, in the server, of the connections that write."""
        self.has_connected = False
        """Whether there has been a connection to the database."""

    def call(self, work: Callable[[], T], where: str, *, locked: float | None = None) -> T:
        """
        Do something of a database, and again if it fails for a cause that passes by itself.

        Args:
            work: what is done.
            where: the table, for errors.
            locked: seconds to try for what others hold; by default as the waits have it.

        Raises:
            Interrupted: stopped while it waited.
            ResealError: the database refuses, or is away for too long.
        """
        limit = self.waits.locked if locked is None else locked

        def is_over(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome is not None else None
            if error is None or self.stop.is_set():
                return True
            is_locked = cause_of(error) is Cause.LOCKED
            if not is_locked and not self.has_connected:
                return True  # A wrong address or login does not pass.
            return (state.seconds_since_start or 0) > (limit if is_locked else self.waits.away)

        retrying = Retrying(
            retry=retry_if_exception(passes_by_itself),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            stop=is_over,
            sleep=sleep_using_event(self.stop),
            reraise=True,
        )
        try:
            return retrying(work)
        except SQLAlchemyError as error:
            if self.stop.is_set() and passes_by_itself(error):
                problem: Exception = Interrupted()
            else:
                problem = problem_of(error, where)
        raise problem
