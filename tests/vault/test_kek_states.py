"""
The state matrix of the KEK: each state of a real transit key, for a key known here or not.

`tests/keys/test_states.py` has the states of data keys.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.relay import Relay
from vault_stage import NEW, OLD, Stage

from sqlalchemy_sealed.errors import ProviderError, ProviderKeyMissingError


def configure(stage: Stage, **settings: int) -> None:
    """Change settings of the transit key."""
    path = f"/v1/{stage.mount}/keys/sealed"
    stage.root.adapter.post(f"{path}/config", json=settings)


def retired(stage: Stage) -> None:
    """There is a newer version; the one that wrapped the data keys still unwraps them."""
    stage.root.secrets.transit.rotate_key("sealed", mount_point=stage.mount)


def expired(stage: Stage) -> None:
    """The version that wrapped the data keys is shut out."""
    retired(stage)
    configure(stage, min_decryption_version=2, min_encryption_version=2)


def missing(stage: Stage) -> None:
    """Somebody made the transit key deletable and deleted it."""
    configure(stage, deletion_allowed=True)
    stage.root.secrets.transit.delete_key("sealed", mount_point=stage.mount)


def destroyed(stage: Stage) -> None:
    """The version that wrapped the data keys was trimmed away, for ever."""
    expired(stage)
    path = f"/v1/{stage.mount}/keys/sealed/trim"
    stage.root.adapter.post(path, json={"min_available_version": 2})


STATES: dict[str, Callable[[Stage], None]] = {
    "valid": lambda stage: None,
    "retired": retired,
    "expired": expired,
    "missing": missing,
    "destroyed": destroyed,
}

UNWRAP, LOOK, WRAP = "POST decrypt/sealed", "GET keys/sealed", "POST encrypt/sealed"
USES: dict[str, tuple[Callable[[Stage], Any], list[str]]] = {
    "opening, unwrapped": (lambda stage: stage.read(2), []),
    "sealing": (lambda stage: stage.write(NEW), []),
    "opening, known": (lambda stage: stage.read(1), [UNWRAP]),
    "start": (lambda stage: stage.start(), [UNWRAP]),
    "refresh": (lambda stage: stage.sealer.refresh(), [LOOK]),
    "rotation": (lambda stage: stage.sealer.rotate(), [UNWRAP, LOOK, WRAP, UNWRAP, LOOK]),
}
NO_CALLS = ("opening, unwrapped", "sealing")
REFUSALS: dict[str, tuple[type[ProviderError], str, tuple[str, ...]]] = {
    # The error, its words, and what goes on nevertheless.
    "expired": (ProviderError, "min_decryption_version shuts out", (*NO_CALLS, "refresh")),
    "missing": (ProviderKeyMissingError, "Vault has no transit key", NO_CALLS),
    "destroyed": (ProviderError, "trimmed is gone", (*NO_CALLS, "refresh")),
}


@pytest.fixture
def stage(root: Any, relay: Relay, tmp_path: Path) -> Stage:
    """Return an application that has one of its two data keys at hand."""
    stage = Stage(root, relay, tmp_path)
    stage.read(2)
    return stage


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("state", STATES)
def test_a_state_of_the_kek(state: str, use: str, stage: Stage) -> None:
    """What each use asks of Vault, whether it succeeds, and with what error it does not."""
    STATES[state](stage)
    call, asked = USES[use]
    error, words, goes_on = REFUSALS.get(state, (None, "", ()))
    stage.asked()
    if error is None or use in goes_on:
        call(stage)
    else:
        with pytest.raises(ProviderError, match=words) as caught:
            call(stage)
        assert type(caught.value) is error
        asked = asked[:1]  # The first answer is enough.
    assert stage.asked() == asked


@pytest.mark.parametrize("state", ["expired", "retired"])
def test_a_kek_that_is_valid_again(state: str, stage: Stage) -> None:
    """A version that was only shut out is let in, and all opens; so it does after a rewrap."""
    STATES[state](stage)
    configure(stage, min_encryption_version=0, min_decryption_version=1)
    stage.allow(f'path "{stage.mount}/*" {{ capabilities = ["read", "update"] }}')
    assert stage.manager.rewrap().failed == ()
    configure(stage, min_decryption_version=2)
    stage.start()
    assert [stage.read(1), stage.read(2)] == [OLD, NEW]
