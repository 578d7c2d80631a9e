"""
Match indexes in SQL: the tokens of a column, and the conditions that search them.

The database returns the rows that have the tokens. Which of these have the term is decided after
they were opened, by `execute_exact`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from sqlalchemy import Boolean, Index, Text, TypeDecorator, event
from sqlalchemy.orm import Mapped
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeEngine

from ..errors import RefusedOperationError, ValueRefusedError
from ..match import MatchIndex, Place
from .changed import keeps_values
from .loose import given
from .parameters import element_of, expression_of, parameter
from .terms import TermType, least_common

if TYPE_CHECKING:
    from .base import Encrypted

T = TypeVar("T")

PLACES = {
    operators.contains_op: Place.CONTAINS,
    operators.startswith_op: Place.STARTS,
    operators.endswith_op: Place.ENDS,
    operators.icontains_op: Place.ICONTAINS,
    operators.istartswith_op: Place.ISTARTS,
    operators.iendswith_op: Place.IENDS,
}
"""The operators that a match index answers."""

TABLES = "sealed_match_tables"
"""Under this key, `Table.info` has the token tables of its columns, by column name."""
TOKEN = "sealed_token"  # noqa: S105 - the name of a column
"""The column of a token table: 6 hexadecimal digits, or 4 characters of the text form."""


class TokensType(TypeDecorator[Any]):
    """The type of a column's tokens, which can be indexed, and otherwise nothing."""

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Text
    cache_ok = True

    def __init__(self, source: Encrypted[Any]) -> None:
        super().__init__()
        self.source = source

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (type(self), self.source._static_cache_key)


class TokensComparator(TypeDecorator.Comparator[Any]):
    """Operators on tokens: none."""

    __slots__ = ()

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> NoReturn:
        """Refuse."""
        raise RefusedOperationError(
            "match_index() is for Index(); search the column itself, as with contains()",
            where=cast("TokensType", self.expr.type).source.label,
        )

    reverse_operate = operate


if not TYPE_CHECKING:
    TokensType.comparator_factory = TokensComparator


class Tokens(ColumnElement[Any]):
    """SQL of a column's tokens."""

    __visit_name__ = "sealed_tokens"
    inherit_cache = True
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]  # noqa: RUF012

    def __init__(self, column: ColumnElement[Any], source: Encrypted[Any]) -> None:
        self.column = column
        self.type = TokensType(source)

    @property
    def _from_objects(self) -> Any:
        return self.column._from_objects


class TokenMatch(BinaryExpression[bool]):
    """
    The column has the tokens of what is searched.

    A BinaryExpression, so that the ORM can adapt it to aliases; its SQL is ours.
    """

    inherit_cache = True
    is_loose = True

    def __init__(self, tokens: Tokens, term: BindParameter[Any]) -> None:
        super().__init__(tokens, term, operators.contains_op, type_=Boolean())

    def self_group(self, against: Any = None) -> TokenMatch:
        """Return this condition: its SQL has parentheses of its own."""
        return self

    @property
    def searched(self) -> ColumnElement[Any]:
        """The column whose value decides."""
        return cast("Tokens", self.left).column

    @property
    def term(self) -> TermType:
        """The type of what is searched."""
        return cast("TermType", self.right.type)

    def accepts(self, parameters: Mapping[str, Any]) -> Callable[[Any], bool]:
        """Return the function that decides about an opened value."""
        wanted = given(cast("BindParameter[Any]", self.right), parameters)
        if wanted is None:
            return lambda _value: False
        try:
            grams = frozenset(self.term.grams(wanted))
        except ValueRefusedError as error:
            problem = error
        else:
            return self._comparing(wanted, grams)
        raise problem.at(str(self.term.source.context))

    def _comparing(self, wanted: Any, grams: frozenset[bytes]) -> Callable[[Any], bool]:
        if self.term.place is not None:
            finds = self.term.place.finds(wanted)
            return lambda value: value is not None and finds(value)
        least = least_common(len(grams), wanted[1])
        of_value = self.term.match.value_grams
        return lambda value: value is not None and len(grams & of_value(value)) >= least

    def _negate(self) -> NoReturn:
        raise RefusedOperationError(
            "a match index cannot tell which texts do not have a term; select those that have it "
            "with execute_exact() and leave them out",
            where=self.term.source.label,
        )


def scoring(match: MatchIndex, words: str) -> Callable[[str], float]:
    """
    Return the function from a text to its score: the share of the words' grams that it has.

    0 to 1, as `word_similarity` of PostgreSQL's pg_trgm counts what is there of the words, and
    not what else is in the text.
    """
    wanted = frozenset(match.word_grams(words))
    return lambda value: len(wanted & match.value_grams(value)) / len(wanted)


def text_match(expr: Any, op: Any, *other: Any) -> TokenMatch | None:
    """Return the search for a term, or None if the expression cannot be searched so."""
    place = PLACES.get(op)
    if place is None or expr.type.settings.match is None or isinstance(expr, BindParameter):
        return None
    element = element_of(other[0])
    if element is not None and not isinstance(element, BindParameter):
        return None
    return _matched(expr, other[0], place)


def overlap(expr: Any, words: str, least: float) -> TokenMatch:
    """Return the search for texts that have at least a share of the words' grams."""
    return _matched(expr, (words, least), None)


def _matched(expr: Any, value: Any, place: Place | None) -> TokenMatch:
    source: Encrypted[Any] = expr.type
    if source.settings.is_dual:
        raise RefusedOperationError(
            "rows that still hold plaintext have no tokens, and would be missed; search when "
            "plaintext_until= is taken away, or encrypt into another column",
            where=source.label,
        )
    if not keeps_values(source):
        raise RefusedOperationError(
            "a search in a match index is compared with the values that are read, which this type "
            "changes in process_bind_param or process_result_value; change values before they are "
            "set, as with @validates",
            where=source.label,
        )
    return TokenMatch(Tokens(expr, source), parameter(expr, value, TermType(source, place)))


def matched_column(column: Any) -> ColumnElement[Any]:
    """
    Return the SQL expression of a column or mapped attribute that has a match index.

    Raises:
        RefusedOperationError: it has none.
    """
    expr = expression_of(column)
    if getattr(getattr(expr.type, "settings", None), "match", None) is None:
        where = getattr(expr.type, "label", None) or str(expr)
        raise RefusedOperationError(
            "this is not a sealed column with match=MatchIndex()", where=where
        )
    return cast("ColumnElement[Any]", expr)


def match_index(column: ColumnElement[T] | Mapped[T]) -> ColumnElement[Any]:
    """
    Return the SQL expression of a column's tokens, for an index.

    `Index("ix", match_index(Note.body))` is a GIN index, and made on PostgreSQL only. SQLite,
    MySQL and MariaDB have `match_table`.

    Args:
        column: a column or mapped attribute with a match index.

    Raises:
        RefusedOperationError: it has none.
    """
    expr = matched_column(column)
    return Tokens(expr, cast("Any", expr.type))


def _declare_index(index: Any, _table: Any) -> None:
    """Make an index over tokens what it has to be: a GIN index, on PostgreSQL."""
    if any(isinstance(expression, Tokens) for expression in getattr(index, "expressions", ())):
        options = index.dialect_options["postgresql"]
        options["using"] = options.get("using") or "gin"
        if index._ddl_if is None:
            index.ddl_if(dialect="postgresql")


event.listen(Index, "after_parent_attach", _declare_index)
