"""What is an envelope and what is plaintext: Python and SQL say the same."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.envelope import MAGIC, to_text
from sqlalchemy_sealed.plainform import (
    NEVER_PLAIN_BYTES,
    NEVER_PLAIN_TEXT,
    is_plain,
    looks_sealed,
)
from sqlalchemy_sealed.reseal import forms

TEXTS = [
    *("", "ada", "seal", "sealed", "sealing wax", "SEAL" + "A" * 66, "seal" + "A" * 65),
    *("seal" + "A" * 66, "seal" + "A" * 66 + "\n", "seal" + "A" * 65 + "ä", "seal " + "A" * 66),
    *("sealE" + "A" * 10, "sealE" + "A" * 11, "sealU" + "A" * 30, " seal" + "A" * 66),
    *("seal" + "-_" * 40, "seal" + "\u212a" * 66, NEVER_PLAIN_TEXT),
]
BYTES = [b"", b"ada", MAGIC, MAGIC + bytes(48), MAGIC + bytes(49), b"\0" + MAGIC, NEVER_PLAIN_BYTES]


@ON_MARIADB_TOO
@pytest.mark.parametrize("values", [TEXTS, BYTES], ids=["texts", "bytes"])
def test_python_and_sql_agree(values: list[str] | list[bytes], engine: Engine) -> None:
    """What a run encrypts is what a process may read as plaintext, but for pieces of envelopes."""
    is_text = values is TEXTS
    stored = sa.Text() if is_text else sa.LargeBinary()
    with engine.connect() as connection:
        for value in values:
            column = sa.literal(value, stored)
            looks = bool(
                connection.scalar(
                    sa.select(forms.looks_sealed(connection, column, is_text=is_text))
                )
            )
            assert looks == looks_sealed(value), value
            assert not (looks and is_plain(value)), value


def test_pieces_of_envelopes_are_no_plaintext(sealer: Sealer) -> None:
    """From its header on, whatever is left of an envelope is told from a word."""
    data = sealer.seal(b"ada@example.org", "c.n")
    text = to_text(data)
    assert [len(text[:n]) for n in range(16, len(text) + 1) if is_plain(text[:n])] == []
    assert [n for n in range(3, len(data) + 1) if is_plain(data[:n])] == []


def test_words_are_plaintext() -> None:
    """Also those that begin with the four letters of the magic."""
    for word in (
        "seal",
        "sealant",
        "sealskin-coat-from-the-north",
        "sealE",
        "sealed-by-hand_twice",
    ):
        assert is_plain(word)
