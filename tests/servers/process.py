"""
A PostgreSQL server as a plain process of this machine.

It listens on the loopback address only, with a password of its own, in a directory of its own.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGINT

import psycopg

from .binaries import Installation, best
from .server import Server, ServerFailedError
from .unprivileged import give, own_directory, run, secret_file, serving, unprivileged_uid

_NOT_FOR_KEEPS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@contextmanager
def running(
    installation: Installation | None = None, settings: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Start a server, with more settings such as `work_mem=1MB`, yield it, and stop it."""
    installation = installation or best()
    uid = unprivileged_uid()
    with own_directory("sealed-postgres-", uid) as directory:
        password = secrets.token_urlsafe()
        installation = _usable_by(uid, installation, directory)
        _initialize(installation, directory, uid, password)

        def command(port: int) -> list[str]:
            own = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
            program, data = installation.bindir / "postgres", directory / "data"
            options = [f"--{setting}" for setting in (*own, *_NOT_FOR_KEEPS, *settings)]
            return [str(program), "-D", str(data), *options]

        def answers(port: int) -> bool:
            try:
                psycopg.connect(_address("postgresql", password, port), connect_timeout=5).close()
            except psycopg.OperationalError:
                return False
            return True

        # This is what PostgreSQL calls a fast shutdown: it does not wait for its clients.
        with serving(uid, directory, command, answers, SIGINT) as port:
            yield Server(
                url=_address("postgresql+psycopg", password, port),
                description=f"PostgreSQL {installation.version}, a process",
            )


def _address(driver: str, password: str, port: int) -> str:
    return f"{driver}://postgres:{password}@127.0.0.1:{port}/postgres"


def _usable_by(uid: str, installation: Installation, directory: Path) -> Installation:
    """
    Return the installation, or a copy of it that the user can reach.

    A virtual environment of root often lies below a directory that is closed to others.
    """
    if not uid:
        return installation
    try:
        run(uid, directory, installation.bindir / "postgres", "--version")
    except (PermissionError, ServerFailedError):
        if not installation.is_wheel:
            raise
    else:
        return installation
    copy = directory / "programs"
    shutil.copytree(installation.bindir.parent, copy, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        give(path, uid)
    return replace(installation, bindir=copy / "bin")


def _initialize(installation: Installation, directory: Path, uid: str, password: str) -> None:
    file = secret_file(directory, uid, password)
    run(
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
