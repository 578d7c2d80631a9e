"""Searches that are rendered into SQL text, as for a view or a script, find what they should."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer

NAMES = ["ada", "bob", "eve", None]


@pytest.mark.parametrize("storage", ["binary", "text"])
@pytest.mark.parametrize("index_keys", [1, 2])
def test_searched_values_as_sql_text(
    storage: str, index_keys: int, engine: sa.Engine, sealer: Sealer
) -> None:
    """The text finds the same rows as the statement, however PostgreSQL reads a backslash."""
    table = sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", EncryptedString(index=BlindIndex(), storage=storage)),
    )
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [{"name": name} for name in NAMES])
        if index_keys == 2:
            sealer.rotate(index=True)
            connection.execute(sa.insert(table), [{"name": name} for name in NAMES])
        for setting in ("on", "off") if engine.name == "postgresql" else (None,):
            if setting is not None:
                connection.exec_driver_sql(f"SET standard_conforming_strings = {setting}")
            for condition, names in (
                (table.c.name == "ada", ["ada"]),
                (table.c.name != "ada", ["bob", "eve"]),
                (table.c.name.in_(["ada", "eve", "nobody"]), ["ada", "eve"]),
                (table.c.name.in_([]), []),
                (table.c.name.in_(["eve", None]), ["eve"]),
                (table.c.name.not_in(["eve"]), ["ada", "bob"]),
                (table.c.name.not_in(["eve", None]), []),
            ):
                statement = sa.select(table.c.name).where(condition)
                text = statement.compile(connection, compile_kwargs={"literal_binds": True})
                found = connection.execute(
                    sa.text(str(text).replace(":", r"\:")).columns(table.c.name)
                )
                assert sorted(found.scalars()) == sorted(names * index_keys), condition
                assert sorted(connection.scalars(statement)) == sorted(names * index_keys)
