"""Which rows are under a data key: the database itself counts them, without a model or a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    EncryptedText,
    KeyManager,
    MatchIndex,
    Sealer,
)
from sqlalchemy_sealed.envelope import MAX_SLOTS, SUITES, header, to_text
from sqlalchemy_sealed.errors import ConfigurationError, KeystoreError
from sqlalchemy_sealed.keys import KeyState
from sqlalchemy_sealed.scan import check_no_rows, scan

KEY_ID = bytes.fromhex("b1e6a5ff00207f80")
OTHER = bytes.fromhex("b1e6a5ff00207f81")


@pytest.fixture
def connection(engine: Engine) -> Iterator[sa.Connection]:
    """Return a connection to an empty database."""
    with engine.connect() as connection:
        yield connection


def places(connection: sa.Connection, *key_ids: bytes) -> dict[str, int]:
    """Return where rows are found, and how many."""
    return {each.where: each.rows for each in scan(connection, key_ids, here(connection)).found}


def here(connection: sa.Connection) -> list[str] | None:
    """Return the schema of this test."""
    schema = sa.inspect(connection).default_schema_name
    return None if schema is None else [schema]


def raw_table(connection: sa.Connection, type_: Any, values: list[Any]) -> None:
    """Make a table `t` with one column `v`, as another program would."""
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    table.append_column(sa.Column("v", type_))
    table.create(connection)
    if values:
        connection.execute(table.insert(), [{"v": value} for value in values])
    connection.commit()


def envelope(key_id: bytes, suite: int = 1, slots: int = 0) -> bytes:
    """Return bytes that begin as a sealed value does."""
    return header(suite, slots, key_id) + b"\xff" * 60


# -- what is counted


@ON_MARIADB_TOO
def test_sealed_values_are_found_in_all_their_forms(engine: Engine, sealer: Sealer) -> None:
    """Binary and text columns, with and without slots and tokens; NULL is under no key."""
    table = sa.Table(
        "patients",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200)),
        sa.Column("email", EncryptedString(index=BlindIndex())),
        sa.Column("phone", EncryptedString(storage="text", pad=16)),
        sa.Column("note", EncryptedText(match=MatchIndex())),
    )
    table.create(engine)
    row = {"name": "x", "email": "a@example.org", "phone": "1", "note": "one two"}
    with engine.begin() as connection:
        connection.execute(table.insert(), [row, row, row | {"phone": None}])
    old = sealer.keyset.primary.key_id
    new = sealer.rotate().primary.key_id
    with engine.begin() as connection:
        connection.execute(table.insert(), [row | {"email": None}])
    with engine.connect() as connection:
        assert places(connection, old) == {
            "patients.email": 3,
            "patients.phone": 2,
            "patients.note": 3,
        }
        assert places(connection, new) == {"patients.phone": 1, "patients.note": 1}
        assert places(connection, b"\x00" * 8) == {}


@ON_MARIADB_TOO
@pytest.mark.parametrize("form", ["binary", "text"])
def test_every_suite_and_slot_count_is_met(connection: sa.Connection, form: str) -> None:
    """All suites that there are and that will be, with 0 to 15 slots; another key is not."""
    written = [
        envelope(key_id, suite, slots)
        for key_id in (KEY_ID, OTHER)
        for suite in range(16)
        for slots in range(MAX_SLOTS + 1)
    ]
    assert max(SUITES) < 16
    if form == "binary":
        raw_table(connection, sa.LargeBinary(), written)
    else:
        raw_table(connection, sa.Text(), [to_text(each) for each in written])
    assert places(connection, KEY_ID) == {"t.v": 256}
    found = scan(connection, [KEY_ID, OTHER], here(connection)).found
    assert {(each.key_id, each.rows) for each in found} == {(KEY_ID, 256), (OTHER, 256)}


@ON_MARIADB_TOO
def test_what_only_resembles_an_envelope_is_not_counted(connection: sa.Connection) -> None:
    """The key id elsewhere, another magic, another case, a text that is cut off."""
    text = to_text(envelope(KEY_ID))
    swapped = text.swapcase()
    texts = ["", "seal", KEY_ID.hex(), text[:15], "x" + text, swapped, text[:4] + swapped[4:]]
    raw_table(connection, sa.String(200), [*texts, None])
    assert places(connection, KEY_ID) == {}


@pytest.mark.mariadb
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "ascii", "utf16"])
def test_a_collation_without_case_does_not_confuse(mariadb_engine: Engine, charset: str) -> None:
    """MariaDB compares such texts by their bytes here, whatever their character set."""
    text = to_text(envelope(KEY_ID))
    with mariadb_engine.connect() as connection:
        connection.execute(sa.text(f"CREATE TABLE t (v varchar(200)) CHARACTER SET {charset}"))
        values = [{"v": text}, {"v": text.swapcase()}, {"v": "SEAL" + text[4:]}]
        connection.execute(sa.text("INSERT INTO t VALUES (:v)"), values)
        assert places(connection, KEY_ID) == {"t.v": 1}


def test_a_column_of_any_declared_type_is_looked_at_on_sqlite(sqlite_engine: Engine) -> None:
    """SQLite keeps bytes and texts in a column of integers, or of no type at all."""
    with sqlite_engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE t (a integer, b, c json)"))
        binary, text = envelope(KEY_ID), to_text(envelope(KEY_ID))
        connection.execute(
            sa.text("INSERT INTO t VALUES (:a, :b, :c)"),
            [{"a": binary, "b": text, "c": text}, {"a": text, "b": binary, "c": "[]"}],
        )
        assert places(connection, KEY_ID) == {"t.a": 2, "t.b": 2, "t.c": 1}


def test_a_table_of_many_columns_is_read_in_parts(connection: sa.Connection) -> None:
    """More columns than one statement looks at."""
    columns = [sa.Column(f"c{n}", sa.LargeBinary()) for n in range(250)]
    table = sa.Table("wide", sa.MetaData(), *columns)
    table.create(connection)
    connection.execute(table.insert(), {"c0": envelope(KEY_ID), "c249": envelope(KEY_ID)})
    assert places(connection, KEY_ID) == {"wide.c0": 1, "wide.c249": 1}


def test_odd_names_are_quoted(connection: sa.Connection) -> None:
    """A table or a column may have any name."""
    table = sa.Table('a "b" %s :c', sa.MetaData(), sa.Column('select "x"', sa.LargeBinary()))
    table.create(connection)
    connection.execute(table.insert().values({column: envelope(KEY_ID) for column in table.c}))
    assert list(places(connection, KEY_ID).values()) == [1]


# -- what is not looked at


@ON_MARIADB_TOO
def test_views_are_passed_over_and_json_is_named(connection: sa.Connection) -> None:
    """A view has the rows of its tables; what a JSON document holds inside is not known."""
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("v", sa.LargeBinary()), sa.Column("j", sa.JSON())
    )
    table.create(connection)
    connection.execute(table.insert(), {"v": envelope(KEY_ID), "j": {"a": "b"}})
    connection.execute(sa.text("CREATE VIEW w AS SELECT * FROM t"))
    seen = scan(connection, [KEY_ID], here(connection))
    assert [each.where for each in seen.found] == ["t.v"]
    assert seen.tables == 1
    if connection.dialect.name != "mariadb":  # there JSON is a text, and is looked at as one
        assert seen.skipped == ("t.j (JSON)",)


@pytest.mark.postgres
def test_on_postgresql_each_part_is_counted_once(postgres_engine: Engine) -> None:
    """Partitions, children, domains and materialised views; arrays and JSON are named."""
    with postgres_engine.connect() as connection:
        for statement in (
            "CREATE DOMAIN sealed_value AS bytea",
            "CREATE TABLE parts (a int, v sealed_value) PARTITION BY LIST (a)",
            "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
            "CREATE TABLE parent (v bytea, many bytea[], j jsonb)",
            "CREATE TABLE child () INHERITS (parent)",
        ):
            connection.execute(sa.text(statement))
        for table in ("parts (a, v) VALUES (1, :v)", "parent (v) VALUES (:v)", "child VALUES (:v)"):
            connection.execute(sa.text(f"INSERT INTO {table}"), {"v": envelope(KEY_ID)})
        connection.execute(sa.text("CREATE MATERIALIZED VIEW copy AS SELECT v FROM child"))
        seen = scan(connection, [KEY_ID], here(connection))
        assert sorted((each.where, each.rows) for each in seen.found) == [
            ("child.v", 1),
            ("copy.v", 1),
            ("parent.v", 1),
            ("parts_1.v", 1),
        ]
        assert set(seen.skipped) == {
            "parent.many (ARRAY)", "parent.j (JSONB)", "child.many (ARRAY)", "child.j (JSONB)",
        }  # fmt: skip


# -- all or an error


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[Engine]:
    """Return an engine on an empty schema of PostgreSQL."""
    from fix_db import empty_schema  # noqa: PLC0415

    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


@pytest.mark.postgres
def test_rows_that_a_policy_hides_are_an_error(postgres_engine: Engine) -> None:
    """Row-level security would make the count too small; the setting is as it was afterwards."""
    with postgres_engine.connect() as connection:
        schema = sa.inspect(connection).default_schema_name
        raw_table(connection, sa.LargeBinary(), [envelope(KEY_ID)])
        for statement in (
            f"CREATE ROLE {schema}",
            f"GRANT USAGE ON SCHEMA {schema} TO {schema}",
            f"GRANT SELECT ON t TO {schema}",
        ):
            connection.execute(sa.text(statement))
        connection.commit()
        try:
            connection.execute(sa.text(f"SET LOCAL ROLE {schema}"))
            assert places(connection, KEY_ID) == {"t.v": 1}
            assert connection.scalar(sa.text("SHOW row_security")) == "on"
            connection.rollback()

            connection.execute(sa.text("ALTER TABLE t ENABLE ROW LEVEL SECURITY"))
            connection.commit()
            connection.execute(sa.text(f"SET LOCAL ROLE {schema}"))
            assert connection.scalar(sa.text("SELECT count(*) FROM t")) == 0
            with pytest.raises(ConfigurationError, match="row-level security") as caught:
                places(connection, KEY_ID)
            assert caught.value.where == "t"
            connection.rollback()
            assert connection.scalar(sa.text("SHOW row_security")) == "on"
        finally:
            connection.rollback()
            connection.execute(sa.text(f"DROP OWNED BY {schema}"))
            connection.execute(sa.text(f"DROP ROLE {schema}"))
            connection.commit()


@pytest.mark.postgres
def test_all_schemas_are_looked_at_by_default(postgres_engine: Engine) -> None:
    """Rows in another schema are found, and named with it; a schema that is missing is said."""
    with postgres_engine.connect() as connection:
        schema = sa.inspect(connection).default_schema_name
        connection.execute(sa.text(f"CREATE SCHEMA {schema}_b"))
        try:
            connection.execute(sa.text(f"CREATE TABLE {schema}_b.t (v bytea)"))
            connection.execute(sa.text(f"CREATE TABLE {schema}.t (v bytea)"))
            insert = sa.text(f"INSERT INTO {schema}_b.t VALUES (:v)")
            connection.execute(insert, {"v": envelope(KEY_ID)})
            found = scan(connection, [KEY_ID]).found
            assert [(each.where, each.rows) for each in found] == [(f"{schema}_b.t.v", 1)]
            assert scan(connection, [KEY_ID], [schema]).found == ()
            with pytest.raises(ConfigurationError, match="no schema 'elsewhere'"):
                scan(connection, [KEY_ID], ["elsewhere"])
        finally:
            connection.rollback()


def test_a_key_id_has_eight_bytes(connection: sa.Connection) -> None:
    """A shorter one would meet no row."""
    with pytest.raises(ConfigurationError, match="8 bytes"):
        scan(connection, [b"short"])


# -- destroying a key


@ON_MARIADB_TOO
def test_a_key_is_destroyed_when_no_row_is_under_it(engine: Engine, sealer: Sealer) -> None:
    """Refused while a row is there, with where it is; done once the row is gone."""
    table = sa.Table("patients", sa.MetaData(), sa.Column("email", EncryptedString(storage="text")))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"email": "a"}, {"email": "b"}])
    old = sealer.keyset.primary.key_id
    manager: KeyManager = sealer.keeper.manager
    manager.rotate("default")
    with engine.connect() as connection:
        schemas = here(connection)
        with pytest.raises(KeystoreError, match=r"patients\.email 2; reseal them first") as caught:
            manager.destroy("default", old, databases=[connection], schemas=schemas)
        assert caught.value.key_id == old.hex()
        assert manager.keyset("default").get(old).state is KeyState.ENABLED
        connection.execute(sa.delete(table))
        with pytest.raises(ConfigurationError, match="in a transaction, which may be rolled back"):
            manager.destroy("default", old, databases=[connection], schemas=schemas)
        connection.rollback()
        with pytest.raises(KeystoreError, match=r"patients\.email 2"):
            manager.destroy("default", old, databases=[connection], schemas=schemas)
        connection.execute(sa.delete(table))
        connection.commit()
        keyset = manager.destroy("default", old, databases=[connection], schemas=schemas)
        assert not connection.in_transaction()
    assert keyset.get(old).state is KeyState.DESTROYED


@ON_MARIADB_TOO
def test_each_look_sees_the_rows_of_then(engine: Engine, sealer: Sealer) -> None:
    """Also where a transaction would go on seeing those of its beginning; not what is not there."""
    table = sa.Table("patients", sa.MetaData(), sa.Column("email", EncryptedString(storage="text")))
    table.create(engine)
    manager: KeyManager = sealer.keeper.manager
    old = sealer.keyset.primary.key_id
    manager.rotate("default")
    options = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect() as writer, engine.connect().execution_options(**options) as connection:
        schemas = here(connection)
        connection.rollback()
        writer.execute(table.insert(), [{"email": "a"}])
        # What is not committed nobody sees: all processes have to use the new primary before.
        check_no_rows(old, [connection], schemas)
        writer.commit()
        with pytest.raises(KeystoreError, match=r"patients\.email 1"):
            check_no_rows(old, [connection], schemas)
