"""A column is encrypted in place while its application reads and writes it, from end to end."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Sealer, latches
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.errors import NotAnEnvelopeError

from .shop import Base, Customer, as_started_anew, make_tables, put

ROWS = 400
CLIENTS = 2
LEAST = 60
"""How many things each client does at least."""


@pytest.fixture
def shop(engine: Engine, sealer: Sealer) -> Iterator[Engine]:
    """Return an engine on a table of plaintext."""
    make_tables(engine)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("CREATE INDEX ix_email ON customers (email)")
        for number in range(ROWS):
            put(connection, number, email=f"c{number}@example.org", note=f"owes {number}")
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {latches.TABLE}")
    Base.metadata.drop_all(engine)


class Client:
    """Changes rows of its own share of the ids, knows what they hold, and reads them at once."""

    def __init__(self, engine: Engine, share: int, over: threading.Event) -> None:
        self.engine = engine
        self.over = over
        self.random = random.Random(share)
        self.model = {n: (f"c{n}@example.org", f"owes {n}") for n in range(share, ROWS, CLIENTS)}
        self.next = ROWS + share
        self.done = 0

    def work(self) -> int:
        """Go on until it is over; return how many reads there were."""
        while self.done < LEAST or not self.over.is_set():
            with Session(self.engine) as session:
                self._change(session)
                session.commit()
            with Session(self.engine) as session:
                self._read(session)
            self.done += 1
        return self.done

    def _change(self, session: Session) -> None:
        id_ = self.random.choice(list(self.model))
        email, note = f"n{self.next}@example.org", f"paid {self.next}"
        match self.random.randrange(4):
            case 0:
                session.add(Customer(id=self.next, email=email, note=note))
                self.model[self.next] = email, note
            case 1:
                session.delete(session.get_one(Customer, id_))
                del self.model[id_]
            case 2:
                known = Customer.email == self.model[id_][0]
                session.execute(sa.update(Customer).where(known).values(note=note))
                self.model[id_] = self.model[id_][0], note
            case _:
                row = session.get_one(Customer, id_)
                row.email, row.note = email, note
                self.model[id_] = email, note
        self.next += CLIENTS

    def _read(self, session: Session) -> None:
        """Read a row by its id and by its values, and look for one that is not there."""
        id_ = self.random.choice(list(self.model))
        email, note = self.model[id_]
        row = session.get_one(Customer, id_)
        assert (row.email, row.note) == (email, note)
        assert session.scalars(select(Customer.id).where(Customer.email == email)).all() == [id_]
        wanted = [email, f"nobody{self.next}@example.org"]
        assert session.scalars(select(Customer.id).where(Customer.email.in_(wanted))).all() == [id_]


def sealed(engine: Engine, command: str, *arguments: str) -> str:
    """Run a command on the two columns, and return what it printed."""
    url = engine.url.render_as_string(hide_password=False)
    columns = ("customers.email", "customers.note")
    given = [command, "dual.shop:Base", *columns, "--url", url, *arguments]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    return result.output


@ON_MARIADB_TOO
def test_every_read_is_right_while_the_column_is_encrypted(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Plaintext is moved under traffic, nothing is missed or lost, and the latch ends it.

    Afterwards a value that somebody puts in by SQL is refused, by processes that run, after their
    interval, and by new ones.
    """
    over = threading.Event()
    clients = [Client(shop, share, over) for share in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(client.work) for client in clients]
        try:
            sealed(shop, "encrypt", "--batch", "10", "--load", "60")
        finally:
            over.set()
        assert all(each.result() >= LEAST for each in working)
    sealed(shop, "encrypt")
    sealed(shop, "verify")
    assert "plaintext is not read any more" in sealed(shop, "status", "--latch")
    model = {id_: row for client in clients for id_, row in client.model.items()}
    with Session(shop) as session:
        rows = session.execute(select(Customer.id, Customer.email, Customer.note))
        assert {row.id: (row.email, row.note) for row in rows} == model
    with shop.begin() as connection:
        put(connection, 99_999, email="slipped@example.org")
    monkeypatch.setattr(latches, "monotonic", lambda: float("inf"))
    with as_started_anew(shop) as started:
        for engine in (shop, started):
            with Session(engine) as session, pytest.raises(NotAnEnvelopeError, match="latch"):
                session.scalars(select(Customer.email)).all()
