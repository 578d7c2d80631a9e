"""
How a sealed type learns which column owns it.

SQLAlchemy copies types often: for mixins, `Annotated`, `to_metadata`, and once a dialect. A copy
made for a dialect belongs to the same column as its original, a copy made for another column
does not. Both are shallow copies of `__dict__`; what tells them apart is that the second kind
is attached to a column again. So the binding is one shared object, replaced on attachment.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, TypeDecorator, event
from sqlalchemy.util import immutabledict

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .base import Encrypted


class Binding:
    """The label of the column that owns a type, once it is known."""

    __slots__ = ("__weakref__", "_column", "_owner", "label")

    def __init__(self, owner: Encrypted[Any], label: str | None = None) -> None:
        self.label = label
        self._owner = weakref.ref(owner)
        self._column: weakref.ref[Column[Any]] | None = None

    def belongs_to(self, type_: Encrypted[Any]) -> bool:
        """Whether this binding was made for *type_* and not copied with its `__dict__`."""
        return self._owner() is type_

    def is_taken_by_other(self, column: Column[Any]) -> bool:
        """Whether another column has this binding already."""
        return self._column is not None and self._column() is not column

    def bind(self, column: Column[Any]) -> None:
        """Take the label from the column as soon as it has a table."""
        self._column = weakref.ref(column)
        if getattr(column, "table", None) is not None:
            self._take_label(column, column.table)
        else:
            # A column of a declarative class has no name before it meets its table.
            event.listen(column, "after_parent_attach", self._take_label)

    def _take_label(self, column: Any, table: Any) -> None:
        if isinstance(table, Table):
            # No schema: it differs between environments and with schema_translate_map.
            self.label = f"{table.name}.{column.name}"


def attach(type_: Encrypted[Any], column: Any) -> None:
    """
    Bind a type to the column that it was just attached to. An event listener.

    One instance that is given to two columns is replaced by a copy at the second.

    Raises:
        ConfigurationError: that is not possible, since it stands inside of a type that does not
            say where, such as an ARRAY.
    """
    if not isinstance(column, Column) or type_.settings.context is not None:
        return
    if not type_.binding.belongs_to(type_):
        _make_own(type_)
    elif type_.binding.is_taken_by_other(column):
        type_ = _replaced(type_, column)
    type_.binding.bind(column)


def _replaced(type_: Encrypted[Any], column: Column[Any]) -> Encrypted[Any]:
    """Put a copy of the type into the column, and return it."""
    own = type_.copy()
    _make_own(own)
    outer: Any = column.type
    if outer is type_:
        column.type = own
    elif isinstance(outer, TypeDecorator) and outer.impl_instance is type_:
        column.type = outer = outer.copy()
        outer.impl = outer.impl_instance = own
    else:
        raise ConfigurationError(
            "one sealed type inside another type is shared by two columns; give each column its "
            "own, or an explicit context="
        )
    return own


def _make_own(type_: Encrypted[Any]) -> None:
    """Give a copied type what it must not share with its original: binding and variants."""
    type_.binding = Binding(type_)
    variants = {name: variant.copy() for name, variant in type_._variant_mapping.items()}
    type_._variant_mapping = immutabledict(variants)
