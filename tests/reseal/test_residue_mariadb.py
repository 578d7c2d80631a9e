"""What MariaDB keeps of plaintext, as far as it says, and the part that can be cleaned."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.reseal.residue import residue
from sqlalchemy_sealed.reseal.residue_model import State

from .residue_stage import Stage, stage

pytestmark = pytest.mark.mariadb


@pytest.fixture
def one(mariadb_engine: sa.Engine, sealer: Sealer) -> Stage:
    """Return a table that was sealed."""
    one = stage(mariadb_engine)
    one.fill(index=False)
    one.seal()
    return one


def table_file(one: Stage) -> Path:
    """Return the file of the table."""
    data = Path(str(one.do("SELECT @@datadir")))
    return data / str(one.engine.url.database) / "patients.ibd"


def flushed(one: Stage) -> int:
    """Write what is in memory to the file of the table, and count the canaries in it."""
    with one.engine.connect() as connection:
        connection.exec_driver_sql("FLUSH TABLES patients FOR EXPORT")
        count = one.in_files([table_file(one)]).total()
        connection.exec_driver_sql("UNLOCK TABLES")
    return count


def test_old_rows_are_in_the_file_until_the_table_is_rebuilt(one: Stage) -> None:
    """OPTIMIZE TABLE makes a new file; the logs of the server are only told."""
    assert flushed(one) > 0
    before = residue(one.engine, "patients", "email")
    assert before.at("table").state is State.MAYBE
    report = residue(one.engine, "patients", "email", clean=True)
    assert not report.failed
    assert [step.name for step in report.steps] == ["table"]
    assert flushed(one) == 0
    assert report.at("table").state is State.CLEANED
    for place in ("undo", "server log"):
        assert report.at(place).state is State.MAYBE
    assert one.mark not in repr(report)


def test_the_statistics_hold_sealed_values_after_cleaning(one: Stage) -> None:
    """Of short texts the least and greatest values stand there as they were at the last ANALYZE."""
    query = f"SELECT count(*) FROM mysql.column_stats WHERE min_value LIKE '{one.mark}%%'"
    for statement in (
        "ALTER TABLE patients ADD code VARCHAR(400)",
        f"UPDATE patients SET code = concat('{one.mark}-', id)",
        "ANALYZE TABLE patients PERSISTENT FOR COLUMNS (code) INDEXES ()",
        "UPDATE patients SET code = email",
    ):
        one.do(statement)
    assert one.do(query) == 1
    assert residue(one.engine, "patients", "code").at("statistics").facts["columns"] == ["code"]
    report = residue(one.engine, "patients", "code", clean=True)
    assert [step.name for step in report.steps] == ["table", "statistics"]
    assert not report.failed
    assert one.do(query) == 0
