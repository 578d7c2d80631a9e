"""What a PostgreSQL server keeps outside of its tables: statements, the log of changes, copies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .residue_ask import Asking, seen
from .residue_model import Finding, State, Target, listed, many, size

_REMEDY = "ask a role that has pg_monitor, or a superuser"


def findings(ask: Asking, target: Target) -> Iterator[Finding]:
    """Yield what is known of the server."""
    yield seen("statements", partial(_statements, ask, target), _REMEDY)
    for place, look in (
        ("wal", _wal),
        ("archive", _archive),
        ("replicas", _replicas),
        ("replication slots", _slots),
        ("server log", _log),
    ):
        yield seen(place, partial(look, ask), _REMEDY)


def extension_schema(ask: Asking) -> str | None:
    """Return the quoted schema of pg_stat_statements, or None if this database does not have it."""
    value = ask.value("""
        SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n
        ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'""")
    return None if value is None else str(value)


NAMING = (
    "dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query ~* :name"
)
"""Statements of this database that have the name of the table as a word."""


def name_pattern(target: Target) -> str:
    """Return the regular expression that finds the name of the table as a word."""
    letters = "".join(c if c.isalnum() or c == "_" else f"\\{c}" for c in target.name)
    return rf"\y{letters}\y"


def _statements(ask: Asking, target: Target) -> Finding:
    place = "statements"
    loaded = ask.value("SELECT current_setting('pg_stat_statements.max', true)") is not None
    schema = extension_schema(ask)
    if schema is None:
        if not loaded:
            return Finding(place, State.NONE, "pg_stat_statements is not loaded")
        return Finding(
            place,
            State.UNSEEN,
            "pg_stat_statements is loaded, and this database does not have the extension",
            "run this in a database that has it; its texts are of all databases",
        )
    row = ask.row(
        f"""SELECT count(*), count(*) FILTER (WHERE {NAMING}),
            count(*) FILTER (WHERE query = '<insufficient privilege>')
        FROM {schema}.pg_stat_statements""",  # noqa: S608 - a quoted name
        name=name_pattern(target),
    )
    total, naming, hidden = map(int, row)
    facts = {"statements": total, "naming_the_table": naming, "hidden": hidden}
    found = f"{many(total, 'statement')} in pg_stat_statements, {naming:,} naming the table"
    if hidden:
        found += f"; {hidden:,} of other users are not shown to this one"
    if not naming:
        state = State.UNSEEN if hidden else State.NONE
        return Finding(place, state, found, _REMEDY if hidden else "", facts)
    advice = (
        "literals of queries are replaced there, those of utility statements and of some cached "
        "texts are not; reset those that name the table. The file of texts is cleared when all are "
        "reset, by pg_stat_statements_reset() without arguments"
    )
    return Finding(place, State.MAYBE, found, advice, facts)


def _wal(ask: Asking) -> Finding:
    row = ask.row("""
        SELECT count(*), coalesce(sum(size), 0)::bigint, min(modification)::text,
            current_setting('wal_level'), current_setting('full_page_writes'),
            current_setting('wal_recycle'), current_setting('wal_keep_size')
        FROM pg_ls_waldir()""")
    count, bytes_, oldest, level, pages, recycled, kept = row
    facts = {
        "segments": count,
        "bytes": bytes_,
        "oldest": oldest,
        "wal_level": level,
        "full_page_writes": pages == "on",
        "wal_recycle": recycled == "on",
        "wal_keep_size": kept,
    }
    return Finding(
        "wal",
        State.MAYBE,
        f"{many(count, 'segment')}, {size(bytes_)}, the oldest written at {oldest}; wal_level "
        f"{level}, full_page_writes {pages}, wal_recycle {recycled}, wal_keep_size {kept}",
        "the inserts of the plaintext are there, and images of pages that held it. A checkpoint "
        "renames segments for later use and does not erase them; each is overwritten when its turn "
        "comes, by pg_switch_wal() at once",
        facts,
    )


def _archive(ask: Asking) -> Finding:
    row = ask.row("""
        SELECT current_setting('archive_mode'), archived_count, failed_count
        FROM pg_stat_archiver""")
    mode, archived, failed = row
    facts = {"archive_mode": mode, "archived": archived, "failed": failed}
    if mode == "off" and not archived:
        return Finding(
            "archive",
            State.NONE,
            "archive_mode is off, and nothing was archived since the counts were reset",
            facts=facts,
        )
    return Finding(
        "archive",
        State.MAYBE,
        f"archive_mode is {mode}; {many(archived, 'segment')} archived, {failed:,} failures",
        "archived segments hold what was written, until they expire: delete those from before the "
        "end of the sealing, and the base backups that need them",
        facts,
    )


def _replicas(ask: Asking) -> Finding:
    rows = ask.rows("""
        SELECT coalesce(nullif(application_name, ''), 'session ' || pid), coalesce(state, '?')
        FROM pg_stat_replication ORDER BY 1""")
    told = [f"{name} ({state})" for name, state in rows]
    facts = {"replicas": [name for name, _ in rows]}
    if not told:
        return Finding(
            "replicas",
            State.UNSEEN,
            "none is connected now",
            "a replica that is away, or is fed by the archive, is not seen",
            facts,
        )
    return Finding(
        "replicas",
        State.MAYBE,
        listed(told),
        "a physical replica follows each rewrite; its own pg_wal, server log and archive hold what "
        "is said of those here. A logical one has files of its own: run this there",
        facts,
    )


def _slots(ask: Asking) -> Finding:
    rows = ask.rows("""
        SELECT slot_name, active, CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint END
        FROM pg_replication_slots ORDER BY 1""")
    facts = {"slots": [{"name": n, "active": a, "held_bytes": held} for n, a, held in rows]}
    if not rows:
        return Finding("replication slots", State.NONE, "there are none", facts=facts)
    told = [f"{n} ({'' if a else 'not '}active, holds {size(held)} of WAL)" for n, a, held in rows]
    return Finding(
        "replication slots",
        State.MAYBE,
        listed(told),
        "a slot keeps WAL until its reader has it: drop those that nobody reads. What is decoded "
        "for logical readers is spilled to files in pg_replslot",
        facts,
    )


_LOG_SETTINGS = (
    "log_statement",
    "log_min_duration_statement",
    "log_min_duration_sample",
    "log_min_error_statement",
    "log_parameter_max_length",
    "log_parameter_max_length_on_error",
    "auto_explain.log_min_duration",
)


def _log(ask: Asking) -> Finding:
    facts = {
        name: ask.value("SELECT current_setting(:name, true)", name=name) for name in _LOG_SETTINGS
    }
    off = (None, "", "-1", "none")
    is_logged = any(facts[name] not in off for name in (*_LOG_SETTINGS[:3], _LOG_SETTINGS[-1]))
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    what = "statements are logged now" if is_logged else "only statements that fail are logged now"
    return Finding(
        "server log",
        State.MAYBE,
        f"{what}: {told}",
        "the log is outside of the database: statements with literals or parameters, and rows that "
        "broke a constraint, stand in it as they were. Look for them, and let old logs expire",
        facts,
    )


NEVER_SEEN = (
    Finding(
        "backups",
        State.UNSEEN,
        "a database does not know of its backups",
        "dumps, base backups and snapshots from before the sealing have the plaintext: let them "
        "expire, or destroy them",
    ),
    Finding(
        "disk",
        State.UNSEEN,
        "blocks that a file gave back are not erased",
        "file systems, snapshots and flash disks keep them until they are used again, and longer; "
        "only encryption of the disk, or its destruction, deals with that",
    ),
)
"""What no question to a database shows."""
