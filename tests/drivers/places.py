"""
The drivers, each on an empty database: by SQLAlchemy, and alone, past SQLAlchemy and its types.

Work is a function of a `Connection`. An async driver runs it in an event loop, by `run_sync`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import aiosqlite
import asyncpg
import psycopg
import pymysql
from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

T = TypeVar("T")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Driver:
    """
    A driver.

    Attributes:
        name: what comes before `://` in a URL of SQLAlchemy.
        read: executes a query by the driver alone.
        gives: the type that the driver gives of stored bytes.
        is_async: whether it needs an event loop.
    """

    name: str
    read: Callable[[URL, str], Rows]
    gives: type = bytes
    is_async: bool = False

    @property
    def database(self) -> str:
        """Which database it is for."""
        return self.name.partition("+")[0]


@dataclass(frozen=True)
class Place:
    """A database, and the driver to reach it by."""

    driver: Driver
    url: URL

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in a transaction of its own, and return its result."""
        if self.driver.is_async:
            return asyncio.run(self._arun(work))
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            return work(connection)

    async def _arun(self, work: Callable[[Connection], T]) -> T:
        async with self.async_engine().begin() as connection:
            return await connection.run_sync(work)

    def async_engine(self) -> AsyncEngine:
        """Return an async engine that keeps no connections."""
        return create_async_engine(self.url, poolclass=NullPool)

    def raw(self, query: str) -> Rows:
        """Return the rows of a query as the driver alone gives them."""
        return self.driver.read(self.url, query)


def _rows(names: Iterable[str], values: Iterable[Any]) -> Rows:
    names = list(names)
    return [dict(zip(names, row, strict=True)) for row in values]


def _fetched(connection: Any, query: str) -> Rows:
    """Return the rows of a query on a connection of the DBAPI, and close the connection."""
    try:
        cursor = connection.cursor()
        cursor.execute(query)
        return _rows((column[0] for column in cursor.description), cursor.fetchall())
    finally:
        connection.close()


def _account(url: URL) -> dict[str, Any]:
    named = {"user": url.username, "password": url.password}
    return {**named, "host": url.host, "port": url.port, "database": url.database}


def _by_sqlite3(url: URL, query: str) -> Rows:
    return _fetched(sqlite3.connect(str(url.database)), query)


def _by_aiosqlite(url: URL, query: str) -> Rows:
    async def main() -> Rows:
        async with aiosqlite.connect(str(url.database)) as connection:
            cursor = await connection.execute(query)
            return _rows((column[0] for column in cursor.description), await cursor.fetchall())

    return asyncio.run(main())


def _by_psycopg(url: URL, query: str) -> Rows:
    connection = psycopg.connect(url.set(drivername="postgresql").render_as_string(False))
    return _fetched(connection, query)


def _by_async_psycopg(url: URL, query: str) -> Rows:
    async def main() -> Rows:
        line = url.set(drivername="postgresql").render_as_string(False)
        async with await psycopg.AsyncConnection.connect(line) as connection:
            cursor = await connection.execute(query)
            names = [column.name for column in cursor.description or ()]
            return _rows(names, await cursor.fetchall())

    return asyncio.run(main())


def _by_asyncpg(url: URL, query: str) -> Rows:
    async def main() -> Rows:
        connection = await asyncpg.connect(**_account(url))
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(main())


def _by_pymysql(url: URL, query: str) -> Rows:
    return _fetched(pymysql.connect(**_account(url)), query)


def _by_psycopg2(url: URL, query: str) -> Rows:
    return _fetched(import_module("psycopg2").connect(**_account(url)), query)


def _by_pg8000(url: URL, query: str) -> Rows:
    return _fetched(import_module("pg8000.dbapi").connect(**_account(url)), query)


DRIVERS = [
    Driver("sqlite", _by_sqlite3),
    Driver("sqlite+aiosqlite", _by_aiosqlite, is_async=True),
    Driver("postgresql+psycopg", _by_psycopg),
    Driver("postgresql+psycopg_async", _by_async_psycopg, is_async=True),
    Driver("postgresql+asyncpg", _by_asyncpg, is_async=True),
    Driver("postgresql+psycopg2", _by_psycopg2, gives=memoryview),
    Driver("postgresql+pg8000", _by_pg8000),
    Driver("mariadb+pymysql", _by_pymysql),
]
OPTIONAL = {"postgresql+psycopg2": "psycopg2", "postgresql+pg8000": "pg8000"}
"""Drivers that a test run goes without where they are not installed."""
