"""
A PostgreSQL server in a container, by testcontainers, from the image that `image` builds.

Its port is published on the loopback address only, with a password of its own.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import image
from .server import Server, ServiceMissingError

if TYPE_CHECKING:
    from docker import DockerClient

# testcontainers and docker are imported where they are used: they are slow to import, and a run
# of the unit tests does without them.

DEFAULT_HOST = "unix:///var/run/docker.sock"
_LOOPBACK = "127.0.0.1"
_PORT = 5432


@contextmanager
def engine() -> Iterator[DockerClient]:
    """
    Connect to the Docker engine of this machine.

    Raises:
        ServiceMissingError: none answers, or it is on another machine.
    """
    from docker.errors import DockerException  # noqa: PLC0415
    from testcontainers.core import docker_client  # noqa: PLC0415

    host = docker_client.get_docker_host() or DEFAULT_HOST
    if not host.startswith("unix://"):
        raise ServiceMissingError(f"the Docker engine is not one of this machine: {host}")
    try:
        # docker-py leaves a socket open if it cannot connect.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(host.removeprefix("unix://"))
        client = docker_client.DockerClient().client
    except (OSError, DockerException) as error:
        raise ServiceMissingError(f"no Docker engine answers at {host}: {error}") from None
    try:
        yield client
    finally:
        client.close()


def prepare() -> str:
    """
    Return the tag of the image, after building it where need be.

    Raises:
        ServiceMissingError: no engine to run it, or no files to build it.
    """
    with engine() as client:
        return image.ensure(client)


@contextmanager
def running() -> Iterator[Server]:
    """Start a server in a container, yield it, and remove the container."""
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    tag = prepare()
    _configure()
    password = secrets.token_urlsafe()
    container = PostgresContainer(tag, _PORT, "postgres", password, "postgres", "psycopg")
    container.ports = {str(_PORT): (_LOOPBACK, None)}
    with container:
        url = container.get_connection_url(host=_LOOPBACK)
        yield Server(url, description=f"{tag}, a container")


def _configure() -> None:
    from testcontainers.core.config import (  # noqa: PLC0415
        ConnectionMode,
        testcontainers_config,
    )

    # The container that cleans up after others would have to be pulled from a registry.
    testcontainers_config.ryuk_disabled = True
    # Published ports, even where the tests run in a container of another engine.
    testcontainers_config.connection_mode_override = ConnectionMode.docker_host
    testcontainers_config.hub_image_name_prefix = ""
