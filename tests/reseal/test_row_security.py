"""From a database user that sees a part of the rows there is no proof, and nothing is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import LocalRootKey, get_sealer
from sqlalchemy_sealed.errors import ResealError
from sqlalchemy_sealed.reseal import encrypt, reseal, sealed_columns, status, verify
from sqlalchemy_sealed.reseal.rehearsal import estimate

from .faults import SEALER, Stage
from .moved import ON_POSTGRESQL
from .test_retries import clerk

WAYS: dict[str, Callable[[sa.Engine, Stage], Any]] = {
    "status": lambda engine, stage: status(
        engine, sealed_columns(stage.table), {SEALER: get_sealer(SEALER).keyset}
    ),
    "verify": lambda engine, stage: verify(engine, stage.table),
    "reseal": lambda engine, stage: reseal(engine, stage.table),
    "encrypt": lambda engine, stage: encrypt(engine, stage.table, "patients.email"),
    "left": lambda engine, stage: stage.left(),
    "estimate": lambda engine, stage: estimate(engine, stage.job(engine), 1),
    "shared": lambda engine, stage: reseal(engine, stage.table, shared=True),
}


@ON_POSTGRESQL
@pytest.mark.parametrize("way", WAYS)
def test_hidden_rows_are_an_error(way: str, database_url: sa.URL, tmp_path: Path) -> None:
    """A policy that lets all rows through that are there counts as well: nobody knows."""
    provider = LocalRootKey.from_text(LocalRootKey.generate())
    stage = Stage(database_url, tmp_path / "keys.json", provider, in_text=True)
    stage.fill(20)
    with stage.engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE patients ENABLE ROW LEVEL SECURITY")
        connection.exec_driver_sql("CREATE POLICY few ON patients USING (id < 5)")
    schema = str(database_url.query["options"]).partition("search_path=")[2]
    grants = (
        "GRANT SELECT, UPDATE ON patients TO clerk2",
        f"GRANT CREATE ON SCHEMA {schema} TO clerk2",
    )
    with clerk(stage, *grants) as limited:
        seen = Stage(limited.url, stage.keys, provider, in_text=True)
        seen.open_keys()
        with seen.engine() as engine, pytest.raises(ResealError) as caught:
            WAYS[way](engine, seen)
    assert "row-level security hides rows from the database user; run as the owner" in str(
        caught.value
    )
