"""
The search condition of MySQL and MariaDB: a plain list of slots.

The form for other databases cuts one string with a recursive query. MariaDB ends that after
`max_recursive_iterations` (1,000 by default) with no more than a warning, so a longer list would
silently find too little; and its UPDATE and DELETE do not use an index for a subquery.

At most two index keys are in use, so a searched value has at most two slots. One value is bound
once, and its slots are the two ends of what is bound. Of a list, SQLAlchemy makes a parameter for
each value, and each is bound twice, once for either end.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators

from ..codecs.base import refuse_type
from ..errors import ValueRefusedError
from .search import BlindMatch
from .slots import MatchType, SlotType

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.type_api import _BindProcessorType


class EndType(MatchType):
    """
    The type of one value of a list, that becomes one slot: the lowest or the highest of its slots.

    Not the first and the last: the two are made one after the other, and a rotation in between
    changes their order, but not which is the lower.
    """

    cache_ok = True

    def __init__(self, slot: SlotType, *, highest: bool) -> None:
        super().__init__(slot, many=False)
        self.highest = highest

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Return the function from a searched value to the slot."""
        joined: Any = super().bind_processor(dialect)
        size = self.slot.size
        end = max if self.highest else min

        def process(value: Any) -> Any:
            slots = joined(value)
            return None if slots is None else end(slots[:size], slots[-size:])

        return process

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (*super()._static_cache_key, self.highest)


class ListType(MatchType):
    """
    The type of a list of searched values as a whole: true.

    It checks the list, since SQLAlchemy would take a text for one, of letters.
    """

    cache_ok = True

    def __init__(self, slot: SlotType) -> None:
        super().__init__(slot, many=True)

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Return the function that checks a list."""

        def process(value: Any) -> str:
            if value is None:
                return "1"  # SQLAlchemy takes it for an empty list, as the plain operator does.
            try:
                # It is gone through twice, which a generator does not allow.
                if isinstance(value, str | bytes | bytearray) or not isinstance(value, Collection):
                    refuse_type("a list of values", value)
            except ValueRefusedError as error:
                problem = error
            else:
                return "1"
            raise problem.at(str(self.slot.source.context))

        return process


@compiles(BlindMatch, "mysql", "mariadb")
def _compile_match(element: BlindMatch, compiler: SQLCompiler, **kw: Any) -> str:
    slot = compiler.process(element.left, **kw)
    found = element.operator is operators.in_op
    operator = "IN" if found else "NOT IN"
    match_type = cast("MatchType", element.right.type)
    if not match_type.many:
        value, size = compiler.process(element.right, **kw), match_type.slot.size
        return f"{slot} {operator} (left({value}, {size}), right({value}, {size}))"
    is_list, lowest, highest = _parameters(element, match_type.slot, compiler, **kw)
    either = (
        f"({slot} {operator} {lowest}) {'OR' if found else 'AND'} ({slot} {operator} {highest})"
    )
    return f"({is_list} AND ({either}))"


def _parameters(
    element: BlindMatch, slot: SlotType, compiler: SQLCompiler, **kw: Any
) -> tuple[str, str, str]:
    """
    Return the SQL of three parameters in place of the one: the list, its lowest and highest slots.

    The first takes the place of the original in all that SQLAlchemy does with a parameter. The
    others have names of their own, and get the value that the first one has.
    """
    whole: Any = element.right._clone(maintain_key=True)
    whole.type = ListType(slot)
    sql = [compiler.process(whole, **kw)]
    key, name = whole.key, compiler.bind_names.get(whole)
    for highest in (False, True):
        end: Any = element.right._clone(maintain_key=True)
        end.type = EndType(slot, highest=highest)
        end.expanding, end.expand_op = True, element.operator
        if name is not None:  # Literals have none.
            compiler.bind_names[end] = f"{name}__{'highest' if highest else 'lowest'}"
            end.callable = lambda: compiler.binds[key].effective_value
        sql.append(compiler.process(end, **kw))
    if name is not None:
        compiler.binds[key] = compiler.binds[name] = whole
    return sql[0], sql[1], sql[2]
