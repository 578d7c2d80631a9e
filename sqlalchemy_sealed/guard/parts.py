"""
The parts of a statement, all of them.

SQLAlchemy's own traversal leaves out the rows of a multi-row VALUES, the SET of an upsert and
what elements of dialects and applications hold; and it visits a subquery once for each of its
columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from sqlalchemy.sql import ddl, dml, functions
from sqlalchemy.sql.elements import ClauseElement, ClauseList, Over, Tuple, WithinGroup
from sqlalchemy.sql.selectable import SelectBase, Values

_STOCK = ("sqlalchemy.sql.", "sqlalchemy.orm.", "sqlalchemy_sealed.")
_NO_PARTS = ("_propagate_attrs", "excluded", "inserted")
"""Attributes of no part; the last two only name the columns that an upsert may use."""


def parts(statement: Any) -> Iterator[Any]:
    """Yield the statement and everything in it, each part once, outer ones first."""
    seen: dict[int, Any] = {}  # The parts are kept: an id is one only as long as its object is.
    pending = deque([statement])
    while pending:
        node = pending.popleft()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        yield node
        pending.extend(children(node))


def children(node: Any) -> list[Any]:
    """Return the parts directly inside of one; arguments of functions without their list."""
    if isinstance(node, ddl.BaseDDLElement):  # CREATE TABLE AS and CREATE VIEW have one.
        return [part for part in vars(node).values() if isinstance(part, SelectBase)]
    if isinstance(node, functions.FunctionElement):
        found = list(node.clauses) if hasattr(node, "clause_expr") else []
    else:
        found = list(node.get_children())
    if isinstance(node, Over | WithinGroup):
        found = [part for each in found for part in _without_list(each)]
    elif isinstance(node, dml.ValuesBase):
        found += _elements(node._multi_values or ())
    elif isinstance(node, Values):
        found += _elements(node._data)
    kind: Any = type(node)
    if not _is_stock(kind):
        found += _elements({k: v for k, v in vars(node).items() if k not in _NO_PARTS})
    return found


def _without_list(node: Any) -> Iterable[Any]:
    return node.clauses if isinstance(node, ClauseList) and not isinstance(node, Tuple) else (node,)


@cache
def _is_stock(kind: type[Any]) -> bool:
    """Whether SQLAlchemy says all of what is in such a part."""
    modules = (base.__module__ for base in kind.__mro__)
    own = next(module for module in modules if module != "sqlalchemy.sql.annotation")
    return own.startswith(_STOCK) and hasattr(kind, "_traverse_internals")


def _elements(value: Any) -> Iterator[Any]:
    """Yield the SQL in a value, and in the collections that it is made of."""
    if hasattr(value, "__clause_element__"):
        value = value.__clause_element__()
    if isinstance(value, ClauseElement):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _elements(key)
            yield from _elements(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _elements(item)
