"""Cleaning of PostgreSQL: rewrite the table, replace its statistics, overwrite the WAL."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .residue_ask import Asking, RefusedError
from .residue_model import Finding, Step, Target, listed, many, size
from .residue_pgserver import NAMING, extension_schema, name_pattern
from .residue_pgtable import HOLDERS, SEES_SESSIONS

MOST_WAL = 128
"""Segments that one round overwrites at most; 2 GiB of segments of the usual 16 MiB."""
_ROUNDS = 4
"""Segments that a checkpoint renames are overwritten in the round after it."""
_POLL = 0.05


def steps(ask: Asking, target: Target, found: Mapping[str, Finding]) -> Iterator[Step]:
    """Yield what cleaning does, in its order."""
    heap, indexes = (found["table"].facts.get(key) for key in ("table_bytes", "index_bytes"))
    yield Step(
        "table",
        (f"VACUUM (FULL) {target.quoted}",),
        f"rewrites the table ({size(heap)}) and its indexes ({size(indexes)}); nobody reads or "
        "writes it meanwhile (ACCESS EXCLUSIVE); it needs as much free disk",
        ("table", "dropped columns", "indexes"),
    )
    yield Step(
        "statistics",
        (f"ANALYZE {target.quoted}",),
        "reads a sample of the table; others read and write meanwhile",
        (),  # The views are looked at again.
    )
    yield Step(
        "catalog",
        tuple(
            f"VACUUM (FULL) pg_catalog.{name}" for name in ("pg_statistic", "pg_statistic_ext_data")
        ),
        "rewrites the statistics of the database; new queries of it wait meanwhile (ACCESS "
        "EXCLUSIVE on the catalog)",
        ("statistics catalog",),
    )
    if found["statements"].facts.get("naming_the_table"):
        schema = extension_schema(ask)
        reset = f"""SELECT {schema}.pg_stat_statements_reset(userid, dbid, queryid)
            FROM {schema}.pg_stat_statements WHERE {NAMING}"""  # noqa: S608 - a quoted name
        yield Step(
            "statements",
            (reset,),
            "forgets the figures of the statements that name the table",
            (),
        )
    segments = found["wal"].facts.get("segments")
    told = "the" if segments is None else f"{segments:,}"
    yield Step(
        "wal",
        ("CHECKPOINT", "SELECT pg_switch_wal()"),
        f"overwrites {told} segments by checkpoints and switches, each of which is also sent to "
        "the archive and to replicas",
        ("wal",),
    )


def do(ask: Asking, target: Target, step: Step, lock_seconds: float) -> Step:
    """Do a step, and return it with what came of it."""
    try:
        match step.name:
            case "table" | "catalog":
                problem = _rewrite(ask, step, lock_seconds)
            case "statements":
                ask.rows(step.statements[0], name=name_pattern(target))
                problem = ""
            case "wal":
                problem = _overwrite(ask)
            case _:
                for statement in step.statements:
                    ask.do(statement)
                problem = ""
    except RefusedError as refused:
        return replace(step, problem=str(refused))
    return replace(step, done=True, problem=problem)


def prepare(ask: Asking, lock_seconds: float) -> None:
    """Set the session up."""
    ask.do("SET statement_timeout = 0")
    ask.do(f"SET lock_timeout = '{max(1, int(lock_seconds * 1000))}ms'")


def _rewrite(ask: Asking, step: Step, seconds: float) -> str:
    """
    Rewrite tables, when no snapshot keeps rows alive that are dead now.

    VACUUM FULL copies a dead row that somebody may still see. So all who began before a
    transaction of this moment have to end first.
    """
    is_sure = bool(ask.value(SEES_SESSIONS))
    if is_sure:
        now = ask.value("SELECT CAST(CAST(txid_current() % 4294967296 AS text) AS xid)")
        deadline = time.monotonic() + seconds
        while held := _holding(ask, str(now), of_catalog=step.name == "catalog"):
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"old snapshots keep dead rows alive: {listed(held)}; end them first"
                )
            time.sleep(_POLL)
    for statement in step.statements:
        ask.do(statement)
    if is_sure:
        return ""
    return (
        "rewritten, but this user does not see whether another session kept old rows alive; grant "
        "it pg_read_all_stats"
    )


_CATALOG_HOLDERS = """
    UNION ALL SELECT 'replication slot ' || slot_name, catalog_xmin FROM pg_replication_slots
        WHERE catalog_xmin IS NOT NULL
"""
"""A slot for logical readers keeps old rows of the catalog."""


def _holding(ask: Asking, now: str, *, of_catalog: bool) -> list[str]:
    holders = HOLDERS + _CATALOG_HOLDERS if of_catalog else HOLDERS
    rows = ask.rows(
        f"""SELECT DISTINCT who FROM ({holders}) held
        WHERE age(xmin) > age(CAST(CAST(:now AS text) AS xid)) ORDER BY 1""",  # noqa: S608
        now=now,
    )
    return [str(row[0]) for row in rows]


_AHEAD = r"""
    SELECT count(*) FROM pg_ls_waldir()
    WHERE name ~ '^[0-9A-F]{24}$' AND modification < :since AND name > :last"""
_OLD = r"""
    SELECT count(*), coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()
    WHERE name ~ '^[0-9A-F]{24}$' AND (modification < :since OR name <= :last)"""
"""Renaming a segment leaves the time of its last write as it was."""
_WAIT = """
    SELECT pg_sleep(extract(epoch FROM CAST(:since AS timestamptz) - clock_timestamp()) + 0.05)"""
"""A file has the time of the last tick of the kernel, which is a few milliseconds behind."""


def _overwrite(ask: Asking) -> str:
    """
    Overwrite all segments from before this moment, and return what is left of them.

    A segment that is no longer needed is renamed to a later name, and written over when it is
    reached; the rest of a segment that is switched away from is filled with zeros.
    """
    last = ask.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    _switch(ask)
    # The times of files are told in whole seconds.
    since = ask.value("SELECT date_trunc('second', clock_timestamp()) + interval '1 second'")
    ask.rows(_WAIT, since=since)
    for _ in range(_ROUNDS):
        ask.do("CHECKPOINT")
        ahead = ask.value(_AHEAD, since=since, last=last)
        # One more: of the segment that is written now, the end may be from before.
        for _ in range(min(ahead, MOST_WAL) + 1):
            _switch(ask)
        if not ahead:
            break
    old = ask.row(_OLD, since=since, last=last)
    if not old[0]:
        return ""
    return (
        f"{many(old[0], 'segment')} ({size(old[1])}) from before this are still there: a "
        "replication slot, the archiver or wal_keep_size holds them, or there were too many; see "
        "these, and run it again"
    )


def _switch(ask: Asking) -> None:
    # A switch does nothing in a segment in which nothing was written.
    ask.rows("SELECT pg_create_restore_point('sealed residue')")
    ask.rows("SELECT pg_switch_wal()")
