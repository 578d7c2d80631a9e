"""Searches by several words: the texts that have most of them, best first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Result, Select
from sqlalchemy.engine import IteratorResult
from sqlalchemy.orm import Mapped, Session
from sqlalchemy.sql.elements import ColumnElement

from .errors import OptionError
from .exact import execute_exact
from .types.match import matched_column, overlap, scoring

SCORE = "score"
"""The name of the column that is added to the rows."""


def execute_ranked(  # noqa: PLR0913 - a keyword for each choice
    executor: Session | Connection,
    statement: Select[Any],
    column: ColumnElement[Any] | Mapped[Any],
    words: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    least: float = 0.3,
    limit: int | None = 20,
) -> Result[*tuple[Any, ...]]:
    """
    Execute a SELECT and return the rows whose text is most like the words, with a score.

    The score is the share of the words' grams that the text has, 0 to 1: a word that is written
    a little differently still counts in part, case and accents make no difference, and neither
    does what else is in the text. Words of fewer letters than a gram are left out.

    Args:
        executor: the session or the connection.
        statement: as for `execute_exact`; it may have further conditions. Rows of equal score
            stay in its order.
        column: the column or mapped attribute that is searched; it has a match index.
        words: divided by white space, in any order.
        parameters: values of the statement's bind parameters.
        least: rows of a lower score are left out; above 0, at most 1.
        limit: the most rows that are returned; None for all.

    Returns:
        The rows as the statement selects them, with the score as one more item, best first.

    Raises:
        OptionError: *least* or *limit* is out of range.
        RefusedOperationError: the column has no match index; or as `execute_exact`.
        ValueRefusedError: no word is long enough.
        OpenError: a candidate cannot be opened.
    """
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 < least <= 1:
        raise OptionError("least must be a number above 0 and at most 1")
    if limit is not None and (type(limit) is not int or limit < 0):
        raise OptionError("limit must be a whole number of rows, or None")
    searched = matched_column(column)
    condition = overlap(searched, words, least)
    # The text takes the place of its score until the score is known.
    with_text = statement.where(condition).add_columns(searched.label(SCORE))
    result = execute_exact(executor, with_text, parameters)
    score = scoring(condition.term.match, words)
    rows = [(*row[:-1], score(row[-1])) for row in result]
    rows.sort(key=lambda row: row[-1], reverse=True)
    # The metadata of rows whose values were processed already.
    return IteratorResult(result._metadata._for_freeze(), iter(rows[:limit]))
