"""
Exact results of conditions that match too much: truncated blind indexes and match indexes.

The database returns candidates; each is compared after it was opened, and the false ones are
dropped. So a query never returns a row that does not match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Result, Select
from sqlalchemy.engine import IteratorResult
from sqlalchemy.orm import Session
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList, ColumnClause, Grouping, Over
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Exists, FromClause, ScalarSelect, SelectBase

from .errors import RefusedOperationError
from .guard.parts import parts
from .types.loose import EXACT, Exactness, is_loose

Accepts = Callable[[Any], bool]

SCALAR_FUNCTIONS = {
    *("abs", "ceil", "char_length", "coalesce", "concat", "current_date", "current_time"),
    *("current_timestamp", "date", "date_trunc", "floor", "length", "lower", "ltrim", "now"),
    *("nullif", "octet_length", "replace", "round", "rtrim", "strftime", "substr", "substring"),
    *("trim", "upper"),
}
"""Functions of one row. Any other may be an aggregate, which would count rows that do not match."""


def execute_exact(
    executor: Session | Connection,
    statement: Select[Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
) -> Result[Any]:
    """
    Execute a SELECT and drop the rows that its truncated indexes found falsely.

    Args:
        executor: the session or the connection. In asyncio code:
            `await session.run_sync(execute_exact, statement)`.
        statement: conditions over truncated indexes and match indexes stand in its WHERE, joined
            by AND. It has no LIMIT, OFFSET, DISTINCT, GROUP BY, HAVING, aggregate or window
            function: the database would apply them to candidates.
        parameters: values of its bind parameters.
        limit: the most rows that are returned; by default all.

    Returns:
        The rows as the statement selects them, in its order. They were fetched already, unless
        the statement has the execution option `yield_per` or `stream_results`.

    Raises:
        RefusedOperationError: a condition or a clause that cannot be made exact.
        ValueRefusedError: a searched value is none of the column's type.
        OpenError: a candidate cannot be opened.
    """
    conditions = _checked(statement)
    if limit is not None and (type(limit) is not int or limit < 0):
        raise RefusedOperationError("execute_exact(): limit must be a whole number, or None")
    values = dict(parameters or {})
    accepts = [condition.accepts(values) for condition in conditions]
    columns = [c.searched.label(f"_sealed_exact_{n}") for n, c in enumerate(conditions)]
    options = {EXACT: Exactness(len(conditions))}
    result = executor.execute(statement.add_columns(*columns), values, execution_options=options)
    if result._unique_filter_state is not None:  # A joined eager load repeats its parent's row.
        result = result.unique()
    width = len(result._metadata._keys) - len(columns)  # keys() leaves out what has no name.
    rows: Iterator[Any] = islice(_accepted(result, width, accepts), limit)
    if not {"yield_per", "stream_results"} & statement.get_execution_options().keys():
        rows = iter(list(rows))
        result.close()
    # The metadata of rows whose values were processed already.
    metadata = result._metadata._for_freeze()
    exact: Result[Any] = IteratorResult(metadata, rows, raw=result)
    return exact.columns(*range(width))


def _accepted(result: Result[Any], width: int, accepts: list[Accepts]) -> Iterator[Any]:
    for row in result:
        if all(accept(value) for accept, value in zip(accepts, row[width:], strict=True)):
            yield tuple(row)


def _checked(statement: Any) -> list[Any]:
    """Return the conditions that match too much, if they and the statement can be made exact."""
    if not isinstance(statement, Select):
        raise RefusedOperationError("execute_exact() takes a select()")
    conditions = list(_loose_conditions(statement))
    known = {id(condition) for condition in conditions}
    for part in parts(statement):
        if is_loose(part) and id(part) not in known:
            raise _refused("a search that matches too much, inside of OR, NOT, ON or a subquery")
    if conditions:
        _check_clauses(statement)
    return conditions


def _loose_conditions(statement: Select[Any]) -> Iterator[Any]:
    pending: list[Any] = list(statement._where_criteria)
    while pending:
        condition = pending.pop(0)
        if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
            pending = [*condition.clauses, *pending]
        elif isinstance(condition, Grouping):
            pending.insert(0, condition.element)
        elif is_loose(condition):
            yield condition


def _check_clauses(statement: Any) -> None:
    clauses = {
        "LIMIT": statement._limit_clause,
        "OFFSET": statement._offset_clause,
        "FETCH": statement._fetch_clause,
        "DISTINCT": statement._distinct or None,
        "GROUP BY": statement._group_by_clauses or None,
        "HAVING": statement._having_criteria or None,
    }
    for clause, given in clauses.items():
        if given is not None:
            raise _refused(
                f"{clause} together with a search that matches too much"
                + ("; pass limit= to execute_exact()" if clause in ("LIMIT", "FETCH") else "")
            )
    for part in _of_one_row((*statement._raw_columns, *statement._order_by_clauses)):
        if isinstance(part, Over):
            raise _refused("a window function together with a search that matches too much")
        if isinstance(part, FunctionElement) and part.name.lower() not in SCALAR_FUNCTIONS:
            raise _refused(
                f"{part.name}() together with a search that matches too much; if it is no "
                "aggregate, call it in a scalar subquery"
            )


def _of_one_row(exprs: Iterable[Any]) -> Iterator[Any]:
    """Yield the parts of expressions that the statement itself computes, not its subqueries."""
    pending = list(exprs)
    while pending:
        part = pending.pop()
        yield part
        is_apart = isinstance(part, SelectBase | ScalarSelect | Exists | ColumnClause | FromClause)
        if isinstance(part, FunctionElement) or not is_apart:
            pending += part.get_children()


def _refused(operation: str) -> RefusedOperationError:
    return RefusedOperationError(
        f"{operation}: the database would apply it to rows that do not match; use the condition "
        "in the WHERE of its own select(), joined by AND"
    )
