"""What a run does to the sealed columns of one table, as a command or a migration names it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import sqlalchemy as sa

from ..errors import OptionError
from .changes import Change, decrypt_change, encrypt_change, reseal_change
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


def job_of(
    connection: sa.Connection,
    kind: Kind,
    columns: Sequence[SealedColumn],
    other: str | None = None,
    *,
    key: Sequence[str] | None = None,
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
        return verify_job(table, types, {columns[0].name: other} if other else None)
    return Job(kind.value, table, [_change(kind, table, each, other, dialect) for each in columns])


def _change(
    kind: Kind, table: MovedTable, column: SealedColumn, other: str | None, dialect: str
) -> Change:
    label, type_ = f"{table.name}.{column.name}", column.type_for(dialect)
    if kind is Kind.RESEAL:
        return reseal_change(label, column.name, type_)
    make = encrypt_change if kind is Kind.ENCRYPT else decrypt_change
    return make(label, column.name, type_, other)
