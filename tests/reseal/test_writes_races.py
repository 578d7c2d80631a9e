"""A write of the application always wins: a row is written only as it was read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO, any_case, have
from sqlalchemy.dialects import mysql

from sqlalchemy_sealed import (
    EncryptedDateTime,
    EncryptedFloat,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    Sealer,
)
from sqlalchemy_sealed.reseal import (
    Change,
    Outcome,
    Range,
    Runner,
    encrypt_change,
    moved_table,
)
from sqlalchemy_sealed.reseal.pace import Pace
from sqlalchemy_sealed.reseal.pages import page
from sqlalchemy_sealed.reseal.writes import Writer
from sqlalchemy_sealed.types import Encrypted

from .moved import (
    ON_POSTGRESQL,
    insert,
    key_ids,
    left_over,
    move,
    opened_rows,
    resealing,
    sealed_type,
)

MIDNIGHT = datetime(2026, 1, 1)  # noqa: DTZ001 - as the column has it
Meanwhile = Callable[[sa.Connection], Any]


def patients() -> sa.Table:
    """Return a table with a sealed column of binary storage and one of text storage."""
    return sa.Table(
        "patients",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("a", EncryptedString()),
        sa.Column("b", EncryptedString(storage="text")),
    )


def rows(count: int = 10) -> list[dict[str, Any]]:
    """Return rows of that table."""
    return [{"id": n, "a": f"a{n}", "b": f"b{n}"} for n in range(1, count + 1)]


def move_while(
    engine: sa.Engine, table: sa.Table, changes: list[Change], meanwhile: Meanwhile
) -> Outcome:
    """Go over a table, and do something between the reading and the writing of its first page."""
    with engine.connect() as connection:
        found = moved_table(connection, table.name)
    runner = Runner(engine, found, changes, pace=Pace(most=100))
    convert = runner._converted
    done: list[bool] = []

    def converted(page: Any) -> Any:
        if not done:
            done.append(True)
            with engine.begin() as connection:
                meanwhile(connection)
        return convert(page)

    runner._converted = converted  # type: ignore[method-assign]
    return runner.pass_over(Range())


@ON_MARIADB_TOO
def test_a_value_that_is_written_meanwhile_stays(engine: sa.Engine, sealer: Sealer) -> None:
    """It may be sealed under the old key, as by a process that has not read the new one."""
    table = patients()
    insert(engine, table, *rows())
    sealer.rotate()

    def meanwhile(connection: sa.Connection) -> None:
        connection.execute(sa.update(table).where(table.c.id == 3).values(a="new"))
        connection.execute(sa.update(table).where(table.c.id == 4).values(b="new"))
        connection.execute(sa.update(table).where(table.c.id == 5).values(a=None))
        connection.execute(sa.delete(table).where(table.c.id == 6))
        connection.execute(sa.update(table).where(table.c.id == 7).values(id=70))

    changes = resealing(table)
    outcome = move_while(engine, table, changes, meanwhile)
    assert (outcome.changed, outcome.lost) == (5, 5)
    assert left_over(engine, table, changes) > 0
    move(engine, table, changes)
    assert left_over(engine, table, changes) == 0
    expected = {n: (f"a{n}", f"b{n}") for n in (1, 2, 8, 9, 10)}
    expected |= {3: ("new", "b3"), 4: ("a4", "new"), 5: (None, "b5"), 70: ("a7", "b7")}
    assert {key: (a, b) for key, a, b in opened_rows(engine, table)} == expected
    assert key_ids(engine, table, "b") == {sealer.keyset.primary.key_id.hex()}


@ON_MARIADB_TOO
def test_rows_that_change_places_do_not_change_values(engine: sa.Engine, sealer: Sealer) -> None:
    """A key that means another row now is not the row that was read."""
    table = patients()
    insert(engine, table, *rows(2))
    sealer.rotate()

    def swap(connection: sa.Connection) -> None:
        for old, new in ((1, 9), (2, 1), (9, 2)):
            connection.execute(sa.update(table).where(table.c.id == old).values(id=new))

    assert move_while(engine, table, resealing(table), swap).lost == 2
    move(engine, table, resealing(table))
    assert opened_rows(engine, table) == [(1, "a2", "b2"), (2, "a1", "b1")]


@ON_MARIADB_TOO
def test_a_batch_that_is_written_twice_changes_nothing(engine: sa.Engine, sealer: Sealer) -> None:
    """As after a connection that was lost before the answer to its commit came."""
    table = patients()
    insert(engine, table, *rows())
    sealer.rotate()
    with engine.begin() as connection:
        found, changes = moved_table(connection, table.name), resealing(table)
        page_of = page(connection, found, changes, Range(), 100)
        batch = Runner(engine, found, changes)._converted(connection.execute(page_of).all())[1]
        writer = Writer(connection, found, changes)
        assert (writer.write(batch), writer.write(batch)) == (10, 0)


WORDS = ["Ann", "ann", "ANN", "ann ", "Änn"]
"""What one collation or another takes for the same."""


@ON_MARIADB_TOO
@pytest.mark.parametrize("new", WORDS[1:])
def test_a_text_is_compared_by_its_bytes(new: str, engine: sa.Engine, sealer: Sealer) -> None:
    """Whatever the collation: another case, spaces at the end and other accents are a change."""
    collation = {"sqlite": "NOCASE", "mariadb": "utf8mb4_general_ci"}.get(engine.dialect.name)
    if engine.dialect.name == "postgresql":
        collation = "any_case"
        with engine.begin() as connection:
            have(connection, any_case("und-u-ks-level1"))
    plain = sa.String(20, collation=collation)
    table = sa.Table(
        "words",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", plain),
        sa.Column("sealed", EncryptedString()),
    )
    insert(engine, table, {"id": 1, "plain": WORDS[0]})
    change = encrypt_change("words.sealed", "sealed", sealed_type(table.c.sealed), source="plain")
    outcome = move_while(
        engine,
        table,
        [change],
        lambda connection: connection.execute(sa.update(table).values(plain=new)),
    )
    assert (outcome.changed, outcome.lost) == (0, 1)
    assert move(engine, table, [change]).changed == 1
    assert opened_rows(engine, table) == [(1, new, new)]


EQUAL: list[tuple[Any, Encrypted[Any], Any, Any]] = [
    (sa.Numeric(10, 2), EncryptedNumeric(10, 2), Decimal("1.00"), Decimal("1.10")),
    (sa.JSON(), EncryptedJSON(), {"a": 1}, {"a": True}),
    (
        sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
        EncryptedDateTime(),
        MIDNIGHT,
        MIDNIGHT.replace(microsecond=1),
    ),
]


@ON_MARIADB_TOO
@pytest.mark.parametrize(("plain", "sealed", "old", "new"), EQUAL)
def test_what_is_no_text_is_compared_exactly(  # noqa: PLR0917 - the parts of a table
    plain: Any, sealed: Encrypted[Any], old: Any, new: Any, engine: sa.Engine, sealer: Sealer
) -> None:
    """Plaintext of any type is found as it was read, and a change of it is seen."""
    table = sa.Table(
        "plain",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", plain),
        sa.Column("sealed", sealed.copy()),
    )
    insert(engine, table, *({"id": n, "plain": old} for n in (1, 2)))
    change = encrypt_change("plain.sealed", "sealed", sealed_type(table.c.sealed), source="plain")
    outcome = move_while(
        engine,
        table,
        [change],
        lambda connection: connection.execute(
            sa.update(table).where(table.c.id == 2).values(plain=new)
        ),
    )
    assert (outcome.changed, outcome.lost) == (1, 1)
    assert move(engine, table, [change]).changed == 1
    assert opened_rows(engine, table) == [(1, old, old), (2, new, new)]


@ON_POSTGRESQL
def test_numbers_that_are_equal_are_not_the_same(engine: sa.Engine, sealer: Sealer) -> None:
    """In PostgreSQL 1.0 equals 1.00, and 0.0 equals -0.0; they are different plaintexts."""
    for sql_type, sealed, old, new in (
        ("numeric", EncryptedNumeric(context="n.s"), "1.0", "1.00"),
        ("float8", EncryptedFloat(context="n.s"), "0", "-0"),
    ):
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS n")
            connection.exec_driver_sql(
                f"CREATE TABLE n (id int PRIMARY KEY, p {sql_type}, s bytea)"
            )
            connection.exec_driver_sql(f"INSERT INTO n VALUES (1, '{old}')")
        table = sa.Table("n", sa.MetaData(), autoload_with=engine)
        change = encrypt_change("n.s", "s", sealed, source="p")
        outcome = move_while(
            engine,
            table,
            [change],
            lambda connection, new=new: connection.exec_driver_sql(f"UPDATE n SET p = '{new}'"),
        )
        assert (outcome.changed, outcome.lost, outcome.bad) == (0, 1, 0)


@ON_POSTGRESQL
def test_a_partitioned_table(engine: sa.Engine, sealer: Sealer) -> None:
    """Its rows are found in whichever partition they are."""
    with engine.begin() as connection:
        for statement in (
            (
                "CREATE TABLE patients (id int, a bytea, b text, PRIMARY KEY (id)) "
                "PARTITION BY RANGE (id)"
            ),
            "CREATE TABLE p1 PARTITION OF patients FOR VALUES FROM (0) TO (5)",
            "CREATE TABLE p2 PARTITION OF patients FOR VALUES FROM (5) TO (99)",
        ):
            connection.exec_driver_sql(statement)
    table = patients()
    insert(engine, table, *rows())
    before = opened_rows(engine, table)
    sealer.rotate()
    assert move(engine, table, resealing(table), rows=3).changed == 10
    assert opened_rows(engine, table) == before


@ON_POSTGRESQL
def test_a_trigger_that_keeps_a_row_is_seen(engine: sa.Engine, sealer: Sealer) -> None:
    """A row that a trigger does not let be written counts as lost, and is left to do."""
    table = patients()
    insert(engine, table, *rows())
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW; END'"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER keep BEFORE UPDATE ON patients FOR EACH ROW EXECUTE FUNCTION keep()"
        )
    sealer.rotate()
    outcome = move(engine, table, resealing(table))
    assert (outcome.changed, outcome.lost) == (9, 1)
    assert left_over(engine, table, resealing(table)) == 1
