"""When the residue of a PostgreSQL table is not cleaned, or not seen, and where copies are."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from fix_db import empty_schema

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.errors import ConfigurationError, OptionError, ResealError
from sqlalchemy_sealed.reseal.residue import residue
from sqlalchemy_sealed.reseal.residue_model import State

from .residue_stage import Stage, stage

pytestmark = pytest.mark.postgres

ONLY_TABLE = ("statistics", "catalog", "statements", "wal")


@pytest.fixture
def sealed(postgres_url: str, sealer: Sealer) -> Iterator[Stage]:
    """Return a table that was sealed, in a schema of its own."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        one = stage(engine)
        one.fill()
        one.seal()
        yield one
        engine.dispose()


def test_plaintext_that_is_still_there_is_told_and_not_cleaned(sealed: Stage) -> None:
    """A rewrite before everything is sealed would be in vain."""
    sealed.do("INSERT INTO patients (id, email) VALUES (9999, 'plain')")
    rows = residue(sealed.engine, "patients", "email").at("rows")
    assert (rows.state, rows.facts["plain_columns"]) == (State.LEFT, ["email"])
    with pytest.raises(OptionError, match=r"patients\.email: .*not sealed") as caught:
        residue(sealed.engine, "patients", "email", clean=True)
    assert "plain'" not in str(caught.value)


def test_an_old_snapshot_keeps_the_table_from_being_rewritten(sealed: Stage) -> None:
    """VACUUM FULL would copy what the other one may still see, so it is not claimed."""
    with sealed.engine.connect() as other:
        other.execution_options(isolation_level="REPEATABLE READ")
        other.execute(sa.text("SELECT count(*) FROM patients"))
        sealed.do("UPDATE patients SET email = email WHERE id = 1")
        report = residue(sealed.engine, "patients", clean=True, skip=ONLY_TABLE, lock_seconds=0.3)
        assert report.at("old snapshots").state is State.MAYBE
    (step,) = report.steps
    assert (step.name, step.done) == ("table", False)
    assert "old snapshots" in step.problem
    assert "session" in step.problem
    assert report.at("table").state is State.MAYBE


def test_a_lock_that_others_hold_is_not_waited_for_without_end(sealed: Stage) -> None:
    """The step is given up and says why; nothing is changed."""
    with sealed.engine.connect() as other:
        other.execute(sa.text("LOCK TABLE patients IN ACCESS SHARE MODE"))
        # It has a lock, and no snapshot any more.
        report = residue(sealed.engine, "patients", clean=True, skip=ONLY_TABLE, lock_seconds=0.3)
    (step,) = report.failed
    assert "others held locks for too long" in step.problem


def test_a_user_with_few_rights_gets_a_report_with_what_it_may_see(sealed: Stage) -> None:
    """What is not seen is told with a remedy, and is never taken for clean."""
    schema = sealed.do("SELECT current_schema()")
    role = f"few_{schema}"
    sealed.do(f"CREATE ROLE {role} LOGIN PASSWORD 'few'")
    try:
        sealed.do(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        sealed.do(f"GRANT SELECT ON patients TO {role}")
        few = sa.create_engine(sealed.engine.url.set(username=role, password="few"))
        report = residue(few, "patients", "email", clean=True, lock_seconds=0.3)
        few.dispose()
    finally:
        sealed.do(f"DROP OWNED BY {role}")
        sealed.do(f"DROP ROLE {role}")
    assert report.at("wal").state is State.UNSEEN
    assert "42501" in report.at("wal").found
    assert report.at("wal").advice
    assert report.at("old snapshots").state is State.UNSEEN
    assert report.at("extended statistics").state is State.UNSEEN
    assert State.NONE not in {report.at(each).state for each in ("statistics", "wal")}
    assert State.CLEANED not in {each.state for each in report.findings}
    assert {step.name for step in report.failed} >= {"wal"}


def test_copies_that_the_database_knows_of_are_named(sealed: Stage) -> None:
    """Materialized views, generated columns, columns of the same name, publications."""
    for statement in (
        "CREATE VIEW seen AS SELECT email FROM patients",
        "CREATE MATERIALIZED VIEW kept AS SELECT lower(email) AS mail FROM seen",
        "ALTER TABLE patients ADD short text GENERATED ALWAYS AS (left(email, 3)) STORED",
        "CREATE TABLE old_patients (email text)",
        "CREATE PUBLICATION residue_out FOR TABLE patients",
    ):
        sealed.do(statement)
    try:
        report = residue(sealed.engine, "patients", "email")
    finally:
        sealed.do("DROP PUBLICATION residue_out")
    assert list(report.at("materialized views").facts["views"]) == ["kept"]
    known = {each["name"]: each["why"] for each in report.at("other columns").facts["columns"]}
    assert known["patients.short"] == "generated"
    assert known["old_patients.email"] == "same name"
    assert report.at("publications").facts["publications"] == ["residue_out"]


def test_rows_that_are_hidden_are_not_taken_for_sealed(sealed: Stage) -> None:
    """Row-level security would show fewer rows; then it is not seen, and nothing is cleaned."""
    schema = sealed.do("SELECT current_schema()")
    role = f"hidden_{schema}"
    for statement in (
        "INSERT INTO patients (id, email) VALUES (9999, 'plain')",
        "ALTER TABLE patients ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON patients USING (id < 9999)",
        f"CREATE ROLE {role} LOGIN PASSWORD 'few'",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON patients TO {role}",
    ):
        sealed.do(statement)
    few = sa.create_engine(sealed.engine.url.set(username=role, password="few"))
    try:
        assert residue(few, "patients", "email").at("rows").state is State.UNSEEN
        with pytest.raises(OptionError, match="whether all values are sealed cannot be seen"):
            residue(few, "patients", "email", clean=True)
    finally:
        few.dispose()
        sealed.do(f"DROP OWNED BY {role}")
        sealed.do(f"DROP ROLE {role}")


def test_the_settings_of_the_application_stay_as_they_are(sealed: Stage) -> None:
    """Its pool gets no connection back that waits for locks differently."""
    settings = "SELECT concat_ws(' ', {})".format(
        ", ".join(
            f"current_setting('{name}')"
            for name in ("lock_timeout", "statement_timeout", "row_security", "bytea_output")
        )
    )
    before = sealed.do(settings)
    residue(sealed.engine, "patients", clean=True, skip=ONLY_TABLE)
    assert sealed.do(settings) == before


def test_a_view_is_refused(sealed: Stage) -> None:
    """It has no rows of its own to look at."""
    sealed.do("CREATE VIEW seen AS SELECT email FROM patients")
    with pytest.raises(ConfigurationError, match="give the table that it is made from"):
        residue(sealed.engine, "seen")


def test_the_command_works_on_postgresql(sealed: Stage) -> None:
    """A document has all findings, and no password."""
    url = sealed.engine.url.render_as_string(hide_password=False)
    result = CliRunner().invoke(app, ["residue", url, "patients.email", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert {each["place"] for each in document["findings"]} >= {"table", "wal", "statistics"}
    assert sealed.mark not in result.output
    assert str(sealed.engine.url.password) not in result.output


def test_no_value_is_in_a_report(sealed: Stage) -> None:
    """Statistics are counted by the database, and what they hold is not shown."""
    report = residue(sealed.engine, "patients")
    assert report.at("statistics").state is State.LEFT
    assert sealed.mark not in repr(report)


def test_indexes_over_expressions_and_partitions_are_looked_at(
    postgres_url: str, sealer: Sealer
) -> None:
    """Their statistics are under the names of the index and of the partition."""
    with empty_schema(postgres_url) as url:
        engine = sa.create_engine(url)
        one = stage(engine)
        for statement in (
            "CREATE TABLE people (id int, email text) PARTITION BY RANGE (id)",
            "CREATE TABLE people_a PARTITION OF people FOR VALUES FROM (0) TO (1000)",
            f"INSERT INTO people SELECT n, '{one.mark}-' || n %% 5 FROM generate_series(1, 300) n",
            "CREATE INDEX people_lower ON people (lower(email))",
            "ANALYZE people",
        ):
            one.do(statement)
        report = residue(engine, "people", "email")
        engine.dispose()
    plain = report.at("statistics").facts["plain_values"]
    assert {name for name, count in plain.items() if count} >= {
        "people.email",
        "people_a.email",
        "people_a_lower_idx.lower",
    }
    assert "people_lower" in report.at("indexes").facts["indexes"]
    assert report.at("table").facts["table_bytes"] > 0


@pytest.mark.parametrize(
    ("table", "column", "problem"),
    [
        ("patient", None, "did you mean 'patients'"),
        ("patients", "emal", "did you mean 'email'"),
        ("patients", "phone", "of one that was dropped, give the table only"),
    ],
)
def test_names_that_are_not_there_are_told(
    sealed: Stage, table: str, column: str | None, problem: str
) -> None:
    """With what is near."""
    with pytest.raises(ConfigurationError, match=problem):
        residue(sealed.engine, table, column)


def test_a_step_of_another_name_is_refused(sealed: Stage) -> None:
    """A step that should be left out is not done because of a slip of the pen."""
    with pytest.raises(OptionError, match="there is no step 'tabel'"):
        residue(sealed.engine, "patients", clean=True, skip=["tabel"])


def test_a_database_that_is_away_is_an_error_of_ours(sealed: Stage) -> None:
    """It quotes neither the URL nor the password."""
    away = sa.create_engine(sealed.engine.url.set(port=1, password="secret"))
    with pytest.raises(ResealError, match="no connection") as caught:
        residue(away, "patients")
    assert "secret" not in str(caught.value)
