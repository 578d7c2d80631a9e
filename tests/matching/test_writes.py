"""Tokens are in step with the sealed value, whatever writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import MARIADB, ON_MARIADB_TOO
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

from matching.notes import OPTIONS, found, notes, stored_tokens, token_rows
from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.types import MatchTable

pytestmark = pytest.mark.usefixtures("sealer")

Write = Callable[[Session, Any, sa.Table], object]


def orm_add(session: Session, note: Any, table: sa.Table) -> None:
    """One object, and several in one INSERT."""
    session.add(note(body="one needle"))
    session.flush()
    session.add_all([note(body=f"needle {n}") for n in range(5)])


def orm_change(session: Session, note: Any, table: sa.Table) -> None:
    """An attribute is set, also to None and from None."""
    session.get_one(note, 1).body = "now a needle"
    session.get_one(note, 2).body = None
    session.flush()
    session.get_one(note, 2).body = "needle once more"
    session.get_one(note, 3).body = None


def orm_merge(session: Session, note: Any, table: sa.Table) -> None:
    """A detached object is merged over its row."""
    session.merge(note(id=1, body="merged needle"))


def orm_bulk_methods(session: Session, note: Any, table: sa.Table) -> None:
    """The bulk methods of the session."""
    session.bulk_insert_mappings(note, [{"body": "needle by mapping"}])
    session.bulk_save_objects([note(body="needle by object")])
    session.bulk_update_mappings(note, [{"id": 1, "body": "needle by update"}])


def orm_bulk_statements(session: Session, note: Any, table: sa.Table) -> None:
    """ORM-enabled INSERT and UPDATE of many rows."""
    session.execute(sa.insert(note), [{"body": f"needle {n}"} for n in range(5)])
    session.execute(sa.update(note), [{"id": 1, "body": "needle"}, {"id": 2, "body": "hay"}])
    session.execute(sa.update(note).where(note.id == 3).values(body="third needle"))
    session.execute(sa.delete(note).where(note.id == 2))


def orm_delete(session: Session, note: Any, table: sa.Table) -> None:
    """An object is deleted."""
    session.delete(session.get_one(note, 2))


def core_insert(session: Session, note: Any, table: sa.Table) -> None:
    """INSERT of one row, of many, of many in one statement, and with RETURNING."""
    session.execute(table.insert().values(body="needle alone"))
    session.execute(table.insert(), [{"body": "needle 1"}, {"body": None}, {"body": ""}])
    session.execute(table.insert().values([{"body": "needle a"}, {"body": "needle b"}]))
    returning = table.insert().returning(table.c.id, sort_by_parameter_order=True)
    assert len(session.execute(returning, [{"body": "needle x"}, {"body": "hay"}]).all()) == 2


def core_update(session: Session, note: Any, table: sa.Table) -> None:
    """UPDATE of one row, of many, and of many one by one."""
    session.execute(table.update().where(table.c.id == 1).values(body="a needle"))
    session.execute(table.update().where(table.c.id > 2).values(body="needles"))
    each = table.update().where(table.c.id == sa.bindparam("key"))
    session.execute(
        each.values(body=sa.bindparam("new")),
        [{"key": 1, "new": "needle again"}, {"key": 2, "new": "straw"}],
    )


def upsert(session: Session, note: Any, table: sa.Table) -> None:
    """INSERT that updates the row that is there."""
    dialect = session.connection().dialect.name
    rows = [{"code": "a", "body": "upserted needle"}, {"code": "new", "body": "needle"}]
    if dialect == "mariadb":
        statement: Any = mysql.insert(table)
        session.execute(statement.on_duplicate_key_update(body=statement.inserted.body), rows)
        return
    statement = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["code"], set_={"body": statement.excluded.body}
        ),
        rows,
    )


def copies_by_sql(session: Session, note: Any, table: sa.Table) -> None:
    """Sealed values are moved by SQL, with and without the types."""
    select = sa.select(table.c.id + 100, table.c.body)
    session.execute(table.insert().from_select(["id", "body"], select))
    session.execute(sa.text("INSERT INTO notes (id, body) SELECT id + 200, body FROM notes"))
    session.execute(
        sa.text(
            "UPDATE notes SET body = (SELECT body FROM (SELECT * FROM notes) AS n WHERE id = 1) "
            "WHERE id = 2"
        )
    )
    session.execute(sa.text("UPDATE notes SET body = NULL WHERE id = 3"))


def raw_delete(session: Session, note: Any, table: sa.Table) -> None:
    """DELETE in SQL text, of some rows and then of all but one."""
    session.execute(sa.text("DELETE FROM notes WHERE id = 2"))
    session.execute(sa.text("DELETE FROM notes WHERE id <> 1"))


def change_of_the_key(session: Session, note: Any, table: sa.Table) -> None:
    """Primary keys change, and one moves to where another was."""
    session.execute(sa.text("UPDATE notes SET id = 50 WHERE id = 1"))
    session.execute(sa.text("UPDATE notes SET id = 1 WHERE id = 2"))


def rolled_back(session: Session, note: Any, table: sa.Table) -> None:
    """Changes are rolled back to a savepoint."""
    with session.begin_nested() as savepoint:
        session.execute(table.update().values(body="needle"))
        session.execute(table.delete().where(table.c.id == 1))
        savepoint.rollback()


def written_twice(session: Session, note: Any, table: sa.Table) -> None:
    """Values are written again as they are, as when they are resealed."""
    rows = session.execute(sa.select(table.c.id, table.c.body)).all()
    for key, body in rows:
        session.execute(table.update().where(table.c.id == key).values(body=body))


WRITES = [
    orm_add,
    orm_change,
    orm_merge,
    orm_bulk_methods,
    orm_bulk_statements,
    orm_delete,
    core_insert,
    core_update,
    upsert,
    copies_by_sql,
    raw_delete,
    change_of_the_key,
    rolled_back,
    written_twice,
]


def mapped(table: sa.Table) -> Any:
    """Return a class that is mapped to the table."""

    class Base(DeclarativeBase):
        metadata = table.metadata

    class Note(Base):
        __table__ = table

    return Note


def prepare(session: Session, table: sa.Table) -> None:
    """Make the table and a few rows."""
    table.metadata.create_all(session.connection())
    rows = [("a", "needle and hay"), ("b", "hay only"), ("c", "needle"), ("d", None), ("e", "")]
    session.execute(table.insert(), [{"code": code, "body": body} for code, body in rows])
    session.commit()


def check(session: Session, table: sa.Table) -> None:
    """Check that search finds what is there, and that a token table holds what the rows hold."""
    texts = session.scalars(sa.select(table.c.body).order_by(table.c.id)).all()
    right = [text for text in texts if text and "needle" in text]
    assert found(session.connection(), table, table.c.body.contains("needle")) == right
    if session.connection().dialect.name != "postgresql":
        assert token_rows(session.connection(), table) == stored_tokens(session.connection(), table)


@ON_MARIADB_TOO
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize(
    "options", [OPTIONS["plain"], OPTIONS["text with slots"]], ids=["", "text"]
)
def test_what_was_written_is_found(
    engine: sa.Engine, write: Write, options: dict[str, Any]
) -> None:
    """After each way to write, a search finds the rows that have the term now, and no others."""
    table = notes(**options | {"index": ()})
    with Session(engine) as session:
        prepare(session, table)
        check(session, table)
        write(session, mapped(table), table)
        session.flush()
        check(session, table)
        session.commit()
        check(session, table)


@ON_MARIADB_TOO
def test_resealing_replaces_the_tokens(engine: sa.Engine, sealer: Sealer) -> None:
    """After a rotation of the index key, written rows have tokens under the new one only."""
    table = notes()
    with Session(engine) as session:
        prepare(session, table)
        before = stored_tokens(session.connection(), table)
        sealer.rotate(index=True)
        written_twice(session, None, table)
        check(session, table)
        assert not before & stored_tokens(session.connection(), table)


@pytest.mark.parametrize("database_url", ["sqlite", MARIADB], indirect=True)
def test_a_replaced_row_leaves_no_false_tokens(engine: sa.Engine) -> None:
    """REPLACE of a row with the same primary key, and of one that only shares a unique code."""
    table = notes()
    with Session(engine) as session:
        prepare(session, table)
        copy = "SELECT {}, code, (SELECT body FROM notes WHERE id = {}) FROM notes WHERE id = {}"
        session.execute(sa.text("REPLACE INTO notes (id, code, body) " + copy.format(1, 2, 1)))
        check(session, table)
        session.execute(sa.text("REPLACE INTO notes (id, code, body) " + copy.format(90, 2, 3)))
        texts = session.scalars(sa.select(table.c.body).order_by(table.c.id)).all()
        assert texts == ["hay only", "hay only", None, "", "hay only"]
        assert found(session.connection(), table, table.c.body.contains("needle")) == []
        stale = token_rows(session.connection(), table) - stored_tokens(session.connection(), table)
        # SQLite fires no trigger for the row that goes: its tokens stay until its key comes back.
        assert {key for _, key in stale} == ({3} if engine.dialect.name == "sqlite" else set())
        session.execute(table.insert().values(id=3, body="straw"))
        check(session, table)


def test_recursive_triggers_leave_nothing_on_sqlite(sqlite_engine: sa.Engine) -> None:
    """With SQLite's recursive triggers, REPLACE fires the trigger of the row that goes, too."""
    table = notes()
    with Session(sqlite_engine) as session:
        session.execute(sa.text("PRAGMA recursive_triggers = ON"))
        prepare(session, table)
        session.execute(
            sa.text(
                "REPLACE INTO notes (id, code, body) SELECT 90, code, body FROM notes WHERE id = 3"
            )
        )
        check(session, table)


@ON_MARIADB_TOO
def test_a_table_with_rows_gets_its_token_table(engine: sa.Engine) -> None:
    """`create` fills the token table from the rows that are there, anew each time."""
    table = notes(indexed=False)
    with Session(engine) as session:
        prepare(session, table)
    owner = MatchTable(table.c.body, None)
    with engine.begin() as connection:
        owner.create(connection)
        owner.create(connection)
        if engine.dialect.name == "postgresql":
            assert not sa.inspect(connection).has_table(owner.table.name)
            return
        rows = {tuple(row) for row in connection.execute(sa.select(owner.table))}
        assert rows == stored_tokens(connection, table)
        connection.execute(table.insert().values(body="a late needle"))
        rows = {tuple(row) for row in connection.execute(sa.select(owner.table))}
        assert rows == stored_tokens(connection, table)
        owner.drop(connection)
        assert not sa.inspect(connection).has_table(owner.table.name)
        connection.execute(table.insert().values(body="needle without a token table"))
