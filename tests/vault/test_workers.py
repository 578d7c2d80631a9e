"""Processes of a server: workers that are forked after keys are at hand, and how a process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counted import Clock, until
from servers.relay import Relay
from vault_stage import NEW, OLD, Stage

from sqlalchemy_sealed.errors import ProviderTimeoutError
from sqlalchemy_sealed.testing.processes import in_child

# Newer versions of Python warn that a fork of a process with threads may hang; that is the test.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def stage(root: Any, relay: Relay, tmp_path: Path) -> Stage:
    """Return an application with one of two keys at hand."""
    return Stage(root, relay, tmp_path, timeout=2)


def refreshed(stage: Stage, use: Callable[[], object]) -> None:
    """Check that the keys are asked for again in the background, as *use* goes on."""
    cache = stage.sealer.kept().cache
    before = cache.fresh_until
    use()
    until(lambda: cache.fresh_until > before)


def test_workers_that_are_forked_after_warming_ask_for_nothing(stage: Stage) -> None:
    """Parent and four workers seal and open both rows, and each has the keys of the parent."""
    stage.sealer.warm()
    stage.asked()

    def work() -> bytes:
        assert [stage.read(1), stage.read(2)] == [OLD, NEW]
        return stage.sealer.seal(str(os.getpid()).encode(), "a.b")

    sealed = [in_child(work) for _ in range(4)]
    assert len({stage.sealer.open(data, "a.b") for data in sealed}) == 4
    assert stage.read(1) == OLD
    assert stage.asked() == []


def test_each_worker_keeps_its_keys_fresh(stage: Stage, clock: Clock) -> None:
    """A worker has threads of its own, and needs no login of its own; so does the parent after."""
    stage.sealer.warm()
    clock.ahead = 11
    refreshed(stage, lambda: stage.read(2))
    stage.asked()
    clock.ahead = 22

    def work() -> bytes:
        assert threading.active_count() == 1
        refreshed(stage, lambda: stage.read(2))
        stage.sealer.rotate()
        return stage.sealer.keyset.primary.key_id

    in_child(work)
    assert stage.asked().count("GET keys/sealed") >= 2
    assert not any("/auth/" in each for each in stage.relay.requests)
    refreshed(stage, lambda: stage.read(2))


def test_a_fork_while_vault_answers_nobody(stage: Stage, clock: Clock) -> None:
    """A worker asks for itself, and does not wait for what a thread of its parent waits for."""
    stage.sealer.warm()
    stage.asked()
    stage.relay.silent = True
    clock.ahead = 11
    stage.read(2)
    until(lambda: stage.relay.requests != [])

    def work() -> bytes:
        # The relay is in the parent, and answers again once it has been told to.
        with pytest.raises(ProviderTimeoutError):
            stage.sealer.refresh()
        return stage.read(2).encode()

    assert in_child(work) == NEW.encode()
    stage.relay.silent = False
    clock.ahead = 22
    refreshed(stage, lambda: stage.read(2))


ENDING = """
import asyncio, logging, os, sys, threading

from sqlalchemy_sealed import FileKeystore, KeyLimits, KeyManager, get_sealer
from sqlalchemy_sealed.errors import ColdKeyError
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault import TokenAuth, Vault

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
address, token, mount, use = sys.argv[1:]
provider = VaultTransit(Vault(address, auth=TokenAuth(file=token), timeout=600), mount=mount)
keystore = FileKeystore(sys.argv[0] + ".keys")
manager = KeyManager(keystore, provider)
manager.create("default")
sealer = get_sealer()
limits = KeyLimits(refresh=0.001, retry=0.001)
sealer.configure(keystore=keystore, provider=provider, limits=limits)
data = sealer.seal(b"canary", "a.b")
manager.rotate("default")
sealer.configure(keystore=keystore, provider=provider, limits=limits, replace=True)
print("silent", flush=True)  # From now on, Vault answers nobody.
sys.stdin.readline()

async def on_a_loop():
    try:
        sealer.open(data, "a.b")
    except ColdKeyError:
        return
    raise AssertionError("it was not cold")

if use == "refresh":
    sealer.seal(b"canary", "a.b")
else:
    asyncio.run(on_a_loop())
assert [each.name for each in threading.enumerate() if each.daemon] != []
print("asked", flush=True)
sys.stdin.readline()
print("end", flush=True)
"""


@pytest.mark.parametrize("use", ["refresh", "cold key"])
def test_what_runs_in_the_background_ends_with_the_process(
    use: str, stage: Stage, tmp_path: Path
) -> None:
    """It keeps no process alive, complains of nothing at the end, and logs nothing secret."""
    program = tmp_path / "program.py"
    program.write_text(ENDING)
    token = stage.token_file.read_text()
    command = [sys.executable, "-W", "error", str(program)]
    arguments = [stage.relay.url, str(stage.token_file), stage.mount, use]
    with subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "silent\n", process.stderr.read()
            stage.asked()
            stage.relay.silent = True
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "asked\n", process.stderr.read()
            until(lambda: stage.relay.requests != [])  # And there is no answer for ten minutes.
            output, logged = process.communicate("\n", timeout=120)
        finally:
            process.kill()
    assert (process.returncode, output) == (0, "end\n")
    assert "Traceback" not in logged
    assert "canary" not in logged
    assert token not in logged
    assert "urllib3" in logged
