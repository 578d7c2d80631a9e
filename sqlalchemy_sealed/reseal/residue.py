"""
What is left of plaintext after a column was sealed: a report, and the cleaning of what can be.

Synopsis:

    for finding in residue(engine, "patients", "email").findings:
        print(finding.place, finding.state, finding.found)
    residue(engine, "patients", "email", clean=True)

No value is read into this process, but by the database itself to tell what is sealed from what is
not, and none is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from ..errors import ConfigurationError, OptionError, ResealError
from ..hints import near
from . import (
    residue_mariadb,
    residue_pgclean,
    residue_pgcopies,
    residue_pgserver,
    residue_pgtable,
    residue_sqlite,
)
from .forms import looks_sealed
from .residue_ask import Asking, RefusedError, reason, seen
from .residue_model import Column, Finding, Residue, State, Step, Target, settled
from .sessions import own_engine

STEPS = ("table", "statistics", "catalog", "statements", "wal", "journal")
"""The names of the steps of cleaning, of all databases."""
LOCK_SECONDS = 5.0
"""How long a step waits for a lock, by default."""
_LOOKED_AT = 1000
"""Rows in which a sealed value is looked for, where no column is named."""

Tell = Callable[[Step], None]


class _Cleaner(Protocol):
    """What a module has that cleans a database."""

    def steps(
        self, ask: Asking, target: Target, found: Mapping[str, Finding], /
    ) -> Iterator[Step]: ...

    def prepare(self, ask: Asking, lock_seconds: float, /) -> None: ...

    def do(self, ask: Asking, target: Target, step: Step, lock_seconds: float, /) -> Step: ...


_CLEANERS: dict[str, _Cleaner] = {
    "postgresql": residue_pgclean,
    "sqlite": residue_sqlite,
    "mysql": residue_mariadb,
    "mariadb": residue_mariadb,
}


def residue(  # noqa: PLR0913 - the options of cleaning
    engine: sa.Engine,
    table: str,
    column: str | None = None,
    *,
    schema: str | None = None,
    clean: bool = False,
    skip: Collection[str] = (),
    lock_seconds: float = LOCK_SECONDS,
    tell: Tell | None = None,
) -> Residue:
    """
    Report where plaintext of a column may still be in a database, and clean what can be cleaned.

    Args:
        engine: of the database, with a driver that is not async: PostgreSQL, SQLite, MariaDB or
            MySQL.
        table: the name of the table.
        column: the sealed column; by default those of the table that hold envelopes. The name of
            a column that was dropped is not given.
        schema: that of the table, if it is not the default one.
        clean: do the steps of the report. Some lock the table; see each step's `effect`.
        skip: names of steps that are left out.
        lock_seconds: how long a step waits for locks, and for old snapshots to end, before it is
            given up.
        tell: called after each step.

    Returns:
        The report. A step that could not be done has a `problem`, and the others are done.

    Raises:
        ConfigurationError: no such table or column, or an async engine.
        OptionError: another database, a step of no such name, or cleaning of a column that holds
            values that are not sealed.
        ResealError: no connection.
    """
    _check(engine, skip)
    try:
        with _own_connection(engine) as connection:
            ask = Asking(connection)
            target = _target(ask, table, column, schema)
            return _residue(
                ask, target, clean=clean, skip=skip, lock_seconds=lock_seconds, tell=tell
            )
    except RefusedError as error:
        problem = ResealError(f"the residue is not known: {error}", where=table)
    except DBAPIError as error:
        problem = ResealError(f"no connection: {reason(error)}", where=table)
    raise problem


def _residue(  # noqa: PLR0913 - what it was given
    ask: Asking,
    target: Target,
    *,
    clean: bool,
    skip: Collection[str],
    lock_seconds: float,
    tell: Tell | None,
) -> Residue:
    connection = ask.connection
    cleaner = _CLEANERS[connection.dialect.name]
    found = _findings(ask, target)
    by_place = {each.place: each for each in found}
    steps = tuple(s for s in cleaner.steps(ask, target, by_place) if s.name not in skip)
    if clean:
        _check_sealed(target, by_place["rows"])
        cleaner.prepare(ask, lock_seconds)
        done = []
        for step in steps:
            done.append(cleaner.do(ask, target, step, lock_seconds))
            if tell is not None:
                tell(done[-1])
        steps = tuple(done)
        found = settled(_findings(ask, target), steps)
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    database = f"{connection.dialect.name} {version}"
    return Residue(database, target.name, tuple(target.names), tuple(found), steps, clean)


@contextmanager
def _own_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection whose settings are not those of the application, nor become them."""
    with own_engine(engine) as own, own.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if engine.dialect.name == "postgresql":
            # A row that is hidden from this user would be taken for one that is not there.
            connection.exec_driver_sql("SET row_security = off")
            connection.exec_driver_sql("SET bytea_output = hex")
        if engine.dialect.name != "sqlite":
            yield connection
            return
        with residue_sqlite.restored(connection):
            yield connection


def _check_sealed(target: Target, rows: Finding) -> None:
    if rows.state is State.LEFT:
        raise OptionError(
            "there are values that are not sealed; seal them first, and clean then",
            where=target.label,
        )
    if rows.state is State.UNSEEN and target.columns:
        raise OptionError(
            f"whether all values are sealed cannot be seen: {rows.found}", where=target.label
        )


def _check(engine: sa.Engine, skip: Collection[str]) -> None:
    if not isinstance(engine, sa.Engine) or engine.dialect.is_async:
        raise ConfigurationError("the residue is looked at by a synchronous engine; give it one")
    if engine.dialect.name not in _CLEANERS:
        raise OptionError(f"the residue of {engine.dialect.name} is not known")
    for name in skip:
        if name not in STEPS:
            raise OptionError(f"there is no step {name!r}; there are {', '.join(STEPS)}")


def _findings(ask: Asking, target: Target) -> list[Finding]:
    found = [seen("rows", lambda: _rows(ask, target), "")]
    match ask.connection.dialect.name:
        case "postgresql":
            found += residue_pgtable.findings(ask, target)
            found += residue_pgcopies.findings(ask, target)
            found += residue_pgserver.findings(ask, target)
            found += residue_pgserver.NEVER_SEEN
        case "sqlite":
            found += residue_sqlite.findings(ask, target)
            found += residue_sqlite.NEVER_SEEN
        case _:
            found += residue_mariadb.findings(ask, target)
            found += residue_mariadb.NEVER_SEEN
    return found


def _rows(ask: Asking, target: Target) -> Finding:
    """Look whether the column is sealed at all."""
    if not target.columns:
        found = f"no column of the first {_LOOKED_AT} rows holds an envelope"
        return Finding("rows", State.UNSEEN, found, "name the column")
    plain = [column.name for column in target.columns if _has(ask, target, column, sealed=False)]
    if not plain:
        told = f"each value of {', '.join(target.names)} has the form of an envelope"
        return Finding("rows", State.NONE, told, facts={"plain_columns": []})
    return Finding(
        "rows",
        State.LEFT,
        f"there are values of {', '.join(plain)} that are not sealed",
        "seal them first; cleaning before would be in vain",
        {"plain_columns": plain},
    )


def _has(ask: Asking, target: Target, column: Column, *, sealed: bool) -> bool:
    """Whether there is a sealed value in the first rows, or anywhere one that is not sealed."""
    kind = sa.LargeBinary() if column.is_text is False else sa.Text()
    value: sa.ColumnClause[object] = sa.column(column.name, kind, _selectable=target.clause)
    some = sa.select(value).where(value.is_not(None))
    if column.is_text is None:
        return not sealed and bool(ask.rows(some.limit(1).with_only_columns(sa.literal(1))))
    if sealed:
        first = some.limit(_LOOKED_AT).subquery()
        (value,) = first.c  # type: ignore[assignment]
        some = sa.select(value)
    form = looks_sealed(ask.connection, value, is_text=column.is_text)
    wanted = some.where(form if sealed else sa.not_(form)).limit(1)
    return bool(ask.rows(wanted.with_only_columns(sa.literal(1), maintain_column_froms=True)))


def _target(ask: Asking, name: str, column: str | None, schema: str | None) -> Target:
    inspector = sa.inspect(ask.connection)
    if name in _views(inspector, schema):
        raise ConfigurationError("this is a view; give the table that it is made from", where=name)
    try:
        described = inspector.get_columns(name, schema=schema)
    except NoSuchTableError:
        hint = near(name, inspector.get_table_names(schema))
        problem = ConfigurationError(f"there is no table {name!r}{hint}", where="database")
    else:
        columns = [Column(each["name"], _is_text(each["type"])) for each in described]
        preparer = ask.connection.dialect.identifier_preparer
        quoted = preparer.format_table(sa.table(name, schema=schema))
        whole = Target(schema, name, tuple(columns), quoted)
        chosen = _chosen(ask, whole, column)
        return replace(whole, columns=tuple(chosen))
    raise problem


def _views(inspector: Inspector, schema: str | None) -> list[str]:
    views = inspector.get_view_names(schema)
    if inspector.dialect.name == "postgresql":
        views += inspector.get_materialized_view_names(schema)
    return views


def _chosen(ask: Asking, target: Target, column: str | None) -> Sequence[Column]:
    if column is None:
        return [
            each
            for each in target.columns
            if each.is_text is not None and _has(ask, target, each, sealed=True)
        ]
    chosen = [each for each in target.columns if each.name == column]
    if not chosen:
        raise ConfigurationError(
            f"there is no column {column!r}{near(column, target.names)}; of one that was dropped, "
            "give the table only",
            where=target.name,
        )
    return chosen


def _is_text(type_: sa.types.TypeEngine[object]) -> bool | None:
    """Whether values are texts; False for bytes, None for all else."""
    inner = getattr(type_, "data_type", type_)  # That of a domain.
    if isinstance(inner, sa.Enum):
        return None
    try:
        kind: type = inner.python_type
    except NotImplementedError:
        return None
    return kind is str if kind in (str, bytes) else None
