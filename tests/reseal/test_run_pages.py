"""Runs: pages of rows of any width, what stops a run, what it reports."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import EncryptedBytes, EncryptedString, Sealer
from sqlalchemy_sealed.aead import Xaes
from sqlalchemy_sealed.errors import KeystoreError, StaleKeysError
from sqlalchemy_sealed.reseal import Outcome, Range, Runner, moved_table
from sqlalchemy_sealed.reseal.pace import SIZE, Pace
from sqlalchemy_sealed.reseal.retries import Patience

from .moved import ON_POSTGRESQL, insert, key_ids, move, opened_rows, resealing

MIB = 1 << 20


def files() -> sa.Table:
    """Return a table of sealed bytes."""
    return sa.Table(
        "files",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("c", EncryptedBytes()),
    )


def runner(engine: sa.Engine, table: sa.Table, **options: Any) -> Runner:
    """Return what goes over a table."""
    with engine.connect() as connection:
        found = moved_table(connection, table.name)
    return Runner(engine, found, resealing(table), **options)


@ON_MARIADB_TOO
def test_values_of_a_mebibyte(engine: sa.Engine, sealer: Sealer) -> None:
    """They are moved as short ones are, which lie between them."""
    table = files()
    sizes = [MIB + n if n % 3 == 0 else n for n in range(1, 16)]
    insert(engine, table, *({"id": n, "c": bytes(size)} for n, size in enumerate(sizes, 1)))
    sealer.rotate()
    outcome = move(engine, table, resealing(table), rows=100)
    assert (outcome.changed, outcome.bad) == (15, 0)
    assert [len(value) for _, value in sorted(opened_rows(engine, table))] == sizes
    assert key_ids(engine, table, "c") == {sealer.keyset.primary.key_id.hex()}


@ON_POSTGRESQL
def test_a_page_ends_when_it_is_full(engine: sa.Engine, sealer: Sealer) -> None:
    """Wide rows that follow narrow ones do not make a page too large for memory."""
    table = files()
    wide = [{"id": n, "c": bytes(MIB)} for n in range(101, 121)]
    insert(engine, table, *({"id": n, "c": b"narrow"} for n in range(1, 101)), *wide)
    sealer.rotate()
    batches: list[Outcome] = []
    pace = Pace(most=1000)
    pace.rows = 1000
    total = runner(engine, table, pace=pace, tell=batches.append).pass_over(Range())
    assert total.changed == 120
    assert batches[0].read > 100
    assert max(batch.size for batch in batches) < SIZE + 2 * MIB


@ON_MARIADB_TOO
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6, 100])
def test_no_row_is_passed_over_at_the_end_of_a_page(
    rows: int, engine: sa.Engine, sealer: Sealer
) -> None:
    """Pages of any size, full or not, find each row once; stale ones lie among others."""
    table = files()
    insert(engine, table, *({"id": n, "c": b"old"} for n in range(1, 11)))
    sealer.rotate()
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [{"id": n, "c": b"new"} for n in range(11, 15)])
        connection.execute(sa.update(table).where(table.c.id.in_((2, 5, 6))).values(c=b"new"))
    told: list[Outcome] = []
    total = runner(engine, table, pace=Pace(most=rows), tell=told.append).pass_over(Range())
    assert (total.read, total.changed) == (7, 7)
    assert sum(each.changed for each in told) == 7


@ON_MARIADB_TOO
def test_a_range_has_its_rows_only(engine: sa.Engine, sealer: Sealer) -> None:
    """Above its first bound, and up to its last."""
    table = files()
    insert(engine, table, *({"id": n, "c": b"old"} for n in range(1, 21)))
    sealer.rotate()
    go = runner(engine, table, pace=Pace(most=3))
    counts = [
        go.pass_over(range_).changed
        for range_ in (Range((5,), (10,)), Range(None, (5,)), Range((10,), None), Range())
    ]
    assert counts == [5, 5, 10, 0]


def test_a_run_that_is_stopped_ends_after_its_batch(engine: sa.Engine, sealer: Sealer) -> None:
    """What was read is written; the rest stays for the next run."""
    table = files()
    insert(engine, table, *({"id": n, "c": b"old"} for n in range(1, 101)))
    sealer.rotate()
    stop = threading.Event()
    go = runner(
        engine, table, pace=Pace(most=5), patience=Patience(stop=stop), tell=lambda _: stop.set()
    )
    total = go.pass_over(Range())
    assert 0 < total.changed < 100
    assert total.changed == total.read
    assert move(engine, table, resealing(table)).changed == 100 - total.changed


def test_a_rotation_in_the_midst_takes_effect(engine: sa.Engine, sealer: Sealer) -> None:
    """Rows that were done are stale again then, and another pass finds them."""
    table = files()
    insert(engine, table, *({"id": n, "c": b"old"} for n in range(1, 51)))
    sealer.rotate()
    rotated: list[Any] = []

    def tell(_outcome: Outcome) -> None:
        if not rotated:
            rotated.append(sealer.rotate())

    total = runner(engine, table, pace=Pace(most=5), tell=tell).pass_over(Range())
    assert total.changed == 50
    again = move(engine, table, resealing(table)).changed
    assert 0 < again < 50
    assert key_ids(engine, table, "c") == {sealer.keyset.primary.key_id.hex()}


def test_errors_of_keys_end_a_run(
    engine: sa.Engine, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no bad rows: no other row would be better."""
    table = files()
    insert(engine, table, *({"id": n, "c": b"old"} for n in range(1, 51)))
    sealer.rotate()

    def refuse(*_args: object, **_kw: object) -> None:
        raise StaleKeysError("the keys are too old")

    monkeypatch.setattr(Xaes, "seal_all", refuse)
    with pytest.raises(KeystoreError, match="too old"):
        move(engine, table, resealing(table))
    assert len(opened_rows(engine, table)) == 50


def test_values_of_several_keys_and_suites_in_one_page(engine: sa.Engine, sealer: Sealer) -> None:
    """Neighbours need have nothing in common: keys, padding, slots, writers, or being there."""
    context = "t.c"
    columns = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("c", EncryptedString(context=context)),
    ]
    table = sa.Table("t", sa.MetaData(), *columns)
    insert(engine, table)
    padded = EncryptedString(context=context, pad=16)
    expected: list[Any] = []
    for n in range(1, 31):
        if n % 10 == 0:
            sealer.rotate()
        text = None if n % 7 == 0 else f"value {n}"
        value = sa.bindparam("c", text, padded if n % 2 else table.c.c.type)
        with engine.begin() as connection:
            connection.execute(sa.insert(table).values(id=n, c=value))
        expected.append((n, text))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE t SET c = NULL WHERE id = 7")
    outcome = move(engine, table, resealing(table), rows=100)
    assert outcome.bad == 0
    assert dict(opened_rows(engine, table)) == dict(expected)
    assert key_ids(engine, table, "c") == {sealer.keyset.primary.key_id.hex()}
