"""Statements that write by a search, upserts, RETURNING, executions with many parameter sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, postgresql, sqlite

from .kinds import OTHER, PRESENT, TABLE, Mold, from_other

T = TABLE
Deed = Callable[[Connection, Mold], Any]


def changed(conn: Connection) -> Any:
    """Return the ids of the rows that a statement changed."""
    return conn.execute(sa.select(T.c.id).where(T.c.plain_folded == "changed")).all()


def update(conn: Connection, condition: Any, *parameters: Any) -> Any:
    """Change the rows of a condition, and return which."""
    conn.execute(T.update().where(condition).values(plain_folded="changed"), *parameters)
    return changed(conn)


def delete(conn: Connection, condition: Any, *parameters: Any) -> Any:
    """Delete the rows of a condition, and return which are left."""
    conn.execute(T.delete().where(condition), *parameters)
    return conn.execute(sa.select(T.c.id)).all()


def executed_many(conn: Connection, m: Mold) -> Any:
    """Update by a search, with many parameter sets."""
    statement = T.update().where(m.column() == sa.bindparam("v")).values(plain_folded="changed")
    conn.execute(statement, [{"v": m.value("ada")}, {"v": m.value("cyd")}, {"v": m.value("x")}])
    return changed(conn)


def searched_again(conn: Connection, m: Mold) -> Any:
    """Execute one statement with one value after the other."""
    statement = sa.select(T.c.id).where(m.column() == sa.bindparam("v"))
    listed = sa.select(T.c.id).where(m.column().in_(sa.bindparam("l")))
    for text in ("ada", "bob", "x"):
        yield [text, sorted(conn.scalars(statement, {"v": m.value(text)}))]
    for texts in (["ada"], ["bob", "cyd"], []):
        yield [texts, sorted(conn.scalars(listed, {"l": [m.value(text) for text in texts]}))]


def rendered(conn: Connection, statement: Any) -> Any:
    """Execute a statement as text with its values in it."""
    compiled = statement.compile(conn, compile_kwargs={"literal_binds": True})
    return conn.exec_driver_sql(str(compiled).replace("%%", "%")).all()


def returned(conn: Connection, m: Mold) -> Any:
    """Insert rows and return what is stored, in the order of the parameters."""
    rows = [{"id": 100 - n, m.key: m.value(f"new{n}")} for n in range(30)]
    statement = T.insert().returning(T.c.id, m.raw, sort_by_parameter_order=True)
    return [str((n, *row)) for n, row in enumerate(conn.execute(statement, rows))]


def upserted(conn: Connection, m: Mold, **options: Any) -> Any:
    """Insert rows of which one is there, by the unique index, and return what is stored."""
    rows = [
        {"id": 201, m.key: m.value(PRESENT), "plain_folded": "changed"},
        {"id": 202, m.key: m.value("new"), "plain_folded": "changed"},
    ]
    statement = upsert_of(conn, m)
    if isinstance(statement, mysql.Insert):
        statement = statement.on_duplicate_key_update(
            {m.key: statement.inserted[m.key], "plain_folded": statement.inserted.plain_folded}
        )
    else:
        set_ = {m.key: statement.excluded[m.key], "plain_folded": statement.excluded.plain_folded}
        statement = statement.on_conflict_do_update(index_elements=[m.slot()], set_=set_, **options)
    conn.execute(statement, rows)
    return conn.execute(sa.select(T.c.id, m.raw).where(T.c.plain_folded == "changed")).all()


def upsert_of(conn: Connection, m: Mold) -> Any:
    """Return an INSERT that can be an upsert in this database."""
    module = {"postgresql": postgresql, "sqlite": sqlite}.get(conn.dialect.name, mysql)
    return module.insert(T)


def ignored(conn: Connection, m: Mold) -> Any:
    """Insert a row that is there already, and do nothing."""
    statement = upsert_of(conn, m).on_conflict_do_nothing(index_elements=[m.slot()])
    conn.execute(statement, [{"id": 203, m.key: m.value(PRESENT)}])
    return conn.execute(sa.select(T.c.id).where(T.c.id > 200)).all()


SEARCHED: dict[str, Deed] = {
    "UPDATE": lambda c, m: update(c, m.column() == m.value(PRESENT)),
    "UPDATE, IN": lambda c, m: update(c, m.column().in_([m.value("ada"), m.value("cyd"), None])),
    "UPDATE, NOT IN": lambda c, m: update(c, m.column().not_in([m.value("ada")])),
    "UPDATE, !=": lambda c, m: update(c, m.column() != m.value("ada")),
    "UPDATE, IS DISTINCT FROM": lambda c, m: update(c, m.column().is_distinct_from(m.value("a"))),
    "UPDATE, a parameter": lambda c, m: update(
        c, m.column() == sa.bindparam("v"), {"v": m.value(PRESENT)}
    ),
    "UPDATE of itself": lambda c, m: (
        c.execute(T.update().where(m.column() == m.value("ada")).values({m.key: m.value("other")})),
        c.execute(sa.select(T.c.id).where(m.column() == m.value("other"))).all(),
    )[1],
    "UPDATE by many": executed_many,
    "DELETE": lambda c, m: delete(c, m.column() == m.value(PRESENT)),
    "DELETE, IN": lambda c, m: delete(c, m.column().in_([m.value("ada"), m.value("x")])),
    "DELETE, a parameter": lambda c, m: delete(
        c, m.column() == sa.bindparam("v"), {"v": m.value(PRESENT)}
    ),
    "SELECT, again and again": searched_again,
    "SELECT, without the cache": lambda c, m: (
        c.execution_options(compiled_cache=None)
        .execute(sa.select(T.c.id).where(m.column() == m.value(PRESENT)))
        .all()
    ),
    "SELECT FOR UPDATE": lambda c, m: c.execute(
        sa.select(T.c.id).where(m.column() == m.value(PRESENT)).with_for_update()
    ).all(),
    "SELECT, streamed": lambda c, m: (
        c.execution_options(stream_results=True)
        .execute(sa.select(T.c.id).where(m.column() == m.value(PRESENT)))
        .all()
    ),
}

RENDERED: dict[str, Deed] = {
    "SELECT, rendered": lambda c, m: rendered(
        c,
        sa.select(T.c.id).where(
            m.column().in_([m.value(PRESENT), m.value("ada"), None]) | m.column().is_(None)
        ),
    ),
    "SELECT, rendered, one value": lambda c, m: rendered(
        c, sa.select(T.c.id).where(m.column() != m.value("ada'"))
    ),
}
"""Through an index that tells all values apart. Text is not looked at when it is executed."""

ON_SQLITE_AND_POSTGRESQL: dict[str, Deed] = {
    "UPDATE, RETURNING": lambda c, m: c.execute(
        T.update()
        .where(m.column() == m.value(PRESENT))
        .values(plain_other="changed")
        .returning(T.c.id, m.raw)
    ).all(),
    "DELETE, RETURNING": lambda c, m: c.execute(
        T.delete().where(m.column() == m.value(PRESENT)).returning(T.c.id, m.raw.label("x"))
    ).all(),
    "UPDATE FROM, by the index": lambda c, m: update(
        c, (m.column() == m.comparable) & (OTHER.c.id == 3)
    ),
    "UPDATE, a subquery": lambda c, m: update(c, m.column().in_(from_other(m.comparable_slot))),
    "DELETE, a subquery": lambda c, m: delete(c, m.column().in_(from_other(m.comparable_slot))),
}
"""MariaDB has no RETURNING here, and does not read from the table that it writes to."""

UNIQUE: dict[str, Deed] = {
    "upsert": upserted,
    "upsert, WHERE": lambda c, m: (
        upserted(c, m, where=m.raw.is_not(None)) if c.dialect.name != "mariadb" else upserted(c, m)
    ),
    "upsert, nothing": lambda c, m: ignored(c, m) if c.dialect.name != "mariadb" else [],
}
"""For the unique kind."""
