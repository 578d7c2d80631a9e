"""Every type in every form, by every way to write and to read it, by every driver."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from drivers.columns import ROWS, SEALED, TABLE, VALUES, assert_same
from drivers.places import Place
from drivers.stored import assert_sealed
from drivers.writing import WRITERS, executemany, mapped
from sqlalchemy_sealed import Sealer, types
from sqlalchemy_sealed.errors import NotAnEnvelopeError

BY_ID = TABLE.select().order_by(TABLE.c.id)


def test_every_type_is_among_them() -> None:
    """The table has columns of each public sealed type."""
    makers = [make.func if isinstance(make, partial) else make for make, *_ in VALUES.values()]
    public = {name for name in types.__all__ if name.startswith("Encrypted")}
    assert {maker.__name__ for maker in makers} == public


@pytest.mark.parametrize("way", WRITERS)
def test_what_is_written_is_sealed_and_read_again(
    way: str, place: Place, table: sa.Table, sealer: Sealer
) -> None:
    """A connection of the driver itself finds envelopes, and the types read what was written."""
    returned = place.run(WRITERS[way])
    if returned is not None:
        assert_same(returned, [{name: row[name] for name in returned[0]} for row in ROWS])
    assert_same(place.run(lambda connection: connection.execute(BY_ID).mappings().all()))
    stored = place.raw("SELECT * FROM everything ORDER BY id")
    assert len(stored) == len(ROWS)
    for raw, row in zip(stored, ROWS, strict=True):
        for column in SEALED:
            assert_sealed(raw[column.name], column, row[column.name], sealer, place)


def objects(connection: sa.Connection) -> Any:
    """Read objects of the ORM."""
    with Session(connection) as session:
        items = session.scalars(sa.select(mapped()).order_by(TABLE.c.id)).all()
        return [dict(vars(item)) for item in items]


def one_by_one(connection: sa.Connection) -> Any:
    """Read objects of the ORM by primary key."""
    class_ = mapped()
    with Session(connection) as session:
        return [dict(vars(session.get_one(class_, row["id"]))) for row in ROWS]


def stream(connection: sa.Connection) -> Any:
    """Read rows in parts, from a cursor of the server where there are such."""
    result = connection.execute(BY_ID, execution_options={"yield_per": 2})
    parts = list(result.mappings().partitions())
    assert [len(part) for part in parts] == [2, 2]
    return [row for part in parts for row in part]


def textual(connection: sa.Connection) -> Any:
    """Read rows by SQL text that is told the types of its columns."""
    query = sa.text("SELECT * FROM everything ORDER BY id").columns(*TABLE.c)
    return connection.execute(query).mappings().all()


def union(connection: sa.Connection) -> Any:
    """Read rows by a UNION ALL, whose types are those of its first SELECT."""
    first, rest = (
        TABLE.select().where(condition) for condition in (TABLE.c.id < 2, TABLE.c.id > 1)
    )
    both = sa.union_all(first, rest).subquery()
    return connection.execute(both.select().order_by(both.c.id)).mappings().all()


def updated(connection: sa.Connection) -> Any:
    """Read what an UPDATE returns, or where there is no such, what a DELETE does."""
    if connection.dialect.name == "mariadb":
        statement: Any = TABLE.delete().returning(TABLE)
    else:
        statement = TABLE.update().values(id=TABLE.c.id + 0).returning(TABLE)
    return sorted(connection.execute(statement).mappings().all(), key=lambda row: row["id"])


@pytest.mark.parametrize("read", [objects, one_by_one, stream, textual, union, updated])
def test_ways_to_read(
    read: Callable[[sa.Connection], Any], place: Place, table: sa.Table, sealer: Sealer
) -> None:
    """Each gives the values that were written."""
    place.run(executemany)
    assert_same(place.run(read))


class LostProcessors(sa.LargeBinary):
    """A sealed type as one might write it: SQLAlchemy replaces it by the driver's own type."""

    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """Never called, by asyncpg."""
        return lambda value: b"sealed" + value

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """Never called, by asyncpg."""
        return lambda value: bytes(value).removeprefix(b"sealed")


PLAIN = sa.Table(
    "plain",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("data", LostProcessors()),
    sa.Column("note", sa.Text),
)


def test_plaintext_would_be_noticed(place: Place, sealer: Sealer) -> None:
    """
    What a type stores that loses its processors fails the check, though it is read unchanged.

    With asyncpg, a subclass of LargeBinary is such a type.
    """
    place.run(PLAIN.create)
    row = {"id": 1, "data": b"canary", "note": "canary"}
    try:
        place.run(lambda connection: connection.execute(PLAIN.insert(), row))
        read = place.run(lambda connection: connection.execute(PLAIN.select()).mappings().one())
        raw = place.raw("SELECT * FROM plain")[0]
    finally:
        place.run(PLAIN.drop)
    assert read == row
    lost = place.driver.name == "postgresql+asyncpg"
    assert bytes(raw["data"]) == (b"canary" if lost else b"sealedcanary")
    for name, stored in (("string_binary", raw["data"]), ("string_text", raw["note"])):
        with pytest.raises(NotAnEnvelopeError):
            assert_sealed(stored, TABLE.c[name], "canary", sealer, place)
