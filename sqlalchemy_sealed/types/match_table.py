"""
Token tables: how SQLite, MySQL and MariaDB index the tokens of a column.

They have no index over the items of an array, so the tokens get a table of their own. Triggers
fill it from the stored bytes, without a key: whatever writes the column keeps it in step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from sqlalchemy import DDL, Column, Connection, Index, MetaData, String, Table, event
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Mapped
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable
from sqlalchemy.sql.elements import ColumnElement

from ..errors import ConfigurationError
from .declaration import short_name
from .match import TABLES, TOKEN, matched_column
from .token_sql import NO_TOKENS, PortablePlaces

DIALECTS = ("sqlite", "mysql", "mariadb")


class MatchTable:
    """
    The token table of one column. Made by `match_table`.

    Attributes:
        table: the table, in a MetaData of its own: PostgreSQL gets none.
        keys: the primary key of the searched table, by column keys.
        key_names: the same by names, which the columns of the token table have, too.
    """

    def __init__(self, column: Column[Any], name: str | None) -> None:
        source = column.table
        keys = list(source.primary_key)
        self.column = column
        self.keys = [key.key for key in keys]
        self.key_names = [key.name for key in keys]
        from sqlalchemy.dialects import mysql  # noqa: PLC0415 - a fifth of the package's import

        in_ascii = mysql.VARCHAR(8, charset="ascii", collation="ascii_bin")
        token = String(8).with_variant(in_ascii, "mysql", "mariadb")
        self.table = Table(
            name or short_name(source.name, column.name, "match"),
            MetaData(),
            Column(TOKEN, token, primary_key=True),
            *(Column(key.name, key.type, primary_key=True, autoincrement=False) for key in keys),
            schema=source.schema,
            sqlite_with_rowid=False,
        )
        own = [self.table.c[name] for name in self.key_names]
        Index(short_name("ix", self.table.name, "key"), *own)

    def create(self, connection: Connection) -> None:
        """
        Make the table and its triggers, and fill it from the rows that are there.

        What there was of them is replaced. On other databases than SQLite, MySQL and MariaDB it
        does nothing.
        """
        if connection.dialect.name not in DIALECTS:
            return
        self.drop(connection)
        connection.execute(CreateTable(self.table))
        for index in self.table.indexes:
            connection.execute(CreateIndex(index))
        statements = _Statements(self, connection.dialect)
        for statement in (*statements.triggers(), statements.fill()):
            connection.execute(_ddl(statement))

    def drop(self, connection: Connection) -> None:
        """Drop the table and its triggers, as far as they are there."""
        if connection.dialect.name not in DIALECTS:
            return
        statements = _Statements(self, connection.dialect)
        for statement in statements.without_triggers():
            connection.execute(_ddl(statement))
        connection.execute(DropTable(self.table, if_exists=True))


class _Statements:
    """The SQL of a token table in one dialect."""

    def __init__(self, owner: MatchTable, dialect: Dialect) -> None:
        self._owner = owner
        self._settings = cast("Any", owner.column.type).settings
        self._preparer = dialect.identifier_preparer
        self._is_sqlite = dialect.name == "sqlite"
        self._quote = self._preparer.quote
        self._source = self._table(owner.column.table)
        self._target = self._table(owner.table)

    def triggers(self) -> Iterator[str]:
        """Yield the statements that make the triggers."""
        before, after = self._delete("OLD"), self._delete("NEW")
        insert = self._insert("NEW")
        yield self._trigger("insert", f"{after} {insert}")
        yield self._trigger("update", f"{before} {after} {insert}")
        yield self._trigger("delete", before)

    def without_triggers(self) -> Iterator[str]:
        """Yield the statements that drop the triggers."""
        for change in ("insert", "update", "delete"):
            yield f"DROP TRIGGER IF EXISTS {self._name(change)}"

    def fill(self) -> str:
        """Return the statement that fills the table from all rows."""
        # What triggers have inserted since they were made stays.
        verb = "INSERT OR IGNORE" if self._is_sqlite else "INSERT IGNORE"
        return self._insert(self._source, verb, f"{self._source} CROSS JOIN ")

    def _table(self, table: Table) -> str:
        # A trigger of SQLite works on the tables of its own schema, and must not name it.
        return self._preparer.format_table(table, use_schema=not self._is_sqlite)

    def _name(self, change: str) -> str:
        table = self._owner.table
        name = self._quote(short_name(table.name, change))
        return name if table.schema is None else f"{self._quote(table.schema)}.{name}"

    def _trigger(self, change: str, body: str) -> str:
        event_ = change.upper()
        if change == "update":
            names = [self._quote(self._owner.column.name), *map(self._quote, self._owner.key_names)]
            if self._is_sqlite:
                event_ = f"UPDATE OF {', '.join(names)}"
            else:
                same = " AND ".join(f"OLD.{name} <=> NEW.{name}" for name in names)
                body = f"IF NOT ({same}) THEN {body} END IF;"
        return (
            f"CREATE TRIGGER {self._name(change)} AFTER {event_} ON {self._source} "
            f"FOR EACH ROW BEGIN {body} END"
        )

    def _delete(self, row: str) -> str:
        same = [f"{self._quote(name)} = {row}.{self._quote(name)}" for name in self._keys]
        return f"DELETE FROM {self._target} WHERE {' AND '.join(same)};"  # noqa: S608

    def _insert(self, row: str, verb: str = "INSERT", source: str = "") -> str:
        """Return the statement that inserts the tokens of a row, or of all rows of *source*."""
        names = ", ".join(self._quote(name) for name in (TOKEN, *self._keys))
        keys = ", ".join(f"{row}.{self._quote(name)}" for name in self._keys)
        column = f"{row}.{self._quote(self._owner.column.name)}"
        places = PortablePlaces(column, self._settings.slots, self._settings.is_text)
        number, value, numbers = self._numbers(places)
        token = f"CASE WHEN {value} = '{NO_TOKENS}' THEN {value} ELSE {places.token(number)} END"
        return (
            f"{verb} INTO {self._target} ({names}) "  # noqa: S608
            f"SELECT {token}, {keys} FROM {source}{numbers};"
        )

    def _numbers(self, places: PortablePlaces) -> tuple[str, str, str]:
        """
        Return SQL with one row a token: its number, its value, and the rows themselves.

        A JSON array of as many zeros makes the rows; a recursive query would do as well, but
        MariaDB ends one after a thousand of them.
        """
        count = places.count()
        if self._is_sqlite:
            zeros = f"'[' || rtrim(replace(hex(zeroblob({count})), '00', '0,'), ',') || ']'"
        else:
            zeros = f"concat('[', trim(TRAILING ',' FROM repeat('0,', {count})), ']')"
        items = (
            f"CASE WHEN {places.has_tokens()} THEN {zeros} "
            f"WHEN {places.column} IS NOT NULL THEN '[\"{NO_TOKENS}\"]' ELSE '[]' END"
        )
        if self._is_sqlite:
            return "_item.key", "_item.value", f"json_each({items}) AS _item"
        columns = "number FOR ORDINALITY, value VARCHAR(1) PATH '$'"
        table = f"JSON_TABLE({items}, '$[*]' COLUMNS ({columns})) AS _item"
        return "(_item.number - 1)", "_item.value", table

    @property
    def _keys(self) -> list[str]:
        return self._owner.key_names


def _ddl(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]


def match_table(column: ColumnElement[Any] | Mapped[Any], *, name: str | None = None) -> MatchTable:
    """
    Declare a token table, which makes searches of a match index fast where there is no GIN index.

    It is made and dropped with the table of the column, by `MetaData.create_all` or a CREATE
    TABLE of SQLAlchemy; for a table that is there already, `create(connection)` makes and fills
    it. Triggers keep it in step. Without it, each search looks at the tokens of all rows.

    Args:
        column: a column or mapped attribute with a match index.
        name: the name of the token table; by default that of the table and the column with
            `_match` after them.

    Raises:
        RefusedOperationError: the column has no match index.
        ConfigurationError: it does not belong to a table with a primary key.
    """
    found: Any = matched_column(column)
    source = getattr(found, "table", None)
    if not isinstance(source, Table) or not source.primary_key.columns:
        raise ConfigurationError(
            "a token table needs a column of a table that has a primary key; declare it after the "
            "table",
            where=str(found),
        )
    source = source.metadata.tables[source.key]  # Not the copy that a mapper annotates.
    made = MatchTable(source.c[found.key], name)
    source.info.setdefault(TABLES, {})[found.name] = made
    event.listen(source, "after_create", lambda _, connection, **__: made.create(connection))
    event.listen(source, "before_drop", lambda _, connection, **__: made.drop(connection))
    return made
