"""
Companion columns: how MySQL and MariaDB index a slot.

MariaDB has no index over an expression, so a slot that an `Index` names gets a generated column
there, and the index is over that. It is made and dropped with the index, in one ALTER TABLE, and
whatever asks for the slot asks for the companion instead.

A companion is STORED. A VIRTUAL one would take no place in the row and be added without a copy of
the table, but InnoDB has corrupted indexes over virtual columns of long values that several clients
change (https://jira.mariadb.org/browse/MDEV-38140), and a search would then find too little.

It is INVISIBLE: neither `SELECT *` nor an INSERT without a list of columns sees it.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from sqlalchemy import ColumnClause, Computed, Index, Table, column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, DropIndex
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.selectable import FromClauseAlias

from ..errors import ConfigurationError
from .declaration import short_name
from .slots import Slot, compile_slot

DIALECTS = ("mysql", "mariadb")


def companion_name(slot: Slot) -> str:
    """
    Return the name of a slot's companion column, such as `email_sealed_slot0`.

    It says everything that the companion's expression depends on: a column of this name that is
    there already is the same.
    """
    type_: Any = slot.type
    form = ["text"] if type_.source.settings.is_text else []
    return short_name(slot.column.name, "sealed", *form, f"slot{slot.position}")


def companion_of(slot: Slot, compiler: Any) -> ColumnClause[Any] | None:
    """Return the companion column of a slot, in the table or alias of its column, if it has one."""
    selectable: Any = getattr(slot.column, "table", None)
    table = selectable
    while isinstance(table, FromClauseAlias):
        table = table.element
    if not isinstance(table, Table):
        return None
    name = companion_name(slot)
    if _declared(table, name) is None and not any(
        companion_name(indexed) == name
        for index in table.indexes
        if _is_created(index, compiler)
        for indexed in _slots(index)
    ):
        return None
    return ColumnClause(name, slot.type, _selectable=selectable)


def _slots(index: Index) -> list[Slot]:
    return [expression for expression in index.expressions if isinstance(expression, Slot)]


def _is_created(index: Index, compiler: Any) -> bool:
    """Whether `Index.ddl_if` lets the index be there in this database."""
    condition = index._ddl_if
    return condition is None or condition._should_execute(
        CreateIndex(index), index, None, compiler=compiler
    )


def _declared(table: Table, name: str) -> Any:
    """
    Return the companion that the table itself has, as a reflected one does.

    Raises:
        ConfigurationError: it is an ordinary column.
    """
    declared = next((column for column in table.columns if column.name == name), None)
    if declared is not None and not isinstance(declared.computed, Computed):
        raise ConfigurationError(
            "a column of this name would be taken for the companion of a blind index; rename it",
            where=str(declared),
        )
    return declared


@compiles(Slot, *DIALECTS)
def _compile_slot(element: Slot, compiler: SQLCompiler, **kw: Any) -> str:
    companion = companion_of(element, compiler)
    if companion is None:
        return compile_slot(element, compiler, **kw)
    kw["within_columns_clause"] = False
    return compiler.process(companion, **kw)


# -- CREATE INDEX, DROP INDEX


@compiles(CreateIndex, *DIALECTS)
def _compile_create_index(create: CreateIndex, compiler: Any, **kw: Any) -> str:
    index: Any = create.element
    if not _slots(index):
        return str(compiler.visit_create_index(create, **kw))
    # The stock SQL, options and all, of an index over the companions.
    stock = compiler.visit_create_index(
        CreateIndex(_over_companions(index), if_not_exists=create.if_not_exists), **kw
    )
    table = _table(index, compiler)
    added = stock.strip().replace("CREATE ", "ADD ", 1).replace(f" ON {table} ", " ", 1)
    wanted = {companion_name(slot): slot for slot in _slots(index)}
    columns = [
        f"ADD COLUMN {_if(compiler, 'NOT EXISTS')}{_specification(name, slot, compiler)}"
        for name, slot in wanted.items()
        if _declared(index.table, name) is None
    ]
    return f"ALTER TABLE {table} {', '.join([*columns, added])}"


def _over_companions(index: Index) -> Index:
    shadow = copy(index)
    shadow.expressions = [
        column(companion_name(expression)) if isinstance(expression, Slot) else expression
        for expression in index.expressions
    ]
    return shadow


def _specification(name: str, slot: Slot, compiler: DDLCompiler) -> str:
    """
    Return the definition of a companion column.

    Its comparison is that of bytes, whatever the collation of the table is.
    """
    type_: Any = slot.type
    if type_.source.settings.is_text:
        sql_type = f"VARCHAR({type_.size}) CHARACTER SET ascii COLLATE ascii_bin"
    else:
        sql_type = f"VARBINARY({type_.size})"
    quote = compiler.preparer.quote
    value = slot.taken_out_of(quote(slot.column.name))
    return f"{quote(name)} {sql_type} GENERATED ALWAYS AS ({value}) STORED INVISIBLE"


@compiles(DropIndex, *DIALECTS)
def _compile_drop_index(drop: DropIndex, compiler: Any, **kw: Any) -> str:
    index: Any = drop.element
    if not _slots(index):
        return str(compiler.visit_drop_index(drop, **kw))
    table = _table(index, compiler)
    stock = compiler.visit_drop_index(drop, **kw).strip().removesuffix(f" ON {table}")
    kept = {
        companion_name(slot)
        for other in index.table.indexes
        if other is not index
        for slot in _slots(other)
    }
    names = {companion_name(slot): None for slot in _slots(index)}
    columns = [
        f"DROP COLUMN {_if(compiler, 'EXISTS')}{compiler.preparer.quote(name)}"
        for name in names
        if name not in kept and _declared(index.table, name) is None
    ]
    return f"ALTER TABLE {table} {', '.join([stock, *columns])}"


def _table(index: Any, compiler: DDLCompiler) -> str:
    return compiler.preparer.format_table(index.table)


def _if(compiler: DDLCompiler, state: str) -> str:
    """Return IF EXISTS or IF NOT EXISTS for a column, which only MariaDB has."""
    return f"IF {state} " if getattr(compiler.dialect, "is_mariadb", False) else ""
