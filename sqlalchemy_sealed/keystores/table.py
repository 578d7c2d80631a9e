"""The table of a `DatabaseKeystore`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, Text, UniqueConstraint

TABLE = "sealed_keys"
NAME_SIZE = 1000
"""Bytes of UTF-8 that a key name may have in a table; an index of MariaDB takes 3,072 bytes."""
OPTIONAL = ("bridge_key_id", "due")
"""Columns that are null where the fields of a record leave something out."""

_MYSQL = ("mysql", "mariadb")


def keys_table(metadata: MetaData, table: str = TABLE, schema: str | None = None) -> Table:
    """
    Declare the table of a `DatabaseKeystore` in a metadata, and return it.

    With the metadata of the application, `create_all` makes it and Alembic's autogenerate knows
    it. The table holds wrapped keys only.

    Args:
        metadata: such as `Base.metadata`.
        table: the name of the table.
        schema: its schema; by default that of the metadata or of the connection.
    """
    return Table(
        table,
        metadata,
        Column("name", _name(), primary_key=True),
        Column("kind", _ascii(10), primary_key=True),
        Column("generation", Integer, primary_key=True, autoincrement=False),
        Column("id", _ascii(16), nullable=False),
        Column("wrapped", _ascii(None), nullable=False),
        Column("created", _ascii(50), nullable=False),
        Column("index_key_id", _ascii(16)),
        Column("bridge_key_id", _ascii(16)),
        Column("state", _ascii(10), nullable=False),
        Column("due", _ascii(50)),
        # No id stands twice, whatever its key name: rows tell their key by its id alone.
        UniqueConstraint("id", name=f"uq_{table}_id"),
        schema=schema,
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def _name() -> Any:
    """
    Return a type that tells any two texts apart.

    A collation of MariaDB takes `a` for `A`, or `a ` for `a`. There the bytes of UTF-8 are kept.
    """
    from sqlalchemy.dialects import mysql  # noqa: PLC0415 - half of the time of this import

    return String(NAME_SIZE).with_variant(mysql.VARBINARY(NAME_SIZE), *_MYSQL)


def _ascii(length: int | None) -> Any:
    from sqlalchemy.dialects import mysql  # noqa: PLC0415

    exact: Any = {"charset": "ascii", "collation": "ascii_bin"}
    if length is None:
        return Text().with_variant(mysql.TEXT(**exact), *_MYSQL)
    return String(length).with_variant(mysql.VARCHAR(length, **exact), *_MYSQL)
