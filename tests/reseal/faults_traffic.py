"""
Processes that change rows, each those of its own share of the ids, and note what they did.

Each looks at a row before it writes it: it has to hold what was written to it last.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sqlalchemy_sealed import get_sealer

from .faults import SEALER, Model, Stage, in_child

WRITERS = 2
"""How many processes write at once, at most."""
_FIRST_NEW = 1_000_000
"""Rows that are inserted meanwhile have ids from here on."""
_HOT = 10
"""Rows of each writer that it changes far more often than others."""
GONE: Any = object()
"""In changes: the row is deleted."""


class Traffic:
    """
    A process that inserts, updates and deletes rows of its share, until it is stopped.

    Args:
        stage: the table.
        model: what the rows hold; this process changes those of its share.
        number: of this process, below WRITERS.
        seed: of its choices.
    """

    def __init__(
        self, stage: Stage, model: Mapping[int, str | None], number: int, *, seed: int
    ) -> None:
        self.stage = stage
        self.model = {id_: email for id_, email in model.items() if id_ % WRITERS == number}
        self.file = stage.keys.with_name(f"model-{number}.json")
        self._random = random.Random(f"{seed}/{number}")
        self._next = _FIRST_NEW + number
        self._hot = sorted(self.model)[:: max(len(self.model) // _HOT, 1)]
        self._stopped = False
        self._parent = os.getpid()
        self.pid = 0

    def start(self) -> None:
        """Begin, in another process."""
        self.pid = in_child(self._work)

    def stop(self) -> Model:
        """End it, and return what its rows hold."""
        os.kill(self.pid, signal.SIGTERM)
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"traffic ended with {status}"
        return {int(id_): email for id_, email in json.loads(self.file.read_text()).items()}

    def _work(self) -> None:
        signal.signal(signal.SIGTERM, self._on_stop)
        self.stage.open_keys()
        with self.stage.engine() as engine:
            while not self._stopped and os.getppid() == self._parent:
                self._transaction(engine)
                time.sleep(self._random.uniform(0, 0.004))
        self.file.write_text(json.dumps(self.model))

    def _on_stop(self, *_: object) -> None:
        self._stopped = True

    def _transaction(self, engine: sa.Engine) -> None:
        """Change some rows at once. The model follows if it commits."""
        if self._random.random() < 0.05:
            get_sealer(SEALER).refresh()
        table, changes = self._table(), self._changes(self._random.choice((1, 1, 2, 5)))
        rolls_back = self._random.random() < 0.1
        try:
            with engine.connect() as connection, connection.begin() as transaction:
                self._look(connection, changes)
                for id_, email in changes.items():
                    found = connection.execute(self._statement(table, id_, email)).rowcount
                    is_new = id_ not in self.model
                    assert is_new or found == 1, f"row {id_} is not there: a write was lost"
                if self._random.random() < 0.05:
                    time.sleep(0.05)  # Rows are held for a while.
                if rolls_back:
                    transaction.rollback()
        except DBAPIError:
            rolls_back = not self._was_committed(engine, changes)
        if not rolls_back:
            self.model |= changes
            for id_ in [id_ for id_, email in changes.items() if email is GONE]:
                del self.model[id_]

    def _look(self, connection: sa.Connection, changes: Mapping[int, Any]) -> None:
        """Look at rows before they are written: what was written last must not be lost unseen."""
        held = self.stage.looked_up(connection, list(changes))
        lost = [id_ for id_ in changes if held.get(id_, GONE) != self.model.get(id_, GONE)]
        assert not lost, f"rows {lost} do not hold what was written to them: a write was lost"

    def _changes(self, count: int) -> dict[int, Any]:
        changes: dict[int, Any] = {}
        rows = sorted(self.model)
        for id_ in self._random.sample(rows, count):
            choice = self._random.random()
            if choice < 0.5 and (hot := self._random.choice(self._hot)) in self.model:
                changes[hot] = self._text(hot)
                continue
            choice = self._random.random()
            if choice < 0.3:
                changes[self._next] = self._text(self._next)
                self._next += WRITERS
            elif choice < 0.5 and len(self.model) > 50:
                changes[id_] = GONE
            else:
                changes[id_] = None if choice < 0.55 else self._text(id_)
        return changes

    def _statement(self, table: sa.Table, id_: int, email: Any) -> sa.Executable:
        if email is GONE:
            return table.delete().where(table.c.id == id_)
        if id_ not in self.model:
            return table.insert().values(id=id_, email=email)
        return table.update().where(table.c.id == id_).values(email=email)

    def _table(self) -> sa.Table:
        """Return the table as one of the versions of the application sees it."""
        is_old = self.stage.in_text and self._random.random() < 0.5
        return self.stage.plain if is_old else self.stage.table

    def _text(self, id_: int) -> str:
        return f"mail-{id_}-{self._random.randrange(10**9)}@example.org"

    def _was_committed(self, engine: sa.Engine, changes: Mapping[int, Any]) -> bool:
        """Find out how a transaction ended whose end was not heard of."""
        before = {id_: self.model.get(id_, GONE) for id_ in changes}
        while os.getppid() == self._parent:
            try:
                with engine.connect() as connection:
                    found = self.stage.looked_up(connection, list(changes))
            except DBAPIError:
                time.sleep(0.05)
            else:
                break
        else:
            raise AssertionError("the test has ended")
        held = {id_: found.get(id_, GONE) for id_ in changes}
        assert held in (before, changes), "a write was lost, or half of a transaction is there"
        return held == changes
