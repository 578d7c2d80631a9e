"""What a pass over a table leaves: every value opens to what it was, and all else is as it was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedBytes,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedString,
    MatchIndex,
    Sealer,
    blind_index,
    execute_exact,
    match_table,
)
from sqlalchemy_sealed.errors import OptionError
from sqlalchemy_sealed.reseal import reseal_change

from .moved import insert, key_ids, left_over, move, opened_rows, resealing, sealed_type, stored

LONG = "long " * 50_000
LONG_AGO = datetime(2020, 1, 1)  # noqa: DTZ001 - as the column has it


class Stripped(EncryptedString):
    """A type of an application, which changes values on their way in."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Seal the value without the spaces around it."""
        return super().process_bind_param(None if value is None else value.strip(), dialect)


def table_of_all_kinds() -> sa.Table:
    """Return a table whose columns are sealed in every way."""
    return sa.Table(
        "kinds",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", sa.String(20)),
        sa.Column("bare", EncryptedString()),
        sa.Column("in_text", EncryptedString(storage="text")),
        sa.Column("found", EncryptedString(index=BlindIndex(unique=True))),
        sa.Column("found_in_text", EncryptedString(index=BlindIndex(), storage="text")),
        sa.Column("matched", EncryptedString(match=MatchIndex(), pad=16)),
        sa.Column("padded", EncryptedBytes(pad=64)),
        sa.Column("number", EncryptedInteger(index=BlindIndex())),
        sa.Column("document", EncryptedJSON()),
        sa.Column("masked", EncryptedString(masked=True)),
        sa.Column("stripped", Stripped(index=BlindIndex())),
    )


def row(number: int, text: str | None) -> dict[str, Any]:
    """Return a row of that table; NULL in each sealed column if the text is None."""
    names = ["bare", "in_text", "found_in_text", "matched", "masked", "stripped"]
    values: dict[str, Any] = dict.fromkeys(names, text)
    there = text is not None
    return values | {
        "id": number,
        "plain": f"plain {number}",
        "found": None if text is None else f"{number} {text}",
        "padded": None if text is None else text.encode(),
        "number": -(10**30) * number if there else None,
        "document": {"a": [1, None, text]} if there else None,
    }


@ON_MARIADB_TOO
def test_every_value_opens_to_what_it_was(engine: sa.Engine, sealer: Sealer) -> None:
    """Of all sealed types, NULL, the empty text and a long one; and nothing else is changed."""
    table = table_of_all_kinds()
    texts = [None, "", " ", "a", "Zürich 🦀", "it's %s :x", LONG, *(f"t{n}" for n in range(20))]
    insert(engine, table, *(row(number, text) for number, text in enumerate(texts, 1)))
    before = opened_rows(engine, table)
    changes = resealing(table)
    assert move(engine, table, changes).read == 0
    sealer.rotate(index=True)
    outcome = move(engine, table, changes)
    assert (outcome.changed, outcome.lost, outcome.bad) == (len(texts) - 1, 0, 0)
    assert opened_rows(engine, table) == before
    primary = {sealer.keyset.primary.key_id.hex()}
    assert all(key_ids(engine, table, change.source) == primary for change in changes)
    with engine.connect() as connection:
        found = connection.scalars(
            sa.select(table.c.id).where(
                table.c.found == "4 a", table.c.stripped == " a ", table.c.found_in_text == "a"
            )
        )
        assert found.all() == [4]


@ON_MARIADB_TOO
def test_values_that_are_current_are_not_touched(engine: sa.Engine, sealer: Sealer) -> None:
    """Of several sealed columns only those are written whose values are stale."""
    table = sa.Table(
        "two",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("a", EncryptedString()),
        sa.Column("b", EncryptedString(storage="text")),
    )
    insert(engine, table, *({"id": n, "a": f"a{n}", "b": f"b{n}"} for n in range(1, 10)))
    sealer.rotate()
    with engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.id % 2 == 0).values(a="new"))
        connection.execute(sa.update(table).where(table.c.id % 3 == 0).values(b="new"))
        connection.execute(sa.update(table).where(table.c.id == 9).values(a=None))
    before = opened_rows(engine, table), stored(engine, table, "a"), stored(engine, table, "b")
    assert move(engine, table, resealing(table)).changed == 7
    assert opened_rows(engine, table) == before[0]
    after = stored(engine, table, "a"), stored(engine, table, "b")
    same = [
        [x == y for x, y in zip(*pair, strict=True)] for pair in zip(before[1:], after, strict=True)
    ]
    assert same[0] == [n % 2 == 0 or n == 9 for n in range(1, 10)]
    assert same[1] == [n % 3 == 0 for n in range(1, 10)]


@ON_MARIADB_TOO
def test_two_sealers_in_one_table(engine: sa.Engine, sealer: Sealer, other_sealer: Sealer) -> None:
    """Each column goes to the primary of its own sealer."""
    table = sa.Table(
        "sealers",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("a", EncryptedString()),
        sa.Column("b", EncryptedString(sealer=other_sealer)),
    )
    insert(engine, table, *({"id": n, "a": "a", "b": "b"} for n in range(1, 20)))
    a = stored(engine, table, "a")
    other_sealer.rotate()
    assert move(engine, table, resealing(table)).changed == 19
    assert stored(engine, table, "a") == a
    assert key_ids(engine, table, "b") == {other_sealer.keyset.primary.key_id.hex()}
    assert {row[1:] for row in opened_rows(engine, table)} == {("a", "b")}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"index": BlindIndex()}),
        ({"index": BlindIndex()}, {"index": [BlindIndex(), BlindIndex("two", unique=True)]}),
        ({"index": BlindIndex()}, {}),
        ({}, {"match": MatchIndex()}),
        ({"match": MatchIndex(), "index": BlindIndex()}, {"index": BlindIndex()}),
        ({}, {"pad": 32}),
        ({"pad": 32}, {}),
        ({"storage": "text"}, {"storage": "text", "index": BlindIndex(), "pad": 8}),
    ],
)
def test_options_are_changed_in_place(
    old: dict[str, Any], new: dict[str, Any], engine: sa.Engine, sealer: Sealer
) -> None:
    """A label says how a value is sealed: values of other options are stale without a rotation."""
    before, after = (
        sa.Table(
            "t",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("c", EncryptedString(**options)),
        )
        for options in (old, new)
    )
    insert(engine, before, *({"id": n, "c": f"value {n}"} for n in range(1, 20)))
    changes = resealing(after)
    assert left_over(engine, after, changes) == 19
    assert move(engine, after, changes).changed == 19
    assert left_over(engine, after, changes) == 0
    assert set(opened_rows(engine, after)) == {(n, f"value {n}") for n in range(1, 20)}
    if "index" in new:
        with engine.connect() as connection:
            found = connection.scalars(sa.select(after.c.id).where(after.c.c == "value 7"))
            assert found.all() == [7]


def test_another_context(engine: sa.Engine, sealer: Sealer) -> None:
    """After a rotation, values of the old context get the new one; so do those that have it."""
    old = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("c", EncryptedString(context="old")),
    )
    new = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("c", EncryptedString(context="new")),
    )
    insert(engine, old, *({"id": n, "c": "old"} for n in range(1, 9)))
    with engine.begin() as connection:
        connection.execute(sa.insert(new), {"id": 9, "c": "new"})
    sealer.rotate()
    with engine.begin() as connection:
        connection.execute(sa.insert(new), {"id": 10, "c": "newest"})
    change = reseal_change("t.c", "c", sealed_type(new.c.c), before=sealed_type(old.c.c))
    outcome = move(engine, new, [change])
    assert (outcome.changed, outcome.bad) == (9, 0)
    rows = [*((n, "old") for n in range(1, 9)), (9, "new"), (10, "newest")]
    assert opened_rows(engine, new) == sorted(rows, key=repr)


def test_another_storage_takes_another_column(engine: sa.Engine, sealer: Sealer) -> None:
    """Envelopes of binary storage are copied into a column of texts, and stay where they are."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("old", EncryptedString()),
        sa.Column("new", EncryptedString(storage="text")),
    )
    insert(engine, table, *({"id": n, "old": f"v{n}" if n % 3 else None} for n in range(1, 20)))
    before, after = sealed_type(table.c.old), sealed_type(table.c.new)
    with pytest.raises(OptionError, match="one storage"):
        reseal_change("t.new", "new", after, before=before)
    change = reseal_change("t.new", "new", after, before=before, source="old")
    assert move(engine, table, [change]).changed == 13
    assert left_over(engine, table, [change]) == 0
    assert all(old == new for _, old, new in opened_rows(engine, table))


def test_nothing_of_the_application_fires(engine: sa.Engine, sealer: Sealer) -> None:
    """Neither `onupdate` nor events of the ORM, nor its version counter, take part."""

    class Base(DeclarativeBase):
        pass

    class Patient(Base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(EncryptedString())
        changed: Mapped[datetime] = mapped_column(onupdate=datetime.now)
        version: Mapped[int] = mapped_column()
        __mapper_args__ = {"version_id_col": version}

    fired: list[Any] = []
    for name in ("before_update", "after_update", "load"):
        event.listen(Patient, name, lambda *args: fired.append(args))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Patient(name="a", changed=LONG_AGO) for _ in range(10)])
        session.commit()
    table: Any = Patient.__table__
    before = opened_rows(engine, table)
    sealer.rotate()
    assert move(engine, table, resealing(table)).changed == 10
    assert (opened_rows(engine, table), fired) == (before, [])


@pytest.mark.mariadb
def test_a_column_that_every_update_sets_stays(mariadb_engine: sa.Engine, sealer: Sealer) -> None:
    """MariaDB gives the first TIMESTAMP of a table ON UPDATE, unless it is told otherwise."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("c", EncryptedString(index=BlindIndex())),
    )
    sa.Index("ix", blind_index(table.c.c))
    insert(mariadb_engine, table, *({"c": "a"} for _ in range(9)))
    with mariadb_engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE t ADD at TIMESTAMP DEFAULT '2020-01-01 00:00:00' "
            "ON UPDATE CURRENT_TIMESTAMP"
        )
    sealer.rotate()
    assert move(mariadb_engine, table, resealing(table)).changed == 9
    with mariadb_engine.connect() as connection:
        times = connection.exec_driver_sql("SELECT DISTINCT at FROM t").scalars().all()
    assert times == [LONG_AGO]


@ON_MARIADB_TOO
def test_a_token_table_follows(engine: sa.Engine, sealer: Sealer) -> None:
    """Triggers keep the tokens of a match index in step when their index key was rotated."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("c", EncryptedString(match=MatchIndex())),
    )
    tokens = match_table(table.c.c).table
    insert(engine, table, *({"id": n, "c": f"patient number {n}"} for n in range(1, 30)))
    has_tokens = engine.dialect.name != "postgresql"
    before = set(opened_rows(engine, tokens)) if has_tokens else set()
    sealer.rotate(index=True)
    assert move(engine, table, resealing(table)).changed == 29
    if has_tokens:
        after = set(opened_rows(engine, tokens))
        assert len(after) > 300
        assert not after & before
    query = sa.select(table.c.id).where(table.c.c.contains("ber 17"))
    with Session(engine) as session:
        assert execute_exact(session, query).scalars().all() == [17]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
        st.tuples(st.none() | st.text(max_size=40), st.none() | st.binary(max_size=40)),
        max_size=30,
    ),
    batch=st.integers(1, 9),
)
def test_any_rows_of_any_texts(
    rows: dict[str, tuple[str | None, bytes | None]],
    batch: int,
    engine: sa.Engine,
    sealer: Sealer,
) -> None:
    """Whatever the keys and values are, all are found, and none is another one afterwards."""
    table = sa.Table(
        "any",
        sa.MetaData(),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("a", EncryptedString(storage="text")),
        sa.Column("b", EncryptedBytes(pad=8)),
    )
    table.drop(engine, checkfirst=True)
    insert(engine, table)
    with engine.begin() as connection:
        for key, (a, b) in rows.items():
            connection.execute(sa.insert(table), {"key": key, "a": a, "b": b})
    sealer.rotate()
    move(engine, table, resealing(table), rows=batch)
    assert {key: (a, b) for key, a, b in opened_rows(engine, table)} == rows
    assert left_over(engine, table, resealing(table)) == 0
