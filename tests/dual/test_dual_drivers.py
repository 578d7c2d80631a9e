"""By each driver, both forms are read and found, and what is stored is sealed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from drivers.conftest import made, parameters
from drivers.places import DRIVERS, Place

from sqlalchemy_sealed import MaskedStr, Sealer
from sqlalchemy_sealed.plainform import looks_sealed

from .shop import Customer, create_tables, put

TABLE: Any = Customer.__table__
NAMES = ["ada", "Ada", "ädä", 'it\'s \\ "%s" :x ? $1 {}', "", "x" * 3_000]

place = pytest.fixture(scope="module", params=parameters(DRIVERS))(made)


@pytest.fixture
def shop(place: Place, sealer: Sealer) -> Iterator[Place]:
    """Return a place with each name in plaintext, written past the types, and a row of NULL."""

    def fill(connection: sa.Connection) -> None:
        create_tables(connection)
        for number, name in enumerate(NAMES):
            put(connection, number, email=name, photo=name.encode(), note=name)
        put(connection, 99)

    place.run(fill)
    yield place
    place.run(TABLE.metadata.drop_all)


def write(place: Place) -> None:
    """Write a row of each name, one by one and many at once, and change one of plaintext."""
    rows = [
        {"id": 100 + number, "email": name, "photo": name.encode(), "note": name}
        for number, name in enumerate(NAMES)
    ]

    def work(connection: sa.Connection) -> None:
        connection.execute(TABLE.insert(), rows[0])
        connection.execute(TABLE.insert(), rows[1:])
        connection.execute(TABLE.update().where(TABLE.c.id == 1).values(note="changed"))

    place.run(work)


def stored(place: Place, column: str) -> dict[int, Any]:
    """Return what the driver alone finds in a column, by id; what it gives of bytes as bytes."""
    rows = place.raw(f"SELECT id, {column} AS found FROM customers")
    given = {row["id"]: row["found"] for row in rows}
    return {id_: bytes(v) if isinstance(v, memoryview) else v for id_, v in given.items()}


def test_both_forms_are_read_by_each_driver(shop: Place) -> None:
    """Plaintext comes back as it is and envelopes opened, in one result."""
    write(shop)
    query = sa.select(TABLE).order_by(TABLE.c.id)
    rows = shop.run(lambda connection: connection.execute(query).all())
    expected = [*enumerate(NAMES), (99, None), *((100 + n, name) for n, name in enumerate(NAMES))]
    assert [(row.id, row.email) for row in rows] == expected
    assert [row.photo for row in rows] == [
        None if name is None else name.encode() for _, name in expected
    ]
    notes = {row.id: row.note for row in rows}
    assert notes == dict(expected) | {1: "changed"}
    assert all(isinstance(note, MaskedStr) for note in notes.values() if note is not None)


def test_what_is_written_by_each_driver_is_sealed(shop: Place) -> None:
    """The driver alone sees envelopes in new rows and plaintext in old ones, as they were."""
    write(shop)
    texts, photos, notes = (stored(shop, column) for column in ("email", "photo", "note"))
    for number, name in enumerate(NAMES):
        assert (texts[number], photos[number]) == (name, name.encode())
        assert all(looks_sealed(each[100 + number]) for each in (texts, photos, notes))
    assert looks_sealed(notes[1])
    assert (texts[99], photos[99]) == (None, None)


def test_both_forms_are_found_by_each_driver(shop: Place) -> None:
    """By equality and in lists, whatever letters a value has, and nothing else."""
    write(shop)

    def found(connection: sa.Connection, condition: Any) -> list[int]:
        return list(connection.scalars(sa.select(TABLE.c.id).where(condition).order_by("id")))

    def work(connection: sa.Connection) -> None:
        for column, form in ((TABLE.c.email, str), (TABLE.c.photo, str.encode)):
            for number, name in enumerate(NAMES):
                both = [number, 100 + number]
                assert found(connection, column == form(name)) == both
                assert found(connection, column.in_([form(name), form("nobody")])) == both
                others = found(connection, column != form(name))
                assert len(others) == 2 * len(NAMES) - 2
            assert found(connection, column.in_([form(NAMES[0]), form(NAMES[2])])) == [
                *(0, 2, 100, 102)
            ]
            assert found(connection, column.in_([])) == []
            assert found(connection, column.is_(None)) == [99]

    shop.run(work)
