"""
SQL conditions on stored values: how a value is sealed, told without a key.

The label, bytes 4 to 12 of an envelope, is suite, slot count and key id; characters 5 to 16 of the
text form are the same nine bytes. docs/spec/envelope-v1.md section 3.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ..bytewise import bytewise
from ..envelope import HEADER_SIZE, MAGIC, header, overhead, suite_of, to_text
from ..types import Encrypted

LABEL_SIZE = HEADER_SIZE - len(MAGIC)


def head_of(type_: Encrypted[Any]) -> bytes:
    """Return the 12 bytes that a value begins with that is sealed now by a type."""
    settings = type_.settings
    suite = suite_of(padded=settings.pad is not None, tokens=settings.match is not None)
    return header(suite, settings.slots, type_.sealer.keyset.primary.key_id)


def label(column: sa.ColumnElement[Any], *, is_text: bool) -> sa.ColumnElement[Any]:
    """Return the SQL of a stored value's label."""
    if is_text:
        return sa.func.substr(column, 5, 12, type_=sa.Text())
    return sa.func.substr(column, 4, LABEL_SIZE, type_=sa.LargeBinary())


def stored_label(head: bytes, *, is_text: bool) -> bytes | str:
    """Return the label of a header, in the form in which `label` has it."""
    return to_text(head)[4:16] if is_text else head[len(MAGIC) :]


def is_stale(
    connection: sa.Connection, column: sa.ColumnElement[Any], head: bytes, *, is_text: bool
) -> sa.ColumnElement[bool]:
    """Return the condition that a value is there and does not begin with a header."""
    wanted = sa.literal(
        stored_label(head, is_text=is_text), sa.Text() if is_text else sa.LargeBinary()
    )
    found: sa.ColumnElement[Any] = label(column, is_text=is_text)
    found = bytewise(found) if is_text else found
    if connection.dialect.name != "sqlite":
        return sa.and_(column.is_not(None), found != wanted)
    # A part of an empty blob is NULL there.
    return sa.and_(column.is_not(None), sa.or_(found.is_(None), found != wanted))


def looks_sealed(
    connection: sa.Connection, column: sa.ColumnElement[Any], *, is_text: bool
) -> sa.ColumnElement[bool]:
    """
    Return the condition that a value has the form of an envelope. Whether it is one, a key says.

    The text form is told from words that begin with the same letters by its length and by having
    letters of base64url (RFC 4648, section 5) only.
    """
    if not is_text:
        magic = sa.func.substr(column, 1, len(MAGIC), type_=sa.LargeBinary())
        return sa.and_(
            magic == sa.literal(MAGIC, sa.LargeBinary()),
            sa.func.length(column) >= overhead(),
        )
    prefix = to_text(MAGIC)
    start = bytewise(sa.func.substr(column, 1, len(prefix), type_=sa.Text()))
    is_mysql = connection.dialect.name in ("mysql", "mariadb")
    letters = sa.func.char_length if is_mysql else sa.func.length
    return sa.and_(
        start == sa.literal(prefix, sa.Text()),
        letters(column) >= len(to_text(bytes(overhead()))),
        _only_base64url(connection, column),
    )


def _only_base64url(
    connection: sa.Connection, column: sa.ColumnElement[Any]
) -> sa.ColumnElement[bool]:
    others = "[^A-Za-z0-9_-]"
    matched: sa.ColumnElement[bool]
    if connection.dialect.name == "sqlite":
        globbed: sa.ColumnElement[bool] = column.op("GLOB", is_comparison=True)(f"*{others}*")
        # Patterns and lengths of texts end at a NUL; the length of a blob does not.
        size: sa.ColumnElement[Any] = sa.func.length(sa.cast(column, sa.LargeBinary()))
        return sa.and_(sa.not_(globbed), sa.func.length(column) == size)
    if connection.dialect.name != "postgresql":
        # Without regard to case, the Kelvin sign is a letter k.
        others = f"(?-i){others}"
    matched = bytewise(column).regexp_match(others)
    return sa.not_(matched)
