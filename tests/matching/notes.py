"""The table that searches are tested on, with texts that are hard to tell apart."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedText,
    MatchIndex,
    execute_exact,
    match_index,
    match_table,
)
from sqlalchemy_sealed.envelope import from_text, parse, to_text
from sqlalchemy_sealed.types import MatchTable

TEXTS = (
    "Patient reports severe headache since May",
    "HEADACHE, and no fever",
    "head ache",
    "heada",
    "adache",
    "Stra\N{LATIN SMALL LETTER SHARP S}e nach K\N{LATIN SMALL LETTER O WITH DIAERESIS}ln",
    "STRASSE NACH KO\N{COMBINING DIAERESIS}LN",
    '100% sure_thing \\ \'quoted\' "twice" | ["-"] $',
    "\N{CJK UNIFIED IDEOGRAPH-982D}\N{CJK UNIFIED IDEOGRAPH-75DB}\N{CJK UNIFIED IDEOGRAPH-85E5}",
    "a\0b\0c",
    "x",
    "",
    None,
)
"""Values of a column, each once."""

TERMS = (
    "headache",
    "HEADACHE",
    "Patient",
    "since May",
    "fever",
    "ache",
    "strasse",
    "Stra\N{LATIN SMALL LETTER SHARP S}e",
    "K\N{LATIN SMALL LETTER O WITH DIAERESIS}ln",
    "KO\N{COMBINING DIAERESIS}LN",
    "100% sure_thing",
    "\\ 'quoted' \"",
    '| ["-"] $',
    "%%%",
    "___",
    "\N{CJK UNIFIED IDEOGRAPH-982D}\N{CJK UNIFIED IDEOGRAPH-75DB}\N{CJK UNIFIED IDEOGRAPH-85E5}",
    "a\0b",
    "nothing of the kind",
)
"""What is searched: terms that are there, that nearly are, and that would be patterns of LIKE."""

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"match": MatchIndex()},
    "text": {"match": MatchIndex(), "storage": "text"},
    "padded": {"match": MatchIndex(), "pad": 32},
    "slots": {"match": MatchIndex(), "index": [BlindIndex(), BlindIndex("x"), BlindIndex("y")]},
    "text with slots": {
        "match": MatchIndex(),
        "index": [BlindIndex(unique=True), BlindIndex("x", normalize="casefold")],
        "storage": "text",
        "pad": 16,
    },
    "few bits": {"match": MatchIndex(bits=8)},
}
"""Columns whose tokens stand in different places."""


def notes(*, indexed: bool = True, **options: Any) -> sa.Table:
    """Return a table with an optional sealed column `body`, and with its index or without."""
    table = sa.Table(
        "notes",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String(20), unique=True),
        sa.Column("body", EncryptedText(**options or OPTIONS["plain"])),
    )
    if indexed:
        sa.Index("ix_notes_body", match_index(table.c.body))
        match_table(table.c.body)
    return table


def found(connection: sa.Connection, table: sa.Table, condition: Any) -> list[str | None]:
    """Return the texts for which a condition holds, in the order of their ids."""
    statement = sa.select(table.c.body).where(condition).order_by(table.c.id)
    return list(execute_exact(connection, statement).scalars())


def token_rows(connection: sa.Connection, table: sa.Table) -> set[tuple[Any, ...]]:
    """Return the rows of the token table, as (token, keys...)."""
    owner: MatchTable = table.info["sealed_match_tables"]["body"]
    return {tuple(row) for row in connection.execute(sa.select(owner.table))}


def stored_tokens(connection: sa.Connection, table: sa.Table) -> set[tuple[Any, ...]]:
    """Return what the token table must hold: the tokens that stand in the rows."""
    keys = [sa.type_coerce(column, column.type) for column in table.primary_key]
    is_text = table.c.body.type.settings.is_text
    raw = sa.type_coerce(table.c.body, sa.Text() if is_text else sa.LargeBinary())
    rows = connection.execute(sa.select(raw, *keys).where(table.c.body.is_not(None)))
    wanted: set[tuple[Any, ...]] = set()
    for stored, *key in rows:
        tokens = parse(from_text(stored) if is_text else stored).tokens
        wanted |= {(_form(token, is_text=is_text), *key) for token in tokens}
    return wanted


def _form(token: bytes, *, is_text: bool) -> str:
    return to_text(token) if is_text else token.hex().upper()
