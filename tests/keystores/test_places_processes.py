"""Many processes and one keystore, of each kind: a rotation that is due, and processes killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_sealed import KeyLimits, KeyManager, LocalRootKey, get_sealer
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import DisabledKeyError, KeystoreConflictError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord
from sqlalchemy_sealed.protocols import Keystore

from .places import FORK, FORKING, IN_EVERY_PLACE, Opened, in_child, run
from .places import opened as opened

pytestmark = [IN_EVERY_PLACE, FORKING]

PROCESSES = 6
KILLS = 12


@pytest.fixture
def provider() -> LocalRootKey:
    """Return a KEK provider over a new root key."""
    return LocalRootKey(random_key())


@pytest.fixture
def manager(opened: Opened, provider: LocalRootKey) -> KeyManager:
    """Return the manager of a keystore with a key named "default"."""
    manager = KeyManager(opened(), provider)
    manager.create("default")
    return manager


def data_keys(manager: KeyManager) -> list[KeyRecord]:
    """Return the data keys, and see that each one unwraps."""
    keys = [r for r in manager.keyset("default").records if r.kind is KeyKind.DATA]
    for key in keys:
        assert len(manager.provider.unwrap(key.wrapped, key.binding)) == 32
    return keys


class Around:
    """A keystore, and what is done before and after something is added to it."""

    def __init__(
        self,
        keystore: Keystore,
        before: Callable[[], object] = lambda: None,
        after: Callable[[KeyRecord], object] = lambda _: None,
    ) -> None:
        self._keystore = keystore
        self._before = before
        self._after = after

    def add(self, *records: KeyRecord) -> None:
        self._before()
        self._keystore.add(*records)
        self._after(records[-1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keystore, name)


@pytest.mark.parametrize("together", [True, False], ids=["all find it due", "as it comes"])
def test_a_rotation_that_is_due_is_made_once(
    together: bool, manager: KeyManager, opened: Opened, provider: LocalRootKey
) -> None:
    """Of six processes, one makes the new primary, and five are told that nothing is to be done."""
    start, told = FORK.Barrier(PROCESSES), FORK.SimpleQueue()

    def rotate_if_due(now: datetime) -> None:
        # Either all have loaded before the first of them adds, or not.
        keystore = Around(opened(), lambda: start.wait(60)) if together else opened()
        start.wait(60)
        keyset = KeyManager(keystore, provider).rotate_if_due("default", now=now)
        told.put(None if keyset is None else keyset.primary.key_id)

    for generation in (2, 3):
        due = manager.keyset("default").primary.due
        run(PROCESSES, lambda now=due: rotate_if_due(now))
        results = [told.get() for _ in range(PROCESSES)]
        [made] = [each for each in results if each is not None]
        primary = manager.keyset("default").primary
        assert (primary.key_id, primary.generation) == (made, generation)
        assert primary.due == due + timedelta(days=90)
    assert len(data_keys(manager)) == 3


@pytest.mark.slow
def test_no_rotation_is_lost_when_processes_are_killed(
    manager: KeyManager, opened: Opened, provider: LocalRootKey, tmp_path: Path
) -> None:
    """Of three that rotate without a pause, one is killed at a time: what was told is there."""
    chance, told = random.Random(4), tmp_path / "told"
    told.touch()

    def rotate_for_ever() -> None:
        with told.open("ab", buffering=0) as file:

            def tell(made: KeyRecord) -> None:
                file.write(made.key_id.hex().encode() + b"\n")

            own = KeyManager(Around(opened(), after=tell), provider)
            while True:
                with suppress(KeystoreConflictError):
                    own.rotate("default")
                time.sleep(0.02)

    children = [in_child(rotate_for_ever) for _ in range(3)]
    try:
        for _ in range(KILLS):
            until_one_is_told(told)
            time.sleep(chance.uniform(0, 0.1))
            killed = children.pop(chance.randrange(3))
            os.kill(killed, signal.SIGKILL)
            os.waitpid(killed, 0)
            children.append(in_child(rotate_for_ever))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    keys = data_keys(manager)
    assert [key.generation for key in keys] == list(range(1, len(keys) + 1))
    ids = {key.key_id.hex() for key in keys}
    assert set(told.read_text().split()) <= ids
    # And whoever comes next is not kept from it.
    assert manager.rotate("default").primary.generation == len(keys) + 1


def until_one_is_told(told: Path) -> None:
    """Wait for one more rotation."""
    before, end = told.stat().st_size, time.monotonic() + 60
    while told.stat().st_size == before:
        assert time.monotonic() < end, "nothing is rotated any more"
        time.sleep(0.01)


def test_a_running_process_sees_a_key_disabled_and_enabled(
    manager: KeyManager, opened: Opened, provider: LocalRootKey
) -> None:
    """It opens nothing under it, and then opens it again, without a restart and without a call."""
    hear, tell = FORK.Pipe(duplex=False)
    old = manager.keyset("default").primary.key_id

    def serve() -> None:
        sealer = get_sealer(f"serving {os.getpid()}")
        limits = KeyLimits(refresh=0.05, retry=0.05)
        sealer.configure(keystore=opened(), provider=provider, key_name="default", limits=limits)
        value, last = sealer.seal(b"value", "a.b"), ""
        while True:
            now = _outcome(lambda: sealer.open(value, "a.b"))
            if now != last:
                tell.send(now)
            last = now
            time.sleep(0.01)

    def heard() -> str:
        assert hear.poll(60), "the process sees nothing"
        return hear.recv()

    child = in_child(serve)
    try:
        assert heard() == "opened"
        manager.rotate("default")
        manager.disable("default", old)
        assert heard() == "disabled"
        manager.enable("default", old)
        assert heard() == "opened"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _outcome(use: Callable[[], bytes]) -> str:
    try:
        assert use() == b"value"
    except DisabledKeyError:
        return "disabled"
    return "opened"
