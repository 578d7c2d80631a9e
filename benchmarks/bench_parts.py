"""
Where the time of a value and of a row goes: cipher, Python, SQLAlchemy, driver and server.

    python benchmarks/bench_parts.py            about a minute
    python benchmarks/bench_parts.py --smoke    to see that it runs

A value is a text of 20 characters, a row has three of them, in PostgreSQL. The parts of a value are
timed alone. Those of a row are differences: what a way takes that goes one layer further.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from common import Case, Report, Result, arguments, database, environment, measure
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from type_tables import COLUMNS, Tables, collecting, rows_of
from type_ways import FLOOR, OURS, own

CHUNK = 500
"""Values that are timed together."""
AAD = bytes(36)
"""Header and context of a column named with some 20 letters."""


def main() -> None:
    """Measure, and print the parts."""
    given = arguments(str(__doc__).strip().splitlines()[0], rows=20_000, rounds=15)
    ways = own()
    report = Report("Parts", {})
    report.results += values(ways, given.rounds)
    with database(given.url) as url:
        engine = create_engine(url)
        report.settings = environment(engine, given)
        tables = Tables(
            engine, "PostgreSQL", [way for way in ways if way.name == OURS], rows_of(given.rows)
        )
        report.results += rows(tables, given.rounds)
        tables.close()
        engine.dispose()
    show(report)
    report.write(given.json)


# -- a value


def repeated(function: Callable[..., object], *arguments: Any) -> Callable[[Any], object]:
    """Return what calls a function CHUNK times."""
    return lambda _: [function(*arguments) for _ in range(CHUNK)]


def values(ways: Sequence[Any], rounds: int) -> list[Result]:
    """Time the parts of writing and reading one value, and the whole, by hand and ours."""
    cipher = AESGCM(bytes(32))
    nonce, plaintext = os.urandom(12), b"x" * 20
    bare, bound = cipher.encrypt(nonce, plaintext, None), cipher.encrypt(nonce, plaintext, AAD)
    stored = bytes(24) + nonce + bound
    found = {stored[:24]: (cipher.decrypt, AAD)}
    kinds = {way.name: Table("t", MetaData(), _column(way)).c.c.type for way in ways}
    dialect = PGDialect_psycopg()
    binds = {n: kinds[n]._cached_bind_processor(dialect) for n in (FLOOR, OURS)}
    reads = {n: kinds[n]._cached_result_processor(dialect, None) for n in (FLOOR, OURS)}

    def empty() -> None:
        pass

    def cut() -> None:
        stored[24:36], stored[36:]

    cases = {
        "a call of Python": (empty,),
        "AES-256-GCM, sealing": (cipher.encrypt, nonce, plaintext, None),
        "AES-256-GCM, sealing, with associated data": (cipher.encrypt, nonce, plaintext, AAD),
        "12 random bytes": (os.urandom, 12),
        "AES-256-GCM, opening": (cipher.decrypt, nonce, bare, None),
        "AES-256-GCM, opening, with associated data": (cipher.decrypt, nonce, bound, AAD),
        "nonce and ciphertext cut out": (cut,),
        "header and prefix looked up": (lambda: found.get(stored[:24]),),
        "the time, for the limits of keys": (monotonic,),
        "text to bytes": (str.encode, "x" * 20),
        "bytes to text": (bytes.decode, plaintext),
        "bind processor, by hand": (binds[FLOOR], "x" * 20),
        "bind processor": (binds[OURS], "x" * 20),
        "result processor, by hand": (reads[FLOOR], binds[FLOOR]("x" * 20)),
        "result processor": (reads[OURS], binds[OURS]("x" * 20)),
    }
    timed = [Case(name, repeated(*call), per=CHUNK) for name, call in cases.items()]
    return measure("a value", timed, lambda _: range(10), rounds)


def _column(way: Any) -> Any:
    return Column("c", way.make())


# -- a row


def rows(tables: Tables, rounds: int) -> list[Result]:
    """Time reading and writing rows, each way one layer further than the one before."""
    read, write, data = tables._read[OURS], tables._write[OURS], tables.rows
    names = ", ".join(COLUMNS)
    query = f"SELECT {names} FROM {read.__tablename__}"
    envelopes = [tuple(row) for row in tables.connection.execute(text(query))]
    tables.connection.commit()
    driver: Any = tables.connection.connection.driver_connection
    marks = ", ".join(["%s::BYTEA"] * len(COLUMNS))
    order = f"INSERT INTO {write.__tablename__} ({names}) VALUES ({marks})"

    def fetch(*, binary: bool, load: bool) -> None:
        cursor = driver.cursor(binary=binary)
        cursor.execute(query)
        if load:
            cursor.fetchall()
        cursor.close()

    def send() -> None:
        with driver.cursor() as cursor:
            cursor.executemany(order, envelopes)
        driver.commit()

    def core_write() -> None:
        tables.connection.execute(insert(write.__table__), data)
        tables.connection.commit()

    def orm_write() -> None:
        tables.session.execute(insert(write), data)
        tables.session.commit()

    columns = [read.__table__.c[each] for each in COLUMNS]
    truncate = text(f"TRUNCATE {write.__tablename__}")

    def emptied() -> None:
        tables.session.expunge_all()
        tables.connection.execute(truncate)
        tables.connection.commit()

    reading = {
        "server, wire and libpq, binary": partial(fetch, binary=True, load=False),
        "and psycopg's loaders, binary": partial(fetch, binary=True, load=True),
        "server, wire and libpq, text": partial(fetch, binary=False, load=False),
        "and psycopg's loaders, text": partial(fetch, binary=False, load=True),
        "Core select": lambda: tables.connection.execute(select(*columns)).all(),
        "ORM select": lambda: tables.session.scalars(select(read)).all(),
    }
    writing = {
        "server, wire and psycopg, of ready envelopes": send,
        "Core insert": core_write,
        "ORM bulk insert": orm_write,
    }
    found = _measured("a row that is read", reading, tables.session.expunge_all, len(data), rounds)
    return found + _measured("a row that is written", writing, emptied, len(data), rounds)


def _measured(
    section: str,
    ways: dict[str, Callable[[], object]],
    after: Callable[[], object],
    count: int,
    rounds: int,
) -> list[Result]:
    cases = [
        Case(name, lambda _, run=run: run(), per=count, after=after, around=collecting)
        for name, run in ways.items()
    ]
    return measure(section, cases, lambda _: [0], rounds)


def show(report: Report) -> None:
    """Print the parts, with two digits after the point."""
    section = None
    for result in report.results:
        if result.section != section:
            section = result.section
            print(f"\n{section}, microseconds")
        print(f"  {result.name:50} {result.microseconds:8.2f}")
    print(", ".join(f"{name} {value}" for name, value in report.settings.items()))


if __name__ == "__main__":
    main()
