"""What a run does to the sealed columns of one table, as a command or a migration names it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import OptionError
from ..keystores.connecting import shown
from ..types import Encrypted
from .bookmark import Bookmark
from .changes import Change, Column, decrypt_change, encrypt_change, reseal_change
from .converts import Convert, resealing
from .models import SealedColumn
from .order import Job
from .table import MovedTable, moved_table
from .verifying import verify_job


class Kind(StrEnum):
    """What is done."""

    RESEAL = "reseal"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    VERIFY = "verify"


def job_of(  # noqa: PLR0913 - what and how
    connection: sa.Connection,
    kind: Kind,
    columns: Sequence[SealedColumn],
    other: str | None = None,
    *,
    key: Sequence[str] | None = None,
    resume: Path | None = None,
) -> Job:
    """
    Return the job over sealed columns of one table.

    Args:
        connection: to its database.
        kind: what is done.
        columns: of one table.
        other: the name of a column of plaintext in the same table, for one sealed column: from
            which it is encrypted, into which it is decrypted, or with which it is compared. By
            default values are encrypted and decrypted in place.
        key: see `moved_table`.
        resume: a file that says how far a verification is, by which it goes on.

    Raises:
        ConfigurationError: there is no such table, or its rows cannot be paged; see `moved_table`.
        OptionError: another column for several sealed ones, or values of this type cannot change
            places with their envelopes.
    """
    table = moved_table(connection, columns[0].table, columns[0].schema, key=key)
    if other is not None and len(columns) != 1:
        raise OptionError(
            f"column {other!r} belongs to one sealed column; name which one", where=table.label
        )
    dialect = connection.dialect.name
    if kind is Kind.VERIFY:
        types = {each.name: each.type_for(dialect) for each in columns}
        compared = {columns[0].name: other} if other else None
        return verify_job(
            table, types, compared, _bookmark(connection, table, types, other, resume)
        )
    return Job(kind.value, table, [_change(kind, table, each, other, dialect) for each in columns])


def check_alone(resume: Path | None, workers: int, *, is_shared: bool) -> None:
    """
    Check that a file says how far one process is.

    Raises:
        OptionError: there are several.
    """
    if resume is not None and (workers > 1 or is_shared):
        raise OptionError(
            "a shared verification goes on by its tables in the database, and takes no file"
        )


def _bookmark(
    connection: sa.Connection,
    table: MovedTable,
    names: Iterable[str],
    other: str | None,
    file: Path | None,
) -> Bookmark | None:
    if file is None:
        return None
    what = f"{shown(connection.engine.url)} {table.label} ({', '.join(names)})"
    return Bookmark(file, what if other is None else f"{what} = {other}")


def renewing_job(
    connection: sa.Connection, columns: Sequence[SealedColumn], *, key: Sequence[str] | None = None
) -> Job:
    """Return the job of resealing after a rotation that is still to come: over every value."""
    table = moved_table(connection, columns[0].table, columns[0].schema, key=key)
    changes = []
    for column in columns:
        type_ = column.type_for(connection.dialect.name)
        change = _change(Kind.RESEAL, table, column, None, connection.dialect.name)

        def converting(_dialect: sa.Dialect, type_: Encrypted[Any] = type_) -> Convert:
            return resealing(type_, type_, is_copied=True)

        changes.append(replace(change, todo=_has_value, converting=converting))
    return Job(Kind.RESEAL.value, table, changes)


def _has_value(_connection: sa.Connection, source: Column, _target: Column) -> Any:
    return source.is_not(None)


def _change(
    kind: Kind, table: MovedTable, column: SealedColumn, other: str | None, dialect: str
) -> Change:
    label, type_ = f"{table.name}.{column.name}", column.type_for(dialect)
    if kind is Kind.RESEAL:
        return reseal_change(label, column.name, type_)
    make = encrypt_change if kind is Kind.ENCRYPT else decrypt_change
    return make(label, column.name, type_, other)
