"""
The runs that an application or a migration asks for, over the columns of its models.

Synopsis:

    for summary in reseal(engine, Base):
        assert summary.finished and not summary.bad

Each function checks everything first, and writes only if nothing stands in the way. What they do is
what the commands `sealed rotate`, `encrypt`, `decrypt` and `verify` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from .bookmark import forget_done
from .checks import check, check_keys
from .job import run
from .models import SealedColumn, by_table, sealed_columns
from .moves import Kind, check_alone, job_of
from .order import Summary
from .proof import Sink
from .verifying import verified


def reseal(
    engine: sa.Engine,
    models: Any,
    names: Sequence[str] = (),
    *,
    key: Sequence[str] | None = None,
    **options: Any,
) -> list[Summary]:
    """
    Reseal rows under the primary, and with the options that their columns have now.

    Args:
        engine: of their database, with a driver that is not async.
        models: a MetaData, a declarative base, a mapped class or a Table.
        names: only these tables and `table.column`s; by default all that are sealed.
        key: columns by which each row is found, if a table has no primary key.
        options: those of `run`.

    Returns:
        what was done to each table.

    Raises:
        ConfigurationError: something stands in the way; nothing was written.
        KeystoreError, ProviderError: the keys cannot be had.
        ResealError: the database refuses, or was away for too long.
    """
    return _done(engine, Kind.RESEAL, sealed_columns(models, names), None, key, options)


def encrypt(
    engine: sa.Engine,
    models: Any,
    name: str,
    source: str | None = None,
    *,
    key: Sequence[str] | None = None,
    **options: Any,
) -> Summary:
    """
    Seal plaintext that is in the database already.

    Args:
        engine: as for `reseal`.
        models: as for `reseal`.
        name: the sealed column, as `table.column`.
        source: the name of the column of plaintext in the same table, which stays as it is; by
            default the sealed column itself.
        key: as for `reseal`.
        options: those of `run`.

    Raises:
        ConfigurationError, KeystoreError, ProviderError, ResealError: as `reseal`.
    """
    [summary] = _done(engine, Kind.ENCRYPT, sealed_columns(models, [name]), source, key, options)
    return summary


def decrypt(
    engine: sa.Engine,
    models: Any,
    name: str,
    target: str | None = None,
    *,
    key: Sequence[str] | None = None,
    **options: Any,
) -> Summary:
    """
    Open values for good. Afterwards they stand in the database in plaintext.

    Args:
        engine: as for `reseal`.
        models: as for `reseal`.
        name: the sealed column, as `table.column`.
        target: the name of the column of plaintext in the same table; by default the sealed column
            itself.
        key: as for `reseal`.
        options: those of `run`.

    Raises:
        ConfigurationError, KeystoreError, ProviderError, ResealError: as `reseal`.
    """
    [summary] = _done(engine, Kind.DECRYPT, sealed_columns(models, [name]), target, key, options)
    return summary


def verify(  # noqa: PLR0913 - what and how
    engine: sa.Engine,
    models: Any,
    names: Sequence[str] = (),
    compare: str | None = None,
    *,
    key: Sequence[str] | None = None,
    sink: Sink | None = None,
    resume: Path | None = None,
    **options: Any,
) -> list[Summary]:
    """
    Open every value, and report those that do not open. Nothing is written.

    Args:
        engine: as for `reseal`.
        models: as for `reseal`.
        names: as for `reseal`.
        compare: the name of a column of plaintext that should hold the values of the one sealed
            column that is named.
        key: as for `reseal`.
        sink: gets the result of each table as a document.
        resume: a file that holds how far it is. A verification that was stopped or killed goes on
            where it was, with what it had found; rows that it has opened are not opened again. One
            that ends removes it. It is for one process at a time. A shared one goes on by its
            tables, and takes no file.
        options: those of `run`.

    Raises:
        ConfigurationError, KeystoreError, ProviderError, ResealError: as `reseal`.
    """
    columns = sealed_columns(models, names)
    summaries = _done(engine, Kind.VERIFY, columns, compare, key, options, resume)
    if resume is not None and all(each.finished for each in summaries):
        forget_done(resume)
    if sink is not None:
        for summary, table in zip(summaries, by_table(columns).values(), strict=True):
            sink(verified(summary, engine, [column.name for column in table]))
    return summaries


def _done(  # noqa: PLR0913, PLR0917 - the parts of a run
    engine: sa.Engine,
    kind: Kind,
    columns: Sequence[SealedColumn],
    other: str | None,
    key: Sequence[str] | None,
    options: dict[str, Any],
    resume: Path | None = None,
) -> list[Summary]:
    tables = list(by_table(columns).values())
    check_keys(kind, columns)
    with engine.connect() as connection:
        for table in tables:
            check(connection, kind, table, other, key=key)
        check_alone(resume, options.get("workers", 1), is_shared=options.get("shared", False))
        jobs = [job_of(connection, kind, t, other, key=key, resume=resume) for t in tables]
    return [run(engine, job, **options) for job in jobs]
