"""Values that look like envelopes and are none of ours, in the middle of a run."""

from __future__ import annotations

import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from sqlalchemy_sealed import EncryptedString, Sealer
from sqlalchemy_sealed.envelope import header, to_text
from sqlalchemy_sealed.reseal import Outcome

from .moved import insert, move, opened_rows, resealing, stored

ELSEWHERE = to_text(header(1, 0, b"12345678") + bytes(60))
"""In the form of an envelope, under a key that this installation has never had."""


def notes() -> sa.Table:
    """Return a table of sealed texts; in this form they can be written by hand."""
    column = sa.Column("c", EncryptedString(storage="text", check=False))
    return sa.Table("notes", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), column)


def moved_with(engine: sa.Engine, sealer: Sealer, value: str) -> Outcome:
    """Reseal nine rows, of which the fifth was replaced by hand, and return what was done."""
    table = notes()
    insert(engine, table, *({"id": n, "c": f"note {n}"} for n in range(1, 10)))
    with engine.begin() as connection:
        statement = sa.text("UPDATE notes SET c = :value WHERE id = 5")
        connection.execute(statement, {"value": value})
    sealer.rotate()
    return move(engine, table, resealing(table))


@ON_MARIADB_TOO
def test_a_value_under_a_key_of_elsewhere_is_a_bad_row(engine: sa.Engine, sealer: Sealer) -> None:
    """It is named by the key of its row and stays as it is; the others are resealed."""
    outcome = moved_with(engine, sealer, ELSEWHERE)
    assert (outcome.changed, outcome.bad) == (8, 1)
    (bad,) = outcome.bad_rows
    assert bad.key == (5,)
    assert ELSEWHERE not in repr(bad)
    table = notes()
    assert stored(engine, table, "c")[4] == ELSEWHERE
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM notes WHERE id = 5"))
    assert len(opened_rows(engine, table)) == 8


@ON_MARIADB_TOO
def test_what_does_not_open_under_a_known_key_is_a_bad_row(
    engine: sa.Engine, sealer: Sealer
) -> None:
    """Only opening it shows that it was not sealed here."""
    label = to_text(header(1, 0, sealer.keyset.primary.key_id) + bytes(60))
    outcome = moved_with(engine, sealer, label)
    assert (outcome.changed, outcome.bad) == (8, 1)
    assert stored(engine, notes(), "c")[4] == label
