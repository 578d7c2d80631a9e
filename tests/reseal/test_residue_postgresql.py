"""
What stays of plaintext in the files of a PostgreSQL server, and when it goes.

A server of its own, since its files are searched: by group of files, for canaries that say which
column they are of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from fix_db import required_in_ci
from servers import process
from servers.server import ServerFailedError, ServiceMissingError

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.reseal.residue import residue
from sqlalchemy_sealed.reseal.residue_model import Residue, State

from .residue_stage import COLUMNS, ROWS, Stage, stage

pytestmark = pytest.mark.postgres

SETTINGS = ("full_page_writes=on", "autovacuum=off", "min_wal_size=80MB")


@dataclass(frozen=True)
class Story:
    """
    What the files held at each time, and what was reported.

    Attributes:
        files: by time, the canaries by group of files.
        before: the report when the columns were sealed.
        cleaned: the report of the cleaning.
    """

    files: dict[str, dict[str, Counter[str]]]
    before: Residue
    cleaned: Residue


def by_group(stage: Stage) -> dict[str, Counter[str]]:
    """Count the canaries in the data directory: by relation, and by folder for all else."""
    stage.do("CHECKPOINT")  # What is in memory only is written.
    query = """
        SELECT pg_relation_filepath(oid), oid::regclass::text FROM pg_class
        WHERE pg_relation_filepath(oid) IS NOT NULL"""
    with stage.engine.connect() as connection:
        relations = {row[0]: row[1] for row in connection.execute(sa.text(query))}
    toast = stage.do("SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname='patients'")
    data = Path(stage.do("SHOW data_directory"))
    found: dict[str, Counter[str]] = {}
    for file in data.rglob("*"):
        if not file.is_file():
            continue
        name = file.relative_to(data).as_posix()
        # A relation of more than 1 GiB has more files; a fork of it has another ending.
        group = relations.get(name.partition(".")[0].partition("_")[0], name.partition("/")[0])
        group = "TOAST" if group == toast else group
        found[group] = found.get(group, Counter()) + stage.in_files([file])
    return {group: counts for group, counts in found.items() if counts}


@pytest.fixture(scope="module")
def server() -> Iterator[sa.Engine]:
    """Return an engine on a server of its own."""
    with process.running(settings=SETTINGS) as server:
        engine = sa.create_engine(server.url)
        yield engine
        engine.dispose()


@pytest.fixture
def story(server: sa.Engine, sealer: Sealer) -> Story:
    """Fill, seal, VACUUM, clean, and search the files each time."""
    files = {}
    one = stage(server)
    one.do("DROP TABLE IF EXISTS patients CASCADE")
    one.fill()
    one.do("CREATE STATISTICS together (mcv) ON email, id FROM patients")
    one.do("ANALYZE patients")
    files["before"] = by_group(one)
    one.do("CREATE MATERIALIZED VIEW copy AS SELECT email FROM patients")
    one.seal()
    files["after"] = by_group(one)
    before = residue(server, "patients")
    one.do("VACUUM patients")
    files["vacuumed"] = by_group(one)
    cleaned = residue(server, "patients", clean=True)
    files["cleaned"] = by_group(one)
    return Story(files, before, cleaned)


def test_plaintext_stays_in_each_group_of_files_until_it_is_cleaned(story: Story) -> None:
    """Sealing erases nothing, VACUUM erases almost nothing, cleaning erases all of it."""
    files = story.files
    assert files["before"]["patients"]["email"] == ROWS
    assert files["before"]["TOAST"]["note"] == ROWS
    assert files["before"]["patients_email"]["email"] > 0
    assert files["before"]["pg_statistic"]["email"] > 0
    assert all(files["before"]["pg_wal"][column] > 0 for column in COLUMNS)
    for time in ("after", "vacuumed"):
        for group in ("patients", "TOAST", "pg_statistic", "pg_wal"):
            assert files[time].get(group), f"{group} was clean {time}"
    # Images of pages and old rows bring more of it into the log, not less.
    assert files["after"]["pg_wal"].total() > files["before"]["pg_wal"].total()
    # What is in another relation is told, and is cleaned by nobody but its owner.
    assert set(files["cleaned"]) == {"copy"}


def test_the_column_that_was_dropped_is_in_the_file_until_it_is_rewritten(story: Story) -> None:
    """DROP COLUMN changes the catalog and not one row."""
    assert story.files["after"]["patients"]["phone"] >= ROWS
    assert story.files["vacuumed"]["patients"]["phone"] > 0
    assert story.before.at("dropped columns").state is State.MAYBE
    assert story.cleaned.at("dropped columns").state is State.CLEANED


def test_the_report_says_what_the_files_show(story: Story) -> None:
    """What may be left is told as such, and what the views show is counted."""
    assert story.before.columns == ("email", "note", "phone_sealed")
    states = {each.place: each.state for each in story.before.findings}
    assert states["rows"] is State.NONE
    assert list(story.cleaned.at("materialized views").facts["views"]) == ["copy"]
    for place in ("table", "indexes", "statistics catalog", "wal", "server log"):
        assert states[place] is State.MAYBE
    for place in ("statistics", "extended statistics"):
        assert states[place] is State.LEFT
    for place in ("backups", "disk"):
        assert states[place] is State.UNSEEN
    assert story.before.at("statistics").facts["plain_values"]["patients.email"] == 7
    assert story.before.at("table").facts["toast_bytes"] > 0


def test_the_report_of_a_cleaning_claims_what_it_did(story: Story) -> None:
    """Cleaned are the places of the steps that were done; backups are never said to be clean."""
    assert [step.name for step in story.cleaned.steps] == ["table", "statistics", "catalog", "wal"]
    assert all(step.done and not step.problem for step in story.cleaned.steps)
    states = {each.place: each.state for each in story.cleaned.findings}
    for place in ("table", "indexes", "statistics catalog", "wal"):
        assert states[place] is State.CLEANED
    for place in ("statistics", "extended statistics"):
        assert states[place] is State.NONE
    for place in ("backups", "disk"):
        assert states[place] is State.UNSEEN


def test_a_replication_slot_keeps_the_log_and_the_report_says_so(
    server: sa.Engine, sealer: Sealer
) -> None:
    """The step has a problem, the canaries are in the log, and WAL is not said to be clean."""
    one = stage(server)
    one.do("DROP TABLE IF EXISTS patients CASCADE")
    one.do("SELECT pg_create_physical_replication_slot('kept', true)")
    try:
        one.fill()
        one.seal()
        report = residue(server, "patients", clean=True, skip=["catalog"])
        assert by_group(one)["pg_wal"].total() > 0
    finally:
        one.do("SELECT pg_drop_replication_slot('kept')")
    assert [step.name for step in report.failed] == ["wal"]
    assert "replication slot" in report.failed[0].problem
    assert report.at("wal").state is State.MAYBE
    assert report.at("replication slots").facts["slots"][0]["held_bytes"] > 0
    residue(server, "patients", clean=True)
    assert by_group(one) == {}


@contextmanager
def counting_statements() -> Iterator[sa.Engine]:
    """Start a server that loads pg_stat_statements, and yield an engine on it."""
    settings = (*SETTINGS, "shared_preload_libraries=pg_stat_statements")
    with ExitStack() as stack:
        with required_in_ci():
            try:
                server = stack.enter_context(process.running(settings=settings))
            except ServerFailedError as failed:
                if "pg_stat_statements" not in str(failed):
                    raise
                raise ServiceMissingError(
                    "this PostgreSQL comes without pg_stat_statements"
                ) from None
        engine = sa.create_engine(server.url)
        stack.callback(engine.dispose)
        yield engine


def test_the_texts_of_statements_are_counted_and_reset(sealer: Sealer) -> None:
    """A literal of a utility statement is in their file until the figures of all are reset."""
    with counting_statements() as engine:
        one = stage(engine)
        one.fill()
        one.do(f"COMMENT ON TABLE patients IS '{one.mark}-phone'")
        one.do("COMMENT ON TABLE patients IS NULL")
        one.seal()
        assert residue(engine, "patients").at("statements").state is State.UNSEEN
        one.do("CREATE EXTENSION pg_stat_statements")
        before = residue(engine, "patients").at("statements")
        assert before.state is State.MAYBE
        assert before.facts["naming_the_table"] > 0
        report = residue(engine, "patients", clean=True)
        assert not report.failed
        texts = f"SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%%{one.mark}%%'"
        assert one.do(texts) == 0
        # The file of texts keeps it, as the advice says; and the catalog the dead comment.
        assert set(by_group(one)) == {"pg_stat_tmp", "pg_description"}
        one.do("SELECT pg_stat_statements_reset()")
        assert set(by_group(one)) == {"pg_description"}
