"""Ways past a sealed type that depend on the whole statement. As `search.matrix.past`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from .past import SECRET, S, Source, T, Target, dialect_insert, in_session, upsert

Deed = Callable[[Connection], Any]
POSTGRESQL = {"postgresql"}


def select_into(conn: Connection, names: list[str], select: Any) -> Any:
    """Execute an INSERT FROM SELECT."""
    return conn.execute(T.insert().from_select(names, select))


def from_values(column: Any) -> Any:
    """Return a SELECT from a VALUES list."""
    rows = sa.values(sa.column("id", sa.Integer), column, name="v").data([(2, SECRET)])
    return sa.select(rows.cte())


def written_in_cte(conn: Connection, value: Any) -> Any:
    """Insert in a CTE, and select from it."""
    cte = T.insert().values(id=2, bare=value).returning(T.c.id).cte()
    return conn.execute(sa.select(cte.c.id))


def excluded(conn: Connection, name: str) -> Any:
    """Return a column of the row that an upsert has not inserted."""
    insert = dialect_insert(conn)
    return (insert.inserted if hasattr(insert, "inserted") else insert.excluded)[name]


def conflict(conn: Connection, rows: Any, set_: Any) -> Any:
    """Execute an upsert of given rows."""
    insert = dialect_insert(conn)
    made = set_(insert.inserted if hasattr(insert, "inserted") else insert.excluded)
    if hasattr(insert, "on_duplicate_key_update"):
        return conn.execute(insert.on_duplicate_key_update(made), rows)
    return conn.execute(insert.on_conflict_do_update(index_elements=["id"], set_=made), rows)


REFUSED: dict[str, Deed] = {
    "FROM SELECT, a plain column": lambda c: select_into(c, ["bare"], sa.select(S.c.plain)),
    "FROM SELECT, a literal": lambda c: select_into(c, ["bare"], sa.select(sa.literal(SECRET))),
    "FROM SELECT, a function": lambda c: select_into(
        c, ["as_text"], sa.select(sa.func.lower(S.c.plain))
    ),
    "FROM SELECT, a parameter": lambda c: c.execute(
        T.insert().from_select(["bare"], sa.select(sa.bindparam("p"))), {"p": SECRET}
    ),
    "FROM SELECT, a labelled parameter": lambda c: c.execute(
        T.insert().from_select(["bare"], sa.select(sa.bindparam("p").label("x"))), {"p": SECRET}
    ),
    "FROM SELECT, another context": lambda c: select_into(c, ["bare"], sa.select(S.c.sealed)),
    "FROM SELECT, another index": lambda c: select_into(c, ["indexed"], sa.select(S.c.unindexed)),
    "FROM SELECT, all columns": lambda c: select_into(
        c, ["id", "plain", "bare"], sa.select(S.c.id + 1, S.c.plain, S.c.bare)
    ),
    "FROM SELECT, more columns than names": lambda c: select_into(
        c, ["bare"], sa.select(T.c.bare, S.c.plain)
    ),
    "FROM SELECT, a UNION": lambda c: select_into(
        c, ["bare"], sa.union_all(sa.select(T.c.bare), sa.select(S.c.plain))
    ),
    "FROM SELECT, a CTE": lambda c: select_into(c, ["bare"], sa.select(sa.select(S.c.plain).cte())),
    "FROM SELECT, VALUES": lambda c: select_into(
        c, ["id", "bare"], from_values(sa.column("x", sa.String))
    ),
    "FROM SELECT, a typed literal": lambda c: select_into(
        c, ["bare"], sa.select(sa.literal_column(f"'{SECRET}'", T.c.bare.type))
    ),
    "FROM SELECT, the name of the column": lambda c: select_into(
        c, ["keyed"], sa.select(S.c.plain)
    ),
    "UPDATE FROM": lambda c: c.execute(T.update().values(bare=S.c.plain).where(T.c.id == S.c.id)),
    "UPDATE FROM, another context": lambda c: c.execute(
        T.update().values(bare=S.c.sealed).where(T.c.id == S.c.id)
    ),
    "UPDATE FROM, another index": lambda c: c.execute(
        T.update().values(indexed=S.c.unindexed).where(T.c.id == S.c.id)
    ),
    "UPDATE of a plain column": lambda c: c.execute(T.update().values(plain=T.c.bare)),
    "UPDATE of a binary column": lambda c: c.execute(T.update().values(stored=T.c.bare)),
    "UPDATE, the key of another table": lambda c: c.execute(
        T.update().values({S.c.bare: sa.func.lower(SECRET)})
    ),
    "INSERT, the key of another table": lambda c: c.execute(
        T.insert().values({S.c.bare: sa.literal(SECRET), S.c.id: 2})
    ),
    "INSERT, a parameter set with SQL": lambda c: c.execute(
        T.insert(), [{"id": 2, "bare": sa.func.lower(SECRET)}]
    ),
    "INSERT, a number": lambda c: c.execute(T.insert(), [{"id": 2, "bare": 7}]),
    "INSERT, bytes": lambda c: c.execute(T.insert(), [{"id": 2, "bare": SECRET.encode()}]),
    "INSERT of many, a parameter": lambda c: c.execute(
        T.insert().values([{"id": 2, "bare": "x"}, {"id": 3, "bare": sa.bindparam("p")}]),
        {"p": SECRET},
    ),
    "INSERT, RETURNING a function": lambda c: c.execute(
        T.insert().values(id=2, bare=SECRET).returning(sa.func.lower(T.c.bare))
    ),
    "one parameter, plain and sealed": lambda c: c.execute(
        T.update().where(T.c.plain == sa.bindparam("p")).values(bare=sa.bindparam("p")),
        {"p": SECRET},
    ),
    "one parameter, sealed and plain": lambda c: c.execute(
        T.update().values(bare=sa.bindparam("p"), plain=sa.bindparam("p")), {"p": SECRET}
    ),
    "one parameter, for two columns": lambda c: c.execute(
        T.update().values(bare=sa.bindparam("p"), indexed=sa.bindparam("p")), {"p": SECRET}
    ),
    "one parameter, searched and stored": lambda c: c.execute(
        T.update().where(T.c.indexed == sa.bindparam("p")).values(indexed=sa.bindparam("p")),
        {"p": SECRET},
    ),
    "one parameter, searched in two columns": lambda c: c.execute(
        sa.select(T.c.id).where(
            (T.c.indexed == sa.bindparam("p")) | (T.c.plain == sa.bindparam("p"))
        ),
        {"p": SECRET},
    ),
    "upsert, a key that is no column's": lambda c: upsert(c, {"named": SECRET, "plain": "x"}),
    "upsert, a mapped attribute": lambda c: upsert(c, {"attribute": SECRET, "plain": "x"}),
    "upsert, a plain excluded column": lambda c: conflict(
        c, [{"id": 1, "plain": SECRET}], lambda e: {"bare": e.plain}
    ),
    "upsert, another excluded column": lambda c: conflict(
        c, [{"id": 1, "indexed": SECRET}], lambda e: {"bare": e.indexed}
    ),
    "upsert, excluded to plain": lambda c: conflict(
        c, [{"id": 1, "bare": SECRET}], lambda e: {"plain": e.bare}
    ),
    "ORM, a new object": lambda c: in_session(
        c, lambda s: s.add(Target(id=2, bare=sa.func.lower(SECRET)))
    ),
    "ORM, a column of another class": lambda c: in_session(
        c,
        lambda s: setattr(s.get_one(Target, 1), "bare", sa.select(Source.plain).scalar_subquery()),
    ),
    "ORM, bulk INSERT": lambda c: in_session(
        c, lambda s: s.execute(sa.insert(Target), [{"id": 2, "bare": sa.func.lower(SECRET)}])
    ),
    "ORM, bulk INSERT of an attribute": lambda c: in_session(
        c, lambda s: s.execute(sa.insert(Target), [{"id": 2, "attribute": sa.literal(SECRET)}])
    ),
    "ORM, bulk UPDATE": lambda c: in_session(
        c, lambda s: s.execute(sa.update(Target), [{"id": 1, "bare": sa.func.lower(SECRET)}])
    ),
    "ORM, bulk_insert_mappings": lambda c: in_session(
        c,
        lambda s: s.bulk_insert_mappings(
            Target.__mapper__, [{"id": 2, "attribute": sa.func.lower(SECRET)}]
        ),
    ),
    "ORM, bulk_update_mappings": lambda c: in_session(
        c,
        lambda s: s.bulk_update_mappings(
            Target.__mapper__, [{"id": 1, "attribute": sa.func.lower(SECRET)}]
        ),
    ),
    "ORM, bulk_save_objects": lambda c: in_session(
        c, lambda s: s.bulk_save_objects([Target(id=2, attribute=sa.func.lower(SECRET))])
    ),
    "ORM, Query.update": lambda c: in_session(
        c, lambda s: s.query(Target).update({Target.attribute: Target.plain})
    ),
    "ORM, Query.update, the name": lambda c: in_session(
        c, lambda s: s.query(Target).update({"attribute": sa.func.lower(SECRET)})
    ),
    "ORM, a number": lambda c: in_session(c, lambda s: s.add(Target(id=2, bare=7))),
}

ONLY_POSTGRESQL: dict[str, Deed] = {
    "INSERT in a CTE": lambda c: written_in_cte(c, sa.func.lower(SECRET)),
    "INSERT in a CTE, a literal": lambda c: written_in_cte(c, sa.literal(SECRET)),
    "UPDATE in a CTE": lambda c: c.execute(
        sa.select(T.update().values(bare=T.c.plain).returning(T.c.id).cte())
    ),
    "ON CONFLICT over the sealed bytes": lambda c: c.execute(
        dialect_insert(c).values(id=2).on_conflict_do_nothing(index_elements=["indexed"])
    ),
}
"""Refused, too, where the database has them at all."""

SEALED: dict[str, Deed] = {
    "INSERT, a parameter": lambda c: c.execute(
        T.insert().values(id=2, bare=sa.bindparam("p")), {"p": SECRET}
    ),
    "UPDATE, a parameter": lambda c: c.execute(
        T.update().values(bare=sa.bindparam("p")).where(T.c.id == sa.bindparam("i")),
        [{"p": SECRET, "i": 1}],
    ),
    "INSERT, the key of another table": lambda c: c.execute(
        T.insert().values({S.c.bare: SECRET, S.c.id: 2})
    ),
    "INSERT of many rows": lambda c: c.execute(
        T.insert(), [{"id": n, "bare": SECRET, "as_text": SECRET} for n in range(2, 20)]
    ),
    "FROM SELECT, the same column": lambda c: (
        c.execute(T.update().values(bare=SECRET)),
        select_into(c, ["id", "bare"], sa.select(T.c.id + 1, T.c.bare)),
    ),
    "FROM SELECT, a typed parameter": lambda c: select_into(
        c, ["id", "bare"], sa.select(sa.literal(2), sa.bindparam("p", SECRET, T.c.bare.type))
    ),
    "FROM SELECT, VALUES": lambda c: select_into(
        c, ["id", "bare"], from_values(sa.column("x", T.c.bare.type))
    ),
    "FROM SELECT, NULL": lambda c: (
        c.execute(T.update().values(bare=SECRET)),
        select_into(c, ["id", "bare"], sa.select(sa.literal(2), sa.null())),
    ),
    "upsert, a parameter": lambda c: c.execute(
        _upsert_statement(c, {"bare": sa.bindparam("p")}), {"p": SECRET}
    ),
    "upsert, excluded": lambda c: conflict(
        c, [{"id": 1, "bare": SECRET}, {"id": 2, "bare": "x"}], lambda e: {"bare": e.bare}
    ),
    "ORM, bulk INSERT of an attribute": lambda c: in_session(
        c, lambda s: s.execute(sa.insert(Target), [{"id": 2, "bare": SECRET, "attribute": SECRET}])
    ),
    "ORM, bulk UPDATE": lambda c: in_session(
        c, lambda s: s.execute(sa.update(Target), [{"id": 1, "bare": SECRET, "attribute": "x"}])
    ),
}
"""What is stored are envelopes; the secret is in the column `bare`."""


def _upsert_statement(conn: Connection, set_: Any) -> Any:
    insert = dialect_insert(conn).values(id=1)
    if hasattr(insert, "on_duplicate_key_update"):
        return insert.on_duplicate_key_update(set_)
    return insert.on_conflict_do_update(index_elements=["id"], set_=set_)
