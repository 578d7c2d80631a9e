"""
What stands in the way of a run, found before anything is written.

The database is asked for what it says of the columns, and for one value of each; keys are asked
whether they open and seal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import NoSuchTableError, SAWarning, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from ..columntypes import holds_bytes, holds_text, innermost
from ..envelope import overhead, to_text
from ..errors import ConfigurationError, ProviderDeniedError, SealedError
from ..hints import near
from .constraints import check_constraints, unique_constraints
from .failures import problem_of
from .fits import problem_of_values, room_of, sealed_rows
from .models import SealedColumn, configured_sealers
from .moves import Kind, job_of
from .places import Finding, Place


def findings(
    connection: sa.Connection,
    kind: Kind,
    columns: Sequence[SealedColumn],
    other: str | None = None,
    *,
    key: Sequence[str] | None = None,
) -> list[Finding]:
    """
    Return what stands in the way of a run over columns of one table. Nothing is written.

    Args:
        connection: to their database.
        kind: what will be done.
        columns: sealed columns of one table.
        other: see `job_of`.
        key: see `job_of`.

    Raises:
        ResealError: the database does not let it look.
    """
    try:
        with warnings.catch_warnings():
            # Of indexes over expressions, and of types that SQLAlchemy does not know.
            warnings.simplefilter("ignore", SAWarning)
            return _findings(connection, kind, columns, other, key)
    except SQLAlchemyError as error:
        problem = problem_of(error, columns[0].table_label)
    raise problem


def _findings(
    connection: sa.Connection,
    kind: Kind,
    columns: Sequence[SealedColumn],
    other: str | None,
    key: Sequence[str] | None,
) -> list[Finding]:
    first = columns[0]
    inspector = sa.inspect(connection)
    if _is_view(inspector, first):
        return [Finding(first.table_label, "this is a view; run over the tables that it reads")]
    found: list[Finding] = []
    try:
        described = {
            each["name"]: each["type"]
            for each in inspector.get_columns(first.table, schema=first.schema)
        }
    except NoSuchTableError:
        hint = near(first.table, inspector.get_table_names(first.schema))
        return [Finding(first.table_label, f"there is no such table{hint}")]
    missing = [each for each in [*(c.name for c in columns), other] if each not in described]
    for name in missing:
        if name is not None:
            problem = f"there is no such column{near(name, list(described))}"
            found.append(Finding(f"{first.table_label}.{name}", problem))
    if not found:
        try:
            job = job_of(connection, kind, columns, other, key=key)
        except SealedError as error:
            return [Finding(error.where or first.table_label, error.problem)]
        for column in columns:
            place = Place(connection, inspector, kind, column, described, other)
            found += _of_column(place, job.table.key)
    return found


def check(
    connection: sa.Connection,
    kind: Kind,
    columns: Sequence[SealedColumn],
    other: str | None = None,
    *,
    key: Sequence[str] | None = None,
) -> list[Finding]:
    """
    Return warnings, as `findings` does.

    Raises:
        ConfigurationError: something stands in the way of the run; it names all of it.
    """
    found = findings(connection, kind, columns, other, key=key)
    refuse(found)
    return found


def refuse(found: Iterable[Finding]) -> None:
    """
    Refuse findings that are no warnings.

    Raises:
        ConfigurationError: there is one; it names all of them.
    """
    bad = [each for each in found if not each.is_warning]
    if len(bad) == 1:
        raise ConfigurationError(bad[0].problem, where=bad[0].where)
    if bad:
        raise ConfigurationError("; ".join(map(str, bad)))


def check_keys(kind: Kind, columns: Sequence[SealedColumn]) -> None:
    """
    Check that this process has the keys that a run needs, and unwrap all of them.

    Sealers that the application has not configured are configured from the environment.

    Raises:
        ConfigurationError: this process can only seal, and a run that opens values is asked for.
        KeystoreError, ProviderError: the keys cannot be had.
    """
    for sealer in configured_sealers(columns):
        keeper = sealer.kept()
        can_open = getattr(keeper.manager.provider, "can_unwrap", True)
        if can_open:
            sealer.warm()
        elif kind is not Kind.ENCRYPT:
            raise ProviderDeniedError(
                "this process can seal and not open, since it holds the public half of the KEK "
                f"only; to {kind}, run with the private key",
                where=f"sealer {sealer.name!r}",
            )


def _of_column(place: Place, key: Sequence[str]) -> Iterator[Finding]:
    written = {Kind.DECRYPT: place.other or place.column.name, Kind.VERIFY: None}.get(
        place.kind, place.column.name
    )
    if written in key:
        yield place.found(
            f"column {written!r} is part of the key by which rows are found, and a run would "
            "change it; use another key"
        )
    looks: list[Callable[[Place], Iterator[Finding]]] = [_storage]
    if place.kind in (Kind.ENCRYPT, Kind.RESEAL):
        looks.append(_width)
    if place.kind is Kind.ENCRYPT:
        looks += [_source, check_constraints, unique_constraints]
    if place.kind is Kind.DECRYPT and place.is_in_place:
        looks.append(check_constraints)
    for look in looks:
        found = list(look(place))
        yield from found
        if any(not each.is_warning for each in found):
            return


def _storage(place: Place) -> Iterator[Finding]:
    """Find a column that is of bytes where the type seals to text, or the other way round."""
    if place.connection.dialect.name == "sqlite":
        return  # A column takes any value there.
    stored = place.types[place.column.name]
    is_text = place.type.settings.is_text
    if holds_text(stored) if is_text else holds_bytes(stored):
        return
    wanted, option = ("text", "binary") if is_text else ("bytes", "text")
    problem = f"the column is {_said(stored)}, and its type seals to {wanted}; "
    if place.kind is Kind.ENCRYPT:
        yield place.found(
            f"{problem}add a column that is declared with it, and encrypt from this one into that "
            "one (--from)"
        )
    else:
        yield place.found(f"{problem}declare storage={option!r}, if that is how it was sealed")


def _width(place: Place) -> Iterator[Finding]:
    """Find a column that is too narrow for envelopes."""
    room = room_of(place.connection, place.types[place.column.name])
    if room is None:
        return
    settings = place.type.settings
    longest = 0
    if place.kind is Kind.ENCRYPT:
        source = place.other or place.column.name
        longest = _longest(place, source)
    tokens = None if settings.match is None else 0
    size = overhead(settings.slots, tokens)
    size += longest if settings.pad is None else (longest // settings.pad + 1) * settings.pad
    needed = len(to_text(bytes(size))) if settings.is_text else size
    if needed > room:
        unit = "characters" if settings.is_text else "bytes"
        yield place.found(
            f"the column has room for {room:,} {unit}, and values of {needed:,} would be stored; "
            f"widen it, best to {'TEXT' if settings.is_text else 'BLOB'}, whose length is not "
            "declared"
        )


def _longest(place: Place, source: str) -> int:
    """Return how many bytes the longest plaintext has, at least."""
    if not (holds_text(place.types[source]) or holds_bytes(place.types[source])):
        return 1
    column: sa.ColumnClause[Any] = sa.column(source)
    size = sa.func.max(sa.func.octet_length(column))
    statement = sa.select(size).select_from(place.table)
    return int(place.connection.scalar(statement) or 0)


def _source(place: Place) -> Iterator[Finding]:
    """Find plaintext that is none, or that the type does not seal."""
    source = place.other or place.column.name
    where = f"{place.column.table_label}.{source}"
    if not place.is_in_place:
        rows = sealed_rows(place.connection, place.table, source, place.types[source])
        if rows:
            yield Finding(
                where,
                f"{rows:,} of its values look sealed already, and would be sealed twice; name a "
                "column of plaintext",
            )
            return
    problem = problem_of_values(
        place.connection, place.table, source, place.type, is_in_place=place.is_in_place
    )
    if problem is not None:
        yield Finding(where, problem)


def _is_view(inspector: Inspector, column: SealedColumn) -> bool:
    views = inspector.get_view_names(column.schema)
    with suppress(NotImplementedError):
        views += inspector.get_materialized_view_names(column.schema)
    return column.table in views


def _said(type_: TypeEngine[Any]) -> str:
    return type(innermost(type_)).__name__.upper().replace("NULLTYPE", "of an unknown type")
