"""
A PostgreSQL server as a plain process of this machine.

It listens on the loopback address only, with a password of its own, in a directory of its own. It
runs under the user of the tests; root gives up its rights first, as PostgreSQL demands.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from . import guard
from .binaries import Installation, best
from .server import Server, ServerFailedError, ServiceMissingError

_NOT_FOR_KEEPS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_ATTEMPTS = 3
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


@contextmanager
def running(installation: Installation | None = None) -> Iterator[Server]:
    """Start a server, yield it, and stop it."""
    installation = installation or best()
    uid = _unprivileged_uid()
    directory = Path(tempfile.mkdtemp(prefix="sealed-postgres-", dir=_place_for(uid)))
    try:
        password = secrets.token_urlsafe()
        installation = _usable_by(uid, installation, directory)
        _initialize(installation, directory, uid, password)
        with _serving(installation, directory, uid, password) as server:
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _unprivileged_uid() -> str:
    """Return the user id to change to, or nothing where it is fine to stay."""
    if os.geteuid() != 0:
        return ""
    try:
        return str(pwd.getpwnam("nobody").pw_uid)
    except KeyError:
        problem = "root cannot run PostgreSQL, and there is no user `nobody` to run it"
    raise ServiceMissingError(problem)


def _place_for(uid: str) -> Path:
    """Return a directory for temporary files that the user can reach."""
    places = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))
    for place in places:
        path = place.resolve()
        if not uid or all(each.stat().st_mode & 0o001 for each in (path, *path.parents)):
            return path
    raise ServiceMissingError(f"other users cannot reach {', '.join(map(str, places))}")


def _usable_by(uid: str, installation: Installation, directory: Path) -> Installation:
    """
    Return the installation, or a copy of it that the user can reach.

    A virtual environment of root often lies below a directory that is closed to others.
    """
    if not uid:
        return installation
    os.chown(directory, int(uid), int(uid))
    try:
        _run(uid, directory, installation.bindir / "postgres", "--version")
    except (PermissionError, ServerFailedError):
        if not installation.is_wheel:
            raise
    else:
        return installation
    copy = directory / "programs"
    shutil.copytree(installation.bindir.parent, copy, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        os.chown(path, int(uid), int(uid), follow_symlinks=False)
    return replace(installation, bindir=copy / "bin")


def _initialize(installation: Installation, directory: Path, uid: str, password: str) -> None:
    file = directory / "password"
    file.touch(mode=0o600)
    file.write_text(password)
    if uid:
        os.chown(file, int(uid), int(uid))
    _run(
        uid,
        directory,
        installation.bindir / "initdb",
        f"--pgdata={directory / 'data'}",
        "--username=postgres",
        f"--pwfile={file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    )
    file.unlink()


def _run(uid: str, directory: Path, program: Path, *arguments: str) -> None:
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
def _serving(
    installation: Installation, directory: Path, uid: str, password: str
) -> Iterator[Server]:
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        server = Server(
            url=f"postgresql+psycopg://postgres:{password}@127.0.0.1:{port}/postgres",
            description=f"PostgreSQL {installation.version}, a process",
        )
        guardian = _guarded(installation, directory, uid, port)
        try:
            _wait_until_ready(server, guardian)
            yield server
            return
        except ServerFailedError:
            # The port was free, but somebody else may have been quicker to take it.
            log = (directory / "log").read_text()
            if "Address already in use" not in log or attempt == _ATTEMPTS:
                raise ServerFailedError(f"the server does not start:\n{log[-2000:]}") from None
        finally:
            guardian.stdin.close()
            guardian.wait(guard.STOP_SECONDS * 2)


def _guarded(
    installation: Installation, directory: Path, uid: str, port: int
) -> subprocess.Popen[bytes]:
    settings = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
    options = [word for setting in (*settings, *_NOT_FOR_KEEPS) for word in ("-c", setting)]
    program = str(installation.bindir / "postgres")
    data = str(directory / "data")
    return subprocess.Popen(
        [sys.executable, "-I", guard.__file__, uid, str(directory), program, "-D", data, *options],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _wait_until_ready(server: Server, guardian: subprocess.Popen[bytes]) -> None:
    """Return when the server lets somebody in; ServerFailedError if it ends or takes too long."""
    address = make_url(server.url).set(drivername="postgresql")
    conninfo = address.render_as_string(hide_password=False)
    deadline = time.monotonic() + _START_SECONDS
    while guardian.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(conninfo, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            time.sleep(_POLL_SECONDS)
    raise ServerFailedError(f"it ended, or did not answer for {_START_SECONDS:.0f} seconds")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
