"""`op.create_sealed_keys_table()` and its reverse: the table of a `DatabaseKeystore`."""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations
from alembic.util import CommandError
from sqlalchemy import MetaData, Table, func, select

# The library itself is imported when an operation is run: this module is part of `import alembic`.

COLUMNS = frozenset(
    {
        "name",
        "kind",
        "generation",
        "id",
        "wrapped",
        "created",
        "index_key_id",
        "bridge_key_id",
        "state",
        "due",
    }
)
"""The columns by which the table is known, whatever its name."""


@Operations.register_operation("create_sealed_keys_table")
class CreateSealedKeysTableOp(MigrateOperation):
    """Create the table of a `DatabaseKeystore`."""

    def __init__(self, table: str, schema: str | None = None) -> None:
        self.table = table
        self.schema = schema

    @classmethod
    def create_sealed_keys_table(
        cls, operations: Operations, table: str = "sealed_keys", *, schema: str | None = None
    ) -> None:
        """
        Create the table of a `DatabaseKeystore`, as its `create()` does.

        Args:
            operations: comes from Alembic.
            table: the name of the table, as in `DatabaseKeystore(table=...)`.
            schema: its schema.
        """
        operations.invoke(cls(table, schema))

    def reverse(self) -> DropSealedKeysTableOp:
        """Return the operation that takes this one back."""
        return DropSealedKeysTableOp(self.table, self.schema)

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return what `alembic check` shows."""
        return "create_sealed_keys_table", self.table


@Operations.register_operation("drop_sealed_keys_table")
class DropSealedKeysTableOp(MigrateOperation):
    """Drop the table of a `DatabaseKeystore`."""

    def __init__(
        self, table: str, schema: str | None = None, *, and_its_keys: bool = False
    ) -> None:
        self.table = table
        self.schema = schema
        self.and_its_keys = and_its_keys

    @classmethod
    def drop_sealed_keys_table(
        cls,
        operations: Operations,
        table: str = "sealed_keys",
        *,
        schema: str | None = None,
        and_its_keys: bool = False,
    ) -> None:
        """
        Drop the table of a `DatabaseKeystore`.

        Args:
            operations: comes from Alembic.
            table: the name of the table.
            schema: its schema.
            and_its_keys: drop it even if it holds keys. What they have sealed is lost then,
                unless there is a copy of the table.

        Raises:
            CommandError: it holds keys, or, with `--sql`, may hold some.
        """
        operations.invoke(cls(table, schema, and_its_keys=and_its_keys))

    def reverse(self) -> CreateSealedKeysTableOp:
        """Return the operation that makes an empty table again."""
        return CreateSealedKeysTableOp(self.table, self.schema)

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return what `alembic check` shows."""
        return "drop_sealed_keys_table", self.table


@Operations.implementation_for(CreateSealedKeysTableOp)
def _create(operations: Operations, operation: CreateSealedKeysTableOp) -> None:
    operations.impl.create_table(_declared(operation.table, operation.schema))


@Operations.implementation_for(DropSealedKeysTableOp)
def _drop(operations: Operations, operation: DropSealedKeysTableOp) -> None:
    table = _declared(operation.table, operation.schema)
    if not operation.and_its_keys:
        _refuse_to_drop_keys(operations, table)
    operations.impl.drop_table(table)


def _refuse_to_drop_keys(operations: Operations, table: Table) -> None:
    remedy = (
        "without them, what they sealed is lost: move them to another keystore, or say "
        "op.drop_sealed_keys_table(and_its_keys=True)"
    )
    context = operations.migration_context
    if context.as_sql:
        raise CommandError(f"{table.fullname} may hold keys when this SQL is run; {remedy}")
    query = select(func.count()).select_from(table).where(table.c.state != "destroyed")
    keys = operations.get_bind().scalar(query)
    if keys:
        raise CommandError(f"{table.fullname} holds {keys} keys; {remedy}")


def _declared(table: str, schema: str | None) -> Any:
    from sqlalchemy_sealed.keystores.table import keys_table  # noqa: PLC0415 - see above

    return keys_table(MetaData(), table, schema)
