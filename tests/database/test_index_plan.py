"""`sealed index plan`, on columns that are plain and columns that are sealed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from planning import CITIES, begin, failure, fill, forget, planned, sealed
from sqlalchemy import URL, Connection, Engine, event

from sqlalchemy_sealed import (
    Encrypted,
    EncryptedNumeric,
    EncryptedString,
    configure_from_env,
)


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder with a new keystore, in a process that knows no sealer."""
    begin(tmp_path, monkeypatch)


@pytest.fixture
def url(database_url: URL) -> str:
    """Return the URL as it is typed."""
    return database_url.render_as_string(hide_password=False)


@ON_MARIADB_TOO
def test_a_plain_and_a_sealed_column_have_the_same_plan(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after sealing, in binary or as text, the figures are those of the values."""
    configure_from_env()
    columns = (
        sa.Column("plain", sa.String(50)),
        sa.Column("binary", EncryptedString(50)),
        sa.Column("text", EncryptedString(50, storage="text")),
    )
    fill(engine, [*CITIES, None, None], *columns)
    forget(monkeypatch)
    plain, binary, text = (
        planned(url, f"people.{column.name}", "--normalize", "casefold") for column in columns
    )
    assert (plain.pop("sealed"), binary.pop("sealed"), text.pop("sealed")) == (False, True, True)
    assert plain.pop("column") != binary.pop("column") != text.pop("column")
    assert plain == binary == text
    assert plain["rows_of_table"] == plain["rows_read"] == len(CITIES) + 2
    assert (plain["values"], plain["nulls"], plain["distinct"]) == (len(CITIES), 2, 40)
    assert (plain["recommended_bits"], plain["aws_bits"]) == (4, [3, 4])
    assert [each["bits"] for each in plain["widths"]] == [3, 4, 5, 6, 120]


def test_padding_hides_lengths(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A padded column shows one length; of a plain one, --pad says how it will be padded."""
    configure_from_env()
    columns = (
        sa.Column("plain", sa.String(50)),
        sa.Column("padded", EncryptedString(50, pad=32)),
        sa.Column("unpadded", EncryptedString(50)),
    )
    fill(engine, CITIES, *columns)
    forget(monkeypatch)
    padded = planned(url, "people.padded")
    assert padded["different_lengths"] == 1
    assert planned(url, "people.plain", "--pad", "32")["widths"] == padded["widths"]
    assert planned(url, "people.plain")["different_lengths"] == 2
    assert planned(url, "people.unpadded")["different_lengths"] == 2
    assert "a sealed column shows" in failure(url, "people.padded", "--pad", "32", code=2)


def test_no_value_is_shown(engine: Engine, url: str) -> None:
    """Neither the table nor the JSON document has a value of the column."""
    fill(engine, CITIES, sa.Column("city", sa.String(50)))
    for options in ((), ("--json",), ("--bits", "8")):
        result = sealed(url, "people.city", *options)
        assert result.exit_code == 0
        assert "Secret" not in result.output


def test_the_table_names_the_recommendation(engine: Engine, url: str) -> None:
    """What a person reads: the declaration to write, and the row of its width."""
    fill(engine, CITIES, sa.Column("city", sa.String(50)))
    output = sealed(url, "people.city", "--normalize", "casefold").output
    assert "BlindIndex(normalize='casefold', bits=4)" in output
    assert "> 4" in output
    assert "40 different values after casefold" in output
    assert "most frequent   in 23.8 %" in output


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (sa.Boolean(), [True, False] * 20),
        (sa.String(9), ["ward A", "ward B"] * 20),
        (sa.Integer(), list(range(15)) * 3),
    ],
    ids=["boolean", "text", "integer"],
)
def test_few_values_are_refused(
    engine: Engine, url: str, type_: Any, values: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain or sealed, the exit code is 1 unless the word is said; the figures are there anyway."""
    configure_from_env()
    fill(engine, values, sa.Column("plain", type_), sa.Column("hidden", Encrypted(type_)))
    forget(monkeypatch)
    for column in ("people.plain", "people.hidden"):
        refused = planned(url, column, code=1)
        assert (refused["refused"], refused["recommended_bits"]) == (True, None)
        assert refused["widths"][-1]["guessed_by_frequency"] >= 20 or len(set(values)) == 15
        accepted = planned(url, column, "--few-values")
        assert accepted["recommended"] == "BlindIndex(few_values=True)"


def test_unique_values_get_the_full_width(engine: Engine, url: str) -> None:
    """Where no value recurs, all 120 bits are recommended."""
    fill(engine, [f"user{n}@example.org" for n in range(500)], sa.Column("email", sa.String(50)))
    found = planned(url, "people.email")
    assert (found["recommended_bits"], found["recommended"]) == (120, "BlindIndex()")
    assert planned(url, "people.email", "--normalize", "email_domain", code=1)["distinct"] == 1


def test_equal_values_of_a_sealed_column_may_be_written_differently(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their type, decimals that are equal are one value; without it, bytes are compared."""
    configure_from_env()
    values = [Decimal(n).quantize(step) for n in range(30) for step in (Decimal(1), Decimal("0.1"))]
    fill(engine, values, sa.Column("salary", EncryptedNumeric()))
    forget(monkeypatch)
    assert planned(url, "people.salary", "--type", "numeric")["distinct"] == 30
    assert planned(url, "people.salary")["distinct"] == 60


@ON_MARIADB_TOO
def test_a_sample_is_taken_by_chance(engine: Engine, url: str) -> None:
    """Only so many rows are read, from all over the table, and the output says so."""
    fill(engine, [f"{n // 2}" for n in range(4000)], sa.Column("city", sa.String(50)))
    found = planned(url, "people.city", "--sample", "1000")
    assert (found["rows_read"], found["rows_of_table"]) == (1000, 4000)
    # The first thousand rows have five hundred values.
    assert 700 < found["distinct"] < 1000
    assert any("may be there often" in note for note in found["notes"])
    assert planned(url, "people.city", "--sample", "9999")["rows_read"] == 4000


def test_a_sample_does_not_show_that_values_are_unique(engine: Engine, url: str) -> None:
    """Values that look unique in a sample come with a warning, those of all rows do not."""
    fill(engine, [f"{n}" for n in range(100)], sa.Column("city", sa.String(50)))
    assert "Read all rows before" in sealed(url, "people.city", "--sample", "50").output
    assert "Read all rows before" not in sealed(url, "people.city").output


def test_a_view_and_a_name_that_needs_quotes(engine: Engine, url: str) -> None:
    """Views can be planned, and names are taken as they are."""
    fill(engine, CITIES, sa.Column("Home City", sa.String(50)), name="People")
    with engine.begin() as connection:
        connection.execute(sa.text('CREATE VIEW seen AS SELECT "Home City" AS city FROM "People"'))
    assert planned(url, "People.Home City")["distinct"] == 40
    assert planned(url, "seen.city")["distinct"] == 40


@pytest.mark.postgres
def test_a_schema_can_be_named(postgres_url: str) -> None:
    """A name of three parts begins with the schema."""
    found = planned(postgres_url, "pg_catalog.pg_type.typname")
    assert 100 < found["distinct"] <= found["values"]
    message = failure(postgres_url, "publick.pg_type.typname")
    assert "no schema 'publick'; did you mean 'public'?" in message


@pytest.mark.postgres
def test_a_type_that_cannot_be_sealed(postgres_url: str) -> None:
    """An index over values that have no sealed type is not planned."""
    message = failure(postgres_url, "pg_catalog.pg_type.typelem")
    assert "pg_type.typelem: values of OID cannot be sealed" in message


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Return the cursors and driver connections that statements run on."""
    seen: list[tuple[str, Any]] = []

    def remember(connection: Connection, cursor: Any, *others: Any) -> None:
        driver = connection.connection.dbapi_connection
        seen.append((type(cursor).__name__, getattr(driver, "read_only", None)))

    event.listen(Engine, "before_cursor_execute", remember)
    yield seen
    event.remove(Engine, "before_cursor_execute", remember)


def test_rows_are_streamed_and_nothing_is_written(
    engine: Engine, url: str, statements: list[tuple[str, Any]]
) -> None:
    """On PostgreSQL the rows come from a server-side cursor, in a transaction that only reads."""
    fill(engine, CITIES, sa.Column("city", sa.String(50)))
    statements.clear()
    planned(url, "people.city")
    # A cursor of SQLite reads row by row anyway.
    streamed = {"postgresql": ("ServerCursor", True), "sqlite": ("Cursor", None)}
    assert statements[-1] == streamed[engine.dialect.name]
