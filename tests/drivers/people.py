"""A table that is searched: unique, repeated, and by words, in both storage forms."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    EncryptedText,
    MatchIndex,
    blind_index,
    match_index,
    match_table,
)


def people(storage: Any) -> sa.Table:
    """Return the table in one storage form, with an index over each slot and the tokens."""
    table = sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "email",
            EncryptedString(index=BlindIndex(unique=True, normalize="casefold"), storage=storage),
        ),
        sa.Column("city", EncryptedString(index=BlindIndex(), storage=storage)),
        sa.Column("note", EncryptedText(match=MatchIndex(), storage=storage)),
        sa.Column("visits", sa.Integer, default=0),
    )
    sa.Index("ix_people_city", blind_index(table.c.city))
    sa.Index("ix_people_note", match_index(table.c.note))
    match_table(table.c.note)
    return table


ROWS: list[dict[str, Any]] = [
    {"id": 1, "email": "canary.Ada@example.org", "city": "canary town", "note": "canary headache"},
    {"id": 2, "email": "canary.bob@example.org", "city": "canary town", "note": "canary fever"},
    {"id": 3, "email": "", "city": "", "note": ""},
    {"id": 4, "email": None, "city": None, "note": None},
    {"id": 5, "email": "x" * 70_000, "city": "y" * 70_000, "note": "headache " * 8_000},
]
