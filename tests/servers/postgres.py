"""
The PostgreSQL server of a test run.

SEALED_TEST_POSTGRES says which: `container`, `process`, or `auto` (the default), which is a
container where a Docker engine answers and a process elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import container, process
from .server import Server, ServiceMissingError

VARIABLE = "SEALED_TEST_POSTGRES"


@contextmanager
def running() -> Iterator[Server]:
    """Start the server that the environment asks for, yield it, and stop it."""
    start = {"container": container.running, "process": process.running}
    with start[kind()]() as server:
        yield server


def kind() -> str:
    """
    Return "container" or "process".

    Raises:
        ValueError: the environment asks for neither.
    """
    asked = os.environ.get(VARIABLE, "auto")
    if asked in ("container", "process"):
        return asked
    if asked != "auto":
        raise ValueError(f"{VARIABLE} must be auto, container or process, not {asked!r}")
    try:
        container.prepare()
    except ServiceMissingError:
        return "process"
    return "container"
