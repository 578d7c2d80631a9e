"""
The MariaDB server of a test run: a plain process of this machine.

It listens on the loopback address only, with a password of its own, in a directory of its own.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM

from .server import Server, ServiceMissingError
from .unprivileged import own_directory, run, secret_file, serving, unprivileged_uid

OLDEST = (10, 6)
"""Older servers are past their end of life."""

_USER = "sealed"
_SYSTEM_PLACES = "/usr/sbin:/usr/local/sbin:/usr/libexec"
_NOT_FOR_KEEPS = ("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")


@dataclass(frozen=True)
class Installation:
    """The programs of a MariaDB server on this machine."""

    server: Path
    initialize: Path
    version: str


def installation() -> Installation:
    """
    Return the installation of this machine.

    Raises:
        ServiceMissingError: there is none, or it is too old, or there is no driver for it.
    """
    if find_spec("pymysql") is None:
        raise ServiceMissingError("no PyMySQL; install the test extra of this project")
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PLACES}"
    server, initialize = (shutil.which(p, path=path) for p in ("mariadbd", "mariadb-install-db"))
    missing = "install one, such as the Debian packages mariadb-server-core and mariadb-client-core"
    if server is None or initialize is None:
        raise ServiceMissingError(f"no MariaDB server on this machine; {missing}")
    output = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"Ver (\d+)\.(\d+)\.\d+", output.stdout)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        raise ServiceMissingError(f"no MariaDB of version {OLDEST[0]}.{OLDEST[1]} or newer")
    return Installation(Path(server), Path(initialize), match[0].removeprefix("Ver "))


@contextmanager
def running() -> Iterator[Server]:
    """Start a server, yield it, and stop it."""
    found = installation()
    import pymysql  # noqa: PLC0415 - it may be missing

    uid = unprivileged_uid()
    with own_directory("sealed-mariadb-", uid) as directory:
        password = secrets.token_urlsafe()
        _initialize(found, directory, uid)
        file = secret_file(directory, uid, _account(password))

        def command(port: int) -> list[str]:
            return [
                str(found.server),
                "--no-defaults",
                f"--datadir={directory / 'data'}",
                f"--socket={directory / 'socket'}",
                # A server that starts deletes what looks like temporary tables in its own.
                f"--tmpdir={directory}",
                f"--port={port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
                f"--init-file={file}",
                *_NOT_FOR_KEEPS,
            ]

        def answers(port: int) -> bool:
            try:
                pymysql.connect(host="127.0.0.1", port=port, user=_USER, password=password).close()
            except pymysql.OperationalError:
                return False
            return True

        with serving(uid, directory, command, answers, SIGTERM) as port:
            file.unlink()
            yield Server(
                url=f"mariadb+pymysql://{_USER}:{password}@127.0.0.1:{port}/",
                description=f"MariaDB {found.version}, a process",
            )


def _initialize(found: Installation, directory: Path, uid: str) -> None:
    """Make an empty server in which nobody can log in over the network."""
    run(
        uid,
        directory,
        found.initialize,
        "--no-defaults",
        f"--datadir={directory / 'data'}",
        "--auth-root-authentication-method=socket",
        "--auth-root-socket-user=nobody",
        "--skip-test-db",
    )


def _account(password: str) -> str:
    account = f"{_USER}@'127.0.0.1'"
    return (
        f"CREATE OR REPLACE USER {account} IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION;\n"
    )
