"""
One UPDATE for many rows of MariaDB or MySQL: the table is joined with the rows that are written.

These are a derived table, which begins with no rows of the table itself, so that its keys have the
types and collations of the keys that they are compared with. It is three times as fast as an UPDATE
for each row, as long as the values are narrow: the server holds those in memory, and writes wide
ones to its temporary files first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ..columntypes import holds_bytes, holds_text
from ..errors import ResealError
from .changes import Change
from .table import MovedTable

_ROWS = 1000
"""The most rows of a statement. With more it gets no faster."""
NARROW = 500
"""Bytes of the widest value that the derived table holds in memory. MariaDB: Internal temporary
tables."""
_OF_A_VALUE = 40
"""Bytes of a statement for each value, and more than those of a number."""
_EXACT_KEYS = (sa.Integer, sa.BINARY, sa.VARBINARY, sa.String)
_NO_KEYS = (sa.Enum, mysql.SET)


def can_write(connection: sa.Connection, table: MovedTable, changes: Sequence[Change]) -> bool:
    """
    Whether rows of a table can be written by such a statement.

    Keys are numbers without a fraction, texts or bytes: the others would be compared as texts, for
    which there is no index. New values are texts or bytes.
    """
    if connection.dialect.paramstyle not in ("format", "pyformat"):
        return False
    keys = [table.types[name] for name in table.key]
    targets = [table.types[change.target] for change in changes]
    return all(
        isinstance(each, _EXACT_KEYS) and not isinstance(each, _NO_KEYS) for each in keys
    ) and all(holds_text(each) or holds_bytes(each) for each in targets)


class Setwise:
    """
    Writes rows of MariaDB.

    Args:
        connection: in a transaction, which the caller begins and commits.
        table: where to write.
        changes: what is done, in the order of the rows' values.
    """

    def __init__(
        self, connection: sa.Connection, table: MovedTable, changes: Sequence[Change]
    ) -> None:
        self._connection = connection
        self._label = table.label
        self._room = int(connection.scalar(sa.text("SELECT @@max_allowed_packet")) or 0)
        self._begin, self._end = _statement(connection, table, changes)

    def write(
        self,
        key: Sequence[Sequence[Any]],
        old: Sequence[Sequence[Any]],
        new: Sequence[Sequence[Any]],
    ) -> int:
        """
        Write rows, which are given as columns; return how many were as they were read.

        Raises:
            ResealError: one of them is larger than a statement may be.
        """
        exact = [[_bytes(value) for value in column] for column in old]
        columns = [*key, *exact, *new]
        written = 0
        for rows in self._parts(list(zip(*columns, strict=True))):
            selects = " UNION ALL SELECT ".join(", ".join(map(_placeholder, row)) for row in rows)
            parameters = tuple(_sent(value) for row in rows for value in row if value is not None)
            sql = f"{self._begin}{selects}{self._end}"
            written += self._connection.exec_driver_sql(sql, parameters).rowcount
        return written

    def _parts(self, rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield rows that fit into one statement."""
        start, size = 0, 0
        room = self._room - len(self._begin) - len(self._end)
        for at, row in enumerate(rows):
            own = sum(map(_size, row))
            if own > room:
                raise ResealError(
                    f"a row needs a statement of up to {own:,} bytes, and max_allowed_packet of "
                    f"the server is {self._room:,}; raise it",
                    where=self._label,
                )
            if size + own > room or at - start == _ROWS:
                yield rows[start:at]
                start, size = at, 0
            size += own
        yield rows[start:]


def is_narrow(columns: Sequence[Sequence[Any]]) -> bool:
    """Whether all texts and bytes of columns are narrow enough to be written so."""
    return all(
        len(value) <= (NARROW // 4 if isinstance(value, str) else NARROW)
        for column in columns
        for value in column
        if isinstance(value, bytes | bytearray | str)
    )


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _placeholder(value: Any) -> str:
    if value is None:
        return "NULL"
    return "unhex(%s)" if isinstance(value, bytes | bytearray) else "%s"


def _sent(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes | bytearray) else value


def _size(value: Any) -> int:
    """Return how many bytes of a statement a value takes, at most: hexadecimal or escaped."""
    if isinstance(value, str):
        return len(value) * 4 + _OF_A_VALUE
    return len(value) * 2 + _OF_A_VALUE if isinstance(value, bytes | bytearray) else _OF_A_VALUE


def _statement(
    connection: sa.Connection, table: MovedTable, changes: Sequence[Change]
) -> tuple[str, str]:
    """Return what a statement has before its rows, and after them."""
    quote = connection.dialect.identifier_preparer.quote_identifier

    def of(alias: str, name: str) -> str:
        return f"{alias}.{quote(name)}"

    name = quote(table.name) if table.schema is None else of(quote(table.schema), table.name)
    one = len(changes) == 1
    shape, settings, conditions, joined = [], [], [], []
    for n, column in enumerate(table.key):
        shape.append(f"{of('e', column)} AS k{n}")
        joined.append(f"{of('t', column)} = v.k{n}")
    for n, change in enumerate(changes):
        shape.append(f"_binary'' AS o{n}")
        source, target = of("t", change.source), of("t", change.target)
        settings.append(f"{target} = " + (f"v.n{n}" if one else f"coalesce(v.n{n}, {target})"))
        old = f"CAST(CONVERT({source} USING utf8mb4) AS BINARY)" if change.is_text else source
        same = f"{old} = v.o{n}"
        if not change.is_in_place:
            same += f" AND {target} IS NULL"
        conditions.append(same if one else f"(v.n{n} IS NULL OR {same})")
    for n, change in enumerate(changes):
        empty = "''" if holds_text(table.types[change.target]) else "unhex('')"
        shape.append(f"{empty} AS n{n}")
    settings += [f"{of('t', dated)} = {of('t', dated)}" for dated in table.dated]
    begin = (
        f"UPDATE (SELECT {', '.join(shape)} FROM {name} AS e WHERE FALSE "  # noqa: S608 - quoted
        "UNION ALL SELECT "
    )
    end = (
        f") AS v STRAIGHT_JOIN {name} AS t ON {' AND '.join(joined)} "
        f"SET {', '.join(settings)} WHERE {' AND '.join(conditions)}"
    )
    return begin, end
