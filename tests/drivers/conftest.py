"""Fixtures: each driver in turn, on a database that is made for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fix_db import empty_database

from drivers.columns import TABLE
from drivers.places import DRIVERS, OPTIONAL, Driver, Place
from sqlalchemy_sealed import Sealer

MARKS = {"postgresql": [pytest.mark.postgres], "mariadb": [pytest.mark.mariadb], "sqlite": []}
LESS_OFTEN = [pytest.mark.slow]  # Those that there are better ones than for the same database.


def parameters(drivers: list[Driver]) -> list[Any]:
    """Return drivers as parameters, marked with the servers that they need."""
    return [
        pytest.param(
            driver,
            id=driver.name,
            marks=MARKS[driver.database] + (LESS_OFTEN if driver.name in OPTIONAL else []),
        )
        for driver in drivers
    ]


def made(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Make a database for the driver that is asked for, and drop it afterwards."""
    driver: Driver = request.param
    if driver.name in OPTIONAL:
        pytest.importorskip(OPTIONAL[driver.name])
    if driver.database == "sqlite":
        file = request.getfixturevalue("tmp_path_factory").mktemp("driver") / "test.db"
        yield Place(driver, sa.URL.create(driver.name, database=str(file)))
        return
    if driver.database == "mariadb":
        database = empty_database(request.getfixturevalue("mariadb_server").url)
    else:
        database = postgres_database(request.getfixturevalue("postgres_url"))
    with database as url:
        yield Place(driver, url.set(drivername=driver.name))


@contextmanager
def postgres_database(server_url: str) -> Iterator[sa.URL]:
    """Make a database of a PostgreSQL server, yield its URL, and drop it."""
    name = f"test_{uuid4().hex}"
    admin = sa.create_engine(server_url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield sa.make_url(server_url).set(database=name)
    finally:
        with admin.connect() as connection:
            # A connection that a test forgot would block this for ever.
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


place = pytest.fixture(scope="module", params=parameters(DRIVERS))(made)
async_place = pytest.fixture(
    scope="module", params=parameters([driver for driver in DRIVERS if driver.is_async])
)(made)


@pytest.fixture
def table(place: Place, sealer: Sealer) -> Iterator[sa.Table]:
    """Return an empty table with a column of each type in each form."""
    place.run(TABLE.create)
    yield TABLE
    place.run(TABLE.drop)
