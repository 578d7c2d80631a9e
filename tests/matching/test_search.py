"""Searches for parts of texts: on every database, exactly what Python finds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from matching.notes import OPTIONS, TERMS, TEXTS, found, notes
from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.errors import ValueRefusedError
from sqlalchemy_sealed.normalizers import normalized

pytestmark = pytest.mark.usefixtures("sealer")
EACH_OPTION = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
EITHER_WAY = pytest.mark.parametrize("indexed", [True, False], ids=["index", "scan"])


def folded(text: str) -> str:
    """Return a text without case."""
    return normalized(("casefold",), text)


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, term: term in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "icontains": lambda text, term: folded(term) in folded(text),
    "istartswith": lambda text, term: folded(text).startswith(folded(term)),
    "iendswith": lambda text, term: folded(text).endswith(folded(term)),
}


@ON_MARIADB_TOO
@EACH_OPTION
@EITHER_WAY
def test_each_operator_finds_what_python_finds(
    engine: sa.Engine, options: dict[str, Any], indexed: bool
) -> None:
    """Six operators, terms that are patterns elsewhere, all kinds of columns, index or none."""
    table = notes(indexed=indexed, **options)
    table.metadata.create_all(engine)
    body = table.c.body
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": text} for text in TEXTS])
        for term, (operator, holds) in product(TERMS, OPERATORS.items()):
            condition = getattr(body, operator)(term)
            right = [text for text in TEXTS if text is not None and holds(text, term)]
            assert found(connection, table, condition) == right, (operator, term)
        assert found(connection, table, body.startswith("he")) == ["head ache", "heada"]
        assert found(connection, table, body.iendswith("ln")) == list(TEXTS[5:7])
        with pytest.raises(ValueRefusedError, match=r"notes\.body: the term is too short"):
            found(connection, table, body.contains("he"))
    table.metadata.drop_all(engine)


@ON_MARIADB_TOO
@EITHER_WAY
def test_conditions_are_joined_by_and(engine: sa.Engine, indexed: bool) -> None:
    """Several terms, terms that come as parameters, and plain conditions go together."""
    table = notes(indexed=indexed)
    table.metadata.create_all(engine)
    body = table.c.body
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": text} for text in TEXTS])
        both = body.contains("head") & body.icontains("SEVERE")
        assert found(connection, table, both) == [TEXTS[0]]
        assert found(connection, table, body.contains("head") & (table.c.id > 1)) == [
            "head ache",
            "heada",
        ]
        assert found(connection, table, body.contains(None)) == []


@ON_MARIADB_TOO
@EITHER_WAY
@EACH_OPTION
def test_terms_are_found_while_the_index_key_is_rotated(
    engine: sa.Engine, sealer: Sealer, options: dict[str, Any], indexed: bool
) -> None:
    """Rows under the old and the new index key are both found, and rows resealed between."""
    table = notes(indexed=indexed, **options)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": f"old headache {n}"} for n in range(3)])
        sealer.rotate(index=True)
        connection.execute(table.insert(), [{"body": f"new headache {n}"} for n in range(3)])
        connection.execute(table.update().where(table.c.id == 2).values(body="changed headache"))
        condition = table.c.body.contains("headache")
        assert found(connection, table, condition) == [
            "old headache 0",
            "changed headache",
            "old headache 2",
            "new headache 0",
            "new headache 1",
            "new headache 2",
        ]
        assert found(connection, table, table.c.body.contains("old head")) == [
            "old headache 0",
            "old headache 2",
        ]


@ON_MARIADB_TOO
@EITHER_WAY
def test_a_long_text(engine: sa.Engine, indexed: bool) -> None:
    """Thousands of tokens are stored, indexed and searched as a few are."""
    table = notes(indexed=indexed)
    table.metadata.create_all(engine)
    text = " ".join(f"{number:04x}" for number in range(0x0, 0xFFFF, 7))
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"body": text}, {"body": text.replace("3", "x")}])
        assert found(connection, table, table.c.body.contains("0031 0038 003f")) == [text]
        assert found(connection, table, table.c.body.contains(text)) == [text]
        assert len(found(connection, table, table.c.body.endswith(text[-9:]))) == 2


@ON_MARIADB_TOO
@EITHER_WAY
def test_rows_from_before_the_index_are_found(engine: sa.Engine, indexed: bool) -> None:
    """Values without tokens, or with another number of slots, are candidates of every search."""
    before = [notes(indexed=False, **OPTIONS[name]) for name in ("slots", "plain")]
    without = notes(indexed=False, check=True)
    table = notes(indexed=indexed, **OPTIONS["plain"])
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        for number, other in enumerate((*before, without, table)):
            texts = [f"headache {number}", f"other {number}"]
            connection.execute(other.insert(), [{"body": text} for text in texts])
        condition = table.c.body.contains("headache")
        assert found(connection, table, condition) == [f"headache {n}" for n in range(4)]
