"""The indexes of match tokens: that databases use them, and what they are made for."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO

from matching.notes import found, notes, stored_tokens
from matching.plans import Plans, fill
from sqlalchemy_sealed import (
    EncryptedText,
    MatchIndex,
    execute_exact,
    match_index,
    match_table,
)
from sqlalchemy_sealed.errors import ConfigurationError, RefusedOperationError

pytestmark = pytest.mark.usefixtures("sealer")


@ON_MARIADB_TOO
def test_the_index_is_made_on_postgresql_only(engine: sa.Engine) -> None:
    """One declaration serves all databases: each makes what it can use."""
    table = notes()
    table.metadata.create_all(engine)
    inspector = sa.inspect(engine)
    names = {index["name"] for index in inspector.get_indexes("notes")}
    on_postgresql = engine.dialect.name == "postgresql"
    assert ("ix_notes_body" in names) is on_postgresql
    assert inspector.has_table("notes_body_match") is not on_postgresql
    table.metadata.drop_all(engine)
    assert not sa.inspect(engine).has_table("notes_body_match")


def test_sqlite_uses_the_token_table(sqlite_engine: sa.Engine) -> None:
    """A search looks tokens up and then rows; neither table is read as a whole."""
    table = notes()
    with sqlite_engine.connect() as connection:
        fill(connection, table)
        plans = Plans(connection, "EXPLAIN QUERY PLAN")
        assert len(found(connection, table, table.c.body.contains("needle"))) == 1
    (plan,) = plans.texts
    assert "SEARCH _row USING PRIMARY KEY (sealed_token=?)" in plan
    assert "SEARCH notes USING INTEGER PRIMARY KEY" in plan
    assert "SCAN notes" not in plan


@ON_MARIADB_TOO
def test_odd_names_and_a_key_of_two_columns(engine: sa.Engine) -> None:
    """Names are quoted, and a primary key of several columns is carried whole."""
    table = sa.Table(
        "select",
        sa.MetaData(),
        sa.Column("Order", sa.String(10), primary_key=True),
        sa.Column("the key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("The Body", EncryptedText(match=MatchIndex()), key="body"),
    )
    sa.Index("ix_odd", match_index(table.c.body))
    owner = match_table(table.c.body, name="Match of it")
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [
            {"Order": order, "the key": key, "body": f"needle {order}{key}"}
            for order in ("a", "b")
            for key in (1, 2)
        ]
        connection.execute(table.insert(), rows)
        connection.execute(table.delete().where(table.c["the key"] == 2, table.c["Order"] == "a"))
        connection.execute(
            table.update().where(table.c["the key"] == 2).values({"Order": "c", "body": "straw"})
        )
        assert sorted(
            execute_exact(
                connection, sa.select(table.c.body).where(table.c.body.contains("needle"))
            ).scalars()
        ) == ["needle a1", "needle b1"]
        if engine.dialect.name != "postgresql":
            kept = {tuple(row) for row in connection.execute(sa.select(owner.table))}
            assert kept == stored_tokens(connection, table)
    table.metadata.drop_all(engine)


def test_in_a_schema_of_sqlite(sqlite_engine: sa.Engine) -> None:
    """Table, token table and triggers lie in the attached database."""
    table = sa.Table(
        "notes",
        sa.MetaData(schema="other"),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("body", EncryptedText(match=MatchIndex())),
    )
    owner = match_table(table.c.body)
    with sqlite_engine.begin() as connection:
        connection.execute(sa.text("ATTACH ':memory:' AS other"))
        table.metadata.create_all(connection)
        connection.execute(table.insert(), [{"body": "needle"}, {"body": "straw"}])
        assert found(connection, table, table.c.body.contains("needle")) == ["needle"]
        assert {tuple(row) for row in connection.execute(sa.select(owner.table))} == stored_tokens(
            connection, table
        )
        owner.create(connection)
        table.metadata.drop_all(connection)


def test_a_token_table_needs_a_primary_key() -> None:
    """Without one, its rows could not name those that they are about."""
    table = sa.Table("t", sa.MetaData(), sa.Column("body", EncryptedText(match=MatchIndex())))
    with pytest.raises(ConfigurationError, match="primary key"):
        match_table(table.c.body)
    with pytest.raises(ConfigurationError, match="after the table"):
        match_table(sa.Column("body", EncryptedText(match=MatchIndex())))
    with pytest.raises(RefusedOperationError, match="match=MatchIndex"):
        match_table(sa.Column("body", EncryptedText()))
