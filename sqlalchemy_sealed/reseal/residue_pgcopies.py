"""Copies of a column elsewhere in PostgreSQL, as far as the database knows of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .residue_ask import Asking, seen
from .residue_model import Finding, State, Target, listed, many, size
from .residue_pgtable import FAMILY, family

_REMEDY = "ask the owner of the table, or a superuser"


def findings(ask: Asking, target: Target) -> Iterator[Finding]:
    """Yield what is known of copies."""
    for place, look in (
        ("materialized views", _views),
        ("other columns", _columns),
        ("publications", _publications),
    ):
        yield seen(place, partial(look, ask, target), _REMEDY)


def _views(ask: Asking, target: Target) -> Finding:
    rows = family(
        ask,
        f"""{FAMILY}, above(oid) AS (
            SELECT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
            JOIN family f ON f.oid = d.refobjid
            WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                AND r.ev_class <> d.refobjid
            UNION SELECT r.ev_class FROM above JOIN pg_depend d ON d.refobjid = above.oid
            JOIN pg_rewrite r ON r.oid = d.objid
            WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                AND r.ev_class <> d.refobjid)
        SELECT DISTINCT c.oid::regclass::text, pg_total_relation_size(c.oid)
        FROM above JOIN pg_class c ON c.oid = above.oid WHERE c.relkind = 'm' ORDER BY 1""",  # noqa: S608
        target,
    )
    sizes = {str(name): int(bytes_) for name, bytes_ in rows}
    place = "materialized views"
    if not sizes:
        return Finding(place, State.NONE, "none is made from the table", facts={"views": {}})
    return Finding(
        place,
        State.MAYBE,
        listed([f"{name} ({size(bytes_)})" for name, bytes_ in sizes.items()]),
        "each keeps what it held until REFRESH MATERIALIZED VIEW; one that was refreshed since the "
        "sealing holds what is sealed. Without CONCURRENTLY, a refresh rewrites its file",
        {"views": sizes},
    )


def _columns(ask: Asking, target: Target) -> Finding:
    rows = family(
        ask,
        f"""{FAMILY}
        SELECT DISTINCT c.oid::regclass || '.' || a.attname, 'generated' AS why
        FROM looked l JOIN pg_depend d ON d.refobjid = l.attrelid AND d.refobjsubid = l.attnum
        JOIN pg_attribute a ON a.attrelid = l.attrelid AND a.attgenerated <> ''
            AND ((d.classid = 'pg_class'::regclass AND d.objid = a.attrelid
                    AND d.objsubid = a.attnum)
                OR (d.classid = 'pg_attrdef'::regclass AND EXISTS (
                    SELECT 1 FROM pg_attrdef e WHERE e.oid = d.objid AND e.adrelid = a.attrelid
                        AND e.adnum = a.attnum)))
        JOIN pg_class c ON c.oid = a.attrelid
        UNION
        SELECT k.conrelid::regclass || '.' || a.attname, 'foreign key'
        FROM pg_constraint k CROSS JOIN unnest(k.conkey, k.confkey) AS pair(near, far)
        JOIN looked l ON l.attrelid = k.confrelid AND l.attnum = pair.far
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.near
        WHERE k.contype = 'f'
        UNION
        SELECT c.oid::regclass || '.' || a.attname, 'same name'
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE a.attname = ANY(:columns) AND c.relkind IN ('r', 'p', 'f')
            AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname NOT LIKE 'pg_toast%' AND c.oid NOT IN (SELECT oid FROM family)
        ORDER BY 2, 1""",  # noqa: S608
        target,
    )
    known = [(str(name), str(why)) for name, why in rows]
    place = "other columns"
    facts = {"columns": [{"name": name, "why": why} for name, why in known]}
    advice = (
        "only generated columns, foreign keys and columns of the same name are looked for; what "
        "triggers, jobs and applications copied is not known here"
    )
    if not known:
        return Finding(place, State.UNSEEN, "none that is known", advice, facts)
    told = listed([f"{name} ({why})" for name, why in known])
    return Finding(place, State.MAYBE, told, advice, facts)


def _publications(ask: Asking, target: Target) -> Finding:
    rows = family(
        ask,
        f"""{FAMILY} SELECT DISTINCT p.pubname FROM pg_publication_tables p
        JOIN pg_namespace n ON n.nspname = p.schemaname
        JOIN pg_class c ON c.relname = p.tablename AND c.relnamespace = n.oid
        JOIN family f ON f.oid = c.oid ORDER BY 1""",  # noqa: S608
        target,
    )
    names = [str(row[0]) for row in rows]
    if not names:
        found = "no publication has the table"
        return Finding("publications", State.NONE, found, facts={"publications": []})
    return Finding(
        "publications",
        State.MAYBE,
        f"{many(len(names), 'publication')}: {listed(names)}",
        "subscribers have tables of their own, with old rows and statistics of their own: run this "
        "on each of them",
        {"publications": names},
    )
