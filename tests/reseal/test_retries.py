"""What a run waits for, what it gives up for, and that no error quotes a value."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO, empty_schema
from sqlalchemy.exc import DBAPIError, OperationalError

from sqlalchemy_sealed import LocalRootKey
from sqlalchemy_sealed.errors import ConfigurationError, ResealError
from sqlalchemy_sealed.reseal.failures import Cause, cause_of, problem_of
from sqlalchemy_sealed.reseal.outcome import Outcome
from sqlalchemy_sealed.reseal.retries import Interrupted, Patience, Waits

from .faults import Stage

SERVERS = [
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
ROWS = 300


@pytest.fixture
def stage(database_url: sa.URL, tmp_path: Path) -> Stage:
    """Return an empty stage."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    return Stage(database_url, tmp_path / "keys.json", provider)


@pytest.fixture
def on_postgresql(postgres_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Return an empty stage in PostgreSQL."""
    with empty_schema(postgres_url) as url:
        provider = LocalRootKey.from_text(LocalRootKey.generate())
        yield Stage(url, tmp_path / "keys.json", provider)


def refused(stage: Stage, **options: Any) -> str:
    """Return what a run is refused with. It is one error, of which no other one hangs."""
    with pytest.raises(ResealError) as caught:
        stage.run(**options)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.where == "patients"
    assert "mail-" not in str(error)
    assert "b1e6a5" not in str(error).lower()
    return str(error)


@contextmanager
def held(stage: Stage, id_: int, to: str | None = None) -> Any:
    """Hold a row in a transaction of somebody else; in the end, write to it and commit."""
    table = stage.table
    with stage.engine() as engine, engine.begin() as connection:
        row = table.update().where(table.c.id == id_)
        connection.execute(row.values(email=table.c.email if to is None else to))
        yield


# -- what passes by itself


@pytest.mark.parametrize("database_url", SERVERS, indirect=True)
def test_a_row_that_is_held_does_not_hold_up_the_others(stage: Stage) -> None:
    """All others are done; it is looked at again, and the run says why it is not finished."""
    model = stage.fill(ROWS)
    stage.rotate()
    with held(stage, 78):
        summary = stage.run(waits=Waits(locked=20), most=60, passes=1)
        assert (summary.finished, summary.left, summary.bad) == (False, 1, 0)
        assert summary.lost >= 1
        assert "other transactions hold the rows" in summary.reason
    assert stage.run().changed == 1
    stage.check(model)


@ON_MARIADB_TOO
def test_a_run_waits_for_a_lock_that_is_given_up(stage: Stage) -> None:
    """What the other one wrote stands."""
    model = stage.fill(ROWS)
    stage.rotate()
    free = threading.Event()

    def hold() -> None:
        with held(stage, 78, "new"):
            holds.set()
            free.wait(20)

    holds = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(20)
    timer = threading.Timer(1.5, free.set)
    timer.start()
    summary = stage.run()
    thread.join()
    timer.join()
    assert (summary.finished, summary.left) == (True, 0)
    stage.check(model | {78: "new"})


@pytest.mark.postgres
def test_a_deadlock_ends_well_for_both(on_postgresql: Stage) -> None:
    """The run gives way before the database ends the other transaction, and does its part later."""
    stage = on_postgresql
    model = stage.fill(ROWS)
    stage.rotate()
    table = stage.table
    met = threading.Event()

    def other() -> None:
        stage.open_keys()
        with stage.engine() as engine, engine.begin() as connection:
            for id_ in (200, 100):  # The run takes them the other way round.
                where = table.update().where(table.c.id == id_)
                connection.execute(where.values(email=f"new-{id_}"))
                met.set()
                connection.execute(sa.text("SELECT pg_sleep(0.3)"))

    thread = threading.Thread(target=other)
    thread.start()
    assert met.wait(20)
    assert stage.run(most=1000).finished
    thread.join()
    stage.check(model | {100: "new-100", 200: "new-200"})


def test_a_sqlite_database_that_is_locked_for_too_long_ends_the_run(tmp_path: Path) -> None:
    """Its locks are of a whole database: there is nothing else to do meanwhile."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "t.db"), query={"timeout": "0.1"})
    stage = Stage(url, tmp_path / "keys.json", LocalRootKey.from_text(LocalRootKey.generate()))
    model = stage.fill(ROWS)
    stage.rotate()
    with held(stage, 1):
        told = refused(stage, waits=Waits(locked=0.5))
    assert "others have held locks for too long" in told
    assert stage.run().finished
    stage.check(model)


def test_waiting_ends_when_the_run_is_stopped() -> None:
    """However long it would have waited."""
    stop = threading.Event()
    patience = Patience(Waits(away=3600), stop)
    patience.has_connected = True

    def fail() -> None:
        raise OperationalError("", {}, Exception())

    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Interrupted):
        patience.call(fail, "t")


# -- what does not


@ON_MARIADB_TOO
def test_a_constraint_that_refuses_the_new_values_is_told(stage: Stage) -> None:
    """By its name where the driver tells it; the row that PostgreSQL quotes is not."""
    stage.fill(ROWS)
    stage.rotate()
    limit = "CHECK (substr(email, 5, 8) <> X'{0}')"
    key_id = stage.manager.keyset("reseal-faults").primary.key_id.hex()
    with stage.engine() as engine:
        if engine.dialect.name == "sqlite":
            with engine.begin() as connection:
                for event in ("INSERT", "UPDATE"):
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER no_{event} BEFORE {event} ON patients BEGIN "
                        "SELECT RAISE(ABORT, 'mail-1 is refused'); END"
                    )
        else:
            condition = limit.format(key_id)
            if engine.dialect.name == "postgresql":
                condition = condition.replace("X'", "'\\x")
            with engine.begin() as connection:
                connection.exec_driver_sql(
                    f"ALTER TABLE patients ADD CONSTRAINT old_keys_only {condition}"
                )
    told = refused(stage)
    assert "a constraint of the table refuses the new values" in told
    if stage.url.get_backend_name() == "postgresql":
        assert "SQLSTATE 23514, constraint old_keys_only" in told


def test_a_full_disk_ends_the_run_and_what_was_done_stays(tmp_path: Path) -> None:
    """Once there is room, the same run does the rest."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "t.db"))
    stage = Stage(
        url, tmp_path / "keys.json", LocalRootKey.from_text(LocalRootKey.generate()), True
    )
    model = stage.fill(ROWS, as_plain=True)
    stage.open_keys()
    with stage.engine() as engine:

        @sa.event.listens_for(engine, "connect")
        def limit(connection: Any, _record: Any) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 3}")

        from sqlalchemy_sealed.reseal.job import run  # noqa: PLC0415
        from sqlalchemy_sealed.reseal.pace import Pace  # noqa: PLC0415

        with pytest.raises(ResealError, match="disk of the database is full") as caught:
            run(engine, stage.job(engine, "encrypt"), pace=Pace(20))
        assert "mail-" not in str(caught.value)
    assert 0 < stage.left("encrypt") < len(model)
    assert stage.run("encrypt").finished
    stage.check(model, "encrypt")


READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"


@pytest.mark.postgres
def test_a_read_only_database_is_told(on_postgresql: Stage) -> None:
    """As a replica is one."""
    stage = on_postgresql
    stage.fill(ROWS)
    stage.rotate()
    options = stage.url.query["options"] + " -cdefault_transaction_read_only=on"
    url = stage.url.update_query_dict({"options": options})
    told = refused(Stage(url, stage.keys, stage.provider))
    assert "the database is read-only" in told
    assert "SQLSTATE 25006" in told


@contextmanager
def clerk(stage: Stage, *grants: str) -> Any:
    """Yield the stage as a database user sees it that has these rights."""
    schema = stage.url.query["options"].partition("search_path=")[2]
    grants = (f"GRANT USAGE ON SCHEMA {schema} TO clerk2", *grants)
    with stage.engine() as engine, engine.begin() as connection:
        for sql in ("DROP ROLE IF EXISTS clerk2", "CREATE ROLE clerk2 LOGIN PASSWORD 'x'", *grants):
            connection.execute(sa.text(sql))
    try:
        yield Stage(stage.url.set(username="clerk2", password="x"), stage.keys, stage.provider)
    finally:
        with stage.engine() as engine, engine.begin() as connection:
            connection.execute(sa.text("DROP OWNED BY clerk2"))
            connection.execute(sa.text("DROP ROLE clerk2"))


@pytest.mark.postgres
def test_a_missing_right_is_told(on_postgresql: Stage) -> None:
    """With the rights that a run needs."""
    stage = on_postgresql
    stage.fill(ROWS)
    stage.rotate()
    with clerk(stage, "GRANT SELECT ON patients TO clerk2") as limited:
        assert "needs SELECT and UPDATE of the table" in refused(limited)


@pytest.mark.postgres
def test_rows_that_are_hidden_by_row_level_security_end_the_run(on_postgresql: Stage) -> None:
    """Or it would say that it is finished, and rows would be left under the old key."""
    stage = on_postgresql
    stage.fill(ROWS)
    stage.rotate()
    with stage.engine() as engine, engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE patients ENABLE ROW LEVEL SECURITY"))
    with clerk(stage, "GRANT SELECT, UPDATE ON patients TO clerk2") as limited:
        assert "row-level security hides rows" in refused(limited)
    assert stage.run().finished


@pytest.mark.postgres
def test_a_column_that_is_gone_ends_the_run(on_postgresql: Stage) -> None:
    """Somebody migrated the table meanwhile."""
    stage = on_postgresql
    stage.fill(ROWS)
    stage.rotate()

    def rename(_outcome: Outcome) -> None:
        with stage.engine() as engine, engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE patients RENAME COLUMN email TO mail"))

    assert "renamed, dropped or changed meanwhile" in refused(stage, tell=once(rename))


def once(work: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
    """Return a function that does its work at the first call."""
    left = [work]
    return lambda outcome: left.pop()(outcome) if left else None


@pytest.mark.postgres
def test_a_wrong_password_is_not_waited_for(on_postgresql: Stage) -> None:
    """What never worked will not pass by itself."""
    on_postgresql.fill(10)
    with on_postgresql.engine() as engine:
        job = on_postgresql.job(engine)
    engine = sa.create_engine(on_postgresql.url.set(password="wrong"))
    from sqlalchemy_sealed.reseal.job import run  # noqa: PLC0415

    with pytest.raises(ResealError) as caught:
        run(engine, job)
    assert "wrong" not in str(caught.value)


def test_an_async_engine_is_refused(tmp_path: Path) -> None:
    """With what to give instead."""
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    from sqlalchemy_sealed.reseal.job import left  # noqa: PLC0415

    url = sa.URL.create("sqlite", database=str(tmp_path / "t.db"))
    stage = Stage(url, tmp_path / "keys.json", LocalRootKey.from_text(LocalRootKey.generate()))
    stage.fill(3)
    with stage.engine() as engine:
        job = stage.job(engine)
    with pytest.raises(ConfigurationError, match="synchronous engine"):
        left(create_async_engine(url.set(drivername="sqlite+aiosqlite")), job)


def test_a_cause_that_no_driver_tells_is_not_waited_for() -> None:
    """An error of a program is raised at once."""
    assert cause_of(ValueError()) is Cause.OTHER
    assert cause_of(DBAPIError("", {}, Exception())) is Cause.OTHER


@pytest.mark.parametrize("number", [1, 2, 3, 6])
def test_lost_temporary_files_of_mariadb_are_told(number: int) -> None:
    """A server that starts deletes those of another one with the same tmpdir; its path is kept."""
    pymysql = pytest.importorskip("pymysql")
    told = pymysql.err.InternalError(number, "Error on delete of '/tmp/#sql-update-17db-8-f4d.MAI'")
    error = DBAPIError("UPDATE", {}, told)
    assert cause_of(error) is Cause.TEMPORARY
    assert f"tmpdir, which empties it when it starts (InternalError, error {number})" in str(
        problem_of(error, "patients")
    )
    assert "#sql" not in str(problem_of(error, "patients"))
