"""Verifying: every value is opened, compared if there is something to compare with, and kept."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Encrypted, KeyManager, LocalRootKey, MemoryKeystore, Sealer
from sqlalchemy_sealed.errors import OptionError
from sqlalchemy_sealed.reseal.job import run
from sqlalchemy_sealed.reseal.models import sealed_columns
from sqlalchemy_sealed.reseal.moves import Kind, job_of
from sqlalchemy_sealed.reseal.order import Summary
from sqlalchemy_sealed.reseal.pace import Pace
from sqlalchemy_sealed.reseal.verifying import verified

from .clinic import Base, Patient, Visit


@pytest.fixture(autouse=True)
def _tables(engine: Engine, sealer: Sealer) -> Any:
    Base.metadata.create_all(engine)
    yield
    Base.metadata.drop_all(engine)


def add(engine: Engine, *rows: Any) -> None:
    """Write rows."""
    with Session(engine) as session:
        session.add_all(rows)
        session.commit()


def verify(engine: Engine, *names: str, compare: str | None = None, **options: Any) -> Summary:
    """Open the values of columns."""
    with engine.connect() as connection:
        job = job_of(connection, Kind.VERIFY, sealed_columns(Base, names), compare)
    return run(engine, job, **options)


@ON_MARIADB_TOO
def test_every_row_is_looked_at(engine: Engine, sealer: Sealer) -> None:
    """Those without a value, too, and under older keys."""
    add(engine, *(Patient(email=f"{n}", note=f"{n}") for n in range(250)), Patient())
    sealer.rotate()
    add(engine, Patient(email="new"))
    told: list[int] = []
    pace = Pace(most=50)
    summary = verify(engine, "patients", pace=pace, tell=lambda done: told.append(done.read))
    assert (summary.read, summary.changed, summary.bad) == (252, 0, 0)
    assert summary.finished
    assert sum(told) == 252
    assert len(told) > 4


@ON_MARIADB_TOO
def test_values_that_do_not_open_are_named_by_their_key(
    engine: Engine, sealer: Sealer, keystore: MemoryKeystore, provider: LocalRootKey
) -> None:
    """Moved from another column, plaintext, under a destroyed key; the others are opened."""
    add(engine, *(Patient(id=n, email=f"{n}", note=f"{n}") for n in (1, 2)))
    old = sealer.keyset.primary.key_id
    sealer.rotate()
    add(engine, *(Patient(id=n, email=f"{n}", note=f"{n}") for n in (3, 4, 5)))
    KeyManager(keystore, provider).destroy("default", old, unscanned=True)
    sealer.refresh()
    damage = "UPDATE patients SET note = 'plain words' WHERE id = 3"
    with engine.begin() as connection:
        connection.execute(sa.text(damage))
        moved = sa.text("UPDATE visits SET cents = (SELECT email FROM patients WHERE id = 5)")
        connection.execute(sa.insert(Visit), [{"id": 1, "price": 1}])
        connection.execute(moved)
    summary = verify(engine, "patients")
    found = [(row.key, row.column, row.code) for row in summary.bad_rows]
    assert found == [
        ((1,), "patients.email", "destroyed-key"),
        ((2,), "patients.email", "destroyed-key"),
        ((1,), "patients.note", "destroyed-key"),
        ((2,), "patients.note", "destroyed-key"),
        ((3,), "patients.note", "not-an-envelope"),
    ]
    assert summary.bad == 5
    [row] = verify(engine, "visits.cents").bad_rows
    assert (row.key, row.code) == ((1,), "authentication")
    assert "plain words" not in repr(summary)


@ON_MARIADB_TOO
def test_values_are_compared_with_those_of_another_column(engine: Engine, sealer: Sealer) -> None:
    """Another value, NULL here, and NULL there are three kinds of difference."""
    same = [Visit(id=n, price=n, plain_price=n) for n in range(1, 5)]
    others = [
        Visit(id=10, price=10, plain_price=11),
        Visit(id=11, price=None, plain_price=11),
        Visit(id=12, price=12, plain_price=None),
        Visit(id=13, price=None, plain_price=None),
    ]
    add(engine, *same, *others)
    summary = verify(engine, "visits.cents", compare="plain_price")
    assert [(row.key, row.code, row.problem) for row in summary.bad_rows] == [
        ((10,), "differs", "it is another value than that of visits.plain_price"),
        ((11,), "differs", "it is NULL, and visits.plain_price is not"),
        ((12,), "differs", "it has a value, and visits.plain_price is NULL"),
    ]


@ON_MARIADB_TOO
def test_what_is_compared_belongs_to_one_column(engine: Engine, sealer: Sealer) -> None:
    """With several it is not clear which one is meant."""
    with pytest.raises(OptionError, match="name which one"):
        verify(engine, "visits", compare="plain_price")


@ON_MARIADB_TOO
def test_equal_is_as_the_type_has_it(engine: Engine, sealer: Sealer) -> None:
    """A decimal equals one with more zeros."""
    number = sa.Numeric(10, 3)
    table = sa.Table(
        "prices",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sealed", Encrypted(number)),
        sa.Column("plain", number),
    )
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert().values(sealed=Decimal("1.5"), plain=Decimal("1.50")))
        connection.execute(table.insert().values(sealed=Decimal("1.5"), plain=Decimal("1.51")))
    with engine.connect() as connection:
        job = job_of(connection, Kind.VERIFY, sealed_columns(table), "plain")
    summary = run(engine, job)
    assert [row.key for row in summary.bad_rows] == [(2,)]
    table.drop(engine)


@ON_MARIADB_TOO
def test_the_result_is_a_document(engine: Engine, sealer: Sealer) -> None:
    """For an audit trail: counts, keys of bad rows, and no value."""
    add(engine, Patient(id=1, note="secret"), Patient(id=2))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE patients SET note = 'secret too' WHERE id = 2"))
    document = verified(verify(engine, "patients.note"), engine, ["note"])
    assert document == json.loads(json.dumps(document))
    assert (document["rows"], document["bad"], document["verified"]) == (2, 1, False)
    assert [row["key"] for row in document["bad_rows"]] == [["2"]]
    assert "secret" not in json.dumps(document)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_read_only_database_will_do(engine: Engine, sealer: Sealer) -> None:
    """As a replica is: nothing is written, and no lock is taken."""
    add(engine, Patient(note="n"))
    url = engine.url.update_query_dict(
        {"options": f"{engine.url.query['options']} -cdefault_transaction_read_only=on"}
    )
    reader = sa.create_engine(url)
    try:
        assert verify(reader, "patients").finished
    finally:
        reader.dispose()
