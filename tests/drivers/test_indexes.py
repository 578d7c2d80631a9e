"""Blind and match indexes by every driver: what they find, and what of them is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, registry

from drivers.people import ROWS, people
from drivers.places import Place, Rows
from drivers.stored import assert_sealed, envelope_of
from sqlalchemy_sealed import Sealer, blind_index, execute_exact, match_index
from sqlalchemy_sealed.envelope import to_text

TABLES = {storage: people(storage) for storage in ("binary", "text")}


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, place: Place, sealer: Sealer) -> Iterator[sa.Table]:
    """Return the table with all its rows, in one storage form."""
    table = TABLES[request.param]
    metadata = table.metadata
    place.run(metadata.create_all)
    place.run(lambda connection: connection.execute(table.insert(), ROWS))
    yield table
    place.run(metadata.drop_all)


def ids(place: Place, table: sa.Table, condition: Any) -> list[int]:
    """Return the rows that a condition finds."""
    statement = sa.select(table.c.id).where(condition).order_by(table.c.id)
    return list(place.run(lambda connection: execute_exact(connection, statement).scalars()))


def test_equality(place: Place, table: sa.Table) -> None:
    """One value, several, none of them, those beside them, and NULL."""
    email, city = table.c.email, table.c.city
    assert ids(place, table, email == "CANARY.ADA@EXAMPLE.ORG") == [1]
    assert ids(place, table, email == "") == [3]
    assert ids(place, table, email == "x" * 70_000) == [5]
    assert ids(place, table, email == "nobody") == []
    assert ids(place, table, email != "canary.ada@example.org") == [2, 3, 5]
    assert ids(place, table, email.is_(None)) == [4]
    assert ids(place, table, city == "canary town") == [1, 2]
    assert ids(place, table, city.in_(["", "canary town", "nowhere"])) == [1, 2, 3]
    assert ids(place, table, city.in_([])) == []
    assert ids(place, table, city.not_in(["canary town"])) == [3, 5]
    many = [f"town {number}" for number in range(2_000)]
    assert ids(place, table, city.in_([*many, "y" * 70_000])) == [5]
    assert ids(place, table, city.is_distinct_from("canary town")) == [3, 4, 5]


def test_words(place: Place, table: sa.Table) -> None:
    """A match index finds parts of texts."""
    note = table.c.note
    assert ids(place, table, note.contains("headache")) == [1, 5]
    assert ids(place, table, note.contains("fever")) == [2]
    assert ids(place, table, note.startswith("canary")) == [1, 2]
    assert ids(place, table, note.icontains("FEVER")) == [2]


def test_a_join_and_the_orm(place: Place, table: sa.Table) -> None:
    """Columns are compared with columns; `filter_by`, UPDATE and DELETE search, too."""
    class_: Any = type("Person", (), {})
    registry().map_imperatively(class_, table)
    other = table.alias()
    pairs = (
        sa.select(table.c.id, other.c.id)
        .join_from(table, other, table.c.city == other.c.city)
        .where(table.c.id < other.c.id)
    )

    def work(connection: Connection) -> None:
        assert connection.execute(pairs).all() == [(1, 2)]
        with Session(connection) as session:
            ada = session.scalars(sa.select(class_).filter_by(city="")).one()
            assert ada.id == 3
            changed = sa.update(class_).where(class_.city == "canary town").values(note="new")
            assert session.execute(changed).rowcount == 2
            gone = sa.delete(class_).where(class_.email == "canary.bob@example.org")
            assert session.execute(gone).rowcount == 1
            session.commit()
        statement = sa.select(table.c.note).where(table.c.city == "canary town")
        assert connection.scalars(statement).all() == ["new"]

    place.run(work)


def test_an_upsert_by_a_unique_index(place: Place, table: sa.Table, sealer: Sealer) -> None:
    """A value that is there is changed, and a plain INSERT of it refused."""
    row = {"email": "CANARY.ada@example.org", "city": "canary city", "visits": 7}

    def upsert(connection: Connection) -> None:
        match connection.dialect.name:
            case "mysql" | "mariadb":
                insert: Any = mysql.insert(table).values(row)
                insert = insert.on_duplicate_key_update(
                    {name: insert.inserted[name] for name in ("city", "visits")}
                )
            case dialect:
                insert = {"sqlite": sqlite, "postgresql": postgresql}[dialect].insert(table)
                insert = insert.values(row)
                insert = insert.on_conflict_do_update(
                    index_elements=[blind_index(table.c.email)],
                    set_={name: insert.excluded[name] for name in ("city", "visits")},
                )
        connection.execute(insert)

    place.run(upsert)
    select = table.select().where(table.c.id == 1)
    first = place.run(lambda connection: connection.execute(select).mappings().one())
    assert dict(first) == ROWS[0] | {"city": "canary city", "visits": 7}
    raw = place.raw("SELECT city FROM people WHERE id = 1")[0]["city"]
    assert_sealed(raw, table.c.city, "canary city", sealer, place)
    with pytest.raises(IntegrityError):
        place.run(lambda connection: connection.execute(table.insert(), row))


# -- what is stored


def test_slots_and_tokens_are_all_that_shows(place: Place, table: sa.Table, sealer: Sealer) -> None:
    """Envelopes, whose slots are equal for equal values and have nothing of the value in them."""
    slots = {}
    for raw, row in zip(place.raw("SELECT * FROM people ORDER BY id"), ROWS, strict=True):
        for column in (table.c.email, table.c.city, table.c.note):
            assert_sealed(raw[column.name], column, row[column.name], sealer, place)
        if row["id"] != 4:
            slots[row["id"]] = envelope_of(raw["city"], table.c.city, place).slots
    assert slots[1] == slots[2]
    assert len({*slots.values()}) == 3


def test_what_the_database_takes_out_of_them(place: Place, table: sa.Table) -> None:
    """Indexed expressions, companion columns and the token table hold slots and tokens."""
    envelopes = {
        raw["id"]: {name: envelope_of(raw[name], table.c[name], place) for name in ("city", "note")}
        for raw in place.raw("SELECT * FROM people WHERE id <> 4")
    }
    is_text = table.c.city.type.settings.is_text
    for raw in place.raw(f"SELECT id, {SLOT[place.driver.database](is_text)} AS slot FROM people"):
        if raw["id"] == 4:
            assert raw["slot"] is None
            continue
        (slot,) = envelopes[raw["id"]]["city"].slots
        stored = raw["slot"]
        assert (stored if is_text else bytes(stored)) == (to_text(slot) if is_text else slot)
    in_capitals = place.driver.database != "postgresql"
    wanted = {
        (number, to_text(token) if is_text else token.hex().upper() if in_capitals else token.hex())
        for number, envelope in envelopes.items()
        for token in envelope["note"].tokens
    }
    assert wanted
    assert {(n, token) for n, token in tokens(place, table) if token != "-"} == wanted


SLOT: dict[str, Callable[[bool], str]] = {
    "sqlite": lambda is_text: f"substr(city, {'17, 20' if is_text else '13, 15'})",
    "postgresql": lambda is_text: f"substr(city, {'17, 20' if is_text else '13, 15'})",
    "mariadb": lambda is_text: f"city_sealed_{'text_' if is_text else ''}slot0",
}
"""SQL of a slot as the database has indexed it: in MariaDB it is a companion column."""


def tokens(place: Place, table: sa.Table) -> Iterator[tuple[int, str]]:
    """Yield the tokens that the database has indexed, with the number of their row."""
    if place.driver.database == "postgresql":
        expression = match_index(table.c.note).compile(dialect=postgresql.dialect())
        rows: Rows = place.raw(f"SELECT id, unnest({expression}) AS token FROM people")
        yield from ((row["id"], row["token"]) for row in rows)
        return
    for row in place.raw("SELECT id, sealed_token FROM people_note_match"):
        yield row["id"], row["sealed_token"]


def test_the_indexes_are_there(place: Place, table: sa.Table) -> None:
    """The database has made the indexes that were declared over slots and tokens."""
    query = {
        "sqlite": "SELECT name, sql AS text FROM sqlite_master WHERE type = 'index'",
        "postgresql": "SELECT indexname AS name, indexdef AS text FROM pg_indexes",
        "mariadb": "SELECT index_name AS name, column_name AS text "
        "FROM information_schema.statistics WHERE table_schema = DATABASE()",
    }
    found = {row["name"]: row["text"] or "" for row in place.raw(query[place.driver.database])}
    wanted = "city_sealed" if place.driver.database == "mariadb" else "substr(city"
    assert wanted in found["ix_people_city"]
    assert ("ix_people_note" in found) == (place.driver.database == "postgresql")


def test_a_filter_that_is_optional(place: Place, table: sa.Table) -> None:
    """A parameter may be None: `:city IS NULL OR city = :city`, and what is compared with it."""
    wanted = sa.bindparam("city", type_=table.c.city.type)
    statement = (
        sa.select(table.c.id)
        .where(sa.or_(wanted.is_(None), table.c.city == sa.bindparam("same")))
        .order_by(table.c.id)
    )

    def work(connection: Connection) -> list[list[int]]:
        return [
            list(connection.scalars(statement, {"city": city, "same": city}))
            for city in (None, "canary town", "", "nowhere")
        ]

    assert place.run(work) == [[1, 2, 3, 4, 5], [1, 2], [3], []]
