"""
Conditions that match too much, and the mark by which they are known.

A class of SQL expressions takes part by having three members:

    is_loose            whether this very condition may match rows that it should not
    searched            the sealed expression whose opened value decides
    accepts(parameters) returns the function that decides about an opened value; *parameters* are
                        those of the execution, by name

The guard refuses to send a statement with such a condition, unless it comes from
`execute_exact`, which decides about each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.sql.elements import BindParameter

EXACT = "sealed_exact"
"""The execution option that `execute_exact` sets, to an `Exactness`."""


class Exactness:
    """
    The word of `execute_exact` that it decides about every row, for one execution.

    The ORM hands execution options on to the statements by which it loads relationships, and
    adds criteria of its own: those are not covered.
    """

    def __init__(self, conditions: int) -> None:
        self.conditions = conditions
        self.is_given = False

    def covers(self, conditions: int) -> bool:
        """Whether a statement with this many conditions that match too much may be sent now."""
        was_given, self.is_given = self.is_given, True
        return not was_given and conditions <= self.conditions


def is_loose(node: Any) -> bool:
    """Whether a part of a statement is a condition that may match too much."""
    return bool(getattr(node, "is_loose", False))


def given(parameter: BindParameter[Any], parameters: Mapping[str, Any]) -> Any:
    """Return the value of a parameter in an execution."""
    return parameters.get(parameter.key, parameter.effective_value)
