"""A database server that runs, wherever it runs, and what can go wrong with one."""

from __future__ import annotations

from dataclasses import dataclass


class ServiceMissingError(Exception):
    """A server cannot be started, because something that it needs is not on this machine."""


class ServerFailedError(Exception):
    """A server was started, and does not serve."""


@dataclass(frozen=True)
class Server:
    """Where a server is, as SQLAlchemy wants it said, and what it is, for people."""

    url: str
    description: str
