"""Many keys are rewrapped through Vault by processes that are killed, in every kind of keystore."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

import pytest
from many_keys import assert_all_open, fill, stored

from sqlalchemy_sealed import KeyManager, rewrapping
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.transit import TransitKey

from .places import FORK, FORKING, IN_EVERY_PLACE, Opened, in_child
from .places import opened as opened

pytestmark = [IN_EVERY_PLACE, FORKING]

KEYS = 2000
KILLS = 3


@pytest.fixture
def provider(vault: Vault, mount: str) -> VaultTransit:
    """Return the KEK provider over the transit key of this test."""
    return VaultTransit(vault, mount=mount)


def rewrap_until_killed(opened: Opened, provider: VaultTransit, tells: int, pause: float) -> int:
    """Rewrap in another process, kill it soon after it told so often, and return the last tell."""

    def rewrap() -> None:
        rewrapping.BATCH = 100
        KeyManager(opened(), provider).rewrap(progress=lambda done, _: tell.send(done))

    hear, tell = FORK.Pipe(duplex=False)
    child, done = in_child(rewrap), 0
    try:
        for _ in range(tells):
            assert hear.poll(60), "the process does not get on"
            done = hear.recv()
        time.sleep(pause)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return done


def test_a_rewrap_that_is_killed_again_and_again_loses_no_key(
    opened: Opened, provider: VaultTransit, transit: TransitKey, root: Any
) -> None:
    """All keys still unwrap, what was told to be done is done, and a last run does the rest."""
    fill(opened(), root, transit.mount, KEYS)
    transit.rotate()
    chance, new = random.Random(6), []
    for _ in range(KILLS):
        done = rewrap_until_killed(
            opened, provider, chance.randrange(2, 4), chance.uniform(0, 0.01)
        )
        records = stored(opened())
        assert len(records) == KEYS
        assert_all_open(records, root, transit.mount)
        new = [record for record in records if record.wrapped.startswith("vault:v2:")]
        assert done <= len(new) < KEYS
    rest = KeyManager(opened(), provider).rewrap()
    assert (rest.rewrapped, rest.current, rest.failed) == (KEYS - len(new), len(new), ())
    records = stored(opened())
    assert {record.wrapped.split(":")[1] for record in records} == {"v2"}
    assert_all_open(records, root, transit.mount)
