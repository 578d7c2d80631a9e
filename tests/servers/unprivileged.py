"""
Servers as plain processes, without the rights of root, each in a directory of its own.

They run under the user of the tests; root gives up its rights first, as database servers demand.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals

from . import guard
from .server import ServerFailedError, ServiceMissingError

_ATTEMPTS = 3
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


def unprivileged_uid() -> str:
    """Return the user id to change to, or nothing where it is fine to stay."""
    if os.geteuid() != 0:
        return ""
    try:
        return str(pwd.getpwnam("nobody").pw_uid)
    except KeyError:
        problem = "root cannot run a database server, and there is no user `nobody` to run it"
    raise ServiceMissingError(problem)


@contextmanager
def own_directory(prefix: str, uid: str) -> Iterator[Path]:
    """Make a directory that belongs to the user, yield it, and delete it with all it holds."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=_place_for(uid)))
    try:
        give(directory, uid)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _place_for(uid: str) -> Path:
    """Return a directory for temporary files that the user can reach."""
    places = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))
    for place in places:
        path = place.resolve()
        if not uid or all(each.stat().st_mode & 0o001 for each in (path, *path.parents)):
            return path
    raise ServiceMissingError(f"other users cannot reach {', '.join(map(str, places))}")


def give(path: Path, uid: str) -> None:
    """Make a path the user's own."""
    if uid:
        os.chown(path, int(uid), int(uid), follow_symlinks=False)


def secret_file(directory: Path, uid: str, text: str) -> Path:
    """Write a file that only the user can read."""
    file = directory / "secret"
    file.touch(mode=0o600)
    file.write_text(text)
    give(file, uid)
    return file


def run(uid: str, directory: Path, program: Path, *arguments: str) -> None:
    """Run a program to its end; ServerFailedError with its output if it fails."""
    done = subprocess.run(
        [program, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        env=guard.ENVIRONMENT,
        **guard.identity(uid),
    )
    if done.returncode != 0:
        raise ServerFailedError(f"{program.name} exited with {done.returncode}:\n{done.stdout}")


@contextmanager
def serving(
    uid: str,
    directory: Path,
    command: Callable[[int], list[str]],
    answers: Callable[[int], bool],
    stop: Signals,
) -> Iterator[int]:
    """
    Run a server, yield its port, and stop it by a signal.

    Args:
        uid: the user id to run under, or nothing.
        directory: where it runs; its output goes to the file `log` there.
        command: returns the program and its arguments for a port.
        answers: returns whether the server lets somebody in at a port.
        stop: the signal that ends it soon and in order.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        port = free_port()
        guardian = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, uid, str(directory), stop.name, *command(port)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _wait_until_ready(guardian, answers, port)
            yield port
            return
        except ServerFailedError:
            # The port was free, but somebody else may have been quicker to take it.
            log = (directory / "log").read_text()
            if "Address already in use" not in log or attempt == _ATTEMPTS:
                raise ServerFailedError(f"the server does not start:\n{log[-2000:]}") from None
        finally:
            guardian.stdin.close()
            guardian.wait(guard.STOP_SECONDS * 2)


def _wait_until_ready(
    guardian: subprocess.Popen[bytes], answers: Callable[[int], bool], port: int
) -> None:
    """Return when the server answers; ServerFailedError if it ends or takes too long."""
    deadline = time.monotonic() + _START_SECONDS
    while guardian.poll() is None and time.monotonic() < deadline:
        if answers(port):
            return
        time.sleep(_POLL_SECONDS)
    raise ServerFailedError(f"it ended, or did not answer for {_START_SECONDS:.0f} seconds")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
