"""
Turns latches: from then on no process reads plaintext in a column that was encrypted in place.

A latch is turned on a proof: SQL counts no plaintext, after a barrier that waits for transactions
that were writing. It is asked for when all that write seal; so what is written after the barrier is
sealed, and what was written before it is counted. If something writes plaintext all the same, that
is not read as a value any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from ..errors import ConfigurationError
from ..latches import latches_table, turned_latches
from .models import SealedColumn, by_table, sealed_columns
from .proof import status
from .retries import Patience
from .sessions import Session, own_engine

_SETTINGS = {
    "postgresql": {"lock_timeout": "'500ms'"},
    "mysql": {"lock_wait_timeout": "1"},
    "mariadb": {"lock_wait_timeout": "1"},
}
"""While the barrier waits for those that write, new ones wait behind it; so it gives way, and tries
again."""


@dataclass(frozen=True, slots=True)
class LatchResult:
    """
    What came of a latch.

    Attributes:
        context: the label of the context that it is for.
        columns: those that have it, as `table.column`.
        plaintext: how many of their values are plaintext.
        turned: when it was turned, in ISO 8601, in UTC; None if it was not, as there is plaintext.
    """

    context: str
    columns: tuple[str, ...]
    plaintext: int
    turned: str | None

    def document(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {
            "context": self.context,
            "columns": list(self.columns),
            "plaintext": self.plaintext,
            "turned": self.turned,
        }


def turn_latches(engine: sa.Engine, models: Any, names: Sequence[str] = ()) -> list[LatchResult]:
    """
    Turn the latches of columns that hold no plaintext any more, once and for all.

    The columns of one context have one latch, and it is turned when none of them holds any. It
    makes the table `sealed_latches` if it is missing, in the default schema.

    Args:
        engine: of their database, with a driver that is not async.
        models: a MetaData, a declarative base, a mapped class or a Table.
        names: only these tables and `table.column`s; by default all that have `plaintext_until`.

    Raises:
        ConfigurationError: no column of these is read as plaintext, or an async engine.
        ResealError: the database refuses, or somebody writes in one transaction for too long.
    """
    dialect = engine.dialect.name
    wanted = {
        each.type_for(dialect).label for each in _dual(sealed_columns(models, names), dialect)
    }
    if not wanted:
        raise ConfigurationError(
            "no column here is declared with plaintext_until=, so plaintext is an error there "
            "already",
            where=", ".join(names) or None,
        )
    contexts: dict[str, list[SealedColumn]] = {}
    for column in _dual(sealed_columns(models), dialect):
        contexts.setdefault(str(column.type_for(dialect).label), []).append(column)
    with own_engine(engine) as own:
        return [_turned(own, each, contexts[each]) for each in contexts if each in wanted]


def _dual(columns: Sequence[SealedColumn], dialect: str) -> list[SealedColumn]:
    return [each for each in columns if each.type_for(dialect).settings.is_dual]


def _turned(engine: sa.Engine, context: str, columns: Sequence[SealedColumn]) -> LatchResult:
    names = tuple(column.label for column in columns)
    session = Session(engine, Patience(), names[0], settings=_SETTINGS.get(engine.dialect.name, {}))
    try:
        for table in by_table(columns).values():
            session.run(partial(_wait_for_writers, table[0]))
        plaintext = sum(each.plaintext for each in status(engine, columns, {}).columns)
        turned = None if plaintext else session.run(partial(_turn, context, names))
    finally:
        session.close()
    return LatchResult(context, names, plaintext, turned)


def _wait_for_writers(column: SealedColumn, connection: sa.Connection) -> None:
    """Wait until the transactions have ended that write to a table. It is done when it returns."""
    table = sa.table(column.table, schema=column.schema)
    name = connection.dialect.identifier_preparer.format_table(table)
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE MODE")
        case "mysql" | "mariadb":
            connection.exec_driver_sql(f"LOCK TABLES {name} READ")
            connection.exec_driver_sql("UNLOCK TABLES")
        case _:  # SQLite has one lock for all that write.
            connection.execute(sa.delete(table).where(sa.false()))


def _turn(context: str, columns: Sequence[str], connection: sa.Connection) -> str:
    """Turn a latch, and return since when it is."""
    table = latches_table(sa.MetaData())
    table.create(connection, checkfirst=True)
    known = turned_latches(connection).get(context)
    if known is not None:
        return known
    now = datetime.now(UTC).isoformat(timespec="seconds")
    # Without types: on MariaDB, labels are bytes.
    row = {"label": context, "columns": ", ".join(columns), "turned": now}
    connection.execute(sa.insert(sa.table(table.name, *map(sa.column, row))), row)
    return now
