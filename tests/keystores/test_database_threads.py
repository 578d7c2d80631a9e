"""One table of keys and several threads that come to it at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.testing import record


@ON_MARIADB_TOO
def test_a_table_is_made_once(engine: Engine) -> None:
    """Of threads that make it at once, none fails, and a table with keys stays."""
    with ThreadPoolExecutor(6) as pool:
        for made in [pool.submit(DatabaseKeystore(engine).create) for _ in range(6)]:
            made.result()
    store = DatabaseKeystore(engine)
    store.add(record())
    store.create()
    assert store.load("default") == (record(),)


@ON_MARIADB_TOO
def test_a_thread_does_not_wait_for_the_first_connection_of_another_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLAlchemy learns of a server by it, is asked again where it is not known yet."""
    first, done = threading.Event(), threading.Event()
    initialize = engine.dialect.initialize

    def slowly(connection: Connection) -> None:
        if not first.is_set():
            first.set()
            assert done.wait(60)
        initialize(connection)

    monkeypatch.setattr(engine.dialect, "initialize", slowly)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: engine.connect().close())
        assert first.wait(60)
        try:
            store = DatabaseKeystore(engine)
            store.create()
            store.add(record())
            assert store.load("default") == (record(),)
        finally:
            done.set()
        other.result()
