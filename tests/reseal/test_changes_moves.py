"""Plaintext becomes sealed, and sealed values plaintext: in place, and in another column."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedBytes,
    EncryptedDate,
    EncryptedEnum,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    Sealer,
)
from sqlalchemy_sealed.envelope import MAGIC, to_text
from sqlalchemy_sealed.errors import OptionError, ResealError
from sqlalchemy_sealed.reseal import decrypt_change, encrypt_change
from sqlalchemy_sealed.types import Encrypted

from .moved import insert, left_over, move, opened_rows, sealed_type, stored


class Colour(Enum):
    """Of an enumeration, the database has the names."""

    RED = 1
    BLUE = 2


KINDS: list[tuple[Any, Encrypted[Any], list[Any]]] = [
    (sa.String(50), EncryptedString(index=BlindIndex()), ["", "a", "Zürich", None]),
    (sa.LargeBinary(), EncryptedBytes(), [b"", b"\0a", None]),
    (sa.BigInteger(), EncryptedInteger(), [0, -1, 1 << 62, None]),
    (sa.Numeric(10, 2), EncryptedNumeric(10, 2), [Decimal("1.00"), Decimal("-0.10"), None]),
    (sa.Date(), EncryptedDate(), [date(1, 1, 1), date(9999, 12, 31), None]),
    (sa.Enum(Colour), EncryptedEnum(Colour), [Colour.RED, Colour.BLUE, None]),
    (sa.JSON(none_as_null=True), EncryptedJSON(), [{"a": [1.5, None]}, [], "text", None]),
]


@ON_MARIADB_TOO
@pytest.mark.parametrize(("plain", "sealed", "values"), KINDS)
def test_values_go_to_another_column_and_back(
    plain: Any, sealed: Encrypted[Any], values: list[Any], engine: sa.Engine, sealer: Sealer
) -> None:
    """The sealed column opens to what the plain one has, and the other way round."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", plain),
        sa.Column("sealed", sealed.copy()),
        sa.Column("again", plain.copy()),
    )
    rows = [{"id": n, "plain": value} for n, value in enumerate(values * 4, 1)]
    insert(engine, table, *rows)
    type_ = sealed_type(table.c.sealed)
    there = sum(row["plain"] is not None for row in rows)
    encrypt = encrypt_change("t.sealed", "sealed", type_, source="plain")
    assert move(engine, table, [encrypt]).changed == there
    decrypt = decrypt_change("t.sealed", "sealed", type_, target="again")
    assert move(engine, table, [decrypt]).changed == there
    for change in (encrypt, decrypt):
        assert left_over(engine, table, [change]) == 0
    expected = [(row["id"], *[row["plain"]] * 3) for row in rows]
    assert opened_rows(engine, table) == sorted(expected, key=repr)


@ON_MARIADB_TOO
def test_a_json_null_is_no_null(engine: sa.Engine, sealer: Sealer) -> None:
    """The JSON null is a value: it is sealed, and is read as None."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", sa.JSON()),
        sa.Column("sealed", EncryptedJSON()),
    )
    rows = [{"id": 1, "plain": sa.JSON.NULL}, {"id": 2, "plain": sa.null()}]
    table.create(engine)
    with engine.begin() as connection:
        for row in rows:
            connection.execute(sa.insert(table).values(row))
    change = encrypt_change("t.sealed", "sealed", sealed_type(table.c.sealed), source="plain")
    assert move(engine, table, [change]).changed == 1
    first, second = stored(engine, table, "sealed")
    assert (first is not None, second is None) == (True, True)
    assert left_over(engine, table, [change]) == 0


def in_place(*names: str) -> tuple[sa.Table, sa.Table]:
    """Return a table of texts, and the same one with sealed columns."""
    key = sa.Column("id", sa.Integer, primary_key=True)
    plain = [sa.Column(name, sa.Text) for name in names]
    sealed = [sa.Column(name, EncryptedString(storage="text", check=False)) for name in names]
    return (
        sa.Table("t", sa.MetaData(), key, *plain),
        sa.Table("t", sa.MetaData(), key._copy(), *sealed),
    )


TEXTS = [
    "",
    "a",
    "seal",
    "seal of approval",
    "sealed" * 20 + "!",
    "sealed" * 20 + "\u212a",
    "Zürich",
]
"""Some begin as the text of an envelope does. The last letter of one, the Kelvin sign, is a k for
databases that do not regard case."""


@ON_MARIADB_TOO
def test_texts_change_places_with_their_envelopes(engine: sa.Engine, sealer: Sealer) -> None:
    """In place, what looks like an envelope is left alone, and a second pass finds nothing."""
    plain, sealed = in_place("a", "b")
    types = {name: sealed_type(sealed.c[name]) for name in ("a", "b")}
    rows = [{"id": n, "a": text, "b": None} for n, text in enumerate(TEXTS, 1)]
    insert(engine, plain, *rows)
    with engine.begin() as connection:
        connection.execute(sa.insert(sealed), {"id": 50, "a": "new", "b": "new"})
        connection.execute(sa.insert(plain), {"id": 51, "a": "old", "b": None})
        connection.execute(sa.update(sealed).where(sealed.c.id == 51).values(b="new"))
    changes = [encrypt_change(f"t.{name}", name, type_) for name, type_ in types.items()]
    outcome = move(engine, sealed, changes)
    assert (outcome.changed, outcome.bad) == (len(TEXTS) + 1, 0)
    assert move(engine, sealed, changes).read == 0
    expected = {row["id"]: (row["a"], None) for row in rows}
    expected |= {50: ("new", "new"), 51: ("old", "new")}
    assert {key: (a, b) for key, a, b in opened_rows(engine, sealed)} == expected
    back = [decrypt_change(f"t.{name}", name, type_) for name, type_ in types.items()]
    assert move(engine, sealed, back).changed == len(TEXTS) + 2
    assert {key: (a, b) for key, a, b in opened_rows(engine, plain)} == expected


def test_what_cannot_be_converted_stays(engine: sa.Engine, sealer: Sealer) -> None:
    """It is reported with its key and column, never with its value; the other rows are done."""
    _, sealed = in_place("a", "b")
    insert(engine, sealed, *({"id": n, "a": f"secret {n}", "b": "b"} for n in range(1, 10)))
    wrong = to_text(MAGIC + bytes(60))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE t SET a = '{wrong}' WHERE id = 4")
    type_ = sealed_type(sealed.c.a)
    outcome = move(engine, sealed, [decrypt_change("t.a", "a", type_)])
    assert (outcome.changed, outcome.bad) == (8, 1)
    [row] = outcome.bad_rows
    assert (row.key, row.column, row.code) == ((4,), "t.a", "not-an-envelope")
    assert stored(engine, sealed, "a")[3] == wrong
    assert wrong not in row.problem


def test_a_plaintext_that_looks_like_an_envelope_is_not_opened_in_place(
    engine: sa.Engine, sealer: Sealer
) -> None:
    """Nobody could tell it from one afterwards."""
    _, sealed = in_place("a")
    inner = to_text(MAGIC + bytes(60))
    insert(engine, sealed, {"id": 1, "a": inner})
    outcome = move(engine, sealed, [decrypt_change("t.a", "a", sealed_type(sealed.c.a))])
    assert [row.code for row in outcome.bad_rows] == ["value-refused"]
    assert opened_rows(engine, sealed) == [(1, inner)]


class Loud(EncryptedString):
    """A type of an application with an error of its own, which quotes the value."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Refuse one value, and make nothing of another."""
        if value == "secret 3":
            raise RuntimeError(value)
        return super().process_bind_param(None if value == "secret 4" else value, dialect)


def test_errors_of_a_type_of_the_application(engine: sa.Engine, sealer: Sealer) -> None:
    """They make a bad row, and what they quote is not repeated."""
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", sa.Text),
        sa.Column("sealed", Loud()),
    )
    insert(engine, table, *({"id": n, "plain": f"secret {n}"} for n in range(1, 6)))
    change = encrypt_change("t.sealed", "sealed", sealed_type(table.c.sealed), source="plain")
    outcome = move(engine, table, [change])
    assert (outcome.changed, [row.key for row in outcome.bad_rows]) == (3, [(3,), (4,)])
    assert "RuntimeError" in outcome.bad_rows[0].problem
    assert "NULL" in outcome.bad_rows[1].problem
    assert "secret" not in repr(outcome)


@pytest.mark.parametrize(
    "type_",
    [
        EncryptedJSON(storage="text", context="x"),
        EncryptedInteger(storage="text", context="x"),
        EncryptedEnum(Colour, storage="text", context="x"),
        EncryptedString(context="x"),
        EncryptedBytes(storage="text", context="x"),
    ],
)
def test_in_place_means_that_both_are_of_one_type(type_: Encrypted[Any]) -> None:
    """The text of a JSON document in a column of texts would be sealed as a JSON string."""
    for change in (encrypt_change, decrypt_change):
        with pytest.raises(OptionError, match="another column"):
            change("t.c", "c", type_)


@pytest.mark.mariadb
def test_a_column_that_is_too_narrow_loses_nothing(
    mariadb_engine: sa.Engine, sealer: Sealer
) -> None:
    """MariaDB would cut values off, with a warning only, if its mode is not strict."""
    with mariadb_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY, a varchar(60))")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 'plain')")
    url = mariadb_engine.url.update_query_dict({"sql_mode": ""})
    _, sealed = in_place("a")
    loose = sa.create_engine(url)
    try:
        with pytest.raises(ResealError, match="too narrow"):
            move(loose, sealed, [encrypt_change("t.a", "a", sealed_type(sealed.c.a))])
    finally:
        loose.dispose()
    assert stored(mariadb_engine, sealed, "a") == ["plain"]
