"""
Which tables and columns of a database may hold sealed values, as the database itself tells.

Those are binary and text columns of all tables; on SQLite, where a column may hold anything, all
columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.reflection import Inspector, ObjectKind
from sqlalchemy.exc import SAWarning
from sqlalchemy.types import TypeEngine

from .columntypes import holds_bytes, holds_text, innermost
from .errors import ConfigurationError
from .scangrants import Grants

MYSQL = ("mysql", "mariadb")
DIALECTS = ("postgresql", "sqlite", *MYSQL)
_OF_MYSQL = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_KINDS = ObjectKind.TABLE | ObjectKind.MATERIALIZED_VIEW
"""A materialised view is a copy, which may be older than its tables."""
_NESTING = (sa.JSON, sa.ARRAY, sa.types.NullType)
"""Types whose values may have texts or bytes inside; the last one stands for an unknown type."""
_HSTORE = "HSTORE"
"""Another one, by the name that SQLAlchemy visits it by: its dialect need not be imported."""


@dataclass(frozen=True, slots=True)
class ScannedTable:
    """
    A table, and what of it is looked at.

    Attributes:
        schema: its schema.
        name: its name.
        place: `schema.table`, or without a schema that is the default one.
        columns: the columns to look at, each with whether it holds bytes; on SQLite, twice.
        skipped: columns that are not looked at although they may hold texts or bytes, with their
            types, such as `orders.lines (JSONB)`.
        has_history: whether it has rows of the past besides, as a system-versioned table of
            MariaDB.
    """

    schema: str
    name: str
    place: str
    columns: tuple[tuple[str, bool], ...]
    skipped: tuple[str, ...]
    has_history: bool


def scanned_tables(
    connection: sa.Connection, schemas: Sequence[str] | None
) -> Iterator[ScannedTable]:
    """
    Yield all tables of some schemas; by default of all but those of the system.

    Raises:
        ConfigurationError: no such schema, or tables of it may be hidden.
        SQLAlchemyError: the database does not tell.
    """
    inspector = sa.inspect(connection)
    dialect = connection.dialect.name
    grants = Grants(connection) if dialect in MYSQL else None
    for schema in _schemas(inspector, dialect, schemas):
        if grants is not None:
            grants.check_sees_all(schema)
        with warnings.catch_warnings():
            # Of types that SQLAlchemy does not know. They are named in the result.
            warnings.simplefilter("ignore", SAWarning)
            described = inspector.get_multi_columns(schema=schema, kind=_KINDS)
        versioned = _versioned(connection, schema) if dialect in MYSQL else frozenset()
        for (_, name), columns in described.items():
            types = {column["name"]: column["type"] for column in columns}
            place = name if schema == inspector.default_schema_name else f"{schema}.{name}"
            looked_at = _anything(types) if dialect == "sqlite" else _texts_and_bytes(types)
            skipped = (
                f"{place}.{at} ({_said(type_)})" for at, type_ in types.items() if _said(type_)
            )
            yield ScannedTable(
                schema, name, place, tuple(looked_at), tuple(skipped), name in versioned
            )


def _schemas(inspector: Inspector, dialect: str, wanted: Sequence[str] | None) -> list[str]:
    there = [name for name in inspector.get_schema_names() if not _is_system(name, dialect)]
    if wanted is None:
        return there
    for schema in wanted:
        if schema not in there:
            raise ConfigurationError(f"there is no schema {schema!r}", where="database")
    return list(dict.fromkeys(wanted))


def _is_system(schema: str, dialect: str) -> bool:
    # Of another database, such a name is that of any schema.
    if dialect in MYSQL:
        return schema in _OF_MYSQL
    return dialect == "postgresql" and (schema == "information_schema" or schema[:3] == "pg_")


def _versioned(connection: sa.Connection, schema: str) -> frozenset[str]:
    query = sa.text(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = :schema AND table_type = 'SYSTEM VERSIONED'"
    )
    return frozenset(connection.scalars(query, {"schema": schema}))


def _anything(types: dict[str, TypeEngine[Any]]) -> Iterator[tuple[str, bool]]:
    return ((name, binary) for name in types for binary in (True, False))


def _texts_and_bytes(types: dict[str, TypeEngine[Any]]) -> Iterator[tuple[str, bool]]:
    for name, type_ in types.items():
        if holds_bytes(type_):
            yield name, True
        elif holds_text(type_):
            yield name, False


def _said(type_: TypeEngine[Any]) -> str:
    """Return the name of a type that may have texts or bytes inside; nothing for another one."""
    kind = innermost(type_)
    if not isinstance(kind, _NESTING) and kind.__visit_name__ != _HSTORE:
        return ""
    return type(kind).__name__.upper().replace("NULLTYPE", "unknown type")
