"""The database is restarted in the middle of a run, and connections are cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.errors import ResealError
from sqlalchemy_sealed.reseal.outcome import Outcome
from sqlalchemy_sealed.reseal.retries import Waits

from .faults import FORKING, Stage, ended, in_child
from .faults_server import OwnServer, own_server
from .faults_traffic import WRITERS, Traffic

pytestmark = [pytest.mark.postgres, FORKING]

ROWS = 2000


@pytest.fixture
def server() -> Iterator[OwnServer]:
    """Return a server of this test that runs."""
    with own_server() as server:
        server.start()
        yield server


@pytest.fixture
def stage(server: OwnServer, tmp_path: Path) -> Stage:
    """Return an empty stage in it."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    return Stage(server.url, tmp_path / "keys.json", provider)


@pytest.mark.parametrize("by", [SIGINT, SIGQUIT], ids=["stop", "crash"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_run_goes_on_after_its_database_was_restarted(
    shared: bool, by: Signals, server: OwnServer, stage: Stage, tmp_path: Path
) -> None:
    """
    It waits, connects anew and ends by itself; the writers lose nothing either.

    By a crash the batches are lost that were not on the disk yet. They are done again.
    """
    model = stage.fill(ROWS)
    stage.rotate()
    begun = tmp_path / "begun"

    def work() -> None:
        summary = stage.run(tell=lambda _outcome: slowly(begun), shared=shared)
        assert summary.finished

    writers = [Traffic(stage, model, number, seed=number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    child = in_child(work)
    for _ in range(2):
        begun.unlink(missing_ok=True)
        while not begun.exists():
            time.sleep(0.01)
        server.stop(by)
        time.sleep(0.5)
        server.start()
    assert ended(child) == 0
    held = {id_: email for writer in writers for id_, email in writer.stop().items()}
    assert stage.run().finished
    stage.check(held)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_run_that_has_ended_is_on_the_disk(shared: bool, server: OwnServer, stage: Stage) -> None:
    """
    Its last batch is there after a crash of the server at once, as is told to whoever ends a key.

    This server writes its log to the disk only where a commit asks for it, or after ten seconds.
    """
    server.stop()
    server.start("wal_writer_delay=10s", "wal_writer_flush_after=0", "autovacuum=off")
    model = stage.fill(ROWS)
    stage.rotate()
    assert stage.run(shared=shared, most=5000).finished
    server.stop(SIGQUIT)
    server.start()
    stage.check(model)


def slowly(begun: Path) -> None:
    """Say that a batch is done, and give others time."""
    begun.touch()
    time.sleep(0.03)


def test_a_run_goes_on_after_its_connections_were_cut(stage: Stage) -> None:
    """As a proxy or an administrator does it, after each batch."""
    model = stage.fill(500)
    stage.rotate()
    cut = sa.text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )

    def cut_all(_outcome: Outcome) -> None:
        with stage.engine() as engine, engine.connect() as connection:
            connection.execute(cut)

    assert stage.run(tell=cut_all, most=100).finished
    stage.check(model)


def test_a_database_that_stays_away_ends_the_run(server: OwnServer, stage: Stage) -> None:
    """After the time that it waits; what was done stays done, and no value is told."""
    model = stage.fill(500)
    stage.rotate()

    def stop(_outcome: Outcome) -> None:
        server.stop()

    with pytest.raises(ResealError, match="patients: the database is away") as caught:
        stage.run(tell=stop, waits=Waits(away=1))
    assert "mail-" not in str(caught.value)
    assert caught.value.__context__ is None
    server.start()
    assert stage.run().changed < 500
    stage.check(model)


def test_a_run_that_waits_for_its_database_can_be_stopped(server: OwnServer, stage: Stage) -> None:
    """It does not wait for the end of its time; it ends with what it knows."""
    stage.fill(500)
    stage.rotate()
    stop = threading.Event()

    def cut(_outcome: Outcome) -> None:
        server.stop()
        threading.Timer(1, stop.set).start()

    summary = stage.run(tell=cut, stop=stop)
    assert (summary.finished, summary.changed) == (False, 50)
    assert "stopped" in summary.reason
