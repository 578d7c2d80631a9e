"""
A streamed SELECT of sealed values, in a process of its own, whose memory is looked at.

As a program it reads what it is to do as JSON, and writes the growth of its memory in KiB.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, registry

from sqlalchemy_sealed import EncryptedString, FileKeystore, LocalRootKey, get_sealer

BATCH = 1000


class Row:
    """A row as an object."""


def table_of(sealer: str) -> sa.Table:
    """Return a table with a sealed text, whose keys are those of a sealer of this name."""
    return sa.Table(
        "long_table",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", EncryptedString(sealer=sealer), nullable=False),
    )


def growth(task: dict[str, Any]) -> int:
    """
    Return by how many KiB the peak of the memory rises while rows are read.

    Args:
        task: `url`; `sealer`, `keystore` and `root_key`; how many `rows`; whether they are objects
            of the `orm`; whether they come as a stream, which is `streamed`.
    """
    get_sealer(task["sealer"]).configure(
        keystore=FileKeystore(task["keystore"]), provider=LocalRootKey.from_text(task["root_key"])
    )
    table = table_of(task["sealer"])
    registry().map_imperatively(Row, table)
    query = sa.select(Row if task["orm"] else table.c.value)
    engine = sa.create_engine(task["url"])
    with Session(engine) as session:
        _read(session, query, BATCH, streamed=True)  # What is made once does not count.
        before = peak_memory()
        _read(session, query, task["rows"], streamed=task["streamed"])
        grown = peak_memory() - before
    engine.dispose()
    return grown


def _read(session: Session, query: Any, rows: int, *, streamed: bool) -> None:
    options = {"yield_per": BATCH} if streamed else {}
    found = 0
    for value in session.scalars(query.limit(rows), execution_options=options):
        found += len(getattr(value, "value", value)) == 20
    session.rollback()
    if found != rows:
        raise AssertionError(f"{found} of {rows} rows")


def peak_memory() -> int:
    """Return the most KiB that this process had in memory so far."""
    status = Path("/proc/self/status")
    if status.exists():  # What rusage says also counts the program that started this one.
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1])
    unit = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


if __name__ == "__main__":
    json.dump(growth(json.load(sys.stdin)), sys.stdout)
