"""What PostgreSQL keeps of a column in the files of its table, and in statistics over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from .residue_ask import Asking, seen
from .residue_model import Finding, State, Target, listed, many, size

FAMILY = """
    WITH RECURSIVE family(oid) AS (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = :name AND c.relkind IN ('r', 'p')
            AND CASE WHEN CAST(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid)
                ELSE n.nspname = :schema END
        UNION SELECT i.inhrelid FROM family JOIN pg_inherits i ON i.inhparent = family.oid
    ), looked AS (
        SELECT a.attrelid, a.attnum, a.attname
        FROM pg_attribute a JOIN family f ON f.oid = a.attrelid
        WHERE a.attname = ANY(:columns) AND NOT a.attisdropped
    )
"""
"""The table with its partitions and children, and the columns that are looked at."""

INDEXES = f"""{FAMILY}, used AS (
        SELECT DISTINCT i.indexrelid, i.indexprs IS NOT NULL AS computes
        FROM pg_index i JOIN looked l ON l.attrelid = i.indrelid
        WHERE l.attnum = ANY(i.indkey) OR EXISTS (
            SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid = i.indrelid AND d.refobjsubid = l.attnum)
    )
"""  # noqa: S608
_SEALED = r"^(\\xb1e6a5[0-9a-f]{98,}|seal[A-Za-z0-9_-]{66,})$"
"""An envelope as statistics show it: 52 bytes at least, in hexadecimal or base64url. Letters may be
of either case, since an index may be over lower(column)."""
_REMEDY = "ask a role that has pg_monitor, or a superuser"


def findings(ask: Asking, target: Target) -> Iterator[Finding]:
    """Yield what is known of the table, its indexes and its statistics."""
    looks: tuple[tuple[str, Callable[[Asking, Target], Finding]], ...] = (
        ("table", _table),
        ("dropped columns", _dropped),
        ("indexes", _indexes),
        ("old snapshots", _snapshots),
        ("statistics", _statistics),
        ("extended statistics", _extended),
        ("statistics catalog", _catalog),
    )
    for place, look in looks:
        yield seen(place, partial(look, ask, target), _REMEDY)


def family(ask: Asking, statement: str, target: Target, **more: object) -> list[tuple[Any, ...]]:
    """Return the rows of a statement that begins with FAMILY."""
    given = {"name": target.name, "schema": target.schema, "columns": target.names, **more}
    return ask.rows(statement, **given)


def _table(ask: Asking, target: Target) -> Finding:
    statement = f"""{FAMILY}
        SELECT coalesce(sum(pg_table_size(f.oid)), 0)::bigint,
            coalesce(sum(pg_total_relation_size(nullif(c.reltoastrelid, 0))), 0)::bigint,
            coalesce(sum(pg_indexes_size(f.oid)), 0)::bigint,
            coalesce(sum(s.n_dead_tup), 0)::bigint, coalesce(sum(d.n_dead_tup), 0)::bigint,
            max(greatest(s.last_vacuum, s.last_autovacuum))::text,
            bool_or(coalesce(c.reloptions @> ARRAY['autovacuum_enabled=false'], false)),
            current_setting('autovacuum')
        FROM family f JOIN pg_class c ON c.oid = f.oid
        LEFT JOIN pg_stat_all_tables s ON s.relid = f.oid
        LEFT JOIN pg_stat_all_tables d ON d.relid = c.reltoastrelid"""  # noqa: S608 - constants
    given = {"name": target.name, "schema": target.schema, "columns": target.names}
    heap, toast, indexes, dead, dead_toast, vacuumed, off, automatic = ask.row(statement, **given)
    facts = {
        "table_bytes": heap,
        "toast_bytes": toast,
        "index_bytes": indexes,
        "dead_rows": dead,
        "dead_toast_rows": dead_toast,
        "last_vacuum": vacuumed,
        "autovacuum": automatic == "on" and not off,
    }
    runs = "on" if facts["autovacuum"] else "off"
    found = (
        f"{size(heap)}, of it TOAST {size(toast)}; indexes {size(indexes)}; {dead:,} dead rows and "
        f"{dead_toast:,} dead TOAST rows are counted; last VACUUM {vacuumed or 'never'}, "
        f"autovacuum {runs}"
    )
    advice = (
        "each row that was sealed left its old version in the file. VACUUM lets the room be used "
        "again and does not erase it, so zero dead rows prove nothing; only a rewrite does. VACUUM "
        f"FULL locks the table against reads and writes (ACCESS EXCLUSIVE) and needs up to "
        f"{size(heap + indexes)} more disk; pg_repack --table={target.name} needs as much, and the "
        "lock only for moments"
    )
    return Finding("table", State.MAYBE, found, advice, facts)


def _dropped(ask: Asking, target: Target) -> Finding:
    (row,) = family(
        ask,
        f"""{FAMILY} SELECT count(*) FROM pg_attribute a JOIN family f ON f.oid = a.attrelid
        WHERE a.attisdropped AND a.attnum > 0""",  # noqa: S608
        target,
    )
    count = int(row[0])
    if not count:
        return Finding("dropped columns", State.NONE, "none", facts={"columns": 0})
    return Finding(
        "dropped columns",
        State.MAYBE,
        many(count, "column was", "columns were") + " dropped from the table",
        "rows keep the values of a dropped column until they are rewritten; VACUUM FULL does that",
        {"columns": count},
    )


def _indexes(ask: Asking, target: Target) -> Finding:
    rows = family(
        ask,
        f"""{INDEXES} SELECT indexrelid::regclass::text, pg_relation_size(indexrelid)
        FROM used ORDER BY 1""",  # noqa: S608
        target,
    )
    sizes = {str(name): int(bytes_) for name, bytes_ in rows}
    if not sizes:
        return Finding("indexes", State.NONE, "no index is over the column", facts={"indexes": {}})
    told = [f"{name} ({size(bytes_)})" for name, bytes_ in sizes.items()]
    return Finding(
        "indexes",
        State.MAYBE,
        listed(told),
        "entries of old rows stay in the pages of an index. VACUUM FULL of the table builds all "
        "anew; REINDEX INDEX CONCURRENTLY does it for one while others write. Drop those that "
        "serve no search of sealed values",
        {"indexes": sizes},
    )


HOLDERS = """
    SELECT 'session ' || pid AS who, backend_xmin AS xmin FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
            AND (datname = current_database() OR backend_type = 'walsender')
    UNION ALL SELECT 'session ' || pid, backend_xid FROM pg_stat_activity
        WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL SELECT 'prepared transaction ' || gid, transaction FROM pg_prepared_xacts
    UNION ALL SELECT 'replication slot ' || slot_name, xmin FROM pg_replication_slots
        WHERE xmin IS NOT NULL
"""
"""Who keeps old versions of rows alive, and since which transaction."""

SEES_SESSIONS = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER')"


def _snapshots(ask: Asking, _target: Target) -> Finding:
    if not ask.value(SEES_SESSIONS):
        return Finding(
            "old snapshots", State.UNSEEN, "this user does not see other sessions", _REMEDY
        )
    rows = ask.rows(
        f"SELECT who, max(age(xmin)) FROM ({HOLDERS}) held GROUP BY who ORDER BY 2 DESC, 1"  # noqa: S608
    )
    ages = {str(who): int(age) for who, age in rows}
    if not ages:
        return Finding("old snapshots", State.NONE, "no session holds old rows", facts={"held": {}})
    return Finding(
        "old snapshots",
        State.MAYBE,
        listed([f"{who} (for {many(age, 'transaction')})" for who, age in ages.items()]),
        "what they may still see is kept, even by VACUUM FULL: one from before the sealing has to "
        "end first",
        {"held": ages},
    )


_PLAIN = "(SELECT count(*) FROM unnest({values}) v WHERE v !~* :sealed)"


def _statistics(ask: Asking, target: Target) -> Finding:
    values = "||".join(
        f"coalesce(s.{name}::text::text[], '{{}}')"
        for name in ("most_common_vals", "histogram_bounds", "most_common_elems")
    )
    rows = family(
        ask,
        f"""{INDEXES} SELECT c.relname || '.' || s.attname, sum({_PLAIN.format(values=values)})
        FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname
        JOIN pg_class c ON c.relname = s.tablename AND c.relnamespace = n.oid
        WHERE EXISTS (SELECT 1 FROM looked l WHERE l.attrelid = c.oid AND l.attname = s.attname)
            OR c.oid IN (SELECT indexrelid FROM used WHERE computes)
        GROUP BY 1 ORDER BY 1""",  # noqa: S608
        target,
        sealed=_SEALED,
    )
    plain = {str(name): int(count) for name, count in rows}
    return _counted(ask, target, "statistics", plain, "pg_stats")


def _extended(ask: Asking, target: Target) -> Finding:
    values = """ARRAY(SELECT most_common_vals[i][array_position(s.attnames, l.attname)]
        FROM generate_subscripts(most_common_vals, 1) i
        WHERE most_common_vals[i][array_position(s.attnames, l.attname)] IS NOT NULL)"""
    of_expressions = "||".join(
        f"coalesce(s.{name}::text::text[], '{{}}')"
        for name in ("most_common_vals", "histogram_bounds")
    )
    rows = family(
        ask,
        f"""{FAMILY}, named AS (
            SELECT f.oid, n.nspname, c.relname FROM family f JOIN pg_class c ON c.oid = f.oid
            JOIN pg_namespace n ON n.oid = c.relnamespace)
        SELECT name, sum(plain) FROM (
            SELECT s.statistics_name AS name, {_PLAIN.format(values=values)} AS plain
            FROM pg_stats_ext s JOIN named t ON t.nspname = s.schemaname AND t.relname = s.tablename
            JOIN looked l ON l.attrelid = t.oid AND l.attname = ANY(s.attnames)
            UNION ALL
            SELECT s.statistics_name, {_PLAIN.format(values=of_expressions)}
            FROM pg_stats_ext_exprs s
            JOIN named t ON t.nspname = s.schemaname AND t.relname = s.tablename
            WHERE EXISTS (SELECT 1 FROM looked)
        ) counted GROUP BY 1 ORDER BY 1""",  # noqa: S608
        target,
        sealed=_SEALED,
    )
    plain = {str(name): int(count) for name, count in rows}
    return _counted(ask, target, "extended statistics", plain, "pg_stats_ext")


_SEES_STATISTICS = f"""{FAMILY}
    SELECT coalesce(bool_and(pg_has_role(c.relowner, 'USAGE') AND NOT row_security_active(c.oid)),
        false) FROM family f JOIN pg_class c ON c.oid = f.oid"""  # noqa: S608 - constants


def _counted(ask: Asking, target: Target, place: str, plain: dict[str, int], view: str) -> Finding:
    """Return the finding of a view of statistics, of which the values were counted."""
    facts = {"plain_values": plain}
    told = listed([f"{name} ({many(count, 'value')} not sealed)" for name, count in plain.items()])
    if not any(plain.values()):
        found = f"{view}: {told or 'none of the column'}"
        # These views leave out what is not for the user who asks, and do not say so.
        if family(ask, _SEES_STATISTICS, target)[0][0]:
            return Finding(place, State.NONE, found, facts=facts)
        found += "; this user may not see all of them"
        return Finding(place, State.UNSEEN, found, "ask the owner of the table", facts)
    return Finding(
        place,
        State.LEFT,
        f"{view}: {told}",
        "common values stand there as they are; ANALYZE of the table replaces them. ALTER TABLE "
        "... ALTER COLUMN ... SET STATISTICS 0 before it keeps none, not even sealed ones",
        facts,
    )


def _catalog(ask: Asking, _target: Target) -> Finding:
    row = ask.row("""
        SELECT pg_total_relation_size('pg_catalog.pg_statistic'),
            pg_total_relation_size('pg_catalog.pg_statistic_ext_data')""")
    facts = {"pg_statistic_bytes": row[0], "pg_statistic_ext_data_bytes": row[1]}
    return Finding(
        "statistics catalog",
        State.MAYBE,
        f"pg_statistic {size(row[0])}, pg_statistic_ext_data {size(row[1])}",
        "ANALYZE leaves old statistics as dead rows of these tables; VACUUM FULL of both, by the "
        "owner of the database or a superuser, rewrites them and blocks the planning of queries "
        "meanwhile",
        facts,
    )
