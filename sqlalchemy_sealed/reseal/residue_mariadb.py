"""What MariaDB and MySQL keep of a column, and the part of it that can be cleaned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .residue_ask import Asking, RefusedError, seen
from .residue_model import Finding, State, Step, Target, listed, many, size
from .residue_pgserver import NEVER_SEEN

_REMEDY = "ask a user with more rights, such as PROCESS and BINLOG MONITOR"
__all__ = ["NEVER_SEEN", "do", "findings", "prepare", "steps"]


def findings(ask: Asking, target: Target) -> Iterator[Finding]:
    """Yield what is known of the table and the server."""
    yield seen("table", lambda: _table(ask, target), _REMEDY)
    yield seen("indexes", lambda: _indexes(ask, target), _REMEDY)
    yield seen("statistics", lambda: _statistics(ask, target), _REMEDY)
    yield seen("undo", lambda: _undo(ask), _REMEDY)
    yield seen("binlog", lambda: _binlog(ask), _REMEDY)
    yield seen("server log", lambda: _log(ask), _REMEDY)
    yield seen("statements", lambda: _statements(ask), _REMEDY)


def _given(target: Target) -> dict[str, str | None]:
    return {"name": target.name, "schema": target.schema}


def _table(ask: Asking, target: Target) -> Finding:
    row = ask.row(
        """SELECT engine, data_length, index_length, data_free FROM information_schema.tables
        WHERE table_name = :name AND table_schema = coalesce(:schema, database())""",
        **_given(target),
    )
    names: tuple[str, ...] = ("engine", "data_bytes", "index_bytes", "free_bytes")
    facts: dict[str, Any] = dict(zip(names, row, strict=True))
    advice = (
        "old versions of rows stay in the pages until purge and reuse; OPTIMIZE TABLE rebuilds the "
        "table into a new file, while others read and write but at its ends. In a shared "
        "tablespace the old pages stay in the same file"
    )
    data, index, free = (size(None if part is None else int(part)) for part in row[1:])
    found = f"{row[0]}: {data}, indexes {index}, free {free}"
    return Finding("table", State.MAYBE, found, advice, facts)


def _indexes(ask: Asking, target: Target) -> Finding:
    rows = ask.rows(
        """SELECT DISTINCT index_name, column_name FROM information_schema.statistics
        WHERE table_name = :name AND table_schema = coalesce(:schema, database()) ORDER BY 1""",
        **_given(target),
    )
    names = sorted({str(name) for name, column in rows if column in target.names})
    if not names:
        return Finding("indexes", State.NONE, "no index is over the column", facts={"indexes": []})
    advice = "OPTIMIZE TABLE builds them anew; drop those that serve no search of sealed values"
    return Finding("indexes", State.MAYBE, listed(names), advice, {"indexes": names})


def _statistics(ask: Asking, target: Target) -> Finding:
    if ask.value("SELECT version()").find("MariaDB") < 0:
        return Finding(
            "statistics",
            State.MAYBE,
            "histograms are not looked at on MySQL",
            "ANALYZE TABLE ... DROP HISTOGRAM ON ... removes those of a column",
        )
    rows = ask.rows(
        """SELECT DISTINCT column_name FROM mysql.column_stats
        WHERE table_name = :name AND db_name = coalesce(:schema, database())""",
        **_given(target),
    )
    names = sorted({str(row[0]) for row in rows} & set(target.names))
    facts = {"columns": names}
    if not names:
        found = "mysql.column_stats has none of the column"
        return Finding("statistics", State.NONE, found, facts=facts)
    return Finding(
        "statistics",
        State.MAYBE,
        f"mysql.column_stats has {listed(names)}",
        "least, greatest and typical values stand there as of the last ANALYZE ... PERSISTENT",
        facts,
    )


def _variable(ask: Asking, name: str) -> str | None:
    rows = ask.rows(f"SHOW GLOBAL VARIABLES LIKE '{name}'")
    return str(rows[0][1]) if rows else None


def _undo(ask: Asking) -> Finding:
    length = ask.value(
        "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'"
    )
    facts = {"history_length": length}
    return Finding(
        "undo",
        State.MAYBE,
        f"{many(int(length or 0), 'transaction')} wait for purge",
        "undo logs, the redo log and the doublewrite buffer hold old versions until they are "
        "written over in turn; a long transaction keeps undo logs alive",
        facts,
    )


def _binlog(ask: Asking) -> Finding:
    names = ("log_bin", "binlog_format", "binlog_row_image", "expire_logs_days")
    facts = {name: _variable(ask, name) for name in names}
    if facts["log_bin"] != "ON":
        found = "the binary log is off; older files of it may be there"
        return Finding("binlog", State.NONE, found, facts=facts)
    logs = [int(row[1]) for row in ask.rows("SHOW BINARY LOGS")]
    advice = (
        "the binary log holds what was written, and each change with the old row. When all "
        "replicas have read it, FLUSH BINARY LOGS and PURGE BINARY LOGS BEFORE ...; replicas "
        "have relay and binary logs of their own, and copies of binary logs stay"
    )
    found = f"{many(len(logs), 'file')}, {size(sum(logs))}, {facts['binlog_format']}"
    return Finding(
        "binlog", State.MAYBE, found, advice, facts | {"files": len(logs), "bytes": sum(logs)}
    )


def _log(ask: Asking) -> Finding:
    names = ("general_log", "slow_query_log", "log_output")
    facts = {name: _variable(ask, name) for name in names}
    return Finding(
        "server log",
        State.MAYBE,
        ", ".join(f"{name} {value}" for name, value in facts.items()),
        "logged statements stand there with their literals, in files or in mysql.general_log and "
        "mysql.slow_log: look for them, and let old logs expire",
        facts,
    )


def _statements(ask: Asking) -> Finding:
    is_on = _variable(ask, "performance_schema") == "ON"
    if not is_on:
        return Finding("statements", State.NONE, "performance_schema is off")
    return Finding(
        "statements",
        State.MAYBE,
        "performance_schema keeps recent statements in memory",
        "TRUNCATE performance_schema.events_statements_history_long and ..._history, or restart",
    )


def steps(ask: Asking, target: Target, found: Mapping[str, Finding]) -> Iterator[Step]:
    """Yield what cleaning does, in its order."""
    yield Step(
        "table",
        (f"OPTIMIZE TABLE {target.quoted}",),
        f"rebuilds the table ({size(found['table'].facts.get('data_bytes'))}); others wait at its "
        "beginning and end",
        ("table", "indexes"),
    )
    kept = found["statistics"].facts.get("columns") or []
    if kept:
        quote = ask.connection.dialect.identifier_preparer.quote
        columns = ", ".join(map(quote, kept))
        yield Step(
            "statistics",
            (f"ANALYZE TABLE {target.quoted} PERSISTENT FOR COLUMNS ({columns}) INDEXES ()",),
            "reads the table",
            ("statistics",),
        )


def prepare(ask: Asking, lock_seconds: float) -> None:
    """Set the session up."""
    ask.do(f"SET SESSION lock_wait_timeout = {max(1, int(lock_seconds))}")


def do(ask: Asking, _target: Target, step: Step, _lock_seconds: float) -> Step:
    """Do a step, and return it with what came of it. These statements tell errors in rows."""
    try:
        for statement in step.statements:
            rows = ask.rows(statement)
            if any(str(row[2]).casefold() == "error" for row in rows):
                return replace(step, problem="the server could not do it, and said so in a row")
    except RefusedError as refused:
        return replace(step, problem=str(refused))
    return replace(step, done=True)
