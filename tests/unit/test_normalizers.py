"""Normalizers: what each one leaves of a text, those of an application, and searches by them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import (
    BlindIndex,
    Encrypted,
    EncryptedEnum,
    EncryptedString,
    Sealer,
    blind_index,
    normalizers,
    register_normalizer,
)
from sqlalchemy_sealed.errors import OptionError, ValueRefusedError
from sqlalchemy_sealed.normalizers import normalized


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget after each test what it registered."""
    monkeypatch.setattr(normalizers, "_NORMALIZERS", dict(normalizers._NORMALIZERS))


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        ("nfc", "e\u0301", "\xe9"),
        ("nfc", "\ufb01 A", "\ufb01 A"),  # a ligature is another character to NFC
        ("casefold", "STRASSE", "strasse"),
        ("casefold", "Stra\xdfe", "strasse"),
        ("casefold", "\xc9", "\xe9"),
        ("casefold", "E\u0301", "\xe9"),
        ("casefold", "\u03a3\u03c3\u03c2", "\u03c3\u03c3\u03c3"),  # sigma, final and not
        ("casefold", "\u0130", "i\u0307"),  # dotted capital I: no Turkish rules
        ("casefold", "\ufb01", "fi"),
        ("casefold", "\U00010400", "\U00010428"),
        ("digits", "+49 (30) 1234-5678", "493012345678"),
        ("digits", "\u0663\u06f4\uff15", "345"),
        ("digits", "none", ""),
        ("strip", " \t\r\n\u2003a b\x85", "a b"),
        ("strip", "\u200ba", "\u200ba"),
        ("last4", "4111 1111 1111 1234", "1234"),
        ("last4", "123", "123"),
        ("last4", "", ""),
        ("first_letter", "\xc9mile", "\xe9"),
        ("first_letter", "E\u0301mile", "\xe9"),
        ("first_letter", "\xdf", "s"),
        ("first_letter", "", ""),
        ("first_letter", " x", " "),
        ("email_domain", "Ada@Example.ORG", "example.org"),
        ("email_domain", '"a@b"@example.org', "example.org"),
        ("email_domain", "EXAMPLE.org", "example.org"),
        ("email_domain", "ada@", ""),
        (("digits", "last4"), "555-01 43-2", "1432"),
        (("last4", "digits"), "555-01 43-2", "432"),
        (("strip", "first_letter"), "  Ada", "a"),
    ],
)
def test_what_a_normalizer_leaves(names: str | tuple[str, ...], text: str, expected: str) -> None:
    """Each normalizer at its edges, and several in the order that is given."""
    assert normalized((names,) if isinstance(names, str) else names, text) == expected


# -- those of the application


def test_an_own_normalizer_is_used_by_name() -> None:
    """Once registered, it can be declared, alone and with others, and registered again."""
    register_normalizer("no_dots", _no_dots)
    register_normalizer("no_dots", _no_dots)
    assert normalized(("casefold", "no_dots"), "A.B") == "ab"
    assert eval(repr(BlindIndex(normalize="no_dots"))) == BlindIndex(normalize="no_dots")


def _no_dots(text: str) -> str:
    return text.replace(".", "")


@pytest.mark.parametrize(
    ("name", "normalizer", "problem"),
    [
        ("casefold", str.casefold, "there is a normalizer named 'casefold' already"),
        ("", str.upper, "must be a text that is not empty"),
        (5, str.upper, "must be a text that is not empty"),
        ("upper", "upper", "must be a function from text to text"),
    ],
)
def test_what_cannot_be_registered(name: Any, normalizer: Any, problem: str) -> None:
    """A name that is taken or no name, and what is no function."""
    with pytest.raises(OptionError, match=problem):
        register_normalizer(name, normalizer)


SECRET = "canary-of-normalizers"


def _fails(text: str) -> str:
    raise ValueError(f"cannot read {text}")


def _leaves_nothing(text: str) -> Any:
    return None


@pytest.fixture
def connection(sealer: Sealer, sqlite_engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection to an empty database."""
    with sqlite_engine.connect() as connection:
        yield connection


def table_with(type_: Any, connection: sa.Connection) -> sa.Table:
    """Make a table with one sealed column."""
    table = sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("x", type_),
    )
    table.create(connection)
    return table


@pytest.mark.parametrize(
    ("normalizer", "problem"),
    [
        (_fails, "people.x: its normalizer 'own' raised ValueError"),
        (_leaves_nothing, "people.x: its normalizer 'own' returned NoneType, not str"),
    ],
)
@pytest.mark.parametrize("use", ["written", "searched"])
def test_an_own_normalizer_that_fails_shows_no_value(
    connection: sa.Connection, normalizer: Callable[[str], str], problem: str, use: str
) -> None:
    """Its error, whose text may quote the value, is neither raised nor chained."""
    register_normalizer("own", normalizer)
    table = table_with(EncryptedString(index=BlindIndex(normalize="own")), connection)
    statement: Any = sa.insert(table).values(x=SECRET)
    if use == "searched":
        statement = sa.select(table).where(table.c.x == SECRET)
    with pytest.raises(ValueRefusedError) as caught:
        connection.execute(statement)
    assert str(caught.value) == problem
    chain: list[BaseException | None] = [caught.value]
    for error in chain:
        if error is not None:
            assert SECRET not in repr(error)
            chain += {error.__cause__, error.__context__}.difference(chain)


def test_a_process_that_did_not_register_a_normalizer_says_so(connection: sa.Connection) -> None:
    """A pickled model that names it is refused when it is used, without the value."""
    register_normalizer("own", _no_dots)
    pickled = pickle.dumps(EncryptedString(index=BlindIndex(normalize="own")))
    del normalizers._NORMALIZERS["own"]
    table = table_with(pickle.loads(pickled), connection)
    for statement in (
        sa.insert(table).values(x=SECRET),
        sa.select(table).where(table.c.x == SECRET),
    ):
        with pytest.raises(OptionError, match="there is no normalizer 'own'") as caught:
            connection.execute(statement)
        assert SECRET not in str(caught.value)


# -- texts that are not free


def test_texts_of_a_list_and_uuid_texts_can_be_normalised(connection: sa.Connection) -> None:
    """What a normalizer leaves need not be a value that the column could hold."""
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    uuids = Encrypted(sa.Uuid(as_uuid=False), index=BlindIndex(normalize="casefold"))
    metadata = sa.MetaData()
    names = [f"Value {number}" for number in range(16)]
    table = sa.Table(
        "things",
        metadata,
        sa.Column("name", EncryptedEnum(*names, index=BlindIndex(normalize="last4"))),
        sa.Column("uuid", uuids),
    )
    metadata.create_all(connection)
    connection.execute(sa.insert(table), [{"name": names[3], "uuid": uuid}])
    found = sa.select(sa.func.count()).select_from(table)
    assert connection.scalar(found.where(blind_index(table.c.name) == "ue 3")) == 1
    assert connection.scalar(found.where(table.c.uuid == uuid.upper())) == 1
    assert connection.scalar(found.where(table.c.uuid == uuid[:-1] + "e")) == 0
