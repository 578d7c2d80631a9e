"""What the ORM does with a sealed attribute, each as a function of a session and one side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import (
    Bundle,
    Session,
    aliased,
    contains_eager,
    defer,
    immediateload,
    joinedload,
    load_only,
    selectinload,
    subqueryload,
    with_loader_criteria,
    with_parent,
)

from .tables import Row, Visit


@dataclass(frozen=True)
class Side:
    """
    One side: the names of the attributes.

    Attributes:
        value: of the searched attribute.
        visits: of the relationship over it.
        who: of the attribute at its other end.
        back: of the relationship the other way.
        first: the same, for one object.
    """

    value: str
    visits: str
    who: str
    back: str
    first: str

    @property
    def attribute(self) -> Any:
        """The searched attribute."""
        return getattr(Row, self.value)

    @property
    def relationship(self) -> Any:
        """The relationship over it."""
        return getattr(Row, self.visits)

    @property
    def back_relationship(self) -> Any:
        """The relationship the other way."""
        return getattr(Visit, self.back)

    def related(self, row: Any) -> tuple[Any, ...]:
        """Return a row and its visits."""
        return row.id, getattr(row, self.value), [visit.id for visit in getattr(row, self.visits)]


SEALED = Side("paired", "visits", "who", "row", "first")
PLAIN = Side("plain", "plain_visits", "plain_who", "plain_row", "plain_first")

Deed = Callable[[Session, Side], Any]
BOBS = ["bob", "ada"]


def ids(session: Session, statement: Any, **options: Any) -> list[Any]:
    """Return the ids of the objects that a statement selects."""
    return sorted(each.id for each in session.scalars(statement, **options).unique())


def tuples(session: Session, statement: Any) -> Any:
    """Return the rows of a statement, in some order."""
    return sorted(map(tuple, session.execute(statement)), key=str)


def ordered_by_lambda(session: Session, attribute: Any) -> Any:
    """Order by an attribute in a lambda statement."""
    return ids(session, sa.lambda_stmt(lambda: sa.select(Row).order_by(attribute)))


def loaded(session: Session, side: Side, option: Any) -> Any:
    """Return rows with the visits that an option loads with them."""
    rows = session.scalars(sa.select(Row).order_by(Row.id).options(option)).unique().all()
    session.expunge_all()  # What is not loaded now is not loaded any more.
    return [side.related(row) for row in rows]


def criteria(session: Session, side: Side, statement: Any, condition: Any) -> Any:
    """Return what a statement selects under criteria of the session."""
    return ids(session, statement.options(with_loader_criteria(Row, condition)))


def by_lambda(session: Session, side: Side) -> Any:
    """Search by a lambda statement, whose values are not part of it."""
    attribute = side.attribute
    found = []
    for value in ("bob", "ada", "nobody"):
        statement = sa.lambda_stmt(lambda: sa.select(Row).where(attribute == value))  # noqa: B023
        statement += lambda s: s.where(attribute.in_(BOBS))
        found.append(ids(session, statement))
    return found


def merged(session: Session, side: Side) -> Any:
    """Merge an object, and read what is stored."""
    session.merge(Row(**{"id": 3, side.value: "merged"}))
    session.flush()
    session.expire_all()
    return ids(session, sa.select(Row).filter_by(**{side.value: "merged"}))


def changed(session: Session, side: Side) -> Any:
    """Change an attribute, and read it anew."""
    row = session.get_one(Row, 3)
    setattr(row, side.value, "changed")
    session.flush()
    session.refresh(row)
    return [getattr(row, side.value), ids(session, sa.select(Row).filter_by(**{side.value: "bob"}))]


def updated(session: Session, side: Side, how: Any) -> Any:
    """Update by a search, with objects in the session."""
    row = session.get_one(Row, 3)
    statement = sa.update(Row).where(side.attribute == "bob").values(plain_folded="changed")
    session.execute(statement, execution_options={"synchronize_session": how})
    return [row.plain_folded if how else None, ids(session, _with("changed"))]


def _with(text: str) -> Any:
    return sa.select(Row).where(Row.plain_folded == text)


def deleted(session: Session, side: Side, how: Any) -> Any:
    """Delete by a search."""
    session.get_one(Row, 3)
    statement = sa.delete(Row).where(side.attribute.in_(BOBS))
    session.execute(statement, execution_options={"synchronize_session": how})
    return ids(session, sa.select(Row))


def written_in_bulk(session: Session, side: Side) -> Any:
    """Insert and update objects in bulk, and search them."""
    rows = [{"id": n, side.value: value} for n, value in ((101, "new"), (102, "newer"))]
    session.execute(sa.insert(Row), rows)
    session.execute(sa.update(Row), [{"id": 101, side.value: "newer"}])
    session.bulk_save_objects([Row(**{"id": 103, side.value: "newer"})])
    session.bulk_insert_mappings(Row.__mapper__, [{"id": 104, side.value: "newer"}])
    session.bulk_update_mappings(Row.__mapper__, [{"id": 103, side.value: "new"}])
    return ids(session, sa.select(Row).filter_by(**{side.value: "newer"}))


RIGHT: dict[str, Deed] = {
    "filter_by": lambda s, x: ids(s, sa.select(Row).filter_by(**{x.value: "bob"})),
    "filter_by None": lambda s, x: ids(s, sa.select(Row).filter_by(**{x.value: None})),
    "where": lambda s, x: ids(s, sa.select(Row).where(x.attribute != "bob")),
    "Query.filter": lambda s, x: s.query(Row.id).filter(x.attribute == "bob").all(),
    "Query.filter_by": lambda s, x: s.query(Row).filter_by(**{x.value: "bob"}).count(),
    "Query.exists": lambda s, x: s.query(s.query(Row).filter(x.attribute == "x").exists()).all(),
    "Query.get": lambda s, x: [getattr(s.get(Row, 3), x.value)],
    "Query.update": lambda s, x: (
        s.query(Row).filter(x.attribute == "bob").update({Row.plain_folded: "changed"})
    ),
    "Query.delete": lambda s, x: s.query(Row).filter(x.attribute.in_(BOBS)).delete(),
    "lazy": lambda s, x: [x.related(row) for row in s.scalars(sa.select(Row).order_by(Row.id))],
    "lazy, the other way": lambda s, x: [
        [row.id for row in getattr(visit, x.back)]
        for visit in s.scalars(sa.select(Visit).order_by(Visit.id))
    ],
    "selectinload": lambda s, x: loaded(s, x, selectinload(x.relationship)),
    "joinedload": lambda s, x: loaded(s, x, joinedload(x.relationship)),
    "immediateload": lambda s, x: loaded(s, x, immediateload(x.relationship)),
    "joinedload with LIMIT": lambda s, x: [
        x.related(row)
        for row in s.scalars(
            sa.select(Row)
            .where(x.attribute.in_(BOBS))
            .options(joinedload(x.relationship))
            .order_by(Row.id)
            .limit(2)
        ).unique()
    ],
    "contains_eager": lambda s, x: [
        x.related(row)
        for row in s.scalars(
            sa.select(Row)
            .join(x.relationship)
            .options(contains_eager(x.relationship))
            .order_by(Row.id, Visit.id)
        ).unique()
    ],
    "any()": lambda s, x: ids(s, sa.select(Row).where(x.relationship.any(Visit.id > 4))),
    "not any()": lambda s, x: ids(s, sa.select(Row).where(~x.relationship.any())),
    "has()": lambda s, x: ids(s, sa.select(Visit).where(getattr(Visit, x.first).has(Row.id == 3))),
    "contains()": lambda s, x: ids(
        s, sa.select(Row).where(x.relationship.contains(s.get_one(Visit, 1)))
    ),
    "with_parent()": lambda s, x: ids(
        s, sa.select(Visit).where(with_parent(s.get_one(Row, 3), x.relationship))
    ),
    "join": lambda s, x: tuples(s, sa.select(Row.id, Visit.id).join(x.relationship)),
    "outerjoin": lambda s, x: tuples(s, sa.select(Row.id, Visit.id).outerjoin(x.relationship)),
    "join to an alias": lambda s, x: tuples(
        s, sa.select(Row.id, (v := aliased(Visit)).id).join(x.relationship.of_type(v))
    ),
    "join ON": lambda s, x: tuples(
        s, sa.select(Row.id, Visit.id).join(Visit, x.attribute == getattr(Visit, x.who))
    ),
    "DISTINCT of objects": lambda s, x: [
        each.id
        for (each,) in sorted(
            s.execute(sa.select(Row).join(x.relationship).distinct()), key=lambda row: row[0].id
        )
    ],
    "GROUP BY with an object's key": lambda s, x: tuples(
        s,
        sa.select(Row.id, x.attribute, sa.func.count(Visit.id))
        .join(x.relationship)
        .group_by(Row.id, x.attribute),
    ),
    "aliased": lambda s, x: ids(
        s, sa.select(a := aliased(Row)).where(getattr(a, x.value) == "bob")
    ),
    "aliased subquery": lambda s, x: ids(
        s,
        sa.select(a := aliased(Row, sa.select(Row).where(Row.id > 3).subquery())).where(
            getattr(a, x.value).in_(BOBS)
        ),
    ),
    "aliased CTE": lambda s, x: ids(
        s,
        sa.select(a := aliased(Row, sa.select(Row).where(Row.id > 3).cte())).where(
            getattr(a, x.value) == "bob"
        ),
    ),
    "from_statement": lambda s, x: ids(
        s, sa.select(Row).from_statement(sa.select(Row).where(x.attribute == "bob"))
    ),
    "with_loader_criteria": lambda s, x: criteria(s, x, sa.select(Row), x.attribute == "bob"),
    "with_loader_criteria, a lambda": lambda s, x: criteria(
        s, x, sa.select(Row), lambda c, name=x.value: getattr(c, name) == "bob"
    ),
    "with_loader_criteria, in a subquery": lambda s, x: criteria(
        s,
        x,
        sa.select(Visit).where(Visit.id.in_(sa.select(Row.id))),
        x.attribute.in_(BOBS),
    ),
    "lambda_stmt": by_lambda,
    "Bundle": lambda s, x: [
        tuple(row[0]) for row in s.execute(sa.select(Bundle("b", Row.id, x.attribute)))
    ],
    "load_only": lambda s, x: [
        getattr(row, x.value)
        for row in s.scalars(sa.select(Row).options(load_only(x.attribute)).order_by(Row.id))
    ],
    "defer": lambda s, x: [
        getattr(row, x.value)
        for row in s.scalars(sa.select(Row).options(defer(x.attribute)).order_by(Row.id))
    ],
    "yield_per": lambda s, x: [
        sorted(row.id for row in part)
        for part in s.scalars(
            sa.select(Row).where(x.attribute.in_(BOBS)).order_by(Row.id),
            execution_options={"yield_per": 2},
        ).partitions()
    ],
    "merge": merged,
    "change": changed,
    "update, auto": lambda s, x: updated(s, x, "auto"),
    "update, fetch": lambda s, x: updated(s, x, "fetch"),
    "update, False": lambda s, x: updated(s, x, False),
    "delete, auto": lambda s, x: deleted(s, x, "auto"),
    "delete, fetch": lambda s, x: deleted(s, x, "fetch"),
    "delete, False": lambda s, x: deleted(s, x, False),
    "in bulk": written_in_bulk,
}

REFUSED: dict[str, Deed] = {
    # Its SELECT DISTINCT of what is related would tell equal values apart.
    "subqueryload": lambda s, x: loaded(s, x, subqueryload(x.relationship)),
    "order_by": lambda s, x: ids(s, sa.select(Row).order_by(x.attribute)),
    "order_by, the name": lambda s, x: ids(s, sa.select(Row).order_by(x.value)),
    "Query.order_by": lambda s, x: s.query(Row).order_by(x.attribute.desc()).all(),
    "Query.distinct": lambda s, x: s.query(x.attribute).distinct().all(),
    "like": lambda s, x: ids(s, sa.select(Row).where(x.attribute.like("b%"))),
    "a function": lambda s, x: ids(s, sa.select(Row).where(sa.func.lower(x.attribute) == "bob")),
    "order_by with joinedload and LIMIT": lambda s, x: ids(
        s, sa.select(Row).options(joinedload(x.relationship)).order_by(x.attribute).limit(2)
    ),
    "with_loader_criteria": lambda s, x: criteria(
        s, x, sa.select(Row), sa.func.lower(x.attribute) == "bob"
    ),
    "with_loader_criteria, in a subquery": lambda s, x: criteria(
        s,
        x,
        sa.select(Visit).where(Visit.id.in_(sa.select(Row.id))),
        sa.func.lower(x.attribute) == "bob",
    ),
    "with_loader_criteria, in selectinload": lambda s, x: criteria(
        s,
        x,
        sa.select(Visit).options(selectinload(x.back_relationship)),
        sa.func.lower(x.attribute) == "bob",
    ),
    "join ON a function": lambda s, x: ids(
        s, sa.select(Row).join(Visit, sa.func.lower(x.attribute) == Visit.plain_who)
    ),
    "any() of a function": lambda s, x: ids(
        s, sa.select(Row).where(x.relationship.any(sa.func.lower(getattr(Visit, x.who)) == "bob"))
    ),
    "update by a function": lambda s, x: (
        s.execute(
            sa.update(Row).where(sa.func.lower(x.attribute) == "bob").values(plain_folded="x")
        ).rowcount
    ),
    "delete by a function": lambda s, x: (
        s.execute(sa.delete(Row).where(sa.func.lower(x.attribute) == "bob")).rowcount
    ),
    "lambda_stmt": lambda s, x: ordered_by_lambda(s, x.attribute),
}
