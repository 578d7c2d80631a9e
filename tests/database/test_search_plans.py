"""Searches use the index over the slot: the plans of PostgreSQL and of SQLite say so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from fix_keys import forget
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.engine.interfaces import CacheStats
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    blind_index,
    get_sealer,
)

ROWS = 3000
MANY = 100
INDEX_KEYS = {"one index key": 1, "two index keys": 2}


def declare(sealer: str) -> Any:
    """Return a mapped class whose values are sealed by one sealer, with its indexes."""

    class Base(DeclarativeBase):
        pass

    class Patient(Base):
        __tablename__ = "patients"

        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex(), sealer=sealer))
        phone: Mapped[str] = mapped_column(
            EncryptedString(
                index=[BlindIndex(), BlindIndex("last4", normalize="last4")], sealer=sealer
            )
        )
        city: Mapped[str] = mapped_column(
            EncryptedString(index=BlindIndex(), storage="text", sealer=sealer)
        )
        number: Mapped[str] = mapped_column(
            EncryptedString(index=BlindIndex(unique=True), sealer=sealer)
        )

    sa.Index("ix_email", blind_index(Patient.email))
    sa.Index("ix_phone", blind_index(Patient.phone))
    sa.Index("ix_last4", blind_index(Patient.phone, "last4"))
    sa.Index("ix_city", blind_index(Patient.city))
    return Patient


# The databases are filled once for all tests here, so each has keys of its own.
ON_POSTGRESQL = declare("plans-postgresql")
ON_SQLITE = declare("plans-sqlite")


def row(number: int) -> dict[str, str]:
    """Return the values of one patient."""
    return {
        "email": f"{number}@example.org",
        "phone": f"555-{number:06}",
        "city": f"city {number}",
        "number": f"no. {number}",
    }


def some(key: str, first: int, count: int = MANY) -> list[str]:
    """Return values of one column that are in the table."""
    return [row(number)[key] for number in range(first, first + count)]


def last4(first: int) -> list[str]:
    """Return the ends of phone numbers that are in the table."""
    return [phone[-4:] for phone in some("phone", first)]


# What is searched: the index that must be used, and the condition, made of the number of a row.
SEARCHES: dict[str, tuple[str, Callable[[Any, int], Any]]] = {
    "==": ("ix_email", lambda p, n: p.email == row(n)["email"]),
    "in_ of one": ("ix_email", lambda p, n: p.email.in_(some("email", n, 1))),
    "in_ of many": ("ix_email", lambda p, n: p.email.in_(some("email", n))),
    "== of texts": ("ix_city", lambda p, n: p.city == row(n)["city"]),
    "in_ of texts": ("ix_city", lambda p, n: p.city.in_(some("city", n))),
    "the first index of two": ("ix_phone", lambda p, n: p.phone == row(n)["phone"]),
    "the second index": ("ix_last4", lambda p, n: blind_index(p.phone, "last4") == last4(n)[0]),
    "the second index, in_": (
        "ix_last4",
        lambda p, n: blind_index(p.phone, "last4").in_(last4(n)),
    ),
    "a unique index": ("ux_patients_number_equal", lambda p, n: p.number == row(n)["number"]),
    "a unique index, in_": (
        "ux_patients_number_equal",
        lambda p, n: p.number.in_(some("number", n)),
    ),
}

searches = pytest.mark.parametrize(("index", "condition"), SEARCHES.values(), ids=SEARCHES)


def fill(engine: sa.Engine, patient: Any, index_keys: int) -> None:
    """Make the table with its rows: half of them under another index key, if there are two."""
    sealer = get_sealer(patient.email.type.settings.sealer)
    provider, keystore = LocalRootKey.from_text(LocalRootKey.generate()), MemoryKeystore()
    KeyManager(keystore, provider).create(sealer.name)
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    patient.metadata.create_all(engine)
    rows = [row(number) for number in range(ROWS)]
    half = ROWS // 2 if index_keys == 2 else ROWS
    with engine.begin() as connection:
        connection.execute(sa.insert(patient), rows[:half])
        if index_keys == 2:
            sealer.rotate(index=True)
            connection.execute(sa.insert(patient), rows[half:])
        connection.execute(sa.text("ANALYZE"))


@pytest.fixture(scope="module", params=INDEX_KEYS.values(), ids=INDEX_KEYS)
def postgresql_url(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[sa.URL]:
    """Return the URL of the rows in PostgreSQL."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        fill(engine, ON_POSTGRESQL, request.param)
        engine.dispose()
        yield url
    forget(get_sealer("plans-postgresql"))


@pytest.fixture
def postgresql(postgresql_url: sa.URL) -> Iterator[sa.Connection]:
    """Return a new connection to these; psycopg prepares each statement at once."""
    engine = sa.create_engine(postgresql_url, connect_args={"prepare_threshold": 0})
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture(scope="module", params=INDEX_KEYS.values(), ids=INDEX_KEYS)
def sqlite(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """Return an engine on a SQLite database with the rows."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    fill(engine, ON_SQLITE, request.param)
    yield engine
    engine.dispose()
    forget(get_sealer("plans-sqlite"))


def statements(patient: Any, condition: Callable[[Any, int], Any]) -> list[Any]:
    """Return a SELECT, an UPDATE and a DELETE with the condition."""
    return [
        sa.select(patient.id).where(condition(patient, 7)),
        sa.update(patient).values(city="elsewhere").where(condition(patient, 7)),
        sa.delete(patient).where(condition(patient, 7)),
    ]


def explained(connection: sa.Connection, statement: Any, explain: str = "EXPLAIN") -> list[Any]:
    """Execute a statement, and return the plan of what was sent, with the same parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, text: str, parameters: Any, *_rest: Any) -> None:
        sent.append((text, parameters))

    sa.event.listen(connection, "before_cursor_execute", note)
    connection.execute(statement)
    sa.event.remove(connection, "before_cursor_execute", note)
    ((text, parameters),) = sent
    return list(connection.exec_driver_sql(f"{explain} {text}", parameters))


def prepared_searches(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Return what PostgreSQL says of the searches that were prepared on this connection."""
    query = "SELECT * FROM pg_prepared_statements WHERE starts_with(statement, 'SELECT patients')"
    return connection.exec_driver_sql(query).all()


def plan_of_prepared(connection: sa.Connection) -> tuple[list[Any], tuple[int, int]]:
    """Return the plan of the one prepared search, made for NULL, and its plans so far."""
    (found,) = prepared_searches(connection)
    plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE {found.name}(NULL)").all()
    return list(plan), (found.generic_plans, found.custom_plans)


def assert_used(lines: list[Any], index: str) -> None:
    """The plan of PostgreSQL searches the index, and compares nothing else than its slot."""
    plan = "\n".join(line[0] for line in lines)
    assert re.search(rf"(Scan using|Index Scan on) {index}(_bridge)?\b", plan), plan
    assert re.search(r"Index Cond: \(substr\(\w+, \d+, \d+\) = ANY", plan), plan
    assert "Seq Scan" not in plan, plan
    assert "Filter" not in plan, plan


@pytest.mark.postgres
@searches
def test_postgresql_uses_the_index(
    postgresql: sa.Connection, index: str, condition: Callable[[Any, int], Any]
) -> None:
    """PostgreSQL searches the index over the slot, in SELECT, UPDATE and DELETE."""
    for statement in statements(ON_POSTGRESQL, condition):
        assert_used(explained(postgresql, statement), index)


@pytest.mark.postgres
@searches
def test_postgresql_uses_the_index_in_a_generic_plan(
    postgresql: sa.Connection, index: str, condition: Callable[[Any, int], Any]
) -> None:
    """A plan that is made for all values uses the index, too."""
    postgresql.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
    for number in range(3):
        postgresql.execute(sa.select(ON_POSTGRESQL.id).where(condition(ON_POSTGRESQL, number)))
    plan, generic_and_custom = plan_of_prepared(postgresql)
    assert "$1" in str(plan)
    assert_used(plan, index)
    assert generic_and_custom == (3, 0)


@pytest.mark.postgres
@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "in_ of one"])
def test_postgresql_comes_to_a_generic_plan_by_itself(postgresql: sa.Connection, name: str) -> None:
    """After five plans for the values at hand, PostgreSQL keeps one for all of them."""
    index, condition = SEARCHES[name]
    for number in range(8):
        postgresql.execute(sa.select(ON_POSTGRESQL.id).where(condition(ON_POSTGRESQL, number)))
    plan, generic_and_custom = plan_of_prepared(postgresql)
    assert "$1" in str(plan)
    assert_used(plan, index)
    assert generic_and_custom == (3, 5)


@pytest.mark.postgres
def test_an_upsert_takes_the_unique_index(postgresql: sa.Connection) -> None:
    """The target of ON CONFLICT is found: it is the unique index over the slot."""
    insert = postgresql_insert(ON_POSTGRESQL).values(row(ROWS))
    upsert = insert.on_conflict_do_update(
        index_elements=[blind_index(ON_POSTGRESQL.number)], set_={"city": "elsewhere"}
    )
    plan = str(explained(postgresql, upsert))
    assert re.search(r"Conflict Arbiter Indexes: ux_patients_number_equal\b", plan), plan


@pytest.mark.postgres
def test_one_statement_is_prepared_for_all_values(postgresql: sa.Connection) -> None:
    """SQLAlchemy compiles one text for == and one for in_; psycopg prepares these two."""
    caching: list[CacheStats] = []
    ids, email = sa.select(ON_POSTGRESQL.id), ON_POSTGRESQL.email
    sa.event.listen(
        postgresql, "before_cursor_execute", lambda *sent: caching.append(sent[4].cache_hit)
    )
    for number in range(1, 50):
        found = postgresql.scalars(ids.where(email == row(number)["email"])).all()
        assert found == [number + 1]
        among = postgresql.scalars(ids.where(email.in_(some("email", 0, number)))).all()
        assert sorted(among) == list(range(1, number + 1))
    assert caching == [CacheStats.CACHE_MISS] * 2 + [CacheStats.CACHE_HIT] * 96
    assert len(prepared_searches(postgresql)) == 2


@searches
def test_sqlite_uses_the_index(
    sqlite: sa.Engine, index: str, condition: Callable[[Any, int], Any]
) -> None:
    """SQLite searches the index over the slot, in SELECT, UPDATE and DELETE."""
    with sqlite.connect() as connection:
        for statement in statements(ON_SQLITE, condition):
            plan = explained(connection, statement, "EXPLAIN QUERY PLAN")
            (step,) = [step.detail for step in plan if "patients" in step.detail]
            expected = rf"SEARCH patients USING (COVERING )?INDEX {index}(_bridge)? \(<expr>=\?\)"
            assert re.fullmatch(expected, step), plan
