"""What is looked after while Alembic generates a migration."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from alembic.util import PriorityDispatchResult

from .keys_table import COLUMNS

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

log = logging.getLogger("alembic_ext")


OWN_TABLES = {"sealed_runs", "sealed_ranges", "sealed_latches"}
"""The tables by which the workers of a run share it, and that of latches; commands make them."""


def keep_the_keys(_context: AutogenContext, upgrade_ops: ops.UpgradeOps) -> PriorityDispatchResult:
    """
    Leave out of a generated migration that the table of keys, or those of runs, be dropped.

    They are not among the tables of the application's metadata if they were made by
    `op.create_sealed_keys_table()`, by `DatabaseKeystore.create()`, or by a run.
    """
    kept = {
        (each.schema, each.table_name)
        for each in upgrade_ops.ops
        if isinstance(each, ops.DropTableOp) and _is_kept(each)
    }
    for schema, table in kept:
        log.info("Left alone: table %r", f"{schema}.{table}" if schema else table)
    upgrade_ops.ops[:] = [each for each in upgrade_ops.ops if _place(each) not in kept]
    return PriorityDispatchResult.CONTINUE


def _is_kept(operation: ops.DropTableOp) -> bool:
    # Also a table of keys to which somebody has added columns.
    is_of_keys = {column.name for column in operation.to_table().columns} >= COLUMNS
    return is_of_keys or operation.table_name in OWN_TABLES


def _place(operation: Any) -> tuple[Any, Any] | None:
    if isinstance(operation, ops.DropTableOp | ops.ModifyTableOps):
        return operation.schema, operation.table_name
    return None
