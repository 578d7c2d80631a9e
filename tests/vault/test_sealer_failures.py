"""A Vault that fails under an application: its rows, its errors, and how it goes on by itself."""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac
import pytest
from counted import Clock, until
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import Durable, OpenBao
from servers.relay import Relay, relaying
from vault_stage import NEW, OLD, Stage
from vault_troubles import TROUBLES, Trouble

from sqlalchemy_sealed.errors import (
    ProviderError,
    ProviderSealedError,
    ProviderTrustError,
    StaleKeysError,
)


@pytest.fixture
def stage(root: Any, relay: Relay, tmp_path: Path) -> Stage:
    """Return an application over the server that the tests share."""
    return Stage(root, relay, tmp_path, timeout=2)


def fails(stage: Stage, trouble: Trouble, call: Callable[[], Any]) -> None:
    """Check that a call fails with this error, which says who and why, and shows nothing."""
    with pytest.raises(ProviderError, match=trouble.words) as caught:
        call()
    problem = caught.value
    assert type(problem) is trouble.error, problem
    assert stage.relay.url in str(problem)
    assert problem.__context__ is None
    shown = f"{problem!r} {vars(problem)}"
    assert "canary" not in shown
    assert stage.token_file.read_text() not in shown
    assert str(pickle.loads(pickle.dumps(problem))) == str(problem)


def live_through(stage: Stage, trouble: Trouble, clock: Clock, caplog: Any) -> None:
    """Let it happen to an application, past all limits of its keys, and end."""
    assert stage.read(2) == NEW
    caplog.set_level(logging.WARNING, "sqlalchemy_sealed")
    with trouble.happening(stage):
        # What is at hand serves on.
        stage.write(NEW)
        assert stage.read(2) == NEW
        # What has to be asked for is the error, of this place, for a value and for a process.
        for call in (lambda: stage.read(1), stage.start, stage.sealer.rotate):
            fails(stage, trouble, call)
        # So it stays until the refresh limit; then it is asked for behind the scenes.
        clock.ahead += 11
        stage.write(NEW)
        until(lambda: "cannot be refreshed" in caplog.text)
        clock.ahead += 90
        for _ in range(2):
            with pytest.raises(StaleKeysError, match="freshness limit of 100 seconds") as caught:
                stage.write(NEW)
            assert stage.relay.url in str(caught.value)
            assert stage.read(2) == NEW
        clock.ahead += 900
        with pytest.raises(StaleKeysError, match="cache limit of 1000 seconds"):
            stage.read(2)
    # What was sent to ask in the background may fail late, and a failure stands for a second.
    until(lambda: not stage.sealer.keeper._errands._running)
    clock.ahead += 2
    stage.write(NEW)
    assert [stage.read(1), stage.read(2)] == [OLD, NEW]
    stage.sealer.rotate()
    stage.write(NEW)
    assert "canary" not in caplog.text


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_a_trouble_is_lived_through(
    trouble: Trouble, stage: Stage, clock: Clock, caplog: Any
) -> None:
    """Each has its own error, and ends without a restart."""
    live_through(stage, trouble, clock, caplog)


def test_an_authority_that_is_not_trusted_any_more(
    bao_tls: OpenBao, tmp_path: Path, clock: Clock, caplog: Any
) -> None:
    """A certificate authority that was replaced on one side only."""

    @contextmanager
    def wrong_authority(stage: Stage) -> Iterator[None]:
        with openbao.running(tls=True) as another:
            shutil.copy(another.ca_cert, stage.ca_file)
        stage.relay.cut()  # Connections that are open were made with the right one.
        stage.relay.mend()
        yield
        shutil.copy(bao_tls.ca_cert, stage.ca_file)

    root = hvac.Client(url=bao_tls.url, token=bao_tls.token, verify=bao_tls.ca_cert)
    with relaying(bao_tls.url) as relay:
        stage = Stage(root, relay, tmp_path, bao_tls.ca_cert)
        live_through(
            stage, Trouble(wrong_authority, ProviderTrustError, "is not trusted"), clock, caplog
        )


def test_a_server_that_is_sealed(tmp_path: Path, clock: Clock, caplog: Any) -> None:
    """Somebody seals it, and unseals it again."""
    skip_if_missing(openbao.installation)
    durable = Durable(tmp_path)

    @contextmanager
    def sealed(stage: Stage) -> Iterator[None]:
        stage.root.sys.seal()
        yield
        durable.unseal()

    with durable.running(), relaying(durable.url) as relay:
        durable.initialize()
        durable.unseal()
        root = hvac.Client(url=durable.url, token=durable.token)
        stage = Stage(root, relay, tmp_path)
        live_through(stage, Trouble(sealed, ProviderSealedError, "has to unseal it"), clock, caplog)
