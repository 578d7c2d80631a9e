"""
Every operator of SQLAlchemy, by the shape of its call.

A new version of SQLAlchemy may bring operators that do not stand here: then a test says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.sql import operators

SHAPES = {
    "unary": """
        neg inv desc_op asc_op nulls_first_op nulls_last_op nullsfirst_op nullslast_op distinct_op
        any_op all_op exists is_true is_false istrue isfalse bitwise_not_op
        .desc .asc .nulls_first .nulls_last .nullsfirst .nullslast .distinct .any_ .all_
        .bitwise_not
    """,
    "binary": """
        eq ne lt le gt ge add sub mul truediv floordiv mod pow_ matmul and_ or_ lshift rshift
        getitem contains is_distinct_from is_not_distinct_from isnot_distinct_from is_ is_not isnot
        collate in_op not_in_op notin_op like_op not_like_op notlike_op ilike_op not_ilike_op
        notilike_op startswith_op not_startswith_op notstartswith_op istartswith_op
        not_istartswith_op endswith_op not_endswith_op notendswith_op iendswith_op not_iendswith_op
        contains_op not_contains_op notcontains_op icontains_op not_icontains_op match_op
        not_match_op notmatch_op regexp_match_op not_regexp_match_op comma_op filter_op concat_op
        json_getitem_op json_path_getitem_op bitwise_xor_op bitwise_or_op bitwise_and_op
        bitwise_lshift_op bitwise_rshift_op from_ as_
        .is_distinct_from .is_not_distinct_from .isnot_distinct_from .is_ .is_not .isnot .in_
        .not_in .notin_ .like .not_like .notlike .ilike .not_ilike .notilike .startswith
        .istartswith .endswith .iendswith .contains .icontains .match .regexp_match .collate
        .concat .bitwise_xor .bitwise_or .bitwise_and .bitwise_lshift .bitwise_rshift
    """,
    "ternary": "between_op not_between_op notbetween_op regexp_replace_op .between .regexp_replace",
    "named": "op .op .bool_op",
    # What is neither: the module's own helpers, and attributes that are no operators.
    "none": """
        is_comparison is_commutative is_ordering_modifier is_natural_self_precedent is_boolean
        mirror is_associative is_order_by_modifier is_precedent commutative_op comparison_op
        function_as_comparison_op null_op cast overload
        .operate .reverse_operate .timetuple
    """,
}
SHAPE = {name: shape for shape, names in SHAPES.items() for name in names.split()}
FROM_TYPING = {"Any", "Callable", "Dict", "Hashable", "Literal", "Optional", "Set", "Tuple"}
FROM_TYPING |= {"Type", "Union", "Generic", "TypeVar", "Protocol"}


def found_names() -> Iterator[str]:
    """Yield the name of every function of `sqlalchemy.sql.operators`, and of every method."""
    for name, item in vars(operators).items():
        is_function = callable(item) and not inspect.isclass(item)
        if is_function and not name.startswith("_") and name not in FROM_TYPING:
            yield name
    for name in dir(operators.ColumnOperators):
        if not name.startswith("_"):
            yield f".{name}"


CALLS = [name for name in sorted(set(found_names())) if SHAPE.get(name, "none") != "none"]


def called(name: str, left: Any, right: Any) -> Any:
    """Call an operator."""
    if name.startswith("."):
        function: Callable[..., Any] = getattr(left, name[1:])
        arguments: list[Any] = []
    else:
        function, arguments = getattr(operators, name), [left]
    match SHAPE[name]:
        case "unary":
            return function(*arguments)
        case "binary":
            return function(*arguments, right)
        case "ternary":
            return function(*arguments, right, right)
        case _ if name == "op":
            return function(left, "=", right)
        case _:
            return function("=")(right)
