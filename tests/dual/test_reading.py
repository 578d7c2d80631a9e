"""Plaintext is read where a column says so, and nothing that looks sealed is taken for it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedBytes,
    EncryptedDate,
    EncryptedEnum,
    EncryptedJSON,
    EncryptedString,
    MaskedStr,
    Sealer,
)
from sqlalchemy_sealed.envelope import MAGIC, from_text, to_text
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    ConfigurationError,
    NotAnEnvelopeError,
    OpenError,
    OptionError,
    UnknownKeyError,
)
from sqlalchemy_sealed.plainform import looks_sealed

from .shop import TOMORROW, YESTERDAY, Base, Customer, Supplier, make_tables, put, stored


@pytest.fixture
def shop(engine: Engine, sealer: Sealer) -> Iterator[Engine]:
    """Return an engine on tables that hold plaintext."""
    make_tables(engine)
    with engine.begin() as connection:
        put(connection, 1, email="ada@example.org", photo=b"\xff\xd8ada", note="owes 7")
        put(connection, 2, email="", photo=b"")
        put(connection, 3)
    yield engine
    Base.metadata.drop_all(engine)


@ON_MARIADB_TOO
def test_plaintext_is_read_as_it_is(shop: Engine) -> None:
    """Texts, bytes, empty ones and NULL are what they were; a masked type masks them."""
    with Session(shop) as session:
        ada, empty, nothing = session.scalars(sa.select(Customer).order_by(Customer.id))
    assert (ada.email, ada.photo, ada.note) == ("ada@example.org", b"\xff\xd8ada", "owes 7")
    assert isinstance(ada.note, MaskedStr)
    assert (empty.email, empty.photo, nothing.email, nothing.photo) == ("", b"", None, None)


@ON_MARIADB_TOO
def test_what_is_written_is_sealed(shop: Engine) -> None:
    """New rows and changed ones hold envelopes, and both kinds are read in one query."""
    with Session(shop) as session:
        session.add(Customer(id=4, email="eve@example.org", photo=b"eve", note="new"))
        session.get_one(Customer, 1).note = "owes nothing"
        session.commit()
        rows = session.execute(sa.select(Customer.email, Customer.note).order_by(Customer.id))
        assert [tuple(row) for row in rows] == [
            ("ada@example.org", "owes nothing"),
            ("", None),
            (None, None),
            ("eve@example.org", "new"),
        ]
        connection = session.connection()
        assert stored(connection, "email", 1) == "ada@example.org"
        for column, id_ in (("note", 1), ("email", 4), ("photo", 4), ("note", 4)):
            assert looks_sealed(stored(connection, column, id_))


def test_without_the_option_plaintext_is_an_error(shop: Engine) -> None:
    """Another column of the same application refuses it as ever."""
    with Session(shop) as session:
        session.execute(sa.text("INSERT INTO suppliers VALUES (1, 'ada@example.org')"))
        with pytest.raises(NotAnEnvelopeError, match=r"suppliers\.email"):
            session.scalars(sa.select(Supplier.email)).all()


def broken(envelope: str) -> dict[str, tuple[str, type[OpenError]]]:
    """Return what may have become of an envelope, and the error that it is."""
    data = from_text(envelope)
    other_key = data[:4] + bytes(8) + data[12:]
    other_suite = data[:3] + b"\xf0" + data[4:]
    return {
        "changed": (envelope[:-2] + ("AA" if envelope[-2:] != "AA" else "QQ"), AuthenticationError),
        "other key": (to_text(other_key), UnknownKeyError),
        "other suite": (to_text(other_suite), NotAnEnvelopeError),
        "cut off": (envelope[:60], NotAnEnvelopeError),
        "header only": (envelope[:16], NotAnEnvelopeError),
        "longer": (envelope + "A", OpenError),
    }


BROKEN = ["changed", "other key", "other suite", "cut off", "header only", "longer"]


@pytest.mark.parametrize("how", BROKEN)
def test_an_envelope_that_does_not_open_is_never_passed_through(how: str, shop: Engine) -> None:
    """What was changed, cut off or sealed by others stays an error."""
    with Session(shop) as session:
        session.add(Customer(id=9, note="a secret of some length"))
        session.commit()
        value, error = broken(stored(session.connection(), "note", 9))[how]
        session.execute(
            sa.text("UPDATE customers SET note = :value WHERE id = 9"), {"value": value}
        )
        session.expire_all()
        with pytest.raises(error) as caught:
            session.scalars(sa.select(Customer.note)).all()
    assert value not in str(caught.value)


def test_bytes_that_begin_with_the_magic_are_never_passed_through(shop: Engine) -> None:
    """Where bytes are stored, three bytes are enough to be taken for a damaged envelope."""
    with Session(shop) as session:
        put(session.connection(), 9, photo=MAGIC + b"more")
        with pytest.raises(NotAnEnvelopeError, match="cut off"):
            session.scalars(sa.select(Customer.photo)).all()


def test_an_envelope_of_another_column_is_an_error(shop: Engine) -> None:
    """An envelope that was moved does not become plaintext."""
    with Session(shop) as session:
        session.add(Customer(id=9, email="eve@example.org"))
        session.commit()
        session.execute(sa.text("UPDATE customers SET note = email WHERE id = 9"))
        with pytest.raises(AuthenticationError):
            session.scalars(sa.select(Customer.note)).all()


@pytest.mark.parametrize("word", ["sealing wax", "sealed", "seal", "sealEXACT", "SEAL" * 20])
def test_words_that_begin_as_an_envelope_does_are_plaintext(word: str, shop: Engine) -> None:
    """Texts of a language are told from envelopes."""
    with Session(shop) as session:
        put(session.connection(), 9, note=word)
        assert session.scalar(sa.select(Customer.note).where(Customer.id == 9)) == word


def test_a_value_of_the_other_storage_is_an_error(engine: Engine, sealer: Sealer) -> None:
    """Bytes in a column of text storage are not guessed at."""
    type_ = EncryptedString(storage="text", context="c.n", plaintext_until=TOMORROW)
    query = sa.text("SELECT CAST('x' AS {0}) AS n")
    name = "bytea" if engine.dialect.name == "postgresql" else "BLOB"
    statement = sa.text(query.text.format(name)).columns(n=type_)
    with engine.connect() as connection, pytest.raises(NotAnEnvelopeError, match="bytes"):
        connection.scalar(statement)


def test_past_its_last_day_plaintext_is_an_error(shop: Engine) -> None:
    """An option that somebody forgot ends by itself; the error says what to do."""
    note = EncryptedString(storage="text", context="customers.note", plaintext_until=YESTERDAY)
    statement = sa.text("SELECT note FROM customers WHERE id = 1").columns(note=note)
    with shop.connect() as connection, pytest.raises(NotAnEnvelopeError) as caught:
        connection.scalar(statement)
    assert f"plaintext_until is {YESTERDAY}" in str(caught.value)
    assert "sealed encrypt" in str(caught.value)
    assert "owes" not in str(caught.value)


async def _all(engine: AsyncEngine) -> list[Any]:
    async with engine.connect() as connection:
        rows = await connection.stream(sa.select(Customer.__table__).order_by(Customer.id))
        return [row.email async for row in rows]


def test_it_is_read_by_an_async_engine(shop: Engine, async_engine: AsyncEngine) -> None:
    """The latches are read on the way there, without blocking the event loop."""
    import asyncio  # noqa: PLC0415

    assert asyncio.run(_all(async_engine)) == ["ada@example.org", "", None]


def test_a_type_that_changes_what_is_read_changes_plaintext_too(
    engine: Engine, sealer: Sealer
) -> None:
    """A subclass with a `process_result_value` of its own gets the value, sealed or not."""

    class Upper(EncryptedString):
        def process_result_value(self, value: Any, dialect: Any) -> str | None:
            text = super().process_result_value(value, dialect)
            return None if text is None else text.upper()

    type_ = Upper(storage="text", context="c.n", plaintext_until=TOMORROW)
    query = sa.text("SELECT 'ada' AS a, :b AS b")
    sealed = to_text(sealer.seal(b"eve", "c.n"))
    statement = query.bindparams(b=sealed).columns(a=type_, b=type_)
    with engine.connect() as connection:
        assert tuple(connection.execute(statement).one()) == ("ADA", "EVE")


# -- the option


def test_the_option_takes_a_date_or_its_text() -> None:
    """Both are one setting, which repr writes as a migration can have it."""
    first = EncryptedString(storage="text", plaintext_until=date(2099, 1, 31), context="c.n")
    second = EncryptedString(storage="text", plaintext_until="2099-01-31", context="c.n")
    assert first.settings == second.settings
    assert "plaintext_until='2099-01-31'" in repr(first)
    for each in (copy.copy(first), pickle.loads(pickle.dumps(first)), eval(repr(first))):
        assert each.settings == first.settings


@pytest.mark.parametrize("until", ["soon", "2099-02-30", "20990131", True, 7, datetime(2099, 1, 1)])  # noqa: DTZ001
def test_what_is_no_day_is_refused(until: Any) -> None:
    """There is no way to say for ever."""
    with pytest.raises(OptionError, match="plaintext_until must be a date"):
        EncryptedString(storage="text", plaintext_until=until)


@pytest.mark.parametrize(
    ("type_", "options"),
    [
        (EncryptedString, {}),
        (EncryptedBytes, {"storage": "text"}),
        (EncryptedJSON, {"storage": "text"}),
        (EncryptedDate, {"storage": "text"}),
        (EncryptedEnum, {"storage": "text"}),
    ],
)
def test_types_that_cannot_change_places_with_their_envelopes_are_refused(
    type_: Any, options: dict[str, Any]
) -> None:
    """It takes what `sealed encrypt` takes in place, by the same definition."""
    members = ("one", "two") if type_ is EncryptedEnum else ()
    with pytest.raises(OptionError, match="encrypt into another column"):
        type_(*members, plaintext_until=TOMORROW, **options)


def test_a_unique_index_is_refused_and_its_slots_are_not() -> None:
    """Rows of plaintext have no slots; the form that holds the same slots is named."""
    options: dict[str, Any] = {"storage": "text", "plaintext_until": TOMORROW}
    with pytest.raises(OptionError, match="bridge=True"):
        EncryptedString(index=BlindIndex(unique=True), **options)
    type_ = EncryptedString(index=BlindIndex(bridge=True), **options)
    assert type_.settings.slots == EncryptedString(index=BlindIndex(unique=True)).settings.slots


def test_a_unique_index_over_its_slots_is_refused() -> None:
    """Neither is one that the table declares."""
    from sqlalchemy_sealed import blind_index  # noqa: PLC0415

    type_ = EncryptedString(storage="text", index=BlindIndex(bridge=True), plaintext_until=TOMORROW)
    table = sa.Table("c", sa.MetaData(), sa.Column("n", type_))
    with pytest.raises(ConfigurationError, match="rows of plaintext"):
        sa.Index("ux", blind_index(table.c.n), unique=True)


def test_a_table_gets_no_check_constraint_meanwhile() -> None:
    """It would refuse the plaintext that is there."""
    checks = [
        each
        for each in Customer.__table__.constraints  # type: ignore[attr-defined]
        if isinstance(each, sa.CheckConstraint)
    ]
    assert checks == []
