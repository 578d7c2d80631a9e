"""
What a SQLite file keeps of a column, and its cleaning.

An UPDATE leaves the old bytes in free room of pages and in free pages, unless `secure_delete` is on
in the process that writes; https://www.sqlite.org/pragma.html#pragma_secure_delete
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from .residue_ask import Asking, RefusedError, seen
from .residue_model import Finding, State, Step, Target, listed, many, size

_FAST = 2
"""How `PRAGMA secure_delete` tells FAST."""

NEVER_SEEN = (
    Finding(
        "backups",
        State.UNSEEN,
        "a database does not know of its backups",
        "copies of the file from before the sealing have the plaintext: destroy them",
    ),
    Finding(
        "disk",
        State.UNSEEN,
        "blocks that a file gave back are not erased",
        "file systems, snapshots and flash disks keep them until they are used again, and longer; "
        "deleted journals and temporary files are such blocks, too",
    ),
)


def findings(ask: Asking, target: Target) -> Iterator[Finding]:
    """Yield what is known of the file."""
    yield seen("table", lambda: _file(ask), "")
    yield seen("journal", lambda: _journal(ask), "")
    yield seen("statistics", lambda: _samples(ask, target), "")
    yield seen("indexes", lambda: _indexes(ask, target), "")
    yield seen("other columns", lambda: _copies(ask, target), "")


def _path(ask: Asking) -> Path | None:
    rows = ask.rows("SELECT file FROM pragma_database_list WHERE name = 'main'")
    return Path(rows[0][0]) if rows and rows[0][0] else None


def _pragma(ask: Asking, name: str) -> int | str:
    value: int | str = ask.value(f"PRAGMA {name}")
    return value


def _file(ask: Asking) -> Finding:
    names = ("page_size", "page_count", "freelist_count", "secure_delete", "auto_vacuum")
    facts = {name: _pragma(ask, name) for name in names}
    bytes_ = int(facts["page_size"]) * int(facts["page_count"])
    secure = {0: "off", 1: "on", 2: "fast"}.get(int(facts["secure_delete"]), "?")
    found = (
        f"{size(bytes_)}, {many(int(facts['freelist_count']), 'free page')}; secure_delete is "
        f"{secure} in this process"
    )
    advice = (
        "whether old values were erased, the process decided that wrote: the file does not say. "
        "VACUUM rewrites the whole file, locks it meanwhile, and needs up to twice its size on disk"
    )
    return Finding("table", State.MAYBE, found, advice, facts)


def _journal(ask: Asking) -> Finding:
    path, mode = _path(ask), str(_pragma(ask, "journal_mode"))
    if path is None:
        return Finding("journal", State.NONE, "the database is in memory")
    sizes = {
        end: file.stat().st_size
        for end in ("-wal", "-journal")
        if (file := path.with_name(path.name + end)).exists()
    }
    facts = {"journal_mode": mode, "files": sizes}
    if not any(sizes.values()):
        return Finding("journal", State.NONE, f"{mode}: no journal is there", facts=facts)
    told = listed([f"{path.name}{end} ({size(bytes_)})" for end, bytes_ in sizes.items()])
    return Finding(
        "journal",
        State.MAYBE,
        f"{mode}: {told}",
        "a checkpoint leaves the file as it is and writes over it later; PRAGMA "
        "wal_checkpoint(TRUNCATE) empties it, when nobody reads",
        facts,
    )


def _samples(ask: Asking, target: Target) -> Finding:
    tables = [
        str(row[0])
        for row in ask.rows(
            "SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat3', 'sqlite_stat4')"
        )
    ]
    counts = {
        name: int(ask.value(f"SELECT count(*) FROM {name} WHERE tbl = :name", name=target.name))  # noqa: S608
        for name in tables
    }
    facts = {"samples": counts}
    if not any(counts.values()):
        return Finding("statistics", State.NONE, "no samples of the table are kept", facts=facts)
    return Finding(
        "statistics",
        State.MAYBE,
        listed([f"{name} ({many(count, 'sample')})" for name, count in counts.items()]),
        "samples of indexed columns stand there as they were at the last ANALYZE",
        facts,
    )


def _indexes(ask: Asking, target: Target) -> Finding:
    rows = ask.rows(
        """SELECT DISTINCT l.name FROM pragma_index_list(:name) l
        JOIN pragma_index_xinfo(l.name) x WHERE x.name IS NULL AND x.cid = -2
            OR x.name IN (SELECT value FROM json_each(:columns)) ORDER BY 1""",
        name=target.name,
        columns=json.dumps(target.names),
    )
    names = [str(row[0]) for row in rows]
    if not names:
        return Finding("indexes", State.NONE, "no index is over the column", facts={"indexes": []})
    return Finding(
        "indexes",
        State.MAYBE,
        listed(names),
        "entries of old rows stay in free room of their pages; VACUUM builds them anew",
        {"indexes": names},
    )


def _copies(ask: Asking, target: Target) -> Finding:
    rows = ask.rows(
        """SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c
        WHERE m.type = 'table' AND m.name <> :name
            AND c.name IN (SELECT value FROM json_each(:columns))
        UNION SELECT name || ' (a virtual table)' FROM sqlite_schema
        WHERE sql LIKE 'CREATE VIRTUAL%'""",
        name=target.name,
        columns=json.dumps(target.names),
    )
    names = [str(row[0]) for row in rows]
    advice = "only virtual tables and columns of the same name are looked for"
    state = State.MAYBE if names else State.UNSEEN
    return Finding(
        "other columns", state, listed(names) or "none that is known", advice, {"columns": names}
    )


def steps(_ask: Asking, target: Target, found: Mapping[str, Finding]) -> Iterator[Step]:
    """Yield what cleaning does, in its order."""
    if any(found["statistics"].facts.get("samples", {}).values()):
        yield Step(
            "statistics",
            (f"ANALYZE {target.quoted}",),
            "reads the table and its indexes; nobody writes meanwhile",
            ("statistics",),
        )
    yield Step(
        "table",
        ("PRAGMA secure_delete = ON", "VACUUM"),
        "rewrites the file; nobody writes meanwhile, and nobody reads at its end; it needs up to "
        "twice the size of the file",
        ("table", "indexes"),
    )
    yield Step(
        "journal",
        ("PRAGMA wal_checkpoint(TRUNCATE)",),
        "empties the log of a database in WAL mode, when no other connection reads",
        ("journal",),
    )


@contextmanager
def restored(connection: sa.Connection) -> Iterator[None]:
    """Give a connection back with the settings that it had: a database in memory has one only."""
    names = ("busy_timeout", "secure_delete")
    before = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            connection.exec_driver_sql(f"PRAGMA {name} = {'FAST' if value == _FAST else value}")


def prepare(ask: Asking, lock_seconds: float) -> None:
    """Set the connection up."""
    ask.do(f"PRAGMA busy_timeout = {max(1, int(lock_seconds * 1000))}")


def do(ask: Asking, _target: Target, step: Step, _lock_seconds: float) -> Step:
    """Do a step, and return it with what came of it."""
    try:
        for statement in step.statements:
            if "checkpoint" in statement:
                if ask.row(statement)[0]:
                    problem = "another connection reads or writes; the log was not emptied"
                    return replace(step, problem=problem)
            elif statement.startswith("PRAGMA"):
                ask.rows(statement)
            else:
                ask.do(statement)
    except RefusedError as refused:
        return replace(step, problem=str(refused))
    return replace(step, done=True)
