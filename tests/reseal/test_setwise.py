"""MariaDB: a batch is one statement, which finds rows by their key's index and says which lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import MARIADB
from sqlalchemy.dialects import mysql

from sqlalchemy_sealed import EncryptedBytes, Sealer
from sqlalchemy_sealed.errors import ResealError
from sqlalchemy_sealed.reseal import Change, moved_table, reseal_change
from sqlalchemy_sealed.reseal.setwise import Setwise, can_write

pytestmark = pytest.mark.parametrize("database_url", [MARIADB], indirect=True)
ROWS = 1500
KEYS: dict[str, Any] = {
    "integer": (sa.Integer(), lambda n: n),
    "unsigned": (mysql.BIGINT(unsigned=True), lambda n: 2**63 + n),
    "text": (sa.String(40), lambda n: f"Ärger {n} %s' \\"),
    "latin1": (mysql.VARCHAR(40, charset="latin1", collation="latin1_swedish_ci"), "ä{}".format),
    "bytes": (sa.VARBINARY(16), lambda n: bytes([255, n & 255, n >> 8, 0, 39])),
}


@pytest.fixture(params=KEYS)
def table(request: pytest.FixtureRequest, engine: sa.Engine) -> sa.Table:
    """Return a table of many rows, with a key of each kind."""
    type_, of = KEYS[request.param]
    key = sa.Column("k", type_, primary_key=True, autoincrement=False)
    made = sa.Table("t", sa.MetaData(), key, sa.Column("c", sa.LargeBinary))
    made.create(engine)
    with engine.begin() as connection:
        connection.execute(made.insert(), [{"k": of(n), "c": b"old%d" % n} for n in range(ROWS)])
    with engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE TABLE t")
    return made


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection."""
    with engine.connect() as found:
        yield found


def change(sealer: Sealer) -> Change:
    """Return a change of the column."""
    return reseal_change("t.c", "c", EncryptedBytes(context="t.c"))


def test_rows_that_were_changed_meanwhile_are_not_written(
    table: sa.Table, connection: sa.Connection, sealer: Sealer
) -> None:
    """All others are, and the number says how many; a second time it is none."""
    rows = connection.execute(sa.select(table).order_by(table.c.k)).all()
    keys, old = [row.k for row in rows], [row.c for row in rows]
    lost = {keys[3], keys[700]}
    connection.execute(sa.update(table).where(table.c.k.in_(lost)).values(c=b"another"))
    connection.execute(sa.delete(table).where(table.c.k == keys[1200]))
    moved = moved_table(connection, "t")
    assert can_write(connection, moved, [change(sealer)])
    writer = Setwise(connection, moved, [change(sealer)])
    new = [b"new" + value for value in old]
    assert writer.write([keys], [old], [new]) == ROWS - 3
    assert writer.write([keys], [old], [new]) == 0
    held = {row.k: row.c for row in connection.execute(sa.select(table))}
    expected = dict(zip(keys, new, strict=True)) | dict.fromkeys(lost, b"another")
    del expected[keys[1200]]
    assert held == expected


def test_rows_are_found_by_an_index(
    table: sa.Table, connection: sa.Connection, sealer: Sealer
) -> None:
    """The table is not read from one end to the other for each row, nor for each batch."""
    rows = connection.execute(sa.select(table).order_by(table.c.k).limit(100)).all()
    writer = Setwise(connection, moved_table(connection, "t"), [change(sealer)])
    connection.exec_driver_sql("FLUSH STATUS")
    keys, old = [row.k for row in rows], [row.c for row in rows]
    assert writer.write([keys], [old], [[b"new"] * 100]) == 100
    told = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read_%%'").all()
    read = {name: int(number) for name, number in told}
    assert read["Handler_read_key"] <= 2 * 100 + 10
    assert read["Handler_read_rnd_next"] + read["Handler_read_next"] <= 2 * 100 + 10


def test_a_row_that_no_statement_holds_is_told(
    engine: sa.Engine, connection: sa.Connection, sealer: Sealer
) -> None:
    """With the setting of the server; batches of smaller ones are divided."""
    id_ = sa.Column("k", sa.Integer, primary_key=True)
    made = sa.Table("t", sa.MetaData(), id_, sa.Column("c", mysql.LONGBLOB))
    made.create(engine)
    room = connection.scalar(sa.text("SELECT @@max_allowed_packet"))
    part = bytes(room // 12)
    rows = [{"k": n, "c": part} for n in range(1, 11)]
    connection.execute(made.insert(), rows)
    writer = Setwise(connection, moved_table(connection, "t"), [change(sealer)])
    keys = list(range(1, 11))
    assert writer.write([keys], [[part] * 10], [[b"\x01" + part[1:]] * 10]) == 10
    with pytest.raises(ResealError, match="max_allowed_packet of the server"):
        writer.write([[1]], [[b"old"]], [[bytes(room)]])


@pytest.mark.parametrize("type_", [sa.Date(), sa.Numeric(10, 2), sa.DateTime()])
def test_other_keys_are_written_row_by_row(
    type_: Any, engine: sa.Engine, connection: sa.Connection, sealer: Sealer
) -> None:
    """They would be compared as texts, for which there is no index."""
    key = sa.Column("k", type_, primary_key=True, autoincrement=False)
    sa.Table("t", sa.MetaData(), key, sa.Column("c", sa.LargeBinary)).create(engine)
    assert not can_write(connection, moved_table(connection, "t"), [change(sealer)])
