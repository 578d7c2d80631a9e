"""`sealed index plan` where it cannot work: the reason is said, and no value is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from planning import CITIES, begin, failure, fill, forget, planned
from sqlalchemy import URL, Engine

from sqlalchemy_sealed import (
    EncryptedString,
    configure_from_env,
)
from sqlalchemy_sealed.cli.app import app


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder with a new keystore, in a process that knows no sealer."""
    begin(tmp_path, monkeypatch)


@pytest.fixture
def url(database_url: URL) -> str:
    """Return the URL as it is typed."""
    return database_url.render_as_string(hide_password=False)


def test_names_that_are_not_there(engine: Engine, url: str) -> None:
    """No such table or column: the message names what is near."""
    fill(engine, CITIES, sa.Column("city", sa.String(50)))
    assert "no table 'peopl'; did you mean 'people'?" in failure(url, "peopl.city")
    assert "people: there is no column 'citi'; did you mean 'city'?" in failure(url, "people.citi")
    assert "there is no schema 'nowhere'" in failure(url, "nowhere.people.city")
    for name in ("city", "people.", "a.b.c.d"):
        assert "expects table.column" in failure(url, name, code=2)


def test_wrong_options(engine: Engine, url: str) -> None:
    """A normalizer that does not exist, one for a number, a width that an index cannot have."""
    fill(engine, list(range(50)), sa.Column("age", sa.Integer))
    assert "no normalizer 'upper'" in failure(url, "people.age", "--normalize", "upper")
    assert "people.age: plan: only texts" in failure(url, "people.age", "--normalize", "strip")
    assert "121 is not in the range" in failure(url, "people.age", "--bits", "121", code=2)


def test_an_empty_column(engine: Engine, url: str) -> None:
    """Without values there is nothing to plan from."""
    fill(engine, [None, None], sa.Column("city", sa.String(50)))
    assert "people.city: there are no values" in failure(url, "people.city")


def test_databases_that_are_not_there(tmp_path: Path) -> None:
    """A missing file is not made; what is no URL, no server or an async driver is said."""
    missing = tmp_path / "missing.sqlite"
    assert "there is no such file" in failure(f"sqlite:///{missing}", "people.city")
    assert not missing.exists()
    for url in ("people.sqlite", "nosql://host/x", "postgresql://host:port/x"):
        assert "not a database URL" in failure(url, "people.city")
    message = failure("postgresql://ada:Secret@127.0.0.1:1/x", "people.city")
    assert "://127.0.0.1:1/x: no connection" in message
    assert "ada" not in message
    assert "async" in failure("sqlite+aiosqlite://", "people.city")
    assert "driver 'pymssql' is not installed" in failure("mssql+pymssql://host/x", "people.city")
    (tmp_path / "not.sqlite").write_text("Secret " * 500)
    assert "cannot be read" in failure(f"sqlite:///{tmp_path / 'not.sqlite'}", "people.city")


@pytest.mark.parametrize(
    ("driver", "database", "extra"),
    [
        ("psycopg", "postgresql", "postgresql"),
        ("pymysql", "mysql", "mysql"),
        ("pymysql", "mariadb", "mysql"),
    ],
)
def test_a_driver_that_is_not_installed(
    driver: str, database: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its driver, a URL names the extra that has it."""
    monkeypatch.setitem(sys.modules, driver, None)
    message = failure(f"{database}://localhost/x", "people.city")
    assert f"sqlalchemy-sealed[{extra}]" in message


def test_a_value_that_does_not_open_stops_the_plan(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wrong context, damage, wrong keys, no keys: figures without these rows would be wrong."""
    configure_from_env()
    fill(engine, CITIES, sa.Column("city", EncryptedString(50, context="people.town")))
    forget(monkeypatch)
    assert planned(url, "people.city", "--context", "people.town")["distinct"] == 40
    assert "people.city: the value does not authenticate" in failure(url, "people.city")
    assert "no data key named 'payroll'" in failure(url, "people.city", "--sealer", "payroll")
    monkeypatch.setenv("SEALED_KEYSTORE", str(tmp_path / "other.json"))
    forget(monkeypatch)
    assert "other.json" in failure(url, "people.city", "--context", "people.town")
    assert CliRunner().invoke(app, ["init"]).exit_code == 0
    message = failure(url, "people.city", "--context", "people.town")
    assert "people.town: the value was sealed under data key" in message


@pytest.mark.parametrize(
    ("plain", "message"),
    [("id <= 100", "some rows are sealed and some are not"), ("id > 100", "is not an envelope")],
)
def test_a_column_that_is_half_sealed_is_refused(
    engine: Engine, url: str, plain: str, message: str
) -> None:
    """Counted as they stand, each envelope would be a value of its own."""
    configure_from_env()
    fill(engine, CITIES, sa.Column("city", EncryptedString(50, storage="text", check=False)))
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE people SET city = 'Secret ' || id WHERE {plain}"))
        # PostgreSQL moves changed rows to the end.
        connection.execute(sa.text("CREATE VIEW ordered AS SELECT * FROM people ORDER BY id"))
    assert message in failure(url, "ordered.city", "--context", "people.city")


def test_what_the_database_cannot_read_is_not_quoted(tmp_path: Path) -> None:
    """SQLite takes any value for any type; errors of the driver would quote it."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'loose.sqlite'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (born DATE, note TEXT)"))
        connection.execute(
            sa.text("INSERT INTO people VALUES ('Secret day', CAST(x'536563726574ff' AS TEXT))")
        )
    engine.dispose()
    url = f"sqlite:///{tmp_path / 'loose.sqlite'}"
    assert "people.born: the column cannot be read (ValueError)" in failure(url, "people.born")
    assert "cannot be read (OperationalError)" in failure(url, "people.note")
    assert planned(url, "people.born", "--type", "text", code=1)["values"] == 1
    assert "expects int, got str" in failure(url, "people.born", "--type", "integer")
