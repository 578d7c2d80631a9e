"""
Which rows of a database are under a data key. No model and no key is needed for that.

Every sealed value begins with the magic and the id of its data key, so the database itself counts
those of a key id, in one pass over each table. Nothing is written, and no value is fetched.

Looked at are binary and text columns of all tables; on SQLite, where a column may hold anything,
all columns. Not looked at are views, and the insides of JSON documents and arrays; the result
names those columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .bytewise import bytewise
from .envelope import KEY_ID_SIZE, MAGIC, to_text
from .errors import ConfigurationError, KeystoreError
from .scantables import DIALECTS, ScannedTable, scanned_tables

T = TypeVar("T")

_NAMED = 20
"""How many columns an error names."""
_COLUMNS = 100
"""How many columns one statement looks at; databases bound how much one may select."""


@dataclass(frozen=True, slots=True)
class FoundRows:
    """
    Rows of one column that are under one data key.

    Attributes:
        where: `schema.table.column`, or without a schema that is the default one.
        key_id: the data key, 8 bytes.
        rows: how many; of a system-versioned table of MariaDB, with those of the past.
    """

    where: str
    key_id: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class Scan:
    """
    What a scan saw.

    Attributes:
        found: the columns with rows under one of the keys.
        tables: how many tables were looked at.
        columns: how many columns were looked at.
        skipped: columns that were not looked at although they may hold texts or bytes, with their
            types, such as `orders.lines (JSONB)`.
    """

    found: tuple[FoundRows, ...]
    tables: int
    columns: int
    skipped: tuple[str, ...]


def scan(
    connection: sa.Connection, key_ids: Iterable[bytes], schemas: Sequence[str] | None = None
) -> Scan:
    """
    Count the rows of a database that are under these data keys.

    Args:
        connection: to PostgreSQL, SQLite, MariaDB or MySQL. It must see all rows: on PostgreSQL,
            row-level security that would hide some is an error.
        key_ids: 8 bytes each.
        schemas: where to look; by default in all schemas but those of the system. For MariaDB a
            schema is a database.

    Raises:
        ConfigurationError: no such schema, a table that cannot be read or may be hidden from
            this login, no table at all, or another database. It says nothing of the values.
    """
    wanted = tuple(dict.fromkeys(key_ids))
    if any(len(key_id) != KEY_ID_SIZE for key_id in wanted):
        raise ConfigurationError(f"a key id has {KEY_ID_SIZE} bytes")
    if connection.dialect.name not in DIALECTS:
        raise ConfigurationError(
            f"a scan reads PostgreSQL, SQLite and MariaDB, not {connection.dialect.name}"
        )
    found: list[FoundRows] = []
    skipped: list[str] = []
    tables = columns = 0
    with _seeing_all_rows(connection):
        for table in _asked("database", lambda: list(scanned_tables(connection, schemas))):
            tables += 1
            columns += len(dict(table.columns))
            skipped += table.skipped
            found += _counted(connection, table, wanted)
    if not tables:
        raise ConfigurationError(
            "there is no table to look at; is this the right database, and the right login?",
            where="database",
        )
    return Scan(tuple(found), tables, columns, tuple(skipped))


def check_no_rows(
    key_id: bytes, databases: Iterable[sa.Connection], schemas: Sequence[str] | None = None
) -> None:
    """
    Refuse to go on while a row is under a data key.

    Args:
        key_id: 8 bytes.
        databases: all that may have such rows; connections that are in no transaction, and are in
            none afterwards. Else rows that it has deleted could come back, and rows that came
            since it began could be missed.
        schemas: as for `scan`.

    Raises:
        KeystoreError: there are such rows, or no database was given to look in.
        ConfigurationError: as `scan`; or a connection is in a transaction.
    """
    scans = [_scan_of_now(connection, key_id, schemas) for connection in databases]
    if not scans:
        raise KeystoreError(
            "rows may still be under this data key, and no database was given to look in; give "
            "all that may have such rows, or say that it is to be destroyed unscanned",
            key_id=key_id.hex(),
        )
    found = [rows for each in scans for rows in each.found]
    if found:
        raise KeystoreError(
            f"rows are still under data key {key_id.hex()}: {said_rows(found)}; reseal them first",
            key_id=key_id.hex(),
        )


def _scan_of_now(connection: sa.Connection, key_id: bytes, schemas: Sequence[str] | None) -> Scan:
    if connection.in_transaction():
        raise ConfigurationError(
            "this connection is in a transaction, which may be rolled back, and may not see what "
            "others have committed since it began; end it first",
            where="database",
        )
    try:
        return scan(connection, [key_id], schemas)
    finally:
        connection.rollback()


def said_rows(found: Sequence[FoundRows]) -> str:
    """Return where rows were found and how many, such as `patients.email 3, orders.note 1`."""
    said = [f"{rows.where} {rows.rows:,}" for rows in found[:_NAMED]]
    more = len(found) - len(said)
    return ", ".join(said) + (f" and {more} more columns" if more else "")


# -- counting


def _counted(
    connection: sa.Connection, table: ScannedTable, key_ids: tuple[bytes, ...]
) -> list[FoundRows]:
    """Return the columns of a table that have rows under a key."""
    # With its schema, also where that is the default one: no temporary table is taken for it.
    selectable = sa.table(table.name, schema=table.schema)
    rows: dict[tuple[str, bytes], int] = {}
    wanted = iter([(*each, key_id) for each in table.columns for key_id in key_ids])
    while part := list(islice(wanted, _COLUMNS)):
        counts = [
            sa.func.count(sa.case((_is_under(name, key_id, binary=binary), 1)))
            for name, binary, key_id in part
        ]
        statement = sa.select(*counts).select_from(selectable)
        # Of a partitioned or inherited table, each part is looked at as the table that it is.
        statement = statement.with_hint(selectable, "ONLY", "postgresql")
        if table.has_history:
            statement = statement.with_hint(selectable, "FOR SYSTEM_TIME ALL")
        row = _asked(table.place, partial(_row, connection, statement))
        for (name, _, key_id), count in zip(part, row, strict=True):
            rows[name, key_id] = rows.get((name, key_id), 0) + count
    return [
        FoundRows(f"{table.place}.{name}", key_id, count)
        for (name, key_id), count in rows.items()
        if count
    ]


def _row(connection: sa.Connection, statement: sa.Executable) -> sa.Row[Any]:
    # What the engine puts in the place of schemas is for the statements of the application.
    return connection.execute(statement, execution_options={"schema_translate_map": None}).one()


def _is_under(name: str, key_id: bytes, *, binary: bool) -> sa.ColumnElement[bool]:
    """Return the condition that a value of a column begins as one under a data key does."""
    column: sa.ColumnClause[Any] = sa.column(name)
    if binary:
        start = sa.func.substr
        return sa.and_(
            start(column, 1, 3) == sa.literal(MAGIC, sa.LargeBinary()),
            start(column, 5, 8) == sa.literal(key_id, sa.LargeBinary()),
        )
    # Character 6 of the text has 2 bits of the slot count and 4 of the key id; those after it
    # are of the key id only. So all suites and slot counts are met.
    texts = [to_text(MAGIC + bytes([low]) + key_id) for low in range(4)]
    text = bytewise(sa.func.substr(column, 1, 16, type_=sa.Text()))
    return sa.and_(
        sa.func.substr(text, 1, 4) == texts[0][:4],
        sa.func.substr(text, 6, 1).in_(sorted({each[5] for each in texts})),
        sa.func.substr(text, 7, 10) == texts[0][6:16],
    )


# -- asking


@contextmanager
def _seeing_all_rows(connection: sa.Connection) -> Iterator[None]:
    """On PostgreSQL, let row-level security raise an error instead of hiding rows."""
    if connection.dialect.name != "postgresql":
        yield
        return
    before = _asked("database", lambda: connection.scalar(sa.text("SHOW row_security")))
    _asked("database", lambda: connection.execute(sa.text("SET row_security = off")))
    try:
        yield
    finally:
        # Refused in a transaction that has failed; its rollback does the same.
        with suppress(SQLAlchemyError):
            connection.execute(sa.text(f"SET row_security = {'off' if before == 'off' else 'on'}"))


def _asked(where: str, ask: Callable[[], T]) -> T:
    """Return the answer of the database, or raise an error without what it quotes."""
    try:
        return ask()
    except SQLAlchemyError as error:
        orig = error.orig if isinstance(error, DBAPIError) else None
        reason = type(error if orig is None else orig).__name__
    raise ConfigurationError(
        f"this cannot be read as a whole ({reason}), so rows may be missed: look at the "
        "permissions and at row-level security",
        where=where,
    )
