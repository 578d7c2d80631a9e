"""Tables that are large enough for a plan, and the plans of searches."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

ROWS = 1500


def fill(connection: sa.Connection, table: sa.Table) -> None:
    """Make the table with many rows, one of which has a needle."""
    table.metadata.create_all(connection)
    texts = [f"hay number {number:05} of the stack" for number in range(ROWS)]
    texts[200] = "a needle in hay number 200"
    connection.execute(table.insert(), [{"body": text} for text in texts])
    connection.commit()
    if connection.dialect.name == "postgresql":
        # As autovacuum does: rows that were just inserted lie in a list that is read whole.
        connection.execute(sa.text("SELECT gin_clean_pending_list('ix_notes_body')"))
    connection.execute(sa.text("ANALYZE"))


class Plans:
    """Keeps the plan of each statement that a connection executes from now on."""

    def __init__(self, connection: sa.Connection, explain: str) -> None:
        self.texts: list[str] = []
        self._explain = explain
        sa.event.listen(connection, "before_cursor_execute", self)

    def __call__(self, *arguments: Any) -> None:
        connection, _, sql, parameters, _, _ = arguments
        if sql.startswith("SELECT"):
            cursor = connection.connection.cursor()
            cursor.execute(f"{self._explain} {sql}", parameters)
            self.texts.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
