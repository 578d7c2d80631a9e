"""The MariaDB server that the tests start: it serves, is out of reach of others, and goes away."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import empty_database
from killed_tests import assert_no_process_survives
from servers import mariadb
from servers.server import Server, ServiceMissingError

pytestmark = pytest.mark.mariadb


def test_the_server_is_out_of_reach(mariadb_server: Server) -> None:
    """It has no rights of root, listens on loopback only, and asks a password."""
    url = sa.make_url(mariadb_server.url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        process = connection.scalar(sa.text("SELECT @@pid_file"))
        assert Path(process).stat().st_uid != 0
        assert connection.scalar(sa.text("SELECT @@bind_address")) == "127.0.0.1"
    engine.dispose()
    for wrong in (url.set(password="not this one"), url.set(username="root", password="")):
        with pytest.raises(sa.exc.OperationalError, match="Access denied"):
            sa.create_engine(wrong).connect()


def test_each_test_has_a_database_of_its_own(mariadb_server: Server) -> None:
    """What one test creates, another one does not see, and it is gone in the end."""
    seen = sa.text("SELECT table_name FROM information_schema.tables WHERE table_name = 'alone'")
    with (
        empty_database(mariadb_server.url) as first,
        empty_database(mariadb_server.url) as second,
    ):
        engine = sa.create_engine(first)
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE alone (a int)"))
            assert connection.scalar(seen) == "alone"
        engine.dispose()
        engine = sa.create_engine(second)
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()
    engine = sa.create_engine(mariadb_server.url)
    with engine.connect() as connection:
        assert connection.scalar(seen) is None
    engine.dispose()


def test_no_process_survives_tests_that_are_killed(mariadb_server: Server) -> None:
    """Killing the tests stops their server, and deletes its directory."""
    assert_no_process_survives("mariadb", "SELECT @@datadir")


def test_a_missing_server_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no server, the message names the packages that bring one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mariadb, "_SYSTEM_PLACES", str(tmp_path))
    with pytest.raises(ServiceMissingError, match="mariadb-server-core"):
        mariadb.installation()
