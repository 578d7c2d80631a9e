"""What sealed types need besides time: memory of a streamed read, and time to be imported."""

from __future__ import annotations

import gc
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import Any

from sqlalchemy import Engine, Integer, insert, select
from sqlalchemy.orm import Session, mapped_column, registry
from type_tables import COLUMNS, rows_of
from type_ways import OURS, PLAIN, Way

BATCH = 1000
ORM, CIPHER, PACKAGE = (
    "sqlalchemy.orm",
    "sqlalchemy.orm, AESGCM of cryptography",
    "sqlalchemy.orm, sqlalchemy_sealed",
)
COLLECTED = ", garbage collected after the first"
IMPORTS = {
    ORM: ("sqlalchemy.orm",),
    CIPHER: ("sqlalchemy.orm", "cryptography.hazmat.primitives.ciphers.aead"),
    PACKAGE: ("sqlalchemy.orm", "sqlalchemy_sealed"),
}


def peak_memory(engine: Engine, ways: list[Way], rows: int) -> dict[str, list[float]]:
    """
    Return the peak of Python's memory, in KiB, of a streamed SELECT by the ORM.

    Returns:
        For the plain and the sealed column: the peak over a tenth of the rows, and over all.
    """
    peaks = {}
    for way in ways:
        if way.name not in (PLAIN, OURS):
            continue
        model = _filled(engine, way.make, f"stream_{way.name[:5]}", rows)
        with Session(engine) as session:
            _stream(session, model, BATCH)  # What is compiled and imported once does not count.
            peaks[way.name] = [_peak(session, model, part) for part in (rows // 10, rows)]
    return peaks


def _filled(engine: Engine, make: Any, name: str, rows: int) -> Any:
    columns = {each: mapped_column(make(), nullable=False) for each in COLUMNS}
    columns["id"] = mapped_column(Integer, primary_key=True)
    mapped = registry()
    model: Any = mapped.mapped(type(name, (), {"__tablename__": name, **columns}))
    mapped.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(model.__table__), rows_of(rows))
    return model


def _stream(session: Session, model: Any, rows: int) -> None:
    found = 0
    for _ in session.scalars(select(model).limit(rows).execution_options(yield_per=BATCH)):
        found += 1
    if found != rows:
        raise AssertionError(f"{found} of {rows} rows")
    session.rollback()


def _peak(session: Session, model: Any, rows: int) -> float:
    gc.collect()
    tracemalloc.start()
    try:
        _stream(session, model, rows)
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def import_times(rounds: int) -> dict[str, float]:
    """
    Return the milliseconds that a new Python takes for some imports, by what is imported.

    The garbage collector has its first full run, over all that SQLAlchemy has made, during
    whatever is imported next. So each import is timed with such a run before what comes after
    SQLAlchemy, too. The end of the process, which takes the modules apart, is left out.
    """
    scripts = {}
    for name, (first, *then) in IMPORTS.items():
        after = "".join(f"import {each}; " for each in then)
        scripts[name] = f"import os, gc, {first}; {after}os._exit(0)"
        scripts[name + COLLECTED] = f"import os, gc, {first}; gc.collect(); {after}os._exit(0)"
    times: dict[str, list[float]] = {name: [] for name in scripts}
    # An installed package has its bytecode.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    order = list(scripts)
    shuffler = random.Random(3)
    for number in range(rounds + 1):
        shuffler.shuffle(order)
        for name in order:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", scripts[name]], check=True, env=own)
            if number:  # The first one may write bytecode.
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(each) for name, each in times.items()}
