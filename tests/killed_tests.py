"""Tests that are killed while they use a server of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

TESTS = Path(__file__).parent


def assert_no_process_survives(module: str, query: str) -> None:
    """
    Kill a process that runs a server, and check that the server and its directory are gone.

    Args:
        module: the module of `servers` that runs it.
        query: what the server answers with a path in its directory.
    """
    program = textwrap.dedent(f"""\
        import sys
        from servers import {module}
        with {module}.running() as server:
            print(server.url, flush=True)
            sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
    ) as tests:
        engine = create_engine(tests.stdout.readline().strip())
        with engine.connect() as connection:
            directory = Path(connection.scalar(text(query))).parent
        engine.dispose()
        tests.kill()
        # The guard has the same standard output. It ends when the last of the two has ended.
        tests.stdout.read()
    assert not directory.exists()
    with pytest.raises(OperationalError):
        engine.connect()
