"""On MariaDB, texts of any character set are told apart, by connections of any other one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import URL, Engine

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, scan
from sqlalchemy_sealed.bytewise import bytewise
from sqlalchemy_sealed.reseal import encrypt, reseal, sealed_columns, status, verify

from .shop import TOMORROW

pytestmark = pytest.mark.mariadb

TABLE = sa.Table(
    "customers",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column(
        "name", EncryptedString(storage="text", index=BlindIndex(), plaintext_until=TOMORROW)
    ),
)
NAMES = ["ada", "Ada", "ada ", "ädä", "ÄDÄ", "a\u00df", "seal" + "x" * 36]
STORED = ["latin1", "utf8mb3", "utf8mb4", "utf16", "ucs2", "utf32"]
SENT = ["utf8mb4", "latin1"]


@pytest.fixture(params=SENT)
def customers(request: pytest.FixtureRequest, mariadb_url: URL, sealer: Sealer) -> Iterator[Engine]:
    """Return an engine whose connections have a character set of their own."""
    engine = sa.create_engine(mariadb_url.update_query_dict({"charset": request.param}))
    yield engine
    engine.dispose()


def make(engine: Engine, charset: str) -> None:
    """Make the table, with each name in plaintext, and sealed."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT) CHARACTER SET {charset}"
        )
        plain = sa.text("INSERT INTO customers VALUES (:id, :name)")
        for number, name in enumerate(NAMES):
            connection.execute(plain, {"id": number, "name": name})
            connection.execute(TABLE.insert(), {"id": 100 + number, "name": name})


@pytest.mark.parametrize("charset", STORED)
def test_a_search_finds_both_forms_and_nothing_else(charset: str, customers: Engine) -> None:
    """Letters count, and not the bytes that are stored or sent."""
    make(customers, charset)
    with customers.connect() as connection:
        for number, name in enumerate(NAMES):
            for condition in (TABLE.c.name == name, TABLE.c.name.in_([name, "nobody"])):
                query = sa.select(TABLE.c.id).where(condition).order_by(TABLE.c.id)
                assert connection.scalars(query).all() == [number, 100 + number], (charset, name)
            query = sa.select(sa.func.count()).where(TABLE.c.name != name)
            assert connection.scalar(query) == 2 * len(NAMES) - 2


@pytest.mark.parametrize("charset", STORED)
def test_a_run_tells_envelopes_from_plaintext(
    charset: str, customers: Engine, sealer: Sealer
) -> None:
    """In UTF-16 an envelope has other bytes; it is counted, found by its key, and sealed once."""
    make(customers, charset)
    columns, keysets = sealed_columns(TABLE), {"default": sealer.keyset}
    [before] = status(customers, columns, keysets).columns
    assert (before.current, before.plaintext) == (len(NAMES), len(NAMES))
    done = encrypt(customers, TABLE, "customers.name")
    assert (done.changed, done.left, done.finished) == (len(NAMES), 0, True)
    old = sealer.keyset.primary.key_id
    assert rows_under(old, customers) == 2 * len(NAMES)
    sealer.rotate()
    [again] = reseal(customers, TABLE)
    assert (again.changed, again.left, again.finished) == (2 * len(NAMES), 0, True)
    assert rows_under(old, customers) == 0
    assert status(customers, columns, {"default": sealer.keyset}).is_proven
    assert [each.bad for each in verify(customers, TABLE)] == [0]
    with customers.connect() as connection:
        read = connection.scalars(sa.select(TABLE.c.name).order_by(TABLE.c.id)).all()
    assert read == NAMES * 2


def rows_under(key_id: bytes, engine: Engine) -> int:
    """Return how many rows a scan finds under a data key."""
    with engine.connect() as connection:
        return sum(each.rows for each in scan.scan(connection, [key_id]).found)


@pytest.mark.parametrize("charset", STORED)
def test_different_letters_are_different(charset: str, customers: Engine) -> None:
    """No blank, no case and no accent is passed over, as collations of these sets do."""
    make(customers, charset)
    name: Any = sa.column("name", sa.Text())
    query = sa.select(sa.func.count(sa.distinct(bytewise(name)))).select_from(TABLE)
    with customers.connect() as connection:
        assert connection.scalar(query.where(sa.column("id") < 100)) == len(NAMES)
