"""The table whose rows are moved, as it is in the database."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import NoSuchTableError, SAWarning
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from ..errors import ConfigurationError
from ..hints import near

_AS_THEY_ARE = {"smallint", "integer", "bigint", "numeric", "text", "character varying", "uuid",
    "boolean", "bytea"}  # fmt: skip
"""Types of PostgreSQL whose values, in a key, mean the same after a driver read and bound them."""
AS_TEXT = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "lc_monetary": "'C'",
}
"""Settings of PostgreSQL by which the text of a value means the same to every worker."""
_INEXACT = (sa.Enum, mysql.SET, mysql.BIT, sa.Float)
"""Types of MariaDB that sort otherwise than they compare, or that drivers do not give exactly."""


@dataclass(frozen=True)
class MovedTable:
    """
    A table and the key that its rows are paged and found by.

    Attributes:
        schema: None for the default one.
        name: as it is in the database.
        key: the columns of its primary key, or of another unique one without NULL.
        types: what the database says of its columns, by name.
        sql_types: on PostgreSQL, the names of their types in SQL, without the names of domains
            and without lengths; elsewhere empty.
        dated: on MariaDB and MySQL, columns that every UPDATE sets to the current time, unless
            it sets them to what they are.
    """

    schema: str | None
    name: str
    key: tuple[str, ...]
    types: Mapping[str, TypeEngine[Any]]
    sql_types: Mapping[str, str]
    dated: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`schema.table`, or `table`."""
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    @cached_property
    def selectable(self) -> sa.TableClause:
        """
        The table in SQL, with columns whose values are as the driver gives them.

        On PostgreSQL, those of a key are read as text that does not mean the same in Python: a date
        may be infinite there, and a driver may know nothing of an enumeration.
        """
        columns = [sa.column(name, self._read_by(name)) for name in self.types]
        return sa.table(self.name, *columns, schema=self.schema)

    def _read_by(self, name: str) -> TypeEngine[Any]:
        if name in self.key and self.is_read_as_text(name):
            return _AsText(self.sql_types[name])
        return NullType()

    def is_read_as_text(self, name: str) -> bool:
        """Whether a column of a key is read as text."""
        return self.sql_types.get(name, "text") not in _AS_THEY_ARE


class _Named(UserDefinedType[Any]):
    """A type of PostgreSQL by its name."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_kw: Any) -> str:
        """Return the name, for a CAST in a statement where a parameter has a percent sign."""
        return self.name.replace("%", "%%")


class _AsText(_Named):
    """Reads values of a type as text, and compares with texts as values of that type."""

    cache_ok = True

    def column_expression(self, colexpr: Any) -> sa.ColumnElement[Any]:
        """Return what is read."""
        return sa.cast(colexpr, sa.Text())

    def bind_expression(self, bindvalue: Any) -> sa.ColumnElement[Any]:
        """Return what a text is compared as."""
        return sa.cast(bindvalue, _Named(self.name))


def moved_table(
    connection: sa.Connection,
    name: str,
    schema: str | None = None,
    *,
    key: Sequence[str] | None = None,
) -> MovedTable:
    """
    Look a table up in the database.

    Args:
        connection: to its database.
        name: its name.
        schema: its schema; None for the default one.
        key: columns by which each row can be found, if there is no primary key: they are in a
            unique constraint or index, and NOT NULL.

    Raises:
        ConfigurationError: no such table, or it has no such key.
    """
    inspector = sa.inspect(connection)
    try:
        with warnings.catch_warnings():  # Types that SQLAlchemy does not know are read as text.
            warnings.simplefilter("ignore", SAWarning)
            columns = {each["name"]: each for each in inspector.get_columns(name, schema=schema)}
    except NoSuchTableError:
        hint = near(name, inspector.get_table_names(schema))
        problem = ConfigurationError(f"there is no table {name!r}{hint}", where="database")
    else:
        chosen = _key(inspector, name, schema, columns, key)
        types = {each: described["type"] for each, described in columns.items()}
        sql_types = _sql_types(connection, name, schema)
        table = MovedTable(schema, name, chosen, types, sql_types, _dated(connection, name, schema))
        _check_key(connection, table)
        return table
    raise problem


def _check_key(connection: sa.Connection, table: MovedTable) -> None:
    """
    Check that rows can be paged and found by the key.

    Raises:
        ConfigurationError: not exactly.
    """
    dialect = connection.dialect.name
    for column in table.key:
        where = f"{table.name}.{column}"
        if dialect in ("mysql", "mariadb") and isinstance(table.types[column], _INEXACT):
            raise ConfigurationError(
                f"rows cannot be paged by a key of the type {table.types[column]}; name the "
                "columns of another unique constraint as the key",
                where=where,
            )
        if dialect == "sqlite":  # A primary key may hold NULL there.
            found = table.selectable.c[column]
            if connection.execute(sa.select(1).where(found.is_(None)).limit(1)).first():
                raise ConfigurationError(
                    "there are rows whose key is NULL; rows are not found by NULL", where=where
                )


def _key(
    inspector: Inspector,
    name: str,
    schema: str | None,
    columns: Mapping[str, Any],
    wanted: Sequence[str] | None,
) -> tuple[str, ...]:
    if wanted is None:
        key = tuple(inspector.get_pk_constraint(name, schema=schema)["constrained_columns"])
        if key:
            return key
        raise ConfigurationError(
            "the table has no primary key, by which its rows are found again; add one, or name "
            "the columns of a unique constraint that are NOT NULL as its key (--key)",
            where=name,
        )
    for column in wanted:
        if column not in columns:
            raise ConfigurationError(
                f"there is no column {column!r}{near(column, list(columns))}", where=name
            )
        if columns[column]["nullable"]:
            raise ConfigurationError(
                "a column of the key may be NULL; rows are not found by NULL",
                where=f"{name}.{column}",
            )
    unique: list[Any] = [
        *(each["column_names"] for each in inspector.get_unique_constraints(name, schema=schema)),
        *(
            each["column_names"]
            for each in inspector.get_indexes(name, schema=schema)
            if each["unique"] and not _is_partial(each)
        ),
        inspector.get_pk_constraint(name, schema=schema)["constrained_columns"],
    ]
    if not any(each and set(each) == set(wanted) for each in unique):
        raise ConfigurationError(
            f"no unique constraint is over exactly {', '.join(wanted)}; two rows could have the "
            "same key",
            where=name,
        )
    return tuple(wanted)


def _is_partial(index: Any) -> bool:
    return any(name.endswith("_where") for name in index.get("dialect_options", {}))


_COLUMN_TYPES = sa.text("""
    WITH RECURSIVE typed(name, type, base) AS (
        SELECT a.attname, a.atttypid, t.typbasetype
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE c.relname = :name AND a.attnum > 0 AND NOT a.attisdropped
            AND CASE WHEN CAST(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid)
                ELSE n.nspname = :schema END
        UNION ALL
        SELECT typed.name, t.oid, t.typbasetype
        FROM typed JOIN pg_type t ON t.oid = typed.base
        WHERE typed.base <> 0
    )
    SELECT name, format_type(type, -1) FROM typed WHERE base = 0
""")
"""Of a domain it finds the type underneath: an array of a domain is checked by its constraints, and
old values need not meet them."""


def _sql_types(connection: sa.Connection, name: str, schema: str | None) -> dict[str, str]:
    if connection.dialect.name != "postgresql":
        return {}
    rows = connection.execute(_COLUMN_TYPES, {"name": name, "schema": schema})
    return {column: type_ for column, type_ in rows}  # noqa: C416 - rows are not pairs to a checker


_DATED = sa.text("""
    SELECT column_name FROM information_schema.columns
    WHERE table_name = :name AND table_schema = coalesce(:schema, database())
        AND extra LIKE '%on update%'
""")


def _dated(connection: sa.Connection, name: str, schema: str | None) -> tuple[str, ...]:
    if connection.dialect.name not in ("mysql", "mariadb"):
        return ()
    return tuple(connection.scalars(_DATED, {"name": name, "schema": schema}))
