"""
Latches: what ends the reading of plaintext, for every process that uses a database.

A latch is a row of the table `sealed_latches` in the database of the data. It names a context, and
from then on values of that context are read only if they are envelopes. `sealed status --latch`
turns it, once no plaintext is left; nothing turns it back.

A process reads the table with the first statement on a column that may hold plaintext, over the
connection of that statement, and again with the first one after `REREAD`. It remembers a latch that
it has seen, also if its row is deleted.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Connection, MetaData, String, Table, Text, inspect, text

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

TABLE = "sealed_latches"
LABEL_SIZE = 1000
"""Bytes of UTF-8 that the label of a context may have; an index of MariaDB takes 3,072 bytes."""
REREAD = 60.0
"""Seconds after which a process reads the latches again."""

_MYSQL = ("mysql", "mariadb")


def latches_table(metadata: MetaData, schema: str | None = None) -> Table:
    """
    Declare the table of latches in a metadata, and return it.

    With the metadata of the application, `create_all` makes it and Alembic's autogenerate knows it.
    Otherwise it is made when the first latch is turned. It holds names and dates only. Applications
    read it by its bare name, so it has to be in the default schema of their connections, and they
    need SELECT on it and nothing else.

    Args:
        metadata: such as `Base.metadata`.
        schema: its schema, if that is not the default one of the metadata.
    """
    from sqlalchemy.dialects import mysql  # noqa: PLC0415 - half of the time of this import

    # A collation of MariaDB takes `a` for `A`. There the bytes of UTF-8 are kept.
    label = String(LABEL_SIZE).with_variant(mysql.VARBINARY(LABEL_SIZE), *_MYSQL)
    return Table(
        TABLE,
        metadata,
        Column("label", label, primary_key=True),
        Column("columns", Text, nullable=False),
        Column("turned", String(50), nullable=False),
        schema=schema,
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def turned_latches(connection: Connection) -> dict[str, str]:
    """
    Return the latches of a database: the label of each context, and when its latch was turned.

    There is none without the table.

    Raises:
        DBAPIError: the table cannot be read.
    """
    if not inspect(connection).has_table(TABLE):
        return {}
    statement = text(f"SELECT label, turned FROM {TABLE}")  # noqa: S608 - our own name
    rows = connection.execute(statement, execution_options={"stream_results": False})
    return {_text(label): _text(turned) for label, turned in rows.all()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else bytes(value).decode()


class Latches:
    """The latches of one database, as this process knows them."""

    __slots__ = ("_next", "is_known", "turned")

    def __init__(self) -> None:
        self.turned: frozenset[str] = frozenset()
        self.is_known = False
        self._next = float("-inf")

    def attend(self, connection: Connection) -> None:
        """
        Read the latches if they were not read for a while.

        Raises:
            DBAPIError: they cannot be read. Then nothing is read from the column, either.
        """
        now = monotonic()
        if now < self._next:
            return
        # Two threads may both read them: a lock would block an event loop.
        self.turned |= turned_latches(connection).keys()
        self.is_known = True
        self._next = now + REREAD


def latches_of(dialect: Dialect) -> Latches:
    """Return the latches of the engine that has this dialect; each engine has its own."""
    found = _latches.get(dialect)
    return _latches.setdefault(dialect, Latches()) if found is None else found


_latches: WeakKeyDictionary[Dialect, Latches] = WeakKeyDictionary()
