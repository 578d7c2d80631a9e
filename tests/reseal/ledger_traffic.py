"""
A writer of the ledger, as a program: it inserts, updates and deletes at a steady rate.

It is started with a way of writing (`orm` or `core`), its number, and how many rows the table had
at the beginning. It works on rows of its share only, so it knows what each of them should hold, and
looks before it writes. SIGTERM ends it after the transaction.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Sealer, configure_from_env

from .ledger import SHARES, Entry, Held, held
from .ledger_journal import Journal

_PERIOD = 0.01
"""Seconds from one transaction to the next, if there is time."""
_REFRESH = 0.5
"""Seconds after which the keys are read again."""
_HOT = 20
"""Rows that are written far more often than others."""


class Traffic:
    """
    One writer.

    Args:
        way: `orm` or `core`.
        engine: of its database.
        sealer: of its keys.
        journal: what it did before, and does.
    """

    def __init__(self, way: str, engine: sa.Engine, sealer: Sealer, journal: Journal) -> None:
        self._apply = {"orm": self._by_orm, "core": self._by_core}[way]
        self._engine = engine
        self._sealer = sealer
        self._journal = journal
        self._random = random.Random(f"{journal.number}/{journal.committed}")
        self._refreshed = 0.0
        step = max(journal.rows // _HOT, SHARES)
        self._hot = [self._own(id_) for id_ in range(1, journal.rows, step)]

    def step(self) -> None:
        """Do one transaction. The journal follows."""
        self._refresh()
        changes = self._changes()
        rolls_back = self._random.random() < 0.05
        self._journal.begins(changes)
        try:
            self._apply(changes, rolls_back=rolls_back)
        except DBAPIError:
            self._journal.settle(self._engine)
        else:
            self._journal.ended(committed=not rolls_back)

    def _refresh(self) -> None:
        if time.monotonic() - self._refreshed < _REFRESH:
            return
        self._refreshed = time.monotonic()
        primary = self._sealer.refresh().primary.key_id.hex()
        if primary != self._journal.primary:
            self._journal.has_primary(primary)

    def _own(self, id_: int) -> int:
        """Return an id of this share, nearby."""
        return (id_ - id_ % SHARES + self._journal.number) or SHARES

    def _changes(self) -> dict[int, Held]:
        """Choose what to do: new contents of rows, None for one that is deleted."""
        changes: dict[int, Held] = {}
        for _ in range(self._random.choice((1, 1, 2, 5))):
            chance = self._random.random()
            if chance < 0.2:
                id_ = self._journal.next_id + SHARES * len(changes)
                changes[id_] = (self._text(id_), 1)
                continue
            id_ = self._random.choice(self._hot) if chance < 0.6 else self._any()
            before = self._journal.held(id_)
            if before is None:
                changes[id_] = (self._text(id_), 1)
            elif chance > 0.9 and id_ not in self._hot:
                changes[id_] = None
            else:
                is_null = chance > 0.85 and before[0] is not None
                changes[id_] = (None if is_null else self._text(id_), before[1] + 1)
        return changes

    def _any(self) -> int:
        """Return the id of any row of this share, be it old, new or deleted."""
        new = self._journal.new_ids
        if new and self._random.random() < 0.2:
            return self._random.choice(new)
        return self._own(self._random.randint(1, self._journal.rows))

    def _text(self, id_: int) -> str:
        return f"mail-{id_}-{self._random.randrange(10**9)}@example.org"

    def _check(self, connection: sa.Connection, ids: Mapping[int, Held]) -> None:
        """Look whether rows hold what was written to them last."""
        for id_, found in held(connection, list(ids)).items():
            if found != self._journal.held(id_):
                raise AssertionError(f"row {id_} does not hold what was written: a write was lost")

    def _by_orm(self, changes: Mapping[int, Held], *, rolls_back: bool) -> None:
        with Session(self._engine) as session:
            self._check(session.connection(), changes)
            for id_, new in changes.items():
                entry = session.get(Entry, id_)
                if new is None:
                    session.delete(entry)
                elif entry is None:
                    session.add(Entry(id=id_, email=new[0]))
                else:
                    entry.email = new[0]
            session.flush()
            session.rollback() if rolls_back else session.commit()

    def _by_core(self, changes: Mapping[int, Held], *, rolls_back: bool) -> None:
        with self._engine.connect() as connection:
            self._check(connection, changes)
            for id_, new in changes.items():
                if new is not None and new[1] == 1:
                    connection.execute(sa.insert(Entry).values(id=id_, email=new[0]))
                    continue
                statement: sa.Update | sa.Delete = sa.delete(Entry)
                if new is not None:
                    values = {"email": new[0], "version": Entry.version + 1}
                    statement = sa.update(Entry).values(values)
                found = connection.execute(statement.where(Entry.id == id_)).rowcount
                assert found == 1, f"row {id_} is not there"
            connection.rollback() if rolls_back else connection.commit()


def main() -> None:
    """Be a writer, until SIGTERM or the end of the process that started this one."""
    way, number, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    parent = os.getppid()
    journal = Journal(Path(f"journal-{number}"), number, rows)
    sealer = configure_from_env()
    application = {"application_name": journal.name}
    engine = sa.create_engine(os.environ["SEALED_DATABASE_URL"], connect_args=application)
    journal.settle(engine)
    traffic = Traffic(way, engine, sealer, journal)
    while not stopped and os.getppid() == parent:
        began = time.monotonic()
        traffic.step()
        time.sleep(max(0.0, _PERIOD - (time.monotonic() - began)))
    engine.dispose()


if __name__ == "__main__":
    main()
