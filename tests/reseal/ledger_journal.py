"""
What a writer of the ledger did: a file with a line before each transaction and one after it.

It says what every row of the writer's share should hold, also after the writer was killed. Of a
transaction whose end nobody heard of, the table says whether it was committed: all or nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from .ledger import SHARES, Held, first, held

_FIRST_NEW = 100_000_000
"""Rows that are inserted by writers have ids from here on."""


class Journal:
    """
    The journal of one writer.

    Args:
        file: where it is; it goes on if it is there.
        number: of the writer, below SHARES.
        rows: how many the table had at the beginning.
    """

    def __init__(self, file: Path, number: int, rows: int) -> None:
        self.number = number
        self.rows = rows
        self.name = f"ledger-{number}"
        self.primary = ""
        self.committed = 0
        self.next_id = _FIRST_NEW + number
        self._changed: dict[int, Held] = {}
        self._open: dict[int, Held] = {}
        self._file = file
        with suppress(FileNotFoundError):
            for line in file.read_text().splitlines():
                self._read(line)

    def held(self, id_: int) -> Held:
        """Return what a row of this share should hold."""
        if id_ in self._changed:
            return self._changed[id_]
        return first(id_) if 1 <= id_ <= self.rows else None

    @property
    def new_ids(self) -> range:
        """The ids that this writer gave to rows."""
        return range(_FIRST_NEW + self.number, self.next_id, SHARES)

    @property
    def count(self) -> int:
        """How many rows this share should have."""
        ids = [id_ for id_ in self._changed if id_ <= self.rows]
        unchanged = sum(1 for n in range(1, self.rows + 1) if n % SHARES == self.number) - len(ids)
        return unchanged + sum(each is not None for each in self._changed.values())

    def begins(self, changes: Mapping[int, Held]) -> None:
        """Note what a transaction is going to do."""
        self._write({"changes": changes})

    def ended(self, *, committed: bool) -> None:
        """Note how it ended."""
        self._write({"committed": committed})

    def has_primary(self, key_id: str) -> None:
        """Note that the writer seals under another primary from now on."""
        self._write({"primary": key_id})

    def settle(self, engine: sa.Engine) -> None:
        """Find out how a transaction ended whose end was not heard of."""
        if not self._open:
            return
        before = {id_: self.held(id_) for id_ in self._open}
        while (found := self._looked_up(engine)) is None:
            time.sleep(0.05)
        assert found in (before, self._open), "a write was lost, or half of a transaction is there"
        self.ended(committed=found == self._open)

    def _looked_up(self, engine: sa.Engine) -> dict[int, Held] | None:
        """Return what the rows hold once the transaction has ended, or None if it has not yet."""
        others = sa.text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name = :name AND pid <> pg_backend_pid() AND state <> 'idle'"
        )
        try:
            with engine.connect() as connection:
                if connection.scalar(others, {"name": self.name}):
                    return None
                return held(connection, list(self._open))
        except DBAPIError:
            return None

    def _write(self, note: dict[str, Any]) -> None:
        line = json.dumps(note)
        with self._file.open("a") as file:
            file.write(line + "\n")
        self._read(line)

    def _read(self, line: str) -> None:
        match json.loads(line):
            case {"changes": changes}:
                self._open = {int(id_): v and (v[0], v[1]) for id_, v in changes.items()}
                self.next_id = max(self.next_id, max(self._open) + SHARES)
            case {"committed": committed}:
                self._changed |= self._open if committed else {}
                self.committed += committed
                self._open = {}
            case {"primary": key_id}:
                self.primary = key_id
