"""
Clauses and functions, each as a function of one side of a kind.

RIGHT ones give the right rows on every kind of column, SEARCHED ones where there is a blind index
that tells all values apart, REFUSED ones nowhere. All of them run on the plain twin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from .kinds import OTHER, PRESENT, TABLE, Mold

Make = Callable[[Mold], Any]
T = TABLE
COLLATION = "BINARY"


def x(m: Mold) -> Any:
    """Return the column under a name that is the same on both sides."""
    return m.raw.label("x")


def distinct_on(statement: Any, expression: Any) -> Any:
    """Return the statement with DISTINCT ON, which SQLAlchemy 2.1 has moved."""
    extension = getattr(postgresql, "distinct_on", None)
    return statement.ext(extension(expression)) if extension else statement.distinct(expression)


RIGHT: dict[str, Make] = {
    "SELECT": lambda m: sa.select(T.c.id, m.raw),
    "SELECT, a label": lambda m: sa.select(x(m)),
    "SELECT, a subquery": lambda m: sa.select(sa.select(T.c.id, x(m)).subquery()),
    "SELECT, a scalar subquery": lambda m: sa.select(
        sa.select(m.raw).where(T.c.id == 3).scalar_subquery()
    ),
    "WHERE, IS NULL": lambda m: sa.select(T.c.id).where(m.raw.is_(None)),
    "WHERE, IS NOT NULL": lambda m: sa.select(T.c.id).where(m.raw != sa.null()),
    "ORDER BY, IS NULL": lambda m: sa.select(T.c.id).order_by(m.raw.is_(None), T.c.id),
    "ORDER BY, another column": lambda m: sa.select(x(m)).order_by(T.c.id),
    "ORDER BY, another column by name": lambda m: sa.select(T.c.id, x(m)).order_by("id"),
    "GROUP BY, with the key": lambda m: sa.select(x(m), sa.func.count()).group_by(T.c.id, m.raw),
    "DISTINCT, with the key": lambda m: sa.select(T.c.id, x(m)).distinct(),
    "DISTINCT, a joined table with its key": lambda m: (
        sa.select(T.c.id, x(m)).join(OTHER, OTHER.c.id < T.c.id).distinct()
    ),
    "EXISTS": lambda m: sa.select(T.c.id).where(sa.exists(sa.select(m.raw).where(T.c.id > 1))),
    "count()": lambda m: sa.select(sa.func.count(m.raw)),
    "count() OVER": lambda m: sa.select(T.c.id, sa.func.count(m.raw).over()),
    "coalesce() of one column": lambda m: sa.select(sa.func.coalesce(m.raw, m.raw)),
    "coalesce() with a value": lambda m: sa.select(
        sa.func.coalesce(m.raw, sa.literal("none", m.raw.type))
    ),
    "coalesce() with NULL": lambda m: sa.select(sa.func.coalesce(m.raw, sa.null())),
    "CASE, one column": lambda m: sa.select(T.c.id, sa.case((T.c.id < 5, m.raw))),
    "CASE, with a value": lambda m: sa.select(
        sa.case((T.c.id < 5, m.raw), else_=sa.literal("more", m.raw.type))
    ),
    "CASE, the condition": lambda m: sa.select(sa.case((m.raw.is_(None), 1), else_=0)),
    "CAST, a value": lambda m: sa.select(sa.cast("ada", m.raw.type)),
    "type_coerce(), a value": lambda m: sa.select(sa.type_coerce("ada", m.raw.type)),
    "type_coerce() to the same": lambda m: sa.select(sa.type_coerce(m.raw, m.raw.type)),
    "FOR UPDATE OF": lambda m: sa.select(T.c.id, x(m)).with_for_update(of=m.raw),
    "LIMIT": lambda m: sa.select(x(m)).order_by(T.c.id).limit(3).offset(1),
}

SEARCHED: dict[str, Make] = {
    "WHERE": lambda m: sa.select(T.c.id).where(m.column() == m.value(PRESENT)),
    "WHERE, NOT": lambda m: sa.select(T.c.id).where(~(m.column() == m.value(PRESENT))),
    "WHERE, NOT IN": lambda m: sa.select(T.c.id).where(~m.column().in_([m.value(PRESENT)])),
    "WHERE, OR": lambda m: sa.select(T.c.id).where(
        sa.or_(m.column() == m.value(PRESENT), m.column().is_(None), T.c.id == 7)
    ),
    "WHERE, an alias": lambda m: sa.select(OTHER.c.id).where(m.column(OTHER) == m.value(PRESENT)),
    "WHERE, two parameters of one name": lambda m: sa.select(T.c.id).where(
        (m.column() == sa.bindparam("p", m.value(PRESENT)))
        | (m.column() == sa.bindparam("p", m.value(PRESENT)))
    ),
    "SELECT, a comparison": lambda m: sa.select(T.c.id, m.column() == m.value(PRESENT)),
    "HAVING": lambda m: (
        sa.select(T.c.id)
        .group_by(T.c.id, m.raw, m.slot())  # MariaDB wants what HAVING asks for.
        .having(m.column() == m.value(PRESENT))
    ),
    "ORDER BY, a comparison": lambda m: sa.select(T.c.id).order_by(
        (m.column() == m.value(PRESENT)).desc(), T.c.id
    ),
    "CASE, a comparison": lambda m: sa.select(
        T.c.id, sa.case((m.column() == m.value(PRESENT), "yes"), else_="no")
    ),
    "count() of a comparison": lambda m: sa.select(
        sa.func.count(sa.case((m.column() == m.value(PRESENT), 1)))
    ),
    "GROUP BY": lambda m: sa.select(sa.func.count(), sa.func.min(T.c.id)).group_by(m.slot()),
    "GROUP BY, HAVING": lambda m: (
        sa.select(sa.func.count(T.c.id)).group_by(m.slot()).having(sa.func.count() > 1)
    ),
    "GROUP BY and ORDER BY": lambda m: (
        sa.select(sa.func.count(), sa.func.min(T.c.id)).group_by(m.slot()).order_by(m.slot())
    ),
    "DISTINCT": lambda m: sa.select(sa.func.count()).select_from(
        sa.select(m.slot()).distinct().subquery()
    ),
    "DISTINCT, a function": lambda m: sa.select(sa.func.count()).select_from(
        sa.select(sa.distinct(m.slot())).subquery()
    ),
    "count(DISTINCT)": lambda m: sa.select(sa.func.count(sa.distinct(m.slot()))),
    "count(DISTINCT), a method": lambda m: sa.select(sa.func.count(m.slot().distinct())),
    "DISTINCT ON": lambda m: distinct_on(sa.select(T.c.id), m.slot()).order_by(m.slot(), T.c.id),
    "PARTITION BY": lambda m: sa.select(
        T.c.id, sa.func.row_number().over(partition_by=m.slot(), order_by=T.c.id)
    ),
    "JOIN": lambda m: sa.select(T.c.id, OTHER.c.id).join(OTHER, m.column() == m.comparable),
    "JOIN, the indexes": lambda m: sa.select(T.c.id, OTHER.c.id).join(
        OTHER, m.slot() == m.comparable_slot
    ),
    "LEFT JOIN": lambda m: sa.select(T.c.id, OTHER.c.id).outerjoin(
        OTHER, m.column() == m.comparable
    ),
    "EXISTS, correlated": lambda m: sa.select(T.c.id).where(
        sa.exists().where(OTHER.c.id < T.c.id, m.comparable == m.column())
    ),
    "IN, a subquery": lambda m: sa.select(T.c.id).where(
        m.column().in_(sa.select(m.comparable_slot).where(OTHER.c.id < 5))
    ),
    "NOT IN, a subquery": lambda m: sa.select(T.c.id).where(
        m.column().not_in(sa.select(m.comparable_slot).where(OTHER.c.id.in_([1, 3])))
    ),
    "coalesce() of indexes": lambda m: sa.select(T.c.id).where(
        sa.func.coalesce(m.slot(), m.slot()) == m.value(PRESENT)
    ),
}

REFUSED: dict[str, Make] = {
    "ORDER BY": lambda m: sa.select(T.c.id).order_by(m.raw),
    "ORDER BY, asc()": lambda m: sa.select(T.c.id).order_by(sa.asc(m.raw)),
    "ORDER BY, desc()": lambda m: sa.select(T.c.id).order_by(sa.desc(m.raw)),
    "ORDER BY, nulls_last()": lambda m: sa.select(T.c.id).order_by(sa.nulls_last(m.raw)),
    "ORDER BY, both": lambda m: sa.select(T.c.id).order_by(sa.nulls_first(sa.desc(m.raw))),
    "ORDER BY, a label": lambda m: sa.select(x(m)).order_by(x(m)),
    "ORDER BY, the name of a label": lambda m: sa.select(x(m)).order_by("x"),
    "ORDER BY, that name descending": lambda m: sa.select(x(m)).order_by(sa.desc("x")),
    "ORDER BY, the name of the column": lambda m: sa.select(m.raw).order_by(m.key),
    "ORDER BY, the name of a column that is not selected": lambda m: sa.select(T.c.id).order_by(
        m.key
    ),
    "ORDER BY, a position": lambda m: sa.select(T.c.id, m.raw).order_by(sa.text("2")),
    "ORDER BY, a literal position": lambda m: sa.select(T.c.id, m.raw).order_by(
        sa.literal_column("2").desc()
    ),
    "ORDER BY, the name as text": lambda m: sa.select(m.raw).order_by(sa.text(f"{m.key} DESC")),
    "ORDER BY, the full name as text": lambda m: sa.select(m.raw).order_by(
        sa.text(f"{T.name}.{m.key}")
    ),
    "ORDER BY, a name without a type": lambda m: sa.select(m.raw).order_by(sa.column(m.key)),
    "ORDER BY, CASE": lambda m: sa.select(T.c.id).order_by(sa.case((T.c.id < 9, m.raw))),
    "ORDER BY, coalesce()": lambda m: sa.select(T.c.id).order_by(sa.func.coalesce(m.raw, m.raw)),
    "ORDER BY, in a subquery": lambda m: sa.select(
        sa.select(T.c.id).order_by(m.raw).limit(3).subquery()
    ),
    "ORDER BY, in a CTE": lambda m: sa.select(sa.select(T.c.id).order_by(m.raw).limit(3).cte()),
    "ORDER BY, of a subquery's column": lambda m: sa.select(
        (s := sa.select(T.c.id, x(m)).subquery()).c.id
    ).order_by(s.c.x),
    "ORDER BY, the index": lambda m: sa.select(T.c.id).order_by(m.slot()),
    "ORDER BY, the index descending": lambda m: sa.select(T.c.id).order_by(sa.desc(m.slot())),
    "GROUP BY": lambda m: sa.select(sa.func.count(T.c.id)).group_by(m.raw),
    "GROUP BY, the name of a label": lambda m: sa.select(x(m), sa.func.count()).group_by("x"),
    "GROUP BY, another key": lambda m: sa.select(sa.func.count(T.c.id)).group_by(
        m.raw, T.c.plain_other
    ),
    "DISTINCT": lambda m: sa.select(m.raw).distinct(),
    "DISTINCT, a function": lambda m: sa.select(sa.distinct(m.raw)),
    "DISTINCT, without the key": lambda m: sa.select(T.c.plain_other, m.raw).distinct(),
    "DISTINCT, with the key of another table": lambda m: (
        sa.select(OTHER.c.id, m.raw).join(OTHER, OTHER.c.id == T.c.id).distinct()
    ),
    "DISTINCT ON": lambda m: distinct_on(sa.select(T.c.id), m.raw),
    "count(DISTINCT)": lambda m: sa.select(sa.func.count(sa.distinct(m.raw))),
    "WHERE, the column": lambda m: sa.select(T.c.id).where(m.raw),
    "WHERE, AND the column": lambda m: sa.select(T.c.id).where(sa.and_(m.raw, T.c.id > 0)),
    "WHERE, OR the column": lambda m: sa.select(T.c.id).where(sa.or_(T.c.id > 99, m.raw)),
    "HAVING, the column": lambda m: sa.select(T.c.id).group_by(T.c.id, m.raw).having(m.raw),
    "ON, the column": lambda m: sa.select(T.c.id).select_from(sa.join(T, OTHER, m.raw)),
    "OVER, its order": lambda m: sa.select(sa.func.row_number().over(order_by=m.raw)),
    "OVER, its parts": lambda m: sa.select(sa.func.row_number().over(partition_by=m.raw)),
    "OVER, one of its orders": lambda m: sa.select(
        sa.func.row_number().over(order_by=[T.c.id, sa.desc(m.raw)])
    ),
    "OVER, the order of the index": lambda m: sa.select(
        sa.func.row_number().over(order_by=m.slot())
    ),
    "OVER, first_value()": lambda m: sa.select(sa.func.first_value(m.raw).over(order_by=T.c.id)),
    "FILTER": lambda m: sa.select(sa.func.count().filter(m.raw)),
    "WITHIN GROUP": lambda m: sa.select(sa.func.mode().within_group(m.raw)),
    "CAST": lambda m: sa.select(sa.cast(m.raw, sa.String(100))),
    "type_coerce()": lambda m: sa.select(sa.type_coerce(m.raw, sa.Integer)),
    "EXTRACT": lambda m: sa.select(sa.extract("year", m.raw)),
    "COLLATE": lambda m: sa.select(sa.collate(m.raw, COLLATION)),
    "CASE, of the column": lambda m: sa.select(sa.case({PRESENT: 1}, value=m.raw)),
    "CASE, with a text": lambda m: sa.select(sa.case((T.c.id < 5, m.raw), else_="none")),
    "CASE, with a plain column": lambda m: sa.select(
        sa.case((T.c.id < 5, T.c.plain_other), else_=m.raw)
    ),
    "CASE, the column as condition": lambda m: sa.select(sa.case((m.raw, 1), else_=0)),
    "coalesce() with a text": lambda m: sa.select(sa.func.coalesce(m.raw, "none")),
    "coalesce() with a plain column": lambda m: sa.select(sa.func.coalesce(T.c.plain_other, m.raw)),
    "tuple_()": lambda m: sa.select(T.c.id).where(
        sa.tuple_(T.c.id, m.raw).in_([(3, m.value(PRESENT))])
    ),
    "tuple_(), the index": lambda m: sa.select(T.c.id).where(
        sa.tuple_(T.c.id, m.slot()).in_([(3, m.value(PRESENT))])
    ),
    "tuple_(), a subquery": lambda m: sa.select(T.c.id).where(
        sa.tuple_(T.c.id, T.c.plain).in_(sa.select(OTHER.c.id, m.raw))
    ),
}

FUNCTIONS = (
    *("max", "min", "lower", "upper", "length", "char_length", "trim", "md5", "hex", "quote"),
    *("group_concat", "array_agg", "to_json", "json_array", "typeof"),
)
REFUSED |= {
    f"{name}()": lambda m, n=name: sa.select(getattr(sa.func, n)(m.raw)) for name in FUNCTIONS
}
REFUSED |= {
    f"{name}() with more": lambda m, n=name: sa.select(getattr(sa.func, n)(m.raw, "b"))
    for name in ("nullif", "concat", "instr", "string_agg", "greatest", "ifnull")
}

ON_PLAIN: dict[str, Make] = {
    "=": lambda m: sa.select(T.c.id).where(T.c.plain_other == m.raw),
    "=, a literal": lambda m: sa.select(T.c.id).where(sa.literal(PRESENT) == m.raw),
    "=, a literal and the index": lambda m: sa.select(T.c.id).where(sa.literal("b") == m.slot()),
    "=, a function": lambda m: sa.select(T.c.id).where(sa.func.lower("BOB") == m.raw),
    "=, SQL text": lambda m: sa.select(T.c.id).where(sa.literal_column("'bob'") == m.raw),
    "<": lambda m: sa.select(T.c.id).where(T.c.plain_other < m.raw),
    "LIKE": lambda m: sa.select(T.c.id).where(T.c.plain_other.like(m.raw)),
    "IN": lambda m: sa.select(T.c.id).where(T.c.plain_other.in_([m.raw, "x"])),
    "IN, a subquery": lambda m: sa.select(T.c.id).where(T.c.plain_other.in_(sa.select(m.raw))),
    "IN, a subquery of the index": lambda m: sa.select(OTHER.c.id).where(
        OTHER.c.plain_other.in_(sa.select(m.slot()))
    ),
    "= a scalar subquery": lambda m: sa.select(OTHER.c.id).where(
        OTHER.c.plain_other == sa.select(m.raw).where(T.c.id == 3).scalar_subquery()
    ),
    "BETWEEN": lambda m: sa.select(T.c.id).where(T.c.plain_other.between(m.raw, "z")),
    "IS DISTINCT FROM": lambda m: sa.select(T.c.id).where(T.c.plain.is_distinct_from(m.raw)),
    "||": lambda m: sa.select(T.c.plain_other + m.raw),
    "the value of a sealed type": lambda m: sa.select(T.c.id).where(
        T.c.plain_other == sa.literal(m.value(PRESENT), m.raw.type)
    ),
}
"""A sealed column on the right side of a plain expression: refused, on every kind."""
REFUSED |= {f"a plain column {name}": make for name, make in ON_PLAIN.items()}
