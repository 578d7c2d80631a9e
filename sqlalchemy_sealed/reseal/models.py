"""
Which sealed columns an application has: those of a MetaData, a declarative base, a mapped class or
a table, which may be named as `module:object`.

Synopsis:

    columns = sealed_columns(loaded("app.models:Base"), ["patients", "visits.note"])
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper

from ..environment import configure_from_env
from ..errors import ConfigurationError, SealedError
from ..guard.kinds import sealed_type
from ..hints import near
from ..sealer import Sealer, get_sealer
from ..types import Encrypted


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """
    A column of an application that is declared with a sealed type.

    Attributes:
        schema: that of its table; None for the default one.
        table: the name of its table.
        name: its own name in the database.
        type: the sealed type, also if another type is around it.
    """

    schema: str | None
    table: str
    name: str
    type: Encrypted[Any]

    @property
    def place(self) -> tuple[str | None, str]:
        """Schema and name of its table."""
        return self.schema, self.table

    @property
    def table_label(self) -> str:
        """`schema.table`, or `table`."""
        return self.table if self.schema is None else f"{self.schema}.{self.table}"

    @property
    def label(self) -> str:
        """`schema.table.column`, or `table.column`."""
        return f"{self.table_label}.{self.name}"

    def type_for(self, dialect: str) -> Encrypted[Any]:
        """Return the sealed type of a database, such as "postgresql"."""
        variant = self.type._variant_mapping.get(dialect)
        return self.type if variant is None else sealed_type(variant) or self.type


def loaded(target: str) -> Any:
    """
    Return the object that a text such as `app.models:Base` names. The module is imported.

    The current folder is looked in, too, as `python -m` does.

    Raises:
        ConfigurationError: it is not of this form, there is no such module or object, or the
            module fails. It says where, and not what the error has to say, which may quote secrets.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise ConfigurationError(
            "the models are given as MODULE:OBJECT, such as app.models:Base", where=repr(target)
        )
    found: Any = _imported(module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            names = [name for name in vars(found) if not name.startswith("_")]
            raise ConfigurationError(
                f"there is no {part!r}{near(part, names)}", where=module_name
            ) from None
        found = getattr(found, part)
    return found


def _imported(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except SealedError as error:
        problem: SealedError = error
    except ModuleNotFoundError as error:
        missing = error.name or name
        said = "there is no such module; run in the folder that has it"
        if not f"{name}.".startswith(f"{missing}."):
            said = f"it imports {missing!r}, which is not there"
        problem = ConfigurationError(said, where=name)
    except Exception as error:  # noqa: BLE001 - whatever a module of an application raises
        last = traceback.extract_tb(error.__traceback__)[-1]
        problem = ConfigurationError(
            f"importing it fails ({type(error).__name__} at {last.filename}:{last.lineno})",
            where=name,
        )
    raise problem


def sealed_columns(source: Any, names: Sequence[str] = ()) -> list[SealedColumn]:
    """
    Return the sealed columns of an application, in the order of its declarations.

    Args:
        source: a MetaData, a declarative base, a registry, a mapped class or a Table.
        names: only these: `table`, `table.column`, or either after `schema.`. By default all.

    Raises:
        ConfigurationError: *source* is none of these, there is no sealed column, a name is that of
            none, or sealed values stand inside of another type, such as an ARRAY, where a run
            does not reach them.
    """
    tables = _tables(source)
    found = [column for table in tables for column in _of_table(table)]
    if names:
        found = _named(found, names, tables)
    if not found:
        raise ConfigurationError(
            "no column here is sealed; is the module that declares the tables imported?",
            where=_said(source),
        )
    for column, type_ in found:
        if not _is_sealed_itself(type_):
            raise ConfigurationError(
                f"sealed values inside of {type(type_).__name__} are not reached by a run; name "
                "the other columns",
                where=column.label,
            )
    return [column for column, _ in found]


def by_table(columns: Iterable[SealedColumn]) -> dict[tuple[str | None, str], list[SealedColumn]]:
    """Return columns by schema and name of their table."""
    tables: dict[tuple[str | None, str], list[SealedColumn]] = {}
    for column in columns:
        tables.setdefault(column.place, []).append(column)
    return tables


def configured_sealers(columns: Iterable[SealedColumn]) -> list[Sealer]:
    """
    Return the sealers of columns. Those that the application has not configured are configured
    from the environment.

    Raises:
        ConfigurationError, KeystoreError, ProviderError: as `configure_from_env`.
    """
    names = dict.fromkeys(column.type.settings.sealer for column in columns)
    sealers = [get_sealer(name) for name in names]
    for sealer in sealers:
        if not sealer.is_configured:
            configure_from_env(sealer.name)
    return sealers


# -- what there is


def _tables(source: Any) -> list[sa.Table]:
    if isinstance(source, sa.Table):
        return [source]
    mapper = sa.inspect(source, raiseerr=False) if isinstance(source, type) else None
    if isinstance(mapper, Mapper):
        return [table for table in mapper.tables if isinstance(table, sa.Table)]
    metadata = source if isinstance(source, sa.MetaData) else getattr(source, "metadata", None)
    if isinstance(metadata, sa.MetaData):
        return list(metadata.tables.values())
    raise ConfigurationError(
        "this is no MetaData, declarative base, mapped class or Table", where=_said(source)
    )


def _of_table(table: sa.Table) -> Iterator[tuple[SealedColumn, Any]]:
    for column in table.columns:
        type_ = sealed_type(column.type)
        if type_ is not None:
            yield SealedColumn(table.schema, table.name, column.name, type_), column.type


def _is_sealed_itself(type_: Any) -> bool:
    """Whether a type is sealed, or a decorator around one that is."""
    while not isinstance(type_, Encrypted):
        if not isinstance(type_, sa.TypeDecorator):
            return False
        type_ = type_.impl_instance
    return True


def _named(
    found: list[tuple[SealedColumn, Any]], names: Sequence[str], tables: list[sa.Table]
) -> list[tuple[SealedColumn, Any]]:
    chosen: set[str] = set()
    for name in names:
        labels = {column.label for column, _ in found if name in _names(column)}
        if not labels:
            raise _unknown(name, [column for column, _ in found], tables)
        chosen |= labels
    return [each for each in found if each[0].label in chosen]


def _names(column: SealedColumn) -> set[str]:
    """Return the names by which a column is chosen."""
    bare = f"{column.table}.{column.name}"
    return {column.table, column.table_label, bare, column.label}


def _unknown(name: str, columns: list[SealedColumn], tables: list[sa.Table]) -> ConfigurationError:
    for table in tables:
        if name in (table.name, table.fullname):
            return ConfigurationError("no column of this table is sealed", where=name)
        for column in table.columns:
            if name in (f"{table.name}.{column.name}", f"{table.fullname}.{column.name}"):
                return ConfigurationError("this column is not declared as sealed", where=name)
    known = sorted({each for column in columns for each in (column.table_label, column.label)})
    return ConfigurationError(f"there is no such table or column{near(name, known)}", where=name)


def _said(source: Any) -> str:
    return getattr(source, "__name__", None) or type(source).__name__
