"""Latches: the end of dual reading, on a proof, for all processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Sealer, latches
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.errors import ConfigurationError, NotAnEnvelopeError
from sqlalchemy_sealed.latches import latches_of, latches_table, turned_latches
from sqlalchemy_sealed.reseal import encrypt, sealed_columns, status, turn_latches
from sqlalchemy_sealed.reseal.latching import LatchResult

from .shop import Base, Customer, Supplier, as_started_anew, make_tables, put


@pytest.fixture
def shop(engine: Engine, sealer: Sealer) -> Iterator[Engine]:
    """Return an engine on a table with a plaintext note and a sealed one."""
    make_tables(engine)
    with Session(engine) as session:
        put(session.connection(), 1, note="owes 7")
        session.add(Customer(id=2, note="owes nothing"))
        session.commit()
    yield engine
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {latches.TABLE}")
    Base.metadata.drop_all(engine)


def notes(engine: Engine) -> list[str | None]:
    """Return all notes, as the application reads them."""
    with Session(engine) as session:
        return list(session.scalars(select(Customer.note).order_by(Customer.id)))


def turned(engine: Engine, name: str = "customers.note") -> LatchResult:
    """Return what came of the latch of a column."""
    [result] = turn_latches(engine, Base, [name])
    return result


def slip_in(engine: Engine, id_: int = 66) -> None:
    """Write plaintext into a column that is sealed, as somebody with SQL access does."""
    with engine.begin() as connection:
        put(connection, id_, note="slipped in", email="slipped@example.org")


def has_table(engine: Engine) -> bool:
    """Whether there is a table of latches."""
    return sa.inspect(engine).has_table(latches.TABLE)


@ON_MARIADB_TOO
def test_it_is_not_turned_while_there_is_plaintext(shop: Engine) -> None:
    """It says how much there is, writes nothing, and reading goes on."""
    result = turned(shop)
    assert (result.plaintext, result.turned) == (1, None)
    assert not has_table(shop)
    assert notes(shop) == ["owes 7", "owes nothing"]


@ON_MARIADB_TOO
def test_once_turned_plaintext_is_refused(shop: Engine) -> None:
    """The code still has its option, and a value that was slipped in is an error all the same."""
    encrypt(shop, Base, "customers.note")
    result = turned(shop)
    assert (result.context, result.columns, result.plaintext) == (
        "customers.note",
        ("customers.note",),
        0,
    )
    assert result.turned
    slip_in(shop)
    with as_started_anew(shop) as other:
        with pytest.raises(NotAnEnvelopeError, match="its latch was turned") as caught:
            notes(other)
        assert "slipped" not in str(caught.value)
        # Other columns have latches of their own.
        with Session(other) as session:
            assert session.scalars(select(Customer.email).where(Customer.id == 66)).all()


@ON_MARIADB_TOO
def test_once_turned_plaintext_is_not_searched(shop: Engine) -> None:
    """A value that was slipped in is not found, and the searched one is not sent as it is."""
    slip_in(shop)
    encrypt(shop, Base, "customers.email")
    assert turned(shop, "customers.email").turned
    slip_in(shop, 67)
    sent: list[Any] = []
    with as_started_anew(shop) as other:
        event.listen(other, "before_cursor_execute", lambda *given: sent.append(repr(given[3])))
        query = select(Customer.id).where(Customer.email == "slipped@example.org")
        with Session(other) as session:
            session.scalars(query).all()  # Now the latches are known.
            sent.clear()
            assert session.scalars(query).all() == [66]
    assert not any("***" in each for each in sent)


def test_a_process_that_runs_reads_latches_at_intervals(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks once an interval, not for each statement, and remembers what it saw."""
    asked: list[str] = []
    with as_started_anew(shop) as other:

        @event.listens_for(other, "before_cursor_execute")
        def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            asked.extend([statement] if latches.TABLE in statement else [])

        latches_table(sa.MetaData()).create(shop)
        for _ in range(5):
            assert notes(other) == ["owes 7", "owes nothing"]
        assert len([each for each in asked if each.startswith("SELECT label")]) == 1
        encrypt(shop, Base, "customers.note")
        turned(shop)
        slip_in(shop)
        assert notes(other)[2] == "slipped in"  # The interval is not over.
        now = latches.monotonic()
        monkeypatch.setattr(latches, "monotonic", lambda: now + latches.REREAD)
        with pytest.raises(NotAnEnvelopeError):
            notes(other)
        with shop.begin() as connection:
            connection.execute(sa.delete(latches_table(sa.MetaData())))
        monkeypatch.setattr(latches, "monotonic", lambda: now + 3 * latches.REREAD)
        with pytest.raises(NotAnEnvelopeError, match="its latch was turned"):
            notes(other)


def test_a_process_that_cannot_read_the_latches_reads_nothing_there(shop: Engine) -> None:
    """It does not go on as if there were none; other columns are read."""
    with shop.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {latches.TABLE} (other INTEGER)")
    with as_started_anew(shop) as other:
        with pytest.raises(DBAPIError, match="label"):
            notes(other)
        with Session(other) as session:
            assert session.scalars(select(Supplier.email)).all() == []


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_user_without_select_on_the_latches_reads_nothing_there(shop: Engine) -> None:
    """Rights that were forgotten show at once, and do not open anything."""
    role = f"reader_{uuid4().hex}"
    with shop.begin() as connection:
        latches_table(sa.MetaData()).create(connection)
        schema = connection.scalar(sa.text("SELECT current_schema()"))
        connection.exec_driver_sql(f"CREATE ROLE {role}")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        connection.exec_driver_sql(f"GRANT SELECT ON customers TO {role}")
    with as_started_anew(shop) as other, other.connect() as connection:
        for right in (False, True):
            if right:
                connection.exec_driver_sql(f"GRANT SELECT ON {latches.TABLE} TO {role}")
            connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
            if right:
                assert connection.scalars(select(Customer.note)).all()
            else:
                with pytest.raises(DBAPIError, match="permission denied"):
                    connection.scalars(select(Customer.note)).all()
            connection.rollback()
    with shop.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


def test_statements_on_other_columns_do_not_ask(shop: Engine) -> None:
    """An application without the option never looks for the table."""
    with as_started_anew(shop) as other:
        with Session(other) as session:
            session.add(Supplier(id=1, email="eve@example.org"))
            session.commit()
            assert session.scalars(select(Supplier.email)).all() == ["eve@example.org"]
            assert session.scalars(select(Customer.id)).all() == [1, 2]
        assert not latches_of(other.dialect).is_known
        notes(other)
        assert latches_of(other.dialect).is_known


def test_it_is_turned_once(shop: Engine) -> None:
    """A second command says since when it is."""
    encrypt(shop, Base, "customers.note")
    first = turned(shop)
    assert turned(shop) == first
    with shop.connect() as connection:
        assert turned_latches(connection) == {"customers.note": first.turned}
        table = latches_table(sa.MetaData())
        assert connection.scalar(select(table.c.columns)) == "customers.note"
    [column] = status(shop, sealed_columns(Base, ["customers.note"]), {}).columns
    assert column.latched == first.turned == column.document()["latched"]


def test_columns_without_the_option_have_none(shop: Engine) -> None:
    """Plaintext is an error there already."""
    with pytest.raises(ConfigurationError, match=r"suppliers\.email: .*plaintext_until"):
        turned(shop, "suppliers.email")


@ON_MARIADB_TOO
def test_it_waits_for_those_that_write(shop: Engine) -> None:
    """What a transaction wrote that was open when it was asked for is counted."""
    encrypt(shop, Base, "customers.note")
    results: list[LatchResult] = []
    with shop.connect() as writer:
        transaction = writer.begin()
        put(writer, 66, note="not committed yet")
        thread = threading.Thread(target=lambda: results.append(turned(shop)))
        thread.start()
        thread.join(1.5)
        assert thread.is_alive()
        transaction.commit()
    thread.join()
    assert (results[0].plaintext, results[0].turned) == (1, None)


# -- the command


@pytest.fixture
def command(shop: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the function that runs `sealed status` on the database of the shop."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    url = shop.url.render_as_string(hide_password=False)

    def run(*arguments: str) -> Result:
        given = ["status", "dual.shop:Base", "customers.note", "--url", url, *arguments]
        return CliRunner().invoke(app, given)

    return run


def test_the_command_turns_it_on_a_proof_only(shop: Engine, command: Any) -> None:
    """Exit code 1 as long as there is plaintext, 0 once it is turned."""
    before = command("--latch")
    assert before.exit_code == 1
    assert "customers.note: 1 value in plaintext; the latch is not turned" in before.output
    encrypt(shop, Base, "customers.note")
    assert command().exit_code == 0
    assert not has_table(shop)
    after = command("--latch")
    assert after.exit_code == 0
    assert "customers.note: plaintext is not read any more (latch of 20" in after.output


def test_its_document_has_the_latches(shop: Engine, command: Any) -> None:
    """Programs are told the same."""
    document = json.loads(command("--latch", "--json").stdout)
    assert document["latches"] == [
        {
            "context": "customers.note",
            "columns": ["customers.note"],
            "plaintext": 1,
            "turned": None,
        }
    ]
    encrypt(shop, Base, "customers.note")
    [latch] = json.loads(command("--latch", "--json").stdout)["latches"]
    document = json.loads(command("--json").stdout)
    assert document["columns"][0]["latched"] == latch["turned"]
    assert "latches" not in document
