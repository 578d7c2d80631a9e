"""
Statements made of several: UNION and its like, CTEs, subqueries, VALUES, raw SQL with types.

As in `search.matrix.clauses`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from sqlalchemy_sealed import blind_index

from .kinds import OTHER, PRESENT, TABLE, Mold

Make = Callable[[Mold], Any]
T = TABLE


def part(m: Mold, *numbers: int) -> Any:
    """Return a SELECT of the column, of some rows."""
    return sa.select(m.raw.label("x")).where(T.c.id.in_(numbers))


def keyed(m: Mold, *numbers: int) -> Any:
    """Return a SELECT of the key and the column, of some rows."""
    return sa.select(T.c.id, m.raw.label("x")).where(T.c.id.in_(numbers))


def slots(m: Mold, *numbers: int) -> Any:
    """Return a SELECT of the blind index, of some rows."""
    return sa.select(m.slot().label("x")).where(T.c.id.in_(numbers))


def others(m: Mold) -> Any:
    """Return a SELECT of the index of the comparable column, of some rows."""
    return sa.select(m.comparable_slot.label("x")).where(OTHER.c.id < 9)


def counted(statement: Any) -> Any:
    """Return how many rows a statement has."""
    return sa.select(sa.func.count()).select_from(statement.subquery())


def searched(m: Mold, source: Any) -> Any:
    """Return a search in something that has the columns id and x."""
    index = m.index if m.is_sealed else None
    column = source.c.x
    if index is not None:
        column = blind_index(column, index)
    return sa.select(source.c.id).where(column == m.value(PRESENT))


def recursive(m: Mold) -> Any:
    """Return a recursive CTE over the rows, one after the other."""
    cte = keyed(m, 1).cte("r", recursive=True)
    return cte.union_all(sa.select(T.c.id, m.raw).where(T.c.id == cte.c.id + 1))


def nothing(m: Mold) -> Any:
    """Return NULL of the column's type."""
    return sa.type_coerce(sa.null(), m.raw.type).label("x")


def written(m: Mold) -> Any:
    """Return a VALUES list of the column's type."""
    rows = sa.values(sa.column("id", sa.Integer), sa.column("x", m.raw.type), name="v")
    return rows.data([(1, m.value(PRESENT)), (2, m.value("cyd"))])


def from_text(m: Mold) -> Any:
    """Return raw SQL with types."""
    sql = sa.text(f"SELECT id, {m.key} AS x FROM {T.name}")
    return sql.columns(id=sa.Integer, x=m.raw.type)


RIGHT: dict[str, Make] = {
    "UNION ALL": lambda m: sa.union_all(part(m, 1, 2, 3), part(m, 3, 4, 5)),
    "UNION ALL, a subquery": lambda m: sa.select(
        sa.union_all(part(m, 1, 2, 3), part(m, 3, 4)).subquery()
    ),
    "UNION ALL, ORDER BY another": lambda m: sa.union_all(keyed(m, 1, 2, 3), keyed(m, 4)).order_by(
        "id"
    ),
    "UNION ALL with a value": lambda m: part(m, 1).union_all(
        sa.select(sa.literal("x", m.raw.type))
    ),
    "UNION ALL with NULL": lambda m: part(m, 1).union_all(sa.select(sa.null())),
    "UNION ALL with NULL of its type first": lambda m: sa.select(nothing(m)).union_all(
        part(m, 1, 2)
    ),
    "CTE": lambda m: sa.select(keyed(m, 1, 2, 3).cte()),
    "CTE, recursive": lambda m: sa.select(recursive(m)),
    "LATERAL": lambda m: sa.select(
        OTHER.c.id,
        (each := sa.select(m.raw.label("x")).where(T.c.id == OTHER.c.id).lateral()).c.x,
    ).select_from(OTHER.join(each, sa.true())),
    "VALUES, a subquery": lambda m: sa.select(written(m)),
    "VALUES, a CTE": lambda m: sa.select(written(m).cte()),
    "raw SQL with types": from_text,
    "a subquery of raw SQL": lambda m: sa.select(from_text(m).subquery()),
    "a table without metadata": lambda m: sa.select(
        sa.table(T.name, sa.column(m.key, m.raw.type)).c[m.key]
    ),
    "TABLESAMPLE of all": lambda m: sa.select(sa.tablesample(T, sa.func.system(100)).c[m.key]),
}

SEARCHED: dict[str, Make] = {
    "a subquery": lambda m: searched(m, keyed(m, 1, 3, 4).subquery()),
    "a subquery in a subquery": lambda m: searched(
        m, sa.select(keyed(m, 1, 3, 4).subquery()).subquery()
    ),
    "a CTE": lambda m: searched(m, keyed(m, 1, 3, 4).cte()),
    "a recursive CTE": lambda m: searched(m, recursive(m)),
    "a UNION ALL": lambda m: searched(m, sa.union_all(keyed(m, 1, 3), keyed(m, 4)).subquery()),
    "a join of two": lambda m: searched(m, sa.select(recursive(m)).subquery()),
    "VALUES": lambda m: searched(m, written(m).cte()),
    "raw SQL with types": lambda m: searched(m, from_text(m).subquery()),
    "UNION of indexes": lambda m: counted(slots(m, 1, 2, 3).union(slots(m, 3, 4, 5))),
    "INTERSECT of indexes": lambda m: counted(slots(m, 1, 2, 3).intersect(slots(m, 3, 4, 5))),
    "EXCEPT of indexes": lambda m: counted(slots(m, 1, 2, 3).except_(slots(m, 3, 4, 5))),
    "UNION of two columns' indexes": lambda m: counted(slots(m, 1, 2, 3).union(others(m))),
    "IN, a UNION of indexes": lambda m: sa.select(T.c.id).where(
        m.column().in_(sa.union_all(others(m), others(m)))
    ),
    "IN, a CTE of indexes": lambda m: sa.select(T.c.id).where(
        m.column().in_(sa.select(others(m).cte().c.x))
    ),
    "JOIN, a subquery of indexes": lambda m: sa.select(T.c.id).join(
        found := others(m).distinct().subquery(), m.slot() == found.c.x
    ),
}

REFUSED: dict[str, Make] = {
    "UNION": lambda m: part(m, 1, 2, 3).union(part(m, 3, 4, 5)),
    "UNION, of all": lambda m: sa.select(sa.union(part(m, 1), part(m, 3)).subquery()),
    "UNION, a CTE": lambda m: sa.select(sa.union(part(m, 1), part(m, 3)).cte()),
    "INTERSECT": lambda m: part(m, 1, 2, 3).intersect(part(m, 3, 4, 5)),
    "EXCEPT": lambda m: part(m, 1, 2, 3).except_(part(m, 4)),
    "UNION ALL with another context": lambda m: part(m, 1).union_all(sa.select(m.stranger)),
    "UNION ALL after another context": lambda m: sa.select(m.stranger.label("x")).union_all(
        part(m, 1)
    ),
    "UNION ALL with a plain column": lambda m: part(m, 1).union_all(sa.select(T.c.plain_other)),
    "UNION ALL after a plain column": lambda m: sa.select(T.c.plain_other.label("x")).union_all(
        part(m, 1)
    ),
    "UNION ALL with a literal": lambda m: part(m, 1).union_all(sa.select(sa.literal("text"))),
    "UNION ALL after NULL": lambda m: sa.select(sa.null().label("x")).union_all(part(m, 1)),
    "UNION ALL, ORDER BY": lambda m: part(m, 1, 2).union_all(part(m, 3)).order_by("x"),
    "UNION ALL, ORDER BY a position": lambda m: (
        part(m, 1, 2).union_all(part(m, 3)).order_by(sa.text("1 DESC"))
    ),
    "UNION ALL, ORDER BY its column": lambda m: (u := part(m, 1, 2).union_all(part(m, 3))).order_by(
        u.selected_columns.x.desc()
    ),
    "UNION ALL, DISTINCT of it": lambda m: sa.select(
        sa.union_all(part(m, 1), part(m, 2)).subquery().c.x
    ).distinct(),
    "UNION ALL of an index and a plain column": lambda m: slots(m, 1).union_all(
        sa.select(T.c.plain_other)
    ),
    "UNION of an index and another": lambda m: slots(m, 1).union(sa.select(_stranger_slot(m))),
    "IN, a UNION with another index": lambda m: sa.select(OTHER.c.id).where(
        OTHER.c[m.key].in_(slots(m, 1).union_all(sa.select(_stranger_slot(m))))
    ),
    "a CTE, ordered": lambda m: sa.select((c := keyed(m, 1, 2).cte()).c.id).order_by(c.c.x),
    "a recursive CTE, UNION": lambda m: sa.select(
        (cte := keyed(m, 1).cte("r", recursive=True)).union(
            sa.select(T.c.id, m.raw).where(T.c.id == cte.c.id + 1)
        )
    ),
    "VALUES with SQL in it": lambda m: sa.select(
        sa.values(sa.column("x", sa.String), name="v").data([(m.raw,)]).lateral()
    ).select_from(T),
    "raw SQL with types, ordered": lambda m: sa.select(
        (s := from_text(m).subquery()).c.id
    ).order_by(s.c.x),
}


def _stranger_slot(m: Mold) -> Any:
    return blind_index(m.stranger) if m.is_sealed else m.stranger
