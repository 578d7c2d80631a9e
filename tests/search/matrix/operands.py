"""What a column is compared with: values, parameters, other columns, subqueries, SQL text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from .kinds import ABSENT, OTHER, PRESENT, TABLE, Kind, Mold, from_other

Make = Callable[[Mold], Any]

OPERANDS: dict[str, Make] = {
    "a value": lambda m: m.value(PRESENT),
    "a value that is not there": lambda m: m.value(ABSENT),
    "the empty text": lambda m: m.value(""),
    "a quote": lambda m: m.value("ada'"),
    "None": lambda m: None,
    "null()": lambda m: sa.null(),
    "a parameter": lambda m: sa.bindparam("p", m.value(PRESENT)),
    "a parameter that is None": lambda m: sa.bindparam("p", None),
    "a parameter of a type": lambda m: sa.bindparam("p", m.value(PRESENT), sa.String()),
    "literal()": lambda m: sa.literal(m.value(PRESENT)),
    "a list": lambda m: [m.value(PRESENT), m.value("ada"), m.value(ABSENT)],
    "a list with None": lambda m: [m.value(PRESENT), None],
    "a list of None": lambda m: [None],
    "an empty list": lambda m: [],
    "a set": lambda m: {m.value(PRESENT)},
    "a generator": lambda m: (m.value(text) for text in (PRESENT, "cyd")),
    "a parameter for a list": lambda m: sa.bindparam("p", [m.value(PRESENT), m.value("cyd")]),
    "an expanding parameter": lambda m: sa.bindparam(
        "p", [m.value(PRESENT), m.value("cyd")], expanding=True
    ),
    "a list of SQL": lambda m: [sa.literal(m.value(PRESENT)), m.comparable],
    "a number": lambda m: 9,
    "bytes": lambda m: m.value(PRESENT).encode(),
    "true": lambda m: True,
    "true()": lambda m: sa.true(),
    "text()": lambda m: sa.text("'bob'"),
    "literal_column()": lambda m: sa.literal_column("'bob'"),
    "the same column": lambda m: m.column(),
    "a column of the same index": lambda m: m.comparable,
    "the index of that column": lambda m: m.comparable_slot,
    "a label of it": lambda m: m.comparable.label("x"),
    "a column of another index": lambda m: m.stranger,
    "a plain column": lambda m: TABLE.c.plain_other,
    "a subquery of its index": lambda m: from_other(m.comparable_slot),
    "a subquery of it": lambda m: from_other(m.raw.table.alias("other").c[m.key]),
    "a subquery of a plain column": lambda m: from_other(OTHER.c.plain),
    "a UNION of its index": lambda m: sa.union_all(
        from_other(m.comparable_slot), from_other(m.comparable_slot).where(OTHER.c.id == 6)
    ),
    "a scalar subquery of its index": lambda m: (
        sa.select(m.comparable_slot).where(OTHER.c.id == 3).scalar_subquery()
    ),
    "a scalar subquery of it": lambda m: (
        sa.select(OTHER.c[m.key]).where(OTHER.c.id == 3).scalar_subquery()
    ),
    "any_()": lambda m: sa.any_(from_other(m.comparable_slot).scalar_subquery()),
    "all_()": lambda m: sa.all_(from_other(m.comparable_slot).scalar_subquery()),
    "case()": lambda m: sa.case((TABLE.c.id < 5, m.column()), else_=m.column()),
    "coalesce()": lambda m: sa.func.coalesce(m.column(), m.column()),
    "cast()": lambda m: sa.cast(m.value(PRESENT), sa.String(100)),
    "upper()": lambda m: sa.func.upper("bob"),
    "tuple_()": lambda m: sa.tuple_(m.column(), TABLE.c.id),
    "a table": lambda m: TABLE,
}

_NULL = ("None", "null()")
_ONE = (
    "a value",
    "a value that is not there",
    "the empty text",
    "a quote",
    *_NULL,
    "a parameter",
    "a parameter of a type",
    "a parameter that is None",
    "literal()",
    "the same column",
    "a column of the same index",
    "the index of that column",
    "a label of it",
    "a scalar subquery of its index",
    "case()",
    "coalesce()",
)
_LISTS = (
    "a list",
    "a list with None",
    "a list of None",
    "an empty list",
    "a set",
    "a generator",
    "a parameter for a list",
    "an expanding parameter",
    "a subquery of its index",
    "a UNION of its index",
)
_EQUALITIES = {"eq", "ne", "is_distinct_from", "is_not_distinct_from"}
_MEMBERSHIPS = {"in_op", "not_in_op", ".in_", ".not_in"}


def must_be_right(kind: Kind, call: str, operand: str) -> bool:
    """Whether this is among what a blind index is for: a refusal would be wrong, too."""
    name = call.removeprefix(".")
    if operand in _NULL:
        return name in {*_EQUALITIES, "is_", "is_not"}
    if not kind.exact:
        return False
    if name in _EQUALITIES:
        return operand in _ONE
    return call in _MEMBERSHIPS and operand in _LISTS


def must_be_right_reversed(kind: Kind, call: str, operand: str) -> bool:
    """Whether it is so with the column on the right side: a value, or an equal column."""
    if call not in {"eq", "ne"}:
        return False
    values = _ONE[:6] if kind.exact else _NULL[:1]
    columns = ("a column of the same index", "the index of that column") if kind.exact else ()
    return operand in {*values, *columns} - {"null()"}
