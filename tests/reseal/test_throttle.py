"""What a run leaves to others: time, replicas that keep up, and transactions that do not wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import empty_schema

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.errors import OptionError
from sqlalchemy_sealed.reseal.outcome import Outcome
from sqlalchemy_sealed.reseal.pace import FIRST, LEAST, SIZE, Pace
from sqlalchemy_sealed.reseal.retries import Patience
from sqlalchemy_sealed.reseal.throttle import Brake, Throttle

from .faults import FORKING, Stage, ended, in_child
from .faults_server import OwnServer, own_server, replica_of

NO_LAG = Throttle(lag_seconds=None, lag_bytes=None)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that comes."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


# -- the pace


def test_batches_grow_while_they_are_quick() -> None:
    """They double, up to the most."""
    pace = Pace(most=3000, seconds=0.5)
    sizes = [pace.rows]
    for _ in range(4):
        pace.took(pace.rows, pace.rows * 60, 0.01)
        sizes.append(pace.rows)
    assert sizes == [FIRST, 1000, 2000, 3000, 3000]


def test_batches_shrink_when_they_take_long() -> None:
    """They halve, down to the least; one that took a bit too long shrinks by as much."""
    pace = Pace(seconds=0.5)
    pace.took(pace.rows, 1, 0.625)
    assert pace.rows == 400
    for _ in range(10):
        pace.took(pace.rows, 1, 60)
    assert pace.rows == LEAST


def test_batches_of_wide_rows_fit_into_memory() -> None:
    """Rows of a megabyte are read eight at a time, if that were not below the least."""
    pace = Pace()
    pace.took(100, 100 * SIZE // 200, 0.01)
    assert pace.rows == 200


def test_a_batch_is_never_larger_than_its_most() -> None:
    """Also if that is below the least."""
    pace = Pace(most=7)
    assert pace.rows == 7
    pace.took(7, 7, 0.001)
    pace.others_wait()
    assert pace.rows == 7


def test_batches_grow_slowly_after_others_had_to_wait() -> None:
    """They halve at once, and get back a tenth with each batch."""
    pace = Pace(most=1000)
    pace.took(500, 1, 0.01)
    pace.others_wait()
    sizes = [pace.rows]
    for _ in range(3):
        pace.took(pace.rows, 1, 0.001)
        sizes.append(pace.rows)
    assert sizes == [500, 500, 550, 605]


# -- the load


@pytest.mark.parametrize("load", [0, -1, 1.1])
def test_a_share_of_the_load_that_cannot_be_is_refused(load: float) -> None:
    """It is above 0 and up to 1."""
    with pytest.raises(OptionError, match="share of the load"):
        Throttle(load=load)


def test_a_limit_of_the_lag_that_cannot_be_is_refused() -> None:
    """Zero would be for ever."""
    with pytest.raises(OptionError, match="limit of the lag"):
        Throttle(lag_seconds=0)
    with pytest.raises(OptionError, match="limit of the lag"):
        Throttle(lag_bytes=-1)


def test_a_run_rests_for_its_share_of_the_load(sqlite_engine: sa.Engine) -> None:
    """At a quarter, it rests three times as long as it worked."""
    brake = Brake(Throttle(load=0.25), sqlite_engine, Pace(), Patience())
    started = time.monotonic()
    with brake:
        for _ in range(5):
            time.sleep(0.02)
            brake()
    whole = time.monotonic() - started
    assert brake.rested >= 0.75 * whole * 0.8
    assert brake.rested >= 5 * 0.06


def test_a_rest_ends_when_the_run_is_stopped(sqlite_engine: sa.Engine) -> None:
    """Nobody waits for the end of a long one."""
    stop = threading.Event()
    brake = Brake(Throttle(load=0.001), sqlite_engine, Pace(), Patience(stop=stop))
    with brake:
        time.sleep(0.05)
        threading.Timer(0.1, stop.set).start()
        brake()
    assert stop.is_set()


def test_a_full_load_does_not_rest(sqlite_engine: sa.Engine) -> None:
    """That is the default."""
    brake = Brake(Throttle(), sqlite_engine, Pace(), Patience())
    with brake:
        time.sleep(0.02)
        brake()
    assert brake.rested == 0


# -- PostgreSQL


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[sa.Engine]:
    """Return an engine on an empty schema of PostgreSQL."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


@pytest.mark.postgres
def test_batches_become_smaller_when_others_wait_for_their_rows(postgresql: sa.Engine) -> None:
    """It is the row that this run holds that they wait for, and not just any."""
    with postgresql.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1, 0), (2, 0)"))
    change = sa.text("UPDATE t SET n = n + 1 WHERE id = :id")

    def wait_for(id_: int) -> None:
        with postgresql.begin() as connection:
            connection.execute(change, {"id": id_})

    pace, patience = Pace(), Patience()
    with postgresql.connect() as ours, postgresql.connect() as other:
        patience.writers.add(ours.scalar(sa.text("SELECT pg_backend_pid()")))
        ours.execute(change, {"id": 1})
        other.execute(change, {"id": 2})
        stranger = threading.Thread(target=wait_for, args=(2,))
        stranger.start()
        with Brake(NO_LAG, postgresql, pace, patience) as brake:
            until(lambda: _waiting(postgresql) == 1)
            time.sleep(0.5)
            assert (brake.waits, pace.rows) == (0, FIRST)
            waiter = threading.Thread(target=wait_for, args=(1,))
            waiter.start()
            until(lambda: brake.waits > 0)
            assert pace.rows <= FIRST // 2
        ours.rollback()
        other.rollback()
        waiter.join()
        stranger.join()


def _waiting(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(connection.execute(query).scalar_one())


def stage_of(server: OwnServer, tmp_path: Path) -> Stage:
    """Return an empty stage in a server."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    return Stage(server.url, tmp_path / "keys.json", provider)


@pytest.mark.slow
@pytest.mark.postgres
@FORKING
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_run_waits_for_a_replica_that_lags(shared: bool, tmp_path: Path) -> None:
    """It goes on when the replica has caught up. A worker that waits keeps its range."""
    with own_server() as server:
        server.start()
        stage = stage_of(server, tmp_path)
        model = stage.fill(6000)
        with replica_of(server) as replica:
            stage.rotate()
            engine = sa.create_engine(replica.url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT pg_wal_replay_pause()"))
                done = tmp_path / "done"

                def work() -> None:
                    throttle = Throttle(lag_seconds=None, lag_bytes=200_000)
                    slow = lambda _outcome: time.sleep(0.05)  # noqa: E731
                    summary = stage.run(
                        most=100, tell=slow, throttle=throttle, shared=shared, lease=3
                    )
                    assert (summary.finished, summary.lost) == (True, 0)
                    done.touch()

                child = in_child(work)
                before = -1
                while before != (now := stage.left()) or now == len(model):
                    before = now
                    time.sleep(2)
                assert 0 < now < len(model)
                assert not done.exists()
                connection.execute(sa.text("SELECT pg_wal_replay_resume()"))
                assert ended(child) == 0
            engine.dispose()
        stage.check(model)


@pytest.mark.slow
@pytest.mark.postgres
def test_a_user_who_may_not_see_the_lag_is_warned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run does not wait, and says why."""
    with own_server() as server:
        server.start()
        with replica_of(server):
            admin = sa.create_engine(server.url, isolation_level="AUTOCOMMIT")
            with admin.connect() as connection:
                connection.execute(sa.text("CREATE ROLE clerk LOGIN PASSWORD 'x'"))
            admin.dispose()
            engine = sa.create_engine(server.url.set(username="clerk", password="x"))
            brake = Brake(Throttle(lag_bytes=1), engine, Pace(), Patience())
            with caplog.at_level(logging.WARNING, "sqlalchemy_sealed.reseal"):
                assert not brake._is_behind()
            assert "grant it pg_monitor" in caplog.text
            engine.dispose()


def test_a_run_of_a_share_of_the_load_ends_like_any_other(tmp_path: Path) -> None:
    """It only takes longer."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "t.db"))
    stage = Stage(url, tmp_path / "keys.json", LocalRootKey.from_text(LocalRootKey.generate()))
    model = stage.fill(200)
    stage.rotate()
    told = Outcome()
    assert stage.run(throttle=Throttle(load=0.5), tell=told.add).finished
    assert told.changed == len([each for each in model.values() if each])
    stage.check(model)
