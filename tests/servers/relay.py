"""
A relay between a client and a server, which can be cut, or made slow: a network that fails.

What passes is what the real server says; the relay only passes it on, late, or not at all.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"^([A-Z]+ \S+) HTTP/1\.1\r$", re.MULTILINE)


class Relay:
    """
    A way to a server, through a port of its own on a loopback address.

    Attributes:
        requests: what was asked over HTTP so far, such as `GET /v1/sys/health`. Over TLS, nothing.
        delay: seconds that each answer is late.
        silent: whether answers are kept back for ever.
    """

    def __init__(self, url: str, host: str = "127.0.0.1") -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self.requests: list[str] = []
        self.delay = 0.0
        self.silent = False
        self._open: set[socket.socket] = set()
        self._host = host
        self._listener = self._listening(0)
        self.port = self._listener.getsockname()[1]
        self.url = f"{parts.scheme}://{host}:{self.port}"

    def cut(self) -> None:
        """Close all connections and refuse new ones, as a server that is down does."""
        # Closing alone does not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._open):
            _close(each)

    def mend(self) -> None:
        """Take connections again, at the same port."""
        self._listener = self._listening(self.port)

    def _listening(self, port: int) -> socket.socket:
        listener = socket.create_server((self._host, port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                # Head and body of a request come one after the other; the second one would wait
                # for the first to be acknowledged, 40 ms.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            for work in (self._ask, self._answer):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.requests += [found.decode() for found in _REQUEST.findall(data)]
                server.sendall(data)
        self._end(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                time.sleep(self.delay)
                if not self.silent:
                    client.sendall(data)
        self._end(client, server)

    def _end(self, *sockets: socket.socket) -> None:
        for each in sockets:
            self._open.discard(each)
            _close(each)


@contextmanager
def relaying(url: str, host: str = "127.0.0.1") -> Iterator[Relay]:
    """Make a relay to a server, yield it, and cut it."""
    relay = Relay(url, host)
    try:
        yield relay
    finally:
        relay.cut()


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
