"""How long a run would take is told by rows that are read and converted, and not written."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import EncryptedString, Sealer
from sqlalchemy_sealed.reseal import moved_table
from sqlalchemy_sealed.reseal.job import Job
from sqlalchemy_sealed.reseal.models import sealed_columns
from sqlalchemy_sealed.reseal.moves import Kind, job_of, renewing_job
from sqlalchemy_sealed.reseal.pace import Pace
from sqlalchemy_sealed.reseal.rehearsal import Estimate, estimate

from .moved import insert, resealing, stored

TABLE = sa.Table(
    "patients",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("note", EncryptedString(storage="text", check=False)),
)


def job(engine: sa.Engine) -> Job:
    """Return the job of resealing the table."""
    with engine.connect() as connection:
        return Job("reseal", moved_table(connection, "patients"), resealing(TABLE))


def told(engine: sa.Engine, of: Job, rows: int = 1000, **options: float) -> Estimate:
    """Return an estimate, for which there are rows to measure."""
    found = estimate(engine, of, rows, pace=Pace(10), **options)
    assert found is not None
    return found


@ON_MARIADB_TOO
def test_rows_are_converted_and_not_written(engine: sa.Engine, sealer: Sealer) -> None:
    """The first page warms up; those after it are measured, and the rest follows from them."""
    insert(engine, TABLE, *({"id": n, "note": f"note {n}"} for n in range(1, 41)))
    sealer.rotate()
    before = stored(engine, TABLE, "note")
    found = told(engine, job(engine), 1_000_000)
    assert stored(engine, TABLE, "note") == before
    assert (found.rows, found.sampled, found.looked_at, found.bad) == (1_000_000, 30, 40, 0)
    each = found.sampled_seconds / 30
    assert found.most > found.least > 1_000_000 * each
    assert found.sampled_bytes == sum(map(len, before[10:]))


def test_no_more_than_some_pages_are_read(engine: sa.Engine, sealer: Sealer) -> None:
    """However many there are."""
    insert(engine, TABLE, *({"id": n, "note": f"note {n}"} for n in range(1, 501)))
    sealer.rotate()
    assert told(engine, job(engine)).looked_at == 50


def test_a_share_of_the_load_takes_longer(engine: sa.Engine, sealer: Sealer) -> None:
    """A run that works a tenth of the time takes ten times as long."""
    insert(engine, TABLE, *({"id": n, "note": f"note {n}"} for n in range(1, 31)))
    sealer.rotate()
    whole, tenth = told(engine, job(engine)), told(engine, job(engine), load=0.1)
    assert tenth.least / tenth.sampled_seconds == pytest.approx(
        10 * whole.least / whole.sampled_seconds
    )


def test_bad_rows_are_told_before(engine: sa.Engine, sealer: Sealer) -> None:
    """As far as the sample goes."""
    insert(engine, TABLE, *({"id": n, "note": f"note {n}"} for n in range(1, 21)))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE patients SET note = 'plain' WHERE id IN (3, 15)"))
    sealer.rotate()
    assert told(engine, job(engine)).bad == 2


def test_before_a_rotation_every_value_counts(engine: sa.Engine, sealer: Sealer) -> None:
    """Nothing is left to do as yet; after the rotation, everything will be."""
    insert(engine, TABLE, *({"id": n, "note": f"note {n}"} for n in range(1, 21)))
    assert estimate(engine, job(engine), 0) is None
    with engine.connect() as connection:
        renewing = renewing_job(connection, sealed_columns(TABLE))
        verifying = job_of(connection, Kind.VERIFY, sealed_columns(TABLE))
    assert told(engine, renewing).looked_at == 20
    opened = told(engine, verifying)
    assert (opened.looked_at, opened.least) == (20, opened.most)
