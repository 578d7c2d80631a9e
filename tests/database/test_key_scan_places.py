"""Tables that are easily overlooked: a scan before a key is destroyed must not miss one."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Connection, Engine

from sqlalchemy_sealed.envelope import header
from sqlalchemy_sealed.errors import ConfigurationError
from sqlalchemy_sealed.scan import scan

KEY_ID = bytes.fromhex("b1e6a5ff00207f80")
VALUE = header(1, 0, KEY_ID) + bytes(60)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Connection]:
    """Return a connection to PostgreSQL as its superuser, in a transaction that is rolled back."""
    engine = sa.create_engine(postgres_url)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


def found(connection: Connection, *schemas: str) -> dict[str, int]:
    """Return where rows are found, and how many."""
    return {each.where: each.rows for each in scan(connection, [KEY_ID], schemas or None).found}


def fill(connection: Connection, table: str) -> None:
    """Make a table with one row under the key."""
    connection.execute(sa.text(f"CREATE TABLE {table} (v {_binary(connection)})"))
    connection.execute(sa.text(f"INSERT INTO {table} VALUES (:v)"), {"v": VALUE})


def _binary(connection: Connection) -> str:
    return "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"


@pytest.mark.parametrize("schema", ["sys", "mysql", "performance_schema", "pgdata", "pg"])
def test_a_schema_of_postgresql_may_be_named_as_one_of_another_database(
    schema: str, postgres: Connection
) -> None:
    """Only those of PostgreSQL itself are passed over."""
    postgres.execute(sa.text(f"CREATE SCHEMA {schema}"))
    fill(postgres, f"{schema}.t")
    assert found(postgres) == {f"{schema}.t.v": 1}
    assert found(postgres, schema) == {f"{schema}.t.v": 1}


def test_a_database_of_mariadb_may_be_named_as_one_of_postgresql(mariadb_engine: Engine) -> None:
    """A schema there is a database, and `pg_` means nothing."""
    name = f"pg_{uuid4().hex}"
    with mariadb_engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        try:
            fill(connection, f"{name}.t")
            assert found(connection)[f"{name}.t.v"] == 1
        finally:
            connection.execute(sa.text(f"DROP DATABASE {name}"))


def test_rows_of_the_past_are_rows(mariadb_engine: Engine) -> None:
    """MariaDB keeps those of a system-versioned table, and they could not be opened any more."""
    with mariadb_engine.connect() as connection:
        here = mariadb_engine.url.database
        fill(connection, "plain")
        connection.execute(sa.text("CREATE TABLE t (v BLOB) WITH SYSTEM VERSIONING"))
        connection.execute(sa.text("INSERT INTO t VALUES (:v)"), {"v": VALUE})
        assert found(connection, here) == {"plain.v": 1, "t.v": 1}
        connection.execute(sa.text("UPDATE t SET v = 'resealed'"))
        connection.execute(sa.text("UPDATE plain SET v = 'resealed'"))
        assert found(connection, here) == {"t.v": 1}
        connection.commit()
        connection.execute(sa.text("DELETE HISTORY FROM t"))
        assert found(connection, here) == {}


def test_a_temporary_table_does_not_hide_another_one(postgres: Connection) -> None:
    """PostgreSQL finds it first where no schema is named."""
    schema = f"s{uuid4().hex}"
    postgres.execute(sa.text(f"CREATE SCHEMA {schema}"))
    postgres.execute(sa.text(f"SET search_path = {schema}"))
    fill(postgres, f"{schema}.t")
    postgres.execute(sa.text("CREATE TEMPORARY TABLE t (v BYTEA)"))
    assert found(postgres, schema) == {f"{schema}.t.v": 1}


@ON_MARIADB_TOO
def test_schemas_that_the_engine_translates_are_looked_at_as_they_are(engine: Engine) -> None:
    """As of an application with a schema for each tenant."""
    with engine.begin() as connection:
        fill(connection, "t")
        here = sa.inspect(connection).default_schema_name
    options = {"schema_translate_map": {None: "elsewhere", here: "elsewhere"}}
    with engine.connect().execution_options(**options) as connection:
        assert found(connection, here) == {"t.v": 1}


@pytest.mark.parametrize(
    ("grants", "sees"),
    [
        (["SELECT ON {db}.*"], True),
        (["SELECT, INSERT ON `{like}`.*"], True),
        (["ALL PRIVILEGES ON `test%`.*"], True),
        (["SELECT ON *.*"], True),
        (["SELECT ON {db}.a"], False),
        (["SELECT ON {db}.a", "SELECT ON {db}.b"], False),
        (["SELECT (v) ON {db}.a", "INSERT ON {db}.*"], False),
        (["INSERT ON *.*", "SELECT ON other.*"], False),
    ],
)
def test_tables_that_mariadb_hides_are_not_overlooked(
    grants: list[str], sees: bool, mariadb_engine: Engine
) -> None:
    """A login with rights on some tables is not told of the others."""
    user, url = f"u{uuid4().hex[:20]}", mariadb_engine.url
    names = {"db": url.database, "like": url.database.replace("_", r"\_")}
    with mariadb_engine.connect() as admin:
        for table in "ab":
            fill(admin, table)
        admin.commit()
        admin.execute(sa.text(f"CREATE USER {user}@'%' IDENTIFIED BY 'a password'"))
        try:
            for grant in grants:
                admin.execute(sa.text(f"GRANT {grant.format(**names)} TO {user}@'%'"))
            login = sa.create_engine(url.set(username=user, password="a password"))
            with login.connect() as connection:
                if sees:
                    assert found(connection, url.database) == {"a.v": 1, "b.v": 1}
                else:
                    with pytest.raises(ConfigurationError, match="may not see all tables"):
                        found(connection, url.database)
            login.dispose()
        finally:
            admin.execute(sa.text(f"DROP USER {user}@'%'"))


def test_a_role_of_mariadb_counts(mariadb_engine: Engine) -> None:
    """If it is in force when the login begins."""
    user, url = f"u{uuid4().hex[:20]}", mariadb_engine.url
    with mariadb_engine.connect() as admin:
        fill(admin, "a")
        admin.commit()
        try:
            for statement in (
                f"CREATE ROLE r_{user}",
                f"GRANT SELECT ON {url.database}.* TO r_{user}",
                f"CREATE USER {user}@'%' IDENTIFIED BY 'a password'",
                f"GRANT r_{user} TO {user}@'%'",
                f"SET DEFAULT ROLE r_{user} FOR {user}@'%'",
            ):
                admin.execute(sa.text(statement))
            login = sa.create_engine(url.set(username=user, password="a password"))
            with login.connect() as connection:
                assert found(connection, url.database) == {"a.v": 1}
            login.dispose()
        finally:
            admin.execute(sa.text(f"DROP USER {user}@'%'"))
            admin.execute(sa.text(f"DROP ROLE r_{user}"))


@ON_MARIADB_TOO
def test_a_database_without_tables_is_the_wrong_one(engine: Engine) -> None:
    """Or the login is: nothing was looked at, so nothing is said of it."""
    with engine.connect() as connection:
        here = sa.inspect(connection).default_schema_name
        with pytest.raises(ConfigurationError, match="no table to look at; is this the right"):
            found(connection, here)
