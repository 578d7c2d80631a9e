"""The tables of runs and Alembic, which knows nothing of them."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData

from alembic_ext.autogenerate import OWN_TABLES
from sqlalchemy_sealed.latches import latches_table
from sqlalchemy_sealed.reseal.runtables import RunTables


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_tables_of_runs_are_never_proposed_to_be_dropped(engine: Engine) -> None:
    """A run over the rows may be under way; the tables are known by their names."""
    tables = RunTables(None)
    latches = latches_table(MetaData())
    assert {tables.runs.name, tables.ranges.name, latches.name} == OWN_TABLES
    with engine.begin() as connection:
        tables.make(connection)
        latches.create(connection)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), MetaData()) == []
