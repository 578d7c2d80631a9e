"""
A streamed read of many rows, in a process of its own, whose memory is looked at.

As a program it reads one `Task` as JSON and writes one `Stream` as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from large_ways import short_ways
from sqlalchemy import Engine, Integer, create_engine, insert, select
from sqlalchemy.orm import Session, mapped_column, registry
from type_ways import POSTGRESQL, Way

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, get_sealer

BATCH = 1000
CHUNK = 50_000
KEY_NAME = "default"


@dataclass
class Task:
    """
    What a child does.

    Attributes:
        url: the database.
        way: the name of the way that the table is of.
        table: its name.
        orm: whether it reads objects.
        rows: how many.
        keystore: the file with the wrapped keys.
        root_key: what unwraps them.
    """

    url: str
    way: str
    table: str
    orm: bool
    rows: int
    keystore: str
    root_key: str


@dataclass
class Stream:
    """
    What a child saw.

    Attributes:
        seconds: the time of all rows.
        grown: KiB by which the peak of the memory rose, after a first read of one batch.
    """

    seconds: float
    grown: int


@contextmanager
def shared_keys() -> Iterator[tuple[str, str]]:
    """Give the default sealer keys in a file, and return that file and the root key."""
    with TemporaryDirectory() as folder:
        file, root_key = str(Path(folder) / "keys.json"), LocalRootKey.generate()
        provider = LocalRootKey.from_text(root_key)
        KeyManager(FileKeystore(file), provider).create(KEY_NAME)
        _configure(file, root_key)
        yield file, root_key


def _configure(file: str, root_key: str) -> None:
    get_sealer(KEY_NAME).configure(
        keystore=FileKeystore(file), provider=LocalRootKey.from_text(root_key), replace=True
    )


def streams(
    name: str, engine: Engine, ways: list[Way], keys: tuple[str, str], rows: int
) -> dict[str, dict[str, Stream]]:
    """Fill a table for each way and read it, one after the other: by operation and way."""
    found: dict[str, dict[str, Stream]] = {"Core": {}, "ORM": {}}
    for number, way in enumerate(ways):
        table = f"stream_{number}"
        model = _model(table, way)
        model.__table__.create(engine)
        _fill(name, engine, model.__table__, rows)
        url = engine.url.render_as_string(hide_password=False)
        for operation, by_way in found.items():
            task = Task(url, way.name, table, operation == "ORM", rows, *keys)
            by_way[way.name] = _in_child(task)
        model.__table__.drop(engine)
    return found


def _model(name: str, way: Way) -> Any:
    columns = {
        "id": mapped_column(Integer, primary_key=True),
        "value": mapped_column(way.make(), nullable=False),
    }
    return registry().mapped(type(name, (), {"__tablename__": name, **columns}))


def _fill(name: str, engine: Engine, table: Any, rows: int) -> None:
    """Insert texts of 20 characters: by COPY where there is one, since it takes half the time."""
    values = iter(f"{number * 7919:020d}" for number in range(rows))
    if name != POSTGRESQL:
        with engine.begin() as connection:
            while part := [{"value": each} for each in islice(values, CHUNK)]:
                connection.execute(insert(table), part)
        return
    bind = table.c.value.type._cached_bind_processor(engine.dialect)
    connection = engine.raw_connection()
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {table.name} (value) FROM STDIN") as copy:
            for each in values:
                copy.write_row((each if bind is None else bind(each),))
        connection.commit()
        connection.driver_connection.autocommit = True
        cursor.execute(f"VACUUM ANALYZE {table.name}")
        connection.driver_connection.autocommit = False
    connection.close()


def _in_child(task: Task) -> Stream:
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(asdict(task)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Stream(**json.loads(done.stdout))


# -- in the child


def read(task: Task) -> Stream:
    """Read the table as a stream."""
    _configure(task.keystore, task.root_key)
    way = next(each for each in short_ways() if each.name == task.way)
    model = _model(task.table, way)
    with Session(create_engine(task.url)) as session:
        _read(session, model, orm=task.orm, rows=min(task.rows, BATCH))
        before, start = peak_memory(), time.perf_counter()  # What is made once does not count.
        _read(session, model, orm=task.orm, rows=task.rows)
        seconds = time.perf_counter() - start
    return Stream(seconds, peak_memory() - before)


def _read(session: Session, model: Any, *, orm: bool, rows: int) -> None:
    what = select(model) if orm else select(model.__table__.c.value)
    result = session.execute(what.limit(rows).execution_options(yield_per=BATCH))
    found = sum(len(part) for part in (result.scalars() if orm else result).partitions())
    if found != rows:
        raise AssertionError(f"{found} of {rows} rows")
    session.rollback()


def peak_memory() -> int:
    """Return the most KiB that this process had in memory so far."""
    status = Path("/proc/self/status")
    if status.exists():  # What rusage says also counts the program that started this one.
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(asdict(read(Task(**json.load(sys.stdin))))))
