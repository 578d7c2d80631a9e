"""
Operators on sealed columns: what a blind index can answer, and a reason for all the rest.

An operator is allowed if it is on the list; SQLAlchemy has too many others to name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import Boolean, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ColumnElement

from ..errors import RefusedOperationError
from ..index import DEFAULT_NAME
from .comparison import EQUAL, UNEQUAL, compare_slot, is_null, why_not
from .match import text_match
from .parameters import element_of, expression_of
from .slots import SlotType, slot_expression

T = TypeVar("T")

_NULL_TESTS = {
    operators.eq: operators.is_,
    operators.is_: operators.is_,
    operators.is_not_distinct_from: operators.is_,
    operators.ne: operators.is_not,
    operators.is_not: operators.is_not,
    operators.is_distinct_from: operators.is_not,
}

_INSIDE = (
    "the database cannot look inside of a sealed value; index the part that is searched, as with "
    "BlindIndex('last4', normalize='last4'), and ask for it with blind_index(); texts with "
    "match=MatchIndex() can be searched for a value with contains(), startswith(), endswith()"
)
_ORDER = (
    "sealed values have no order in the database; sort and compare after reading, or keep a "
    "coarse plain column for it, such as the year"
)
_DOCUMENT = (
    "the database cannot look inside of a sealed document; read it, or keep the part that is "
    "searched in a column of its own"
)
_REMEDIES = (
    (("json", "getitem", "path", "has_key"), _DOCUMENT),
    (("like", "match", "regexp", "contains", "startswith", "endswith"), _INSIDE),
    (("lt", "le", "gt", "ge", "between", "asc", "desc", "nulls"), _ORDER),
)
_REMEDY = "the database would work on the sealed bytes; do it in Python, after reading"


def refuse(expr: Any, operation: str, remedy: str | None = None) -> RefusedOperationError:
    """Return the error for an operation on an expression of a sealed type."""
    if remedy is None:
        remedy = next(
            (text for words, text in _REMEDIES if any(word in operation for word in words)),
            _REMEDY,
        )
    type_ = getattr(expr, "type", expr)
    for name in ("source", "item_type"):  # A blind index names its column, an array its items.
        type_ = getattr(type_, name, type_)
    where = getattr(type_, "label", None) or getattr(expr, "name", None) or "a sealed value"
    return RefusedOperationError(
        f"{operation} is not possible on a sealed column: {remedy}", where=str(where)
    )


def blind_index(
    column: ColumnElement[T] | Mapped[T],
    name: str | None = None,
) -> ColumnElement[T]:
    """
    Return the SQL expression of a column's blind index.

    For `Index("ix", blind_index(Patient.email))`, `index_elements=` of an upsert,
    `group_by`, `distinct`, joins, subqueries, and to search an index other than the first:
    `blind_index(Patient.phone, "last4") == "0143"`.

    Args:
        column: a column or mapped attribute of a sealed type.
        name: the name of the index; by default the first one of the column.

    Raises:
        RefusedOperationError: not a sealed column, or it has no such index.
    """
    expr = expression_of(column)
    settings = getattr(expr.type, "settings", None)
    if settings is None:
        raise RefusedOperationError("this is not a sealed column", where=str(expr))
    names = [index.name for index in settings.index]
    if not names or (name is not None and name not in names):
        raise refuse(
            expr,
            f"blind index {name or DEFAULT_NAME!r}",
            f"the column declares {', '.join(map(repr, names)) or 'none'}; declare it with "
            "index=BlindIndex(...)",
        )
    number = 0 if name is None else names.index(name)
    return cast("ColumnElement[T]", slot_expression(expr, expr.type, number))


class SealedComparator(TypeDecorator.Comparator[Any]):
    """Operators on an expression of a sealed type."""

    __slots__ = ()

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Search the first blind index, test for NULL, or say why not."""
        value = element_of(other[0]) if other else None
        if op in _NULL_TESTS and other and is_null(other[0]):
            return super().operate(_NULL_TESTS[op], None)
        source: Any = self.expr.type
        if op not in EQUAL and op not in UNEQUAL:
            if (found := text_match(self.expr, op, *other)) is not None:
                return found
            raise refuse(self.expr, getattr(op, "opstring", None) or _name(op))
        if not source.settings.index:
            error = refuse(
                self.expr,
                _name(op),
                "every seal is randomised, so equal values are not equal in the database; declare "
                "the column with index=BlindIndex()",
            )
        elif isinstance(self.expr, BindParameter):
            return self._from_the_other_side(op, value)
        else:
            slot = slot_expression(self.expr, source, 0)
            if (found := compare_slot(slot, op, other[0])) is not None:
                return found if value is None else _with_identity(found, op, self.expr, value)
            error = refuse(self.expr, _name(op), why_not(slot, op, other[0]))
        return _refused(self.expr, op, value, error)

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> Any:
        """As `operate`, for the operators that are the same both ways."""
        if op in (operators.eq, operators.ne):
            return self.operate(op, other, **kwargs)
        raise refuse(self.expr, _name(op))

    def _from_the_other_side(self, op: Any, value: Any) -> Any:
        if op in (operators.eq, operators.ne) and _is_column(value):
            return value.operate(op, self.expr)
        raise refuse(self.expr, op.__name__, "put the column on the left side")


class SlotComparator(TypeDecorator.Comparator[Any]):
    """Operators on a slot expression."""

    __slots__ = ()

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Search this index, test for NULL, or say why not."""
        if op in _NULL_TESTS and other and is_null(other[0]):
            return super().operate(_NULL_TESTS[op], None)
        if op in EQUAL or op in UNEQUAL:
            found = compare_slot(self.expr, op, other[0])
            if found is not None:
                return found
            error = refuse(_source(self.expr), op.__name__, why_not(self.expr, op, other[0]))
            return _refused(self.expr, op, element_of(other[0]), error)
        if op is operators.distinct_op:
            return super().operate(op)
        raise refuse(_source(self.expr), getattr(op, "opstring", None) or _name(op))

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> Any:
        """As `operate`, for the operators that are the same both ways."""
        if op in (operators.eq, operators.ne):
            return self.operate(op, other, **kwargs)
        raise refuse(_source(self.expr), op.__name__)


def _name(op: Any) -> str:
    """Return how errors call an operator."""
    return getattr(op, "__name__", None) or str(op)


def _source(slot: Any) -> Any:
    return slot.type.source


def _refused(mine: Any, op: Any, other: Any, error: RefusedOperationError) -> Any:
    if op in (operators.eq, operators.ne) and _is_column(other):
        # SQLAlchemy itself asks `column in list`: that must be answered by identity.
        return RefusedComparison(mine, other, op, error)
    raise error


def _with_identity(found: Any, op: Any, mine: Any, other: Any) -> Any:
    if op in (operators.eq, operators.ne) and _is_column(other):
        # `column in list` compares, and takes the truth of the result: identity of the columns.
        found._orig = (hash(mine), hash(other))
    return found


def _is_column(value: Any) -> bool:
    return isinstance(value, ColumnElement) and not isinstance(value, BindParameter)


class RefusedComparison(BinaryExpression[bool]):
    """`column == other column` that may be asked for its truth, but not sent."""

    inherit_cache = True

    def __init__(self, left: Any, right: Any, op: Any, error: RefusedOperationError) -> None:
        super().__init__(left, right, op, type_=Boolean())
        self.error = error


@compiles(RefusedComparison)
def _compile_refused(element: RefusedComparison, _compiler: Any, **_kw: Any) -> str:
    raise element.error


if not TYPE_CHECKING:
    SlotType.comparator_factory = SlotComparator
