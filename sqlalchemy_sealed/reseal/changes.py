"""
What is done to a column: its values are resealed, sealed for the first time, or opened for good.

A change is made of what SQL knows without a key, which rows are left to do, and of what only this
process can do, the conversion of values. Both follow the sealer, so they are asked for anew with
each page of rows: a rotation in the midst of a run takes effect at the next page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ..errors import OptionError
from ..sealer import Sealer
from ..types import Encrypted
from ..types.dual import IN_PLACE, can_change_places
from .converts import Convert, decrypting, encrypting, resealing
from .forms import head_of, is_stale, looks_sealed

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

Column = sa.ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Change:
    """
    A change of one column.

    Attributes:
        label: `table.column`, for errors.
        source: the name of the column that is read.
        target: the name of the column that is written; the same one for a change in place.
        todo: makes the condition that a row is left to do.
        converting: makes what converts the values of a page, for a dialect.
        reads: the type that the value is read by; None for what the driver gives.
        is_text: whether the value is compared as a text: it is none of bytes.
        sealers: whose keys open and seal the values; a run refreshes them.
    """

    label: str
    source: str
    target: str
    todo: Callable[[sa.Connection, Column, Column], sa.ColumnElement[bool]]
    converting: Callable[[Dialect], Convert]
    reads: TypeEngine[Any] | None = None
    is_text: bool = False
    sealers: tuple[Sealer, ...] = ()

    @property
    def is_in_place(self) -> bool:
        """Whether the column that is read is written."""
        return self.source == self.target


def reseal_change(
    label: str,
    column: str,
    type_: Encrypted[Any],
    before: Encrypted[Any] | None = None,
    source: str | None = None,
) -> Change:
    """
    Return the change of a column's values to the primary data key, and to the options of its type.

    A value is left to do if its label is not the one that it would be sealed with now. The label
    says key, suite and number of slots, and no more: for a change of the context, of what an index
    is made of, or of the size of a padding, rotate the key first.

    Args:
        label: `table.column`.
        column: its name.
        type_: how the values are sealed from now on.
        before: how the values were sealed, if it was under another context or sealer, or in another
            storage.
        source: the name of the column that holds them, as for another storage; by default the same
            one. A row of another column is left to do if it has a value there and NULL in the new
            one.

    Raises:
        OptionError: another storage in the same column, or another Python type.
    """
    before = before or type_
    in_place = source in (None, column)
    is_text = before.settings.is_text
    if before.python_type is not type_.python_type:
        raise OptionError("values of one Python type do not become those of another", where=label)
    if in_place and is_text != type_.settings.is_text:
        raise OptionError(
            "one column has one storage; seal the values into another column", where=label
        )

    def todo(connection: sa.Connection, stored: Column, target: Column) -> Any:
        if not in_place:
            return sa.and_(stored.is_not(None), target.is_(None))
        return is_stale(connection, stored, head_of(type_), is_text=is_text)

    def converting(_dialect: Dialect) -> Convert:
        return resealing(before, type_, is_copied=not in_place)

    sealers = tuple({id(each.sealer): each.sealer for each in (type_, before)}.values())
    return Change(
        label, source or column, column, todo, converting, is_text=is_text, sealers=sealers
    )


def encrypt_change(
    label: str, column: str, type_: Encrypted[Any], source: str | None = None
) -> Change:
    """
    Return the change that seals plaintext.

    Args:
        label: `table.column`.
        column: the name of the column that is written.
        type_: how the values are sealed.
        source: the name of the column that holds the plaintext; by default the same one. A row
            of another column is left to do if it has a value there and NULL in the sealed one.

    Raises:
        OptionError: plaintext of this type and envelopes do not go into one column.
    """
    in_place = source in (None, column)
    is_text = type_.settings.is_text
    if in_place:
        _check_in_place(label, type_)

    def todo(connection: sa.Connection, plain: Column, sealed: Column) -> Any:
        if in_place:
            return sa.and_(
                plain.is_not(None), sa.not_(looks_sealed(connection, plain, is_text=is_text))
            )
        return sa.and_(plain.is_not(None), sealed.is_(None))

    def converting(dialect: Dialect) -> Convert:
        return encrypting(type_, dialect)

    keys = (type_.sealer,)
    if in_place:
        return Change(label, column, column, todo, converting, is_text=is_text, sealers=keys)
    inner = type_.inner
    read_as_text = not isinstance(inner, sa.LargeBinary)
    return Change(label, str(source), column, todo, converting, inner, read_as_text, keys)


def decrypt_change(
    label: str, column: str, type_: Encrypted[Any], target: str | None = None
) -> Change:
    """
    Return the change that opens values for good.

    Args:
        label: `table.column`.
        column: the name of the sealed column.
        type_: how its values are sealed.
        target: the name of the column that takes the plaintext; by default the same one. A row
            of another column is left to do if it has a sealed value and NULL there.

    Raises:
        OptionError: plaintext of this type and envelopes do not go into one column.
    """
    in_place = target in (None, column)
    is_text = type_.settings.is_text
    if in_place:
        _check_in_place(label, type_)

    def todo(connection: sa.Connection, sealed: Column, plain: Column) -> Any:
        if in_place:
            return looks_sealed(connection, sealed, is_text=is_text)
        return sa.and_(sealed.is_not(None), plain.is_(None))

    def converting(dialect: Dialect) -> Convert:
        return decrypting(type_, dialect, in_place=in_place)

    keys = (type_.sealer,)
    return Change(label, column, target or column, todo, converting, is_text=is_text, sealers=keys)


def _check_in_place(label: str, type_: Encrypted[Any]) -> None:
    """Check that plaintext and envelopes are of one SQL type, and plaintext is what it says."""
    if not can_change_places(type_.inner, is_text=type_.settings.is_text):
        raise OptionError(f"{IN_PLACE}; use another column for one of the two", where=label)
