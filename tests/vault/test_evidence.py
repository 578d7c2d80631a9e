"""The evidence of the page for auditors, on PostgreSQL: what its queries find, and do not find."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from fix_runbook import ROWS, Shop
from runbook import DOCS, queries

from sqlalchemy_sealed import get_sealer

pytestmark = pytest.mark.postgres
UNSEALED, CONSTRAINTS, KEYS = queries(DOCS / "explanation" / "for-auditors.md")


def run(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    """Run a query of the page, as who has no keys does."""
    with shop.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_plaintext_is_found(shop: Shop) -> None:
    """It counts the rows that are not sealed, which there can be only without the constraint."""
    assert run(shop, UNSEALED) == [(0,)]
    with shop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE customers DROP CONSTRAINT customers_email_sealed"))
        connection.execute(sa.text("UPDATE customers SET email = 'plain' WHERE id < 4"))
    assert run(shop, UNSEALED) == [(3,)]


def test_constraints_are_found(shop: Shop) -> None:
    """It names those of both sealed columns, and that they hold for all rows."""
    found = [row[1:] for row in run(shop, CONSTRAINTS) if row[0].endswith("customers")]
    assert sorted(found) == [("customers_email_sealed", True), ("customers_note_sealed", True)]


def test_rows_are_counted_under_their_key(shop: Shop) -> None:
    """The ids are those of the list of keys."""
    old = get_sealer().keyset.primary.key_id.hex()
    new = get_sealer().rotate().primary.key_id.hex()
    shop.write()
    assert dict(run(shop, KEYS)) == {old: ROWS, new: ROWS}
