"""
A moto server, which answers as AWS KMS does, as a plain process of this machine.

It listens on the loopback address only. What it does not do as AWS does: it uses disabled keys,
ignores the source key of ReEncrypt, and limits no rate.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from signal import SIGINT
from urllib.error import URLError
from urllib.request import Request, urlopen

from .server import Server, ServiceMissingError
from .unprivileged import own_directory, serving


def require() -> None:
    """Raise ServiceMissingError where moto and boto3 are not installed."""
    if find_spec("moto") is None or find_spec("boto3") is None:
        raise ServiceMissingError("no moto, or no boto3; install the test extra of this project")


@contextmanager
def running() -> Iterator[Server]:
    """Start a server, yield it, and stop it. Its URL is that of the endpoint."""
    require()

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    def answers(port: int) -> bool:
        try:
            urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
        except (URLError, ConnectionError, TimeoutError):
            return False
        return True

    with (
        own_directory("sealed-moto-", "") as directory,
        serving("", directory, command, answers, SIGINT) as port,
    ):
        yield Server(f"http://127.0.0.1:{port}", f"moto {version('moto')}, a process")


def check_policies_after(server: Server, requests: int) -> None:
    """Let the server check signatures and policies, from the request after so many on."""
    data = str(requests).encode()
    headers = {"Content-Type": "text/plain"}
    urlopen(Request(f"{server.url}/moto-api/reset-auth", data, headers), timeout=5).close()
