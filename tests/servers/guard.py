"""
Run a server until the standard input ends; then stop it and delete its directory.

Usage: `python guard.py UID DIRECTORY SIGNAL PROGRAM ARGUMENT...`; an empty UID means the own one,
and the signal, such as SIGINT, is the one that stops the server soon and in order.

The tests hold the other end of the pipe. It closes when they end, also when they are killed: no
server is left behind. This file runs by itself, and needs nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

STOP_SECONDS = 20.0
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def identity(uid: str) -> dict[str, Any]:
    """Return the arguments that make a subprocess run under a user id."""
    return {"user": int(uid), "group": int(uid), "extra_groups": []} if uid else {}


def main(uid: str, directory: str, stop: str, *command: str) -> int:
    """Run the command. Return 0 if it ended because it was stopped, and 1 if by itself."""
    with (Path(directory) / "log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            env=ENVIRONMENT,
            **identity(uid),
        )
    stopped = threading.Event()
    arguments = (server, signal.Signals[stop], stopped)
    threading.Thread(target=stop_at_end_of_input, args=arguments, daemon=True).start()
    server.wait()
    if not stopped.is_set():
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def stop_at_end_of_input(
    server: subprocess.Popen[bytes], stop: signal.Signals, stopped: threading.Event
) -> None:
    """Wait for the end of the standard input, then for that of the server."""
    sys.stdin.buffer.read()
    stopped.set()
    server.send_signal(stop)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
