"""What a column of a sealed type may be declared with, and the CHECK constraint it brings."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    DefaultClause,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    event,
)
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ColumnCollectionConstraint, SchemaItem
from sqlalchemy.sql.elements import ColumnElement, TypeCoerce
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import Boolean

from ..envelope import MAGIC, overhead, to_text
from ..errors import ConfigurationError
from .ours import is_ours
from .slots import Slot


def check_defaults(column: Column[Any]) -> None:
    """
    Refuse defaults that the database would compute: they would be stored unsealed.

    Raises:
        ConfigurationError: a server default, a generated column, or an SQL expression or a
            sequence as a default.
    """
    if column.computed is not None or column.identity is not None:
        raise _refused(column, "the database would generate its values, unsealed; use default=")
    for name in ("server_default", "server_onupdate"):
        if isinstance(getattr(column, name), DefaultClause):
            raise _refused(
                column, f"{name}= would put plaintext into the table definition; use default="
            )
    for name in ("default", "onupdate"):
        default = getattr(column, name)
        if getattr(default, "is_clause_element", False) or getattr(default, "is_sequence", False):
            raise _refused(
                column, f"{name}= with an SQL expression would store plaintext; use a Python value"
            )


def _refused(column: Column[Any], problem: str) -> ConfigurationError:
    return ConfigurationError(f"a sealed column cannot have this: {problem}", where=str(column))


def _is_sealed(type_: Any) -> bool:
    """Whether a type is sealed, wraps a sealed one, or has items or variants that are."""
    if hasattr(type_, "settings"):
        return True
    inner = (getattr(type_, "item_type", None), *getattr(type_, "_variant_mapping", {}).values())
    return any(_is_sealed(each) for each in inner if each is not None)


def check_constraint(constraint: SchemaItem, _parent: Any) -> None:
    """
    Refuse a constraint that compares the sealed bytes: every seal is different.

    Raises:
        ConfigurationError: one of its columns is sealed.
    """
    if not isinstance(constraint, CheckConstraint):
        columns: Any = getattr(constraint, "columns", ())
        _refuse_comparing(columns, _KINDS.get(type(constraint), "a constraint"))


def check_index(index: Index, _parent: Any) -> None:
    """
    Refuse an index over the sealed bytes, and give a unique one over slots its second one.

    Raises:
        ConfigurationError: an expression of it works on a sealed column, different values would
            be equal, or it would not stay unique.
    """
    for expression in index.expressions:
        _refuse_comparing(_compared(expression), "an index")
        if index.unique and isinstance(expression, Slot):
            _check_unique(expression)
    slots = [each for each in index.expressions if isinstance(each, Slot) and not each.bridge]
    if index.unique and slots:
        _add_bridge(index)


def _check_unique(slot: Slot) -> None:
    column: Any = slot.column
    type_: Any = slot.type
    if type_.source.settings.is_dual:
        raise _refused(
            column,
            "a unique index cannot hold rows of plaintext; make it when plaintext_until= is taken "
            "away",
        )
    if _index_of(slot).is_truncated:
        raise _refused(
            column,
            "a unique index over a truncated blind index refuses values that are different",
        )
    if not _index_of(slot).has_bridge:
        raise _refused(
            column,
            "a unique index over this blind index would take a value twice while the index key is "
            "rotated; declare BlindIndex(unique=True), or BlindIndex(bridge=True) for a unique "
            "index over several columns",
        )


def _add_bridge(index: Index) -> None:
    """
    Add the index over the second slots to a unique index over the first ones.

    While the index key is rotated, the rows differ in the key of the first slot and agree in
    that of the second; before and after, the first one is the same for all.
    """
    expressions = [each.bridged if isinstance(each, Slot) else each for each in index.expressions]
    # As for the unique=True of a column: copies of the table make their own.
    bridge = Index(
        None if index.name is None else short_name(index.name, "bridge"),
        *expressions,
        unique=True,
        _column_flag=True,
        **index.dialect_kwargs,
    )
    bridge._ddl_if = index._ddl_if


def check_references(table: Table, _connection: Any, **_kw: Any) -> None:
    """
    Refuse a foreign key that refers to a sealed column, before the table is made.

    Raises:
        ConfigurationError: there is one.
    """
    for key in table.foreign_keys:
        try:
            column = key.column
        except NoReferenceError:
            continue  # SQLAlchemy says so itself.
        _refuse_comparing([column], "a foreign key")


_KINDS: dict[type[Any], str] = {
    UniqueConstraint: "a unique constraint",
    PrimaryKeyConstraint: "a primary key",
    ForeignKeyConstraint: "a foreign key",
}


def _index_of(slot: Slot) -> Any:
    type_: Any = slot.type
    return type_.index


def _compared(expression: Any) -> list[Any]:
    """Return the columns whose bytes an expression of an index works on."""
    pending, found = [expression], []
    while pending:
        part = pending.pop()
        if isinstance(part, Column):
            found.append(part)
        elif not isinstance(part, TypeCoerce) and not is_ours(part):
            pending += part.get_children()
    return found


def _refuse_comparing(columns: Any, kind: str) -> None:
    for column in columns:
        if isinstance(column, Column) and _is_sealed(column.type):
            raise _refused(
                column,
                f"{kind} over it never finds two equal values, since every seal is randomised; "
                "declare index=BlindIndex(unique=True)",
            )


class IsEnvelope(ColumnElement[bool]):
    """SQL: the stored value has the look of an envelope, or is NULL."""

    __visit_name__ = "sealed_is_envelope"
    inherit_cache = True
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]  # noqa: RUF012
    type = Boolean()

    def __init__(self, column: Column[Any]) -> None:
        self.column = column

    @property
    def is_text(self) -> bool:
        """Whether the column stores the text form."""
        type_: Any = self.column.type
        return bool(type_.settings.is_text)


@compiles(IsEnvelope)
def _compile_is_envelope(element: IsEnvelope, compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.column, **kw)
    dialect = compiler.dialect.name
    if element.is_text:
        return _is_text_envelope(column, dialect)
    magic = MAGIC.hex()
    literal = {"postgresql": f"'\\x{magic}'::bytea", "mssql": f"0x{magic}"}.get(
        dialect, f"X'{magic}'"
    )
    prefix = f"substr({column}, 1, {len(MAGIC)})"
    if dialect == "sqlite":
        # There, a part of an empty blob is NULL, which a CHECK lets pass; and all blobs come after
        # all texts and numbers.
        after = (int.from_bytes(MAGIC, "big") + 1).to_bytes(len(MAGIC), "big").hex()
        return f"{column} >= {literal} AND {column} < X'{after}'"
    return f"{prefix} = {literal}"


def _is_text_envelope(column: str, dialect: str) -> str:
    """
    Return the condition for the text form.

    A word may begin with the four letters of the magic, so the least length counts, too, and that
    there is no letter among so many but those of base64url (RFC 4648, section 5): no space, no
    punctuation. What comes after them is not looked at: it may be megabytes.
    """
    prefix, least = to_text(MAGIC), len(to_text(bytes(overhead())))
    start = f"substr({column}, 1, {least})"
    conditions = [
        f"substr({column}, 1, {len(prefix)}) = '{prefix}'",
        f"{_LENGTHS.get(dialect, 'length')}({start}) = {least}",
    ]
    if dialect in _OTHER_LETTERS:
        conditions.append(f"{start} {_OTHER_LETTERS[dialect]}")
    return " AND ".join(conditions)


_LENGTHS = {"mssql": "len"}
_OTHER_LETTERS = {
    "postgresql": "!~ '[^A-Za-z0-9_-]'",
    "sqlite": "NOT GLOB '*[^A-Za-z0-9_-]*'",
    "mariadb": "NOT REGEXP '[^A-Za-z0-9_-]'",
    "mysql": "NOT REGEXP '[^A-Za-z0-9_-]'",
}
"""What a value has not to match, in the words of each database that has patterns."""


def declare(column: Column[Any], table: Any) -> None:
    """Check a column that meets its table, and add the CHECK constraint of a sealed one."""
    if not isinstance(table, Table) or not _is_sealed(column.type):
        return
    check_defaults(column)
    if column.primary_key:
        raise _refused(
            column,
            "a primary key over it never finds two equal values, since every seal is randomised; "
            "use a key of another type and index=BlindIndex(unique=True)",
        )
    settings: Any = getattr(column.type, "settings", None)
    if settings is None:
        _check_inside(column)
        return
    if settings.check and not settings.is_dual:
        name = short_name(table.name, column.name, "sealed")
        table.append_constraint(CheckConstraint(IsEnvelope(column), name=name, _type_bound=True))
    _add_unique_indexes(column)


def _check_inside(column: Column[Any]) -> None:
    """
    Check a column whose type is not sealed itself.

    Raises:
        ConfigurationError: it is sealed in some databases only.
    """
    if getattr(column.type, "_variant_mapping", {}):
        raise _refused(
            column,
            "a type that is sealed in some databases only stores plaintext in the others; make a "
            "sealed type the first one, and variants of it sealed, too",
        )


def _add_unique_indexes(column: Column[Any]) -> None:
    """Add the index of each unique blind index, which brings the one over its second slot."""
    type_: Any = column.type
    table = column.table
    for number, index in enumerate(type_.settings.index):
        if index.unique:
            name = short_name("ux", table.name, column.name, index.name)
            slot = Slot(column, type_, number)
            # As for the unique=True of a column: copies of the table make their own.
            Index(name, slot, unique=True, _column_flag=True)


def short_name(*parts: str) -> str:
    """Return a name that is unique in a schema and fits into 63 characters."""
    name = "_".join(parts)
    if len(name.encode()) <= MAX_NAME_SIZE:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: MAX_NAME_SIZE - 9].decode(errors='ignore')}_{digest}"


MAX_NAME_SIZE = 54
"""Bytes of a constraint name; PostgreSQL cuts at 63, and a naming convention adds to it."""

event.listen(Column, "after_parent_attach", declare)
event.listen(Index, "after_parent_attach", check_index)
event.listen(ColumnCollectionConstraint, "after_parent_attach", check_constraint)
event.listen(Table, "before_create", check_references)
