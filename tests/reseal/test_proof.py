"""Status: how values are sealed, counted by SQL without a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sqlalchemy_sealed import EncryptedString, KeyManager, LocalRootKey, MemoryKeystore, Sealer
from sqlalchemy_sealed.envelope import header, to_text
from sqlalchemy_sealed.reseal.models import sealed_columns
from sqlalchemy_sealed.reseal.proof import ColumnStatus, State, Status, status

from .clinic import Base, Patient

pytestmark = ON_MARIADB_TOO


@pytest.fixture
def patients(engine: Engine, sealer: Sealer) -> Iterator[None]:
    """Write rows under two keys, NULL, and what is no envelope into the column of texts."""
    Base.metadata.create_all(engine)
    add(engine, 7)
    sealer.rotate()
    add(engine, 3)
    foreign = to_text(header(1, 0, b"12345678") + bytes(60))
    with engine.begin() as connection:
        for note in ("plain", "", "sealed", "seal" * 20 + " by hand", foreign, None):
            connection.execute(
                sa.text("INSERT INTO patients (note) VALUES (:note)"), {"note": note}
            )
    yield
    Base.metadata.drop_all(engine)


def add(engine: Engine, rows: int) -> None:
    """Write rows."""
    with Session(engine) as session:
        session.add_all([Patient(email=f"{n}@example.org", note=f"note {n}") for n in range(rows)])
        session.commit()


def of(engine: Engine, sealer: Sealer, *names: str, **options: Any) -> list[ColumnStatus]:
    """Return the state of columns."""
    columns = sealed_columns(Base, names)
    return list(status(engine, columns, {"default": sealer.keyset}, **options).columns)


def test_values_are_counted_by_how_they_are_sealed(
    engine: Engine, sealer: Sealer, patients: None
) -> None:
    """Current, stale, foreign, plaintext and NULL add up to the rows of the table."""
    email, note = of(engine, sealer, "patients")
    assert (email.current, email.stale, email.foreign) == (3, 7, 0)
    assert (email.plaintext, email.nulls, email.rows) == (0, 6, 16)
    assert (note.current, note.stale, note.foreign) == (3, 7, 1)
    assert (note.plaintext, note.nulls, note.rows) == (4, 1, 16)
    assert not email.is_proven
    assert not note.is_proven


def test_each_key_is_told_with_suite_and_slots(
    engine: Engine, sealer: Sealer, patients: None
) -> None:
    """The most frequent one comes first."""
    [email, note] = of(engine, sealer, "patients")
    old, new = (record.key_id for record in sealer.keyset.records if record.kind == "data")
    assert [(each.key_id, each.rows, each.slots, each.state) for each in email.labels] == [
        (old, 7, 1, State.OLDER),
        (new, 3, 1, State.CURRENT),
    ]
    assert [(each.key_id, each.rows, each.state) for each in note.labels][2:] == [
        (b"12345678", 1, State.FOREIGN)
    ]


def test_no_key_is_needed(engine: Engine, sealer: Sealer, patients: None) -> None:
    """Without a keyset the ids of keys are listed, and nothing is judged or proven."""
    found = status(engine, sealed_columns(Base, ["patients.email"]), {})
    [email] = found.columns
    assert [(each.rows, each.state) for each in email.labels] == [
        (7, State.UNKNOWN),
        (3, State.UNKNOWN),
    ]
    assert not found.is_proven
    assert email.document()["current"] is None


def test_values_of_other_options_are_stale(engine: Engine, sealer: Sealer) -> None:
    """Under the primary, but with another padding: a run would seal them again."""
    Base.metadata.create_all(engine)
    add(engine, 2)
    padded = EncryptedString(storage="text", pad=64)
    table = sa.Table("patients", sa.MetaData(), sa.Column("note", padded))
    [note] = status(engine, sealed_columns(table), {"default": sealer.keyset}).columns
    assert (note.current, note.stale) == (0, 2)
    assert [each.state for each in note.labels] == [State.OTHER_FORM]
    Base.metadata.drop_all(engine)


def test_keys_that_do_not_open_are_told_apart(
    engine: Engine, sealer: Sealer, patients: None, keystore: MemoryKeystore, provider: LocalRootKey
) -> None:
    """Of values under a disabled or a destroyed key."""
    manager = KeyManager(keystore, provider)
    old = next(record for record in sealer.keyset.records if record.kind == "data")
    manager.disable("default", old.key_id)
    sealer.refresh()
    assert of(engine, sealer, "patients.email")[0].count(State.DISABLED) == 7
    manager.destroy("default", old.key_id, unscanned=True)
    sealer.refresh()
    [email] = of(engine, sealer, "patients.email")
    assert email.count(State.DESTROYED) == email.stale == 7


def test_when_all_is_current_it_is_proven(engine: Engine, sealer: Sealer) -> None:
    """Also an empty table, and one with NULL only."""
    Base.metadata.create_all(engine)
    assert all(each.is_proven for each in of(engine, sealer))
    add(engine, 2)
    with Session(engine) as session:
        session.add(Patient())
        session.commit()
    assert all(each.is_proven for each in of(engine, sealer))
    Base.metadata.drop_all(engine)


def test_many_columns_are_counted_together(engine: Engine, sealer: Sealer) -> None:
    """More than one statement looks at; those of one table stay together and in their order."""
    metadata = sa.MetaData()
    names = [f"c{n}" for n in range(14)]
    id_ = sa.Column("id", sa.Integer, primary_key=True)
    columns = [sa.Column(name, EncryptedString()) for name in names]
    table = sa.Table("wide", metadata, id_, *columns)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for n in range(14):
            connection.execute(table.insert().values(dict.fromkeys(names[: n + 1], "x")))
    found = status(engine, sealed_columns(metadata), {"default": sealer.keyset}).columns
    assert [each.column.name for each in found] == names
    assert [each.current for each in found] == list(range(14, 0, -1))
    metadata.drop_all(engine)


def test_the_result_goes_to_a_sink_as_a_document(
    engine: Engine, sealer: Sealer, patients: None
) -> None:
    """It is plain JSON, says of which database and when, and has no login and no value."""
    seen: list[Any] = []
    columns = sealed_columns(Base, ["patients"])
    found = status(engine, columns, {"default": sealer.keyset}, sink=seen.append)
    [document] = seen
    assert document == json.loads(json.dumps(found.document()))
    assert isinstance(found, Status)
    assert document["proven"] is False
    assert [each["column"] for each in document["columns"]] == ["patients.email", "patients.note"]
    text = json.dumps(document)
    assert "example.org" not in text
    assert str(engine.url.password or "no password") not in text
