"""Other worker processes of this machine, and what they have done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from time import monotonic
from types import TracebackType
from typing import Any, Self

from ..errors import ResealError, SealedError
from .claims import Claims, worker_name
from .outcome import Outcome
from .retries import Interrupted

_WATCH_SECONDS = 0.5
"""How often other workers are looked at."""
_END_SECONDS = 60.0
"""How long a worker may take to end after the run has, or after it was asked to."""

RUN_VARIABLE = "SEALED_RUN"
"""Of the environment: the id of the run that a worker is for, which may have ended meanwhile."""
Tell = Callable[[Outcome], None]


@contextmanager
def stopped_by_signals(stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """
    Yield an event that SIGINT and SIGTERM set: a run ends after the batch, with a summary.

    The second signal does what it did before. On another thread than the main one, where Python
    takes no signals, it is the event alone.
    """
    event = stop or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: Any) -> None:
        event.set()
        signal.signal(number, before[signal.Signals(number)])

    for each in before:
        signal.signal(each, on_signal)
    try:
        yield event
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Workers:
    """
    Processes that take part in a run beside this one.

    Args:
        count: how many.
        command: starts one; or:
        main: what one runs, of *arguments*, a picklable function.
        arguments: picklable, too.
    """

    def __init__(
        self,
        count: int,
        command: Sequence[str] | None = None,
        main: Callable[..., None] | None = None,
        arguments: Sequence[Any] = (),
    ) -> None:
        self._count = count
        self._command = command
        self._main = main
        self._arguments = tuple(arguments)
        self._processes: list[_Process] = []

    @property
    def count(self) -> int:
        """How many there are to be."""
        return self._count

    def start(self, run_id: int) -> None:
        """
        Start them.

        Args:
            run_id: of the run. It is in front of the arguments; a program finds it in its
                environment.

        Raises:
            ResealError: a program cannot be started.
        """
        for _ in range(self._count):
            self._processes.append(self._started(run_id))

    def _started(self, run_id: int) -> _Process:
        if self._command is None:
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=self._main, args=(run_id, *self._arguments))
            process.start()
            return _Process(process)
        try:
            program = subprocess.Popen(  # noqa: S603 - what the caller says
                self._command,
                stdin=subprocess.DEVNULL,
                env=os.environ | {RUN_VARIABLE: str(run_id)},
            )
        except OSError as error:
            problem = error.strerror
        else:
            return _Process(program)
        raise ResealError(f"a worker cannot be started: {problem}", where=self._command[0])

    def dead(self) -> list[str]:
        """Return how the names begin of workers that ended badly since the last call."""
        found = []
        for process in self._processes:
            if process.code() and not process.is_told:
                process.is_told = True
                found.append(worker_name(process.pid))
        return found

    @property
    def lost(self) -> int:
        """How many workers ended badly."""
        return sum(bool(p.code()) for p in self._processes if not p.is_dismissed)

    def dismiss(self, busy: Callable[[], Sequence[str]]) -> None:
        """
        End those that have had no part in a run that has ended: they are still starting.

        Args:
            busy: returns the names of workers that have had a part.
        """
        late = [process for process in self._processes if process.code() is None]
        names = busy() if late else []
        for process in late:
            if not any(name.startswith(worker_name(process.pid)) for name in names):
                process.is_dismissed = True
                process.terminate()

    def stop(self) -> None:
        """Ask them to end after the batch that is under way."""
        for process in self._processes:
            process.terminate()

    def wait(self) -> None:
        """Wait until all have ended; those that do not are ended."""
        until = monotonic() + _END_SECONDS
        for process in self._processes:
            process.wait(max(0.0, until - monotonic()))


class _Process:
    """A process, however it was started."""

    def __init__(self, process: subprocess.Popen[bytes] | BaseProcess) -> None:
        self._process = process
        self.pid = int(process.pid or 0)
        self.is_told = False
        self.is_dismissed = False

    def code(self) -> int | None:
        """Return its exit code, or None while it runs."""
        if isinstance(self._process, BaseProcess):
            return self._process.exitcode
        return self._process.poll()

    def terminate(self) -> None:
        """Send it SIGTERM."""
        if self.code() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end; after so many seconds, end it."""
        if isinstance(self._process, BaseProcess):
            self._process.join(seconds)
        else:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        if self.code() is None:
            self._process.kill()
            self.wait(_END_SECONDS)


class Followed:
    """
    Looks at the other workers while this one works: tells what they did, and who died.

    Args:
        workers: of this machine.
        claims: of this worker, for the tables; with a connection of their own.
        tell: called with what others did since the last call.
    """

    def __init__(self, workers: Workers, claims: Claims, tell: Tell | None) -> None:
        self._workers = workers
        self._claims = claims
        self._tell = tell
        self._told = Outcome()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="sealed-follower", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._told = self._claims.done_by_others()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End looking, after a last look."""
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        try:
            while not self._ended.wait(_WATCH_SECONDS):
                self._look()
            self._look()
        except (SealedError, Interrupted):
            return  # It is this worker's work that says so.

    def _look(self) -> None:
        for name in self._workers.dead():
            self._claims.release(name)
        if self._tell is None:
            return
        now, before = self._claims.done_by_others(), self._told
        new = Outcome(
            now.read - before.read,
            now.changed - before.changed,
            now.lost - before.lost,
            now.bad - before.bad,
            now.size - before.size,
        )
        if new.read > 0 or new.changed > 0:
            self._told = now
            self._tell(new)


def say(error: SealedError) -> None:
    """Say an error of a worker on the standard error, for people."""
    sys.stderr.write(f"{error.code}: {error}\n")
