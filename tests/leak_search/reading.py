"""Situations in which a stored value cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.orm import Session

from sqlalchemy_sealed import Encrypted, EncryptedBytes, EncryptedString, EncryptedText
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    DecodingError,
    NotAnEnvelopeError,
    UnknownKeyError,
)

from .situation import PEOPLE, PREPARED, SITUATIONS, Deed, Person, Situation, ends_in, store

OTHER_SEALER = "keys of another application"
"""A sealer that has keys, which the default sealer does not know."""


def overwrite(column: str, value: Callable[[str], object]) -> Deed:
    """Return a preparation that stores a row, and then something else in one column."""

    def prepare(connection: Connection, secret: str) -> None:
        store(connection, secret)
        statement = sa.text(f"UPDATE leak_people SET {column} = :value")
        connection.execute(statement, {"value": value(secret)})

    return prepare


def move(source: str, target: str) -> Deed:
    """Return a preparation that stores a row, and copies one column to another."""

    def prepare(connection: Connection, secret: str) -> None:
        store(connection, secret)
        connection.execute(sa.text(f"UPDATE leak_people SET {target} = {source}"))

    return prepare


def sealed(type_: Encrypted[Any], change: Callable[[str], Any] = str) -> Callable[[str], object]:
    """Return what seals a secret as another type would."""
    return lambda secret: type_.bind_processor(DefaultDialect())(change(secret))


def _read(column: str) -> Deed:
    return lambda connection, _: connection.execute(sa.select(PEOPLE.c[column])).all()


SITUATIONS += [
    Situation(
        "a value was moved to another column",
        _read("document"),
        AuthenticationError,
        move("secret", "document"),
    ),
    Situation(
        "plaintext is in a binary column",
        _read("secret"),
        NotAnEnvelopeError,
        overwrite("secret", str.encode),
    ),
    Situation(
        "plaintext is in a text column",
        _read("note"),
        NotAnEnvelopeError,
        overwrite("note", str),
    ),
    Situation(
        "a value was sealed under other keys",
        _read("secret"),
        UnknownKeyError,
        overwrite(
            "secret", sealed(EncryptedString(context="leak_people.secret", sealer=OTHER_SEALER))
        ),
    ),
    Situation(
        "an opened text is not JSON",
        _read("document"),
        DecodingError,
        overwrite("document", sealed(EncryptedText(context="leak_people.document"))),
    ),
    Situation(
        "an opened text is not a number",
        _read("number"),
        DecodingError,
        overwrite("number", sealed(EncryptedText(context="leak_people.number"))),
    ),
    Situation(
        "an opened value is not UTF-8",
        _read("secret"),
        DecodingError,
        overwrite(
            "secret",
            sealed(
                EncryptedBytes(context="leak_people.secret"),
                lambda secret: secret.encode() + b"\xff",
            ),
        ),
    ),
]


@ends_in(AuthenticationError, after=move("secret", "document"))
def _an_object_with_a_moved_value_is_loaded(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.get(Person, PREPARED)


@ends_in(LookupError, after=overwrite("kind", lambda _: "other"))
def _another_column_cannot_be_read(connection: Connection, secret: str) -> None:
    connection.execute(sa.select(PEOPLE)).all()
