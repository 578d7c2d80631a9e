"""
The tables by which workers share a run: `sealed_runs` and `sealed_ranges`.

They hold keys of rows, counts and names of machines; no value and no key material. A turn is one
pass over the table.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from .order import Job
from .outcome import Outcome

RUNS, RANGES = "sealed_runs", "sealed_ranges"
_LOCK = 0x5EA1ED
"""Of `pg_advisory_xact_lock`: one process makes the tables, begins a run, or ends a turn."""
COUNTS = ("read", "changed", "lost", "bad", "size")
"""Columns of counts, named as those of an `Outcome`."""
_ALIVE = 0x5EA1EE
"""Of `pg_advisory_lock_shared`: each worker holds one, under its number, while it is connected."""
_OF_LOCKS = ("locktype", "database", "classid", "objid", "objsubid", "granted")
_TWO_KEYS = 2
"""In pg_locks: an advisory lock whose key is two numbers."""
KEPT = "7 days"
"""How long a run that has ended is kept."""


class RunTables:
    """
    Both tables.

    Args:
        schema: where they are; None for the default one.
    """

    def __init__(self, schema: str | None) -> None:
        self.metadata = sa.MetaData(schema=schema)
        now = sa.func.clock_timestamp()
        moment = sa.DateTime(timezone=True)
        self.runs = sa.Table(
            RUNS,
            self.metadata,
            sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("moved", sa.Text, nullable=False),
            sa.Column("columns", sa.Text, nullable=False),
            sa.Column("started", moment, nullable=False, server_default=now),
            sa.Column("ended", moment),
            sa.Column("range_rows", sa.Integer, nullable=False),
            sa.Column("turn", sa.Integer, nullable=False, server_default="1"),
            sa.Column("frontier", sa.Text),
            sa.Column("is_carved", sa.Boolean, nullable=False, server_default=sa.false()),
            sa.Column("left", sa.BigInteger),
            sa.Column("is_finished", sa.Boolean, nullable=False, server_default=sa.false()),
        )
        sa.Index(
            f"uq_{RUNS}_open",
            self.runs.c.kind,
            self.runs.c.moved,
            self.runs.c.columns,
            unique=True,
            postgresql_where=self.runs.c.ended.is_(None),
        )
        self.ranges = sa.Table(
            RANGES,
            self.metadata,
            sa.Column(
                "run_id",
                sa.ForeignKey(self.runs.c.id, ondelete="CASCADE"),
                primary_key=True,
            ),
            sa.Column("turn", sa.Integer, primary_key=True),
            sa.Column("number", sa.Integer, primary_key=True),
            sa.Column("after", sa.Text),
            sa.Column("through", sa.Text),
            sa.Column("worker", sa.Text),
            sa.Column("lease", moment),
            sa.Column("is_done", sa.Boolean, nullable=False, server_default=sa.false()),
            *(sa.Column(n, sa.BigInteger, nullable=False, server_default="0") for n in COUNTS),
            sa.Column("bad_rows", sa.Text),
        )

    def make(self, connection: sa.Connection) -> None:
        """Make the tables that are missing. Until the transaction ends, nobody else does."""
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        self.metadata.create_all(connection)

    def lock(self, connection: sa.Connection, run_id: int) -> bool:
        """Whether this is the one process that ends a turn of a run, until its transaction ends."""
        number = run_id % (1 << 31)
        return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK, number))))

    def hold(self, connection: sa.Connection, number: int) -> None:
        """
        Hold the lock of a worker, until the database session ends.

        It is a shared one: a worker that has lost its connection gets it again although the server
        has not noticed that yet.
        """
        connection.execute(sa.select(sa.func.pg_advisory_lock_shared(_ALIVE, number)))

    def let_go(self, connection: sa.Connection, number: int) -> None:
        """Hold it no more."""
        connection.execute(sa.select(sa.func.pg_advisory_unlock_shared(_ALIVE, number)))

    def is_orphaned(self) -> sa.ColumnElement[bool]:
        """
        Return the condition that nobody holds the lock of the worker of a range: it has ended.

        What is no number at the end of a worker's name is not known to be a lock.
        """
        locks = sa.table("pg_locks", *map(_column, _OF_LOCKS), schema="pg_catalog").c
        databases = sa.table(
            "pg_database", *map(_column, ("oid", "datname")), schema="pg_catalog"
        ).c
        here = sa.select(databases.oid).where(databases.datname == sa.func.current_database())
        held = sa.select(sa.cast(locks.objid, sa.BigInteger)).where(
            locks.locktype == "advisory",
            locks.database == here.scalar_subquery(),
            sa.cast(locks.classid, sa.BigInteger) == _ALIVE,
            locks.objsubid == _TWO_KEYS,
            locks.granted,
        )
        number = sa.func.substring(self.ranges.c.worker, "/([0-9]{1,10})$")
        return sa.cast(number, sa.BigInteger).not_in(held)

    def counted(
        self, connection: sa.Connection, run_id: int, condition: sa.ColumnElement[bool]
    ) -> Outcome:
        """Return the sum of the counts of ranges."""
        ranges = self.ranges
        sums = [sa.func.coalesce(sa.func.sum(ranges.c[name]), 0) for name in COUNTS]
        query = sa.select(*sums).where(ranges.c.run_id == run_id, condition)
        row = connection.execute(query).one()
        read, changed, lost, bad, size = (int(value) for value in row)
        return Outcome(read, changed, lost, bad, size)

    def forget_old(self, connection: sa.Connection) -> None:
        """Delete runs that ended long ago."""
        age = sa.func.clock_timestamp() - sa.cast(sa.literal(KEPT, sa.Text()), sa.Interval)
        connection.execute(sa.delete(self.runs).where(self.runs.c.ended < age))


def _column(name: str) -> sa.ColumnClause[Any]:
    return sa.column(name)


def columns_of(job: Job) -> str:
    """Return what tells the columns of a job from those of another."""
    return json.dumps(
        sorted([change.label, change.source, change.target] for change in job.changes)
    )
