"""A PostgreSQL server that is stopped and started again, with the same data at the same address."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGINT, Signals

import psycopg
import sqlalchemy as sa
from servers.binaries import Installation, best
from servers.process import _initialize, _usable_by
from servers.unprivileged import free_port, own_directory, run, serving, unprivileged_uid

_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")


class OwnServer:
    """
    A server of one test.

    Args:
        installation: of PostgreSQL.
        uid: the user id that it runs under, or nothing.
        data: its data directory.
        password: of its superuser.
    """

    def __init__(self, installation: Installation, uid: str, data: Path, password: str) -> None:
        self.installation = installation
        self.uid = uid
        self.data = data
        self.password = password
        self.port = free_port()
        self._running = ExitStack()

    @property
    def url(self) -> sa.URL:
        """The URL of its superuser."""
        return sa.make_url(f"postgresql+psycopg://{self._login}/postgres")

    @property
    def conninfo(self) -> str:
        """The same for libpq, without a database."""
        return f"host=127.0.0.1 port={self.port} user=postgres password={self.password}"

    @property
    def _login(self) -> str:
        return f"postgres:{self.password}@127.0.0.1:{self.port}"

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers."""
        directory = self._running.enter_context(own_directory("sealed-own-", self.uid))
        options = [f"--{each}" for each in (f"port={self.port}", *_SETTINGS, *settings)]
        command = [str(self.installation.bindir / "postgres"), "-D", str(self.data), *options]
        server = serving(self.uid, directory, lambda _port: command, self._answers, SIGINT)
        self._running.enter_context(server)

    def stop(self, signal: Signals = SIGINT) -> None:
        """Stop it at once: connections are ended. SIGQUIT is a crash of the server."""
        file = self.data / "postmaster.pid"
        if file.exists():
            # Its guard would wait for the end of a pipe, which forked processes hold, too.
            os.kill(int(file.read_text().split()[0]), signal)
        self._running.close()

    def _answers(self, _port: int) -> bool:
        try:
            psycopg.connect(f"postgresql://{self._login}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Yield a server that is not started yet; in the end stop it and delete it."""
    uid = unprivileged_uid()
    with own_directory("sealed-data-", uid) as directory:
        installation = _usable_by(uid, best(), directory)
        password = secrets.token_urlsafe()
        _initialize(installation, directory, uid, password)
        server = OwnServer(installation, uid, directory / "data", password)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def replica_of(primary: OwnServer) -> Iterator[OwnServer]:
    """Yield a running replica of a running server; in the end stop it and delete it."""
    uid = primary.uid
    with own_directory("sealed-replica-", uid) as directory:
        data = directory / "data"
        program = primary.installation.bindir / "pg_basebackup"
        source = f"--dbname={primary.conninfo}"
        run(
            uid,
            directory,
            program,
            source,
            f"--pgdata={data}",
            "--write-recovery-conf",
            "--no-sync",
        )
        replica = OwnServer(primary.installation, uid, data, primary.password)
        replica.start("hot_standby=on")
        try:
            yield replica
        finally:
            replica.stop()
