"""Every place that several processes can keep keys in, and what processes do there."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from fix_db import empty_schema

from sqlalchemy_sealed import FileKeystore
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.protocols import Keystore
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault

FORK = multiprocessing.get_context("fork")

Opened = Callable[[], Keystore]

IN_EVERY_PLACE = pytest.mark.parametrize(
    "opened",
    [
        "file",
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
        "vault-kv",
    ],
    indirect=True,
)
# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
FORKING = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a function that opens an empty keystore, each time as another process would."""
    kind = request.param
    if kind == "file":
        yield lambda: FileKeystore(tmp_path / "keys.json")
    elif kind == "vault-kv":
        bao, path = request.getfixturevalue("bao"), uuid4().hex
        yield lambda: VaultKV(Vault(bao.url, auth=TokenAuth(bao.token)), path=path)
    elif kind == "postgresql":
        with empty_schema(request.getfixturevalue("postgres_url")) as url:
            DatabaseKeystore(url).create()
            yield lambda: DatabaseKeystore(url)
    else:
        url = f"sqlite:///{tmp_path / 'keys.db'}"
        url = request.getfixturevalue("mariadb_url") if kind == "mariadb" else url
        DatabaseKeystore(url).create()
        yield lambda: DatabaseKeystore(url)


def run(count: int, work: Callable[[], object]) -> None:
    """Do the same in several processes at once, and see that none fails."""
    processes = [FORK.Process(target=work) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def in_child(work: Callable[[], None]) -> int:
    """Do *work* in a forked child until it is killed, and return its process id."""
    child = os.fork()
    if child == 0:
        _never_back(work)
    return child


def at_work(work: Callable[[Callable[[], object]], None]) -> int:
    """
    Do *work* in a forked child until it is killed, and return its process id once it is at it.

    It is given a function to call when it has begun.
    """
    hear, tell = os.pipe()
    child = in_child(lambda: work(lambda: os.write(tell, b".")))
    os.close(tell)
    with os.fdopen(hear, "rb", buffering=0) as file:
        assert file.read(1), "it ended before it had begun"
    return child


def _never_back(work: Callable[[], None]) -> NoReturn:
    try:
        work()
    finally:
        os._exit(1)
