"""Ranges of a shared run cover each row once, whatever the key is and however a worker is set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import EncryptedBytes, Sealer
from sqlalchemy_sealed.reseal import Change, Outcome, moved_table, reseal_change
from sqlalchemy_sealed.reseal.claims import Claims
from sqlalchemy_sealed.reseal.job import Job, run
from sqlalchemy_sealed.reseal.openrun import OpenRun
from sqlalchemy_sealed.reseal.pages import page
from sqlalchemy_sealed.reseal.retries import Patience
from sqlalchemy_sealed.reseal.sessions import own_engine, reading

from .moved import ON_POSTGRESQL, key_ids, left_over

NUMBERS = range(-20, 21)
KEYS = {
    "smallint": [str(n) for n in NUMBERS],
    "bigint": [str(n * 10**17) for n in NUMBERS],
    "numeric": [f"{n}.5e{abs(n)}" for n in NUMBERS] + ["NaN", "Infinity", "-Infinity", "0"],
    "numeric(30,20)": [f"{n}.00000000000000000001" for n in NUMBERS],
    "real": [f"{n}e-7" for n in NUMBERS] + ["NaN", "Infinity", "0.1", "16777217"],
    "double precision": [str(n / 3) for n in NUMBERS] + ["NaN", "-Infinity", "5e-324"],
    "money": [f"{n}.25" for n in NUMBERS],
    "uuid": [f"00000000-0000-4000-8000-0000000000{n + 30:02}" for n in NUMBERS],
    "boolean": ["true", "false"],
    "bytea": [f"\\x{n + 40:02x}00" for n in NUMBERS],
    "text": ["", " ", "a", "A", "ä", "Z", "é", "e\u0301", "%s", '"', "\\", "🦀", "1", "10", "9"],
    "varchar(9)": [f"v{n}" for n in NUMBERS] + ["v ", "v"],
    "char(5)": ["", "a", "b", " c", *(f"c{n}" for n in NUMBERS)],
    "bpchar": ["", "a", " b", *(f"c{n}" for n in NUMBERS)],
    "name": [f"n{n}" for n in NUMBERS],
    '"char"': list("abcdefghij"),
    "date": [f"2024-03-{n + 10:02}" for n in range(1, 20)]
    + ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01"],
    "timestamp": [f"2024-10-27 02:30:{n + 30:02}.000001" for n in NUMBERS] + ["infinity"],
    "timestamptz": [f"2024-10-27 0{n % 4}:30:{n + 30:02}.000001+01" for n in NUMBERS]
    + ["infinity", "0044-03-15 BC", "1883-11-18 12:03:57+00"],
    "time": [f"10:00:{n + 30:02}" for n in NUMBERS] + ["24:00"],
    "timetz": [f"10:00:00+{n + 1:02}:30" for n in range(10)],
    "interval": [f"{n} days 3 hours" for n in NUMBERS] + ["178000000 years", "-1 mon 40 days"],
    "bit(6)": [f"{n + 20:06b}" for n in NUMBERS],
    "varbit": [f"{n + 20:b}" for n in NUMBERS],
    "inet": [f"10.0.0.{n + 20}" for n in NUMBERS] + ["::1", "10.0.0.0/8"],
    "int[]": [f"{{{n},{n * n}}}" for n in NUMBERS] + ["{}", "{NULL}"],
    "jsonb": [str(n) for n in NUMBERS] + ['{"a": [1]}', "null", '"x"'],
    "int4range": [f"[{n},{n + 5})" for n in NUMBERS] + ["empty"],
}
"""Texts of values by type; of those that are none of Python, too."""
SETTINGS = ({}, {"datestyle": "SQL,DMY", "intervalstyle": "iso_8601", "extra_float_digits": "-15"})
ZONES = ("UTC", "Asia/Kolkata")


@pytest.fixture
def engines(database_url: sa.URL) -> Iterator[list[sa.Engine]]:
    """Return engines of two machines, on which sessions are set in different ways."""
    options = str(database_url.query["options"])
    made = []
    for settings, zone in zip(SETTINGS, ZONES, strict=True):
        given = " ".join(f"-c{n}={v.replace(' ', '')}" for n, v in settings.items())
        url = database_url.update_query_dict({"options": f"{options} {given} -ctimezone={zone}"})
        made.append(sa.create_engine(url))
    yield made
    for engine in made:
        engine.dispose()


def filled(engine: sa.Engine, sealer: Sealer, sql_type: str, values: list[str]) -> sa.Table:
    """Make a table whose keys are values, and return it as far as it is sealed."""
    table = sa.Table("t", sa.MetaData(), sa.Column("c", EncryptedBytes(context="t.c")))
    sealed = sealer.seal(b"a", "t.c")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE t (k {sql_type} PRIMARY KEY, c bytea)")
        insert = sa.text(f"INSERT INTO t VALUES (CAST(:k AS {sql_type}), :c)")
        connection.execute(insert, [{"k": value, "c": sealed} for value in values])
    return table


def change(table: sa.Table) -> Change:
    """Return the change of its column."""
    type_: Any = table.c.c.type
    return reseal_change("t.c", "c", type_)


@ON_POSTGRESQL
@pytest.mark.parametrize("sql_type", KEYS)
def test_ranges_cover_each_row_once(
    sql_type: str, engines: list[sa.Engine], sealer: Sealer
) -> None:
    """Carved by one worker and by another, in turns, and read by both."""
    values = KEYS[sql_type]
    table = filled(engines[0], sealer, sql_type, values)
    with engines[0].connect() as connection:
        job = Job("reseal", moved_table(connection, "t"), [change(table)])
    seen: Counter[str] = Counter()
    with ExitStack() as stack:
        workers = []
        for engine in engines:
            own = stack.enter_context(own_engine(engine))
            opened = stack.enter_context(closing(OpenRun(own, job, Patience(), rows=3)))
            read = stack.enter_context(reading(own, job.table, job.changes, Patience()))
            workers.append((Claims(opened), read))
        while claims := [(c.claim(), read) for c, read in workers]:
            if not any(claim for claim, _ in claims):
                break
            # Each reads the range that the other has carved.
            for (claim, _), (_, read) in zip(claims, reversed(claims), strict=True):
                if claim is not None:
                    part = partial(page, table=job.table, changes=job.changes, size=100)
                    found = read(partial(part, range_=claim.range_, all_rows=True))
                    assert len(found) <= 3
                    seen.update(repr(row[0]) for row in found)
    assert len(seen) == len(values)
    assert set(seen.values()) == {1}


@ON_POSTGRESQL
@pytest.mark.parametrize("sql_type", KEYS)
def test_a_shared_run_reseals_each_row_once(
    sql_type: str, engines: list[sa.Engine], sealer: Sealer
) -> None:
    """Of small ranges, by a worker whose session is set in another way than the first one's."""
    values = KEYS[sql_type]
    table = filled(engines[0], sealer, sql_type, values)
    sealer.rotate()
    with engines[0].connect() as connection:
        job = Job("reseal", moved_table(connection, "t"), [change(table)])
    with own_engine(engines[0]) as own, closing(OpenRun(own, job, Patience(), rows=3)) as begun:
        claims = Claims(begun)
        taken = claims.claim()
        assert taken is not None
        claims.give_back(taken, Outcome())
    summary = run(engines[1], job, shared=True)
    assert (summary.read, summary.changed, summary.lost) == (len(values), len(values), 0)
    assert summary.finished
    assert left_over(engines[1], table, job.changes) == 0
    assert key_ids(engines[1], table, "c") == {sealer.keyset.primary.key_id.hex()}
