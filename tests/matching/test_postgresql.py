"""The GIN index of match tokens on PostgreSQL: that it is used, also by prepared statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from sqlalchemy.schema import CreateIndex

from matching.notes import OPTIONS, found, notes, stored_tokens
from matching.plans import Plans, fill
from sqlalchemy_sealed import (
    MatchIndex,
    Sealer,
    execute_exact,
    execute_ranked,
    match_index,
)

pytestmark = [pytest.mark.usefixtures("sealer"), pytest.mark.postgres]
EACH_OPTION = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@pytest.fixture
def on_postgresql(postgres_url: str) -> Iterator[sa.Engine]:
    """Return an engine on an empty schema of PostgreSQL."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


@EACH_OPTION
def test_postgresql_uses_the_gin_index(on_postgresql: sa.Engine, options: dict[str, Any]) -> None:
    """Both searches scan the index, never the table, though the planner could take the table."""
    table = notes(**options)
    with on_postgresql.connect() as connection:
        fill(connection, table)
        connection.execute(sa.text("SET enable_seqscan = off"))
        plans = Plans(connection, "EXPLAIN")
        assert found(connection, table, table.c.body.contains("needle")) == [
            "a needle in hay number 200"
        ]
        ranked = execute_ranked(connection, sa.select(table.c.id), table.c.body, "needle", least=1)
        assert ranked.all() == [(201, 1.0)]
    assert len(plans.texts) == 2
    for plan in plans.texts:
        assert plan.count("Bitmap Index Scan on ix_notes_body") == 3
        assert "Seq Scan on notes" not in plan


def test_the_planner_takes_the_index_by_itself(on_postgresql: sa.Engine) -> None:
    """With statistics, also for an alias, the index is cheaper than the table."""
    table = notes()
    other = table.alias()
    with on_postgresql.connect() as connection:
        fill(connection, table)
        plans = Plans(connection, "EXPLAIN")
        statement = sa.select(other.c.id).where(other.c.body.contains("needle"))
        assert execute_exact(connection, statement).all() == [(201,)]
    assert "Bitmap Index Scan on ix_notes_body" in plans.texts[0]


def test_a_prepared_statement_uses_the_index(on_postgresql: sa.Engine) -> None:
    """The driver prepares it, PostgreSQL makes a generic plan, and the index serves it."""
    table = notes()
    with on_postgresql.connect() as connection:
        fill(connection, table)
        connection.execute(sa.text("SET plan_cache_mode = force_generic_plan"))
        for _ in range(12):  # psycopg prepares a statement when it comes for the sixth time.
            assert len(found(connection, table, table.c.body.contains("needle"))) == 1
        generic, calls = connection.execute(
            sa.text(
                "SELECT sum(generic_plans), count(*) FROM pg_prepared_statements "
                "WHERE statement LIKE '%string_to_array%' AND name LIKE '_pg3_%'"
            )
        ).one()
        assert calls == 1
        assert generic > 1
        before = _index_scans(connection)
        assert len(found(connection, table, table.c.body.contains("needle"))) == 1
        assert _index_scans(connection) > before


def _index_scans(connection: sa.Connection) -> int:
    connection.commit()  # Statistics are those of the end of a transaction.
    connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
    connection.commit()
    query = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'ix_notes_body'"
    return connection.execute(sa.text(query)).scalar_one()


@EACH_OPTION
def test_the_index_expression_is_immutable(
    on_postgresql: sa.Engine, options: dict[str, Any]
) -> None:
    """It gives the stored tokens, made of functions that PostgreSQL knows to be immutable."""
    table = notes(**options)
    with on_postgresql.connect() as connection:
        fill(connection, table)
        tokens = str(match_index(table.c.body).compile(connection))
        rows = connection.execute(
            sa.text(f"SELECT token, id FROM notes, unnest({tokens}) AS t(token)")
        )
        is_text = table.c.body.type.settings.is_text
        upper = {(token if is_text else token.upper(), key) for token, key in rows}
        assert upper == stored_tokens(connection, table)


def test_what_is_no_envelope_does_not_break_the_index(on_postgresql: sa.Engine) -> None:
    """Without the CHECK, bytes of any form can be inserted and searched past."""
    table = notes(match=MatchIndex(), check=False)
    with on_postgresql.connect() as connection:
        table.metadata.create_all(connection)
        insert = sa.text("INSERT INTO notes (body) VALUES (:body)")
        garbage = [b"", b"\xb1\xe6\xa5", b"\xb1\xe6\xa5\x30", b"plain" * 40]
        connection.execute(insert, [{"body": each} for each in garbage])
        with_count = b"\xb1\xe6\xa5\x30" + bytes(8) + b"\x00\xff\xff" + bytes(60)
        connection.execute(insert, [{"body": with_count}])
        tokens = str(match_index(table.c.body).compile(connection))
        lengths = connection.execute(
            sa.text(f"SELECT cardinality({tokens}) FROM notes ORDER BY id")
        )
        assert lengths.scalars().all() == [1, 1, 1, 1, 20]


def test_the_index_is_a_gin_index(on_postgresql: sa.Engine) -> None:
    """By default and when it is said; its other arguments stay."""
    table = notes(indexed=False)
    for more in ({}, {"postgresql_using": "gin"}, {"postgresql_with": {"fastupdate": "off"}}):
        index = sa.Index("ix", match_index(table.c.body), **more)
        ddl = str(CreateIndex(index).compile(on_postgresql))
        assert ddl.startswith("CREATE INDEX ix ON notes USING gin ((CASE WHEN substr(body, 4, 1)")
        table.indexes.discard(index)


def test_while_the_index_key_is_rotated_the_index_serves_both(
    on_postgresql: sa.Engine, sealer: Sealer
) -> None:
    """The same statement, the same index, rows under two index keys."""
    table = notes()
    with on_postgresql.connect() as connection:
        fill(connection, table)
        sealer.rotate(index=True)
        connection.execute(table.insert().values(body="another needle"))
        connection.execute(sa.text("SET enable_seqscan = off"))
        plans = Plans(connection, "EXPLAIN")
        assert len(found(connection, table, table.c.body.contains("needle"))) == 2
    assert "Seq Scan" not in plans.texts[0]
