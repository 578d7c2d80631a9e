"""The table of keys in a metadata and in migrations: made, known, and never dropped by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError
from fix_db import ON_MARIADB_TOO
from sqlalchemy import URL, Column, Engine, Integer, MetaData, Table, inspect

from alembic_ext.keys_table import COLUMNS
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.table import keys_table
from sqlalchemy_sealed.testing import record

pytestmark = ON_MARIADB_TOO


@contextmanager
def operations(engine: Engine, **options: Any) -> Iterator[Operations]:
    """Yield Alembic's operations on a database, committed in the end."""
    with engine.begin() as connection:
        yield Operations(MigrationContext.configure(connection, opts=options))


def differences(engine: Engine, metadata: MetaData) -> list[Any]:
    """Return what Alembic would change of the database to make it what a metadata says."""
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), metadata)


def use(store: DatabaseKeystore) -> None:
    """Make a key, read it and change it."""
    store.add(record())
    store.update(record(), record().destroyed())
    assert store.load("default") == (record().destroyed(),)


# -- in a metadata


def test_a_metadata_makes_the_table(engine: Engine) -> None:
    """With `keys_table`, the tables of the application and that of keys are made together."""
    metadata = MetaData()
    keys_table(metadata)
    metadata.create_all(engine)
    use(DatabaseKeystore(engine))
    assert differences(engine, metadata) == []


@pytest.mark.parametrize("make", ["create", "operation"])
def test_the_table_is_the_same_however_it_was_made(make: str, engine: Engine) -> None:
    """Alembic finds no difference between the metadata and what the other two have made."""
    if make == "create":
        DatabaseKeystore(engine).create()
    else:
        with operations(engine) as op:
            op.create_sealed_keys_table()
    use(DatabaseKeystore(engine))
    metadata = MetaData()
    keys_table(metadata)
    assert differences(engine, metadata) == []


# -- operations


def test_the_operations_make_and_drop_a_table(engine: Engine) -> None:
    """Under any name; a table without keys can be dropped, as by a downgrade."""
    with operations(engine) as op:
        op.create_sealed_keys_table("wrapped")
    use(DatabaseKeystore(engine, table="wrapped"))
    with operations(engine) as op:
        op.drop_sealed_keys_table("wrapped")
    assert inspect(engine).get_table_names() == []


def test_a_table_with_keys_is_not_dropped(engine: Engine) -> None:
    """What the keys have sealed would be lost. It has to be said."""
    store = DatabaseKeystore(engine)
    store.create()
    store.add(record(), record(generation=2).destroyed())
    refused = pytest.raises(CommandError, match=r"sealed_keys holds 1 keys.*and_its_keys=True")
    with refused, operations(engine) as op:
        op.drop_sealed_keys_table()
    assert len(store.load("default")) == 2
    with operations(engine) as op:
        op.drop_sealed_keys_table(and_its_keys=True)
    assert inspect(engine).get_table_names() == []


def test_the_operations_have_sql(engine: Engine) -> None:
    """With `--sql` the table is written out; whether it holds keys then, nobody knows."""
    written = StringIO()
    with operations(engine, as_sql=True, output_buffer=written) as op:
        op.create_sealed_keys_table()
        op.drop_sealed_keys_table(and_its_keys=True)
        with pytest.raises(CommandError, match="may hold keys when this SQL is run"):
            op.drop_sealed_keys_table()
    assert "CREATE TABLE sealed_keys" in written.getvalue()
    assert written.getvalue().count("DROP TABLE sealed_keys") == 1


# -- autogenerate


def test_a_table_of_keys_is_never_proposed_to_be_dropped(engine: Engine) -> None:
    """It is known by its columns, under any name, with others beside them. Other tables go."""
    with operations(engine) as op:
        op.create_sealed_keys_table()
        op.create_sealed_keys_table("wrapped")
        op.add_column("wrapped", Column("note", Integer))
        op.create_table("leftover", Column("id", Integer, primary_key=True))
    found = differences(engine, MetaData())
    assert [(each[0], each[1].name) for each in found] == [("remove_table", "leftover")]


def test_the_table_is_known_by_all_its_columns(engine: Engine) -> None:
    """The operations know them without the library, which is not imported with Alembic."""
    assert {column.name for column in keys_table(MetaData()).columns} == COLUMNS


@pytest.fixture
def config(tmp_path: Path, database_url: URL) -> Config:
    """Return the configuration of an empty directory of migrations."""
    migrations = tmp_path / "migrations"
    (migrations / "versions").mkdir(parents=True)
    (migrations / "script.py.mako").write_text(
        '"""${message}"""\nimport sqlalchemy as sa\nfrom alembic import op\n'
        "${imports if imports else ''}\n"
        "revision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n"
        "def upgrade():\n    ${upgrades if upgrades else 'pass'}\n"
        "def downgrade():\n    ${downgrades if downgrades else 'pass'}\n"
    )
    (migrations / "env.py").write_text(
        "from alembic import context\n"
        "from sqlalchemy import NullPool, create_engine\n"
        "given = context.config.attributes\n"
        "with create_engine(given['url'], poolclass=NullPool).connect() as connection:\n"
        "    context.configure(connection=connection, target_metadata=given['metadata'])\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
        "    connection.commit()\n"
    )
    config = Config(attributes={"url": database_url, "metadata": MetaData()}, stdout=StringIO())
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("path_separator", "os")
    return config


def test_a_migration_by_hand_makes_the_table(config: Config, engine: Engine) -> None:
    """Nothing is to be imported in env.py; upgrade, check and downgrade work."""
    made: Any = command.revision(config, "keys")
    text = Path(made.path).read_text().replace("pass", "op.create_sealed_keys_table()", 1)
    Path(made.path).write_text(text.replace("pass", "op.drop_sealed_keys_table()"))
    command.upgrade(config, "head")
    use(DatabaseKeystore(engine))
    command.check(config)
    command.downgrade(config, "base")
    assert "sealed_keys" not in inspect(engine).get_table_names()


def test_a_generated_migration_makes_the_table(config: Config, engine: Engine) -> None:
    """It holds types of SQLAlchemy only, and runs as it was written."""
    keys_table(config.attributes["metadata"])
    made: Any = command.revision(config, "keys", autogenerate=True)
    assert "sqlalchemy_sealed" not in Path(made.path).read_text()
    command.upgrade(config, "head")
    use(DatabaseKeystore(engine))
    command.check(config)
    command.downgrade(config, "base")
    assert "sealed_keys" not in inspect(engine).get_table_names()


def test_a_generated_migration_leaves_keys_alone(config: Config, engine: Engine) -> None:
    """A migration about something else does not lose the keys of the application."""
    DatabaseKeystore(engine).create()
    Table("notes", config.attributes["metadata"], Column("id", Integer, primary_key=True))
    made: Any = command.revision(config, "notes", autogenerate=True)
    assert "sealed_keys" not in Path(made.path).read_text()
    assert "notes" in Path(made.path).read_text()
