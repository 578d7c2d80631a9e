"""
The SQL of the documentation, on every database that it is for.

A block of SQL in a page begins with a comment that says which database it is for.
"""

from __future__ import annotations

import base64
import doctest
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index
from sqlalchemy_sealed.reseal import reseal

PAGES = Path(__file__).parents[2] / "docs" / "howto"
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(EncryptedString(index=BlindIndex()))

    __table_args__ = (sa.Index("ix_people_email", blind_index(email)),)


class Patient(Base):
    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(EncryptedString(index=BlindIndex(unique=True)))
    note: Mapped[str | None] = mapped_column(EncryptedString(storage="text"))


def statements(page: str, engine: Engine) -> list[str]:
    """Return the statements of a page that are for a database, in the order of the page."""
    text = (PAGES / page).read_text()
    blocks = re.findall(r"^```sql\n-- (\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert text.count("```sql") == len(blocks), "a block that does not say its database"
    return [sql for database, sql in blocks if database == DATABASES[engine.dialect.name]]


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[Engine]:
    """Return an engine on an empty schema of PostgreSQL."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def patients(engine: Engine, sealer: Sealer) -> list[tuple[str | None, str | None]]:
    """Write some rows under the first key, and return their values."""
    Base.metadata.create_all(engine)
    values = [(f"patient{n}@example.org", f"note {n}") for n in range(25)]
    values += [(None, "no address"), ("no note", None), (None, None)]
    with Session(engine) as session:
        session.add_all([Patient(email=email, note=note) for email, note in values])
        session.commit()
    return values


def run(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    """Execute a statement of a page as a client without keys would."""
    with engine.begin() as connection:
        result = connection.exec_driver_sql(sql)
        return [tuple(row) for row in result] if result.returns_rows else []


def labels(engine: Engine) -> Counter[str]:
    """Return how many values the page's statements count under each label."""
    found: Counter[str] = Counter()
    for sql in statements("rotate-index.md", engine):
        for label, count in run(engine, sql):
            # SQLite has no base64, so there the label of a text column comes as it is.
            as_hex = label if len(label) == 18 else base64.urlsafe_b64decode(label).hex()
            found[as_hex] += count
    return found


def test_the_statements_count_the_values_of_each_label(
    engine: Engine, sealer: Sealer, patients: list[tuple[str | None, str | None]]
) -> None:
    """Without a key it is told how many values are under which data key, with how many slots."""
    old = sealer.keyset.primary.key_id.hex()
    new = sealer.rotate().primary.key_id.hex()
    with Session(engine) as session:
        session.add(Patient(email="new@example.org", note="new"))
        session.commit()
    assert labels(engine) == {f"12{old}": 26, f"10{old}": 26, f"12{new}": 1, f"10{new}": 1}


def test_resealed_rows_are_under_the_new_label(
    engine: Engine, sealer: Sealer, patients: list[tuple[str | None, str | None]]
) -> None:
    """After the page's step all values are under the new keys, open as before, and are found."""
    new = sealer.rotate(index=True).primary.key_id.hex()
    [summary] = reseal(engine, Patient)
    assert (summary.changed, summary.left, summary.bad) == (27, 0, 0)
    assert labels(engine) == {f"12{new}": 26, f"10{new}": 26}
    query = sa.select(Patient.email, Patient.note).order_by(Patient.id)
    with Session(engine) as session:
        assert [tuple(row) for row in session.execute(query)] == patients
        found = query.where(Patient.email == "patient7@example.org")
        assert session.execute(found).one() == ("patient7@example.org", "note 7")


def old_table(engine: Engine) -> sa.Table:
    """Make a table as it was before there was a CHECK constraint."""
    table = sa.Table(
        "patients",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", EncryptedString(check=False)),
        sa.Column("note", EncryptedString(storage="text", check=False)),
    )
    table.create(engine)
    return table


PLAINTEXT = ["UPDATE patients SET email = 'plain'", "UPDATE patients SET email = ''"]


@pytest.mark.postgres
def test_the_constraint_is_added_in_two_steps(postgres_engine: Engine, sealer: Sealer) -> None:
    """On PostgreSQL the first step holds for new rows, and the second one finds the old ones."""
    engine = postgres_engine
    add, validate, find, add_text, drop = statements("refusals.md", engine)
    table = old_table(engine)
    with engine.begin() as connection:
        connection.execute(table.insert().values(email="sealed", note="sealed"))
        connection.execute(sa.text("INSERT INTO patients (email) VALUES ('plain'), (NULL)"))
    run(engine, add)
    run(engine, add_text)
    with pytest.raises(IntegrityError, match="patients_email_sealed"):
        run(engine, validate)
    [(number,)] = run(engine, find)
    with engine.begin() as connection:
        connection.execute(table.update().where(table.c.id == number).values(email="plain"))
        assert connection.scalar(sa.select(table.c.email).where(table.c.id == number)) == "plain"
    run(engine, validate)
    for sql in [*PLAINTEXT, "UPDATE patients SET note = 'plain'"]:
        with pytest.raises(IntegrityError, match="_sealed"):
            run(engine, sql)
    run(engine, drop)
    run(engine, PLAINTEXT[0])


@pytest.mark.postgres
def test_the_constraint_is_that_of_new_tables(postgres_engine: Engine) -> None:
    """What the page adds to an old table on PostgreSQL is what a new one is made with."""
    made = str(sa.schema.CreateTable(Patient.__table__).compile(postgres_engine))
    add, _, _, add_text, _ = statements("refusals.md", postgres_engine)
    for sql in (add, add_text):
        name, check = re.search(r"CONSTRAINT (\w+)\s+(CHECK \(.*\)) NOT VALID", sql).groups()
        assert f"CONSTRAINT {name} {check}" in made


def test_triggers_refuse_what_the_constraint_does(sqlite_engine: Engine, sealer: Sealer) -> None:
    """On SQLite the triggers of the page let envelopes and NULL through, and no plaintext."""
    engine = sqlite_engine
    table = old_table(engine)
    for sql in statements("refusals.md", engine):
        run(engine, sql)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"email": "sealed"}, {"email": None}])
        connection.execute(table.update().values(email="sealed again"))
    for sql in [*PLAINTEXT, "INSERT INTO patients (email) VALUES (X'00')"]:
        with pytest.raises(IntegrityError, match=r"patients\.email is not sealed"):
            run(engine, sql)


@pytest.mark.postgres
def test_postgresql_searches_as_the_page_says(postgres_engine: Engine, sealer: Sealer) -> None:
    """The plan that the page about searching shows is that of a search."""
    Base.metadata.create_all(postgres_engine)
    [shown] = re.findall(
        r"^```text\n(Bitmap.*?)^```$", (PAGES / "search.md").read_text(), re.MULTILINE | re.DOTALL
    )
    search = sa.select(Person.id).where(Person.email == "person7@example.org")
    with Session(postgres_engine) as session:
        session.add_all([Person(email=f"person{n}@example.org") for n in range(2000)])
        session.flush()
        session.execute(sa.text("ANALYZE people"))
        sql = search.compile(postgres_engine, compile_kwargs={"literal_binds": True})
        plan = session.connection().exec_driver_sql(f"EXPLAIN (COSTS OFF) {sql}").scalars().all()
    got = "\n".join(plan).replace("people", "patients") + "\n"
    assert doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS), got
