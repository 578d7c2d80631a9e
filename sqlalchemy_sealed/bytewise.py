"""
Texts that a database compares by their letters and nothing else: the SQL for each kind of it.

A collation of a column may find `ann` equal to `Ann`, and on MariaDB also to `ann` with a blank.
The character sets of a column and of a connection may differ there, too, so the bytes that are
stored or sent say nothing: both are taken as utf8mb4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import collate

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.elements import ColumnElement

_FORMS = {
    # The type citext compares without regard to case under every collation.
    "postgresql": 'CAST({} AS TEXT) COLLATE "C"',
    "sqlite": "{} COLLATE BINARY",
}
_OF_MARIADB = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_nopad_bin"
_OF_MYSQL = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_0900_bin"


def bytewise(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a text that equals the same letters only, whatever the collation of its column."""
    return _Bytewise(text)


def bytewise_sql(text: str, dialect: Dialect) -> str:
    """
    Return the SQL of `bytewise`.

    Args:
        text: the SQL of a column, or of another expression that needs no parentheses.
        dialect: that of the engine.
    """
    if dialect.name in ("mysql", "mariadb"):
        is_mariadb = dialect.name == "mariadb" or getattr(dialect, "is_mariadb", False)
        return (_OF_MARIADB if is_mariadb else _OF_MYSQL).format(text)
    return _FORMS.get(dialect.name, "{}").format(text)


class _Bytewise(FunctionElement[Any]):
    """The element of `bytewise`."""

    name = "bytewise"
    type = Text()
    inherit_cache = True


@compiles(_Bytewise)
def _compile(element: _Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    [text] = element.clauses
    return bytewise_sql(compiler.process(text.self_group(against=collate), **kw), compiler.dialect)
