"""The SQL of match indexes, one way a database. Importing it teaches the compilers."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from sqlalchemy import Alias, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from ..errors import RefusedOperationError
from .match import TABLES, TOKEN, TokenMatch, Tokens, TokensType
from .token_sql import NO_TOKENS, PortablePlaces, PostgresPlaces


@compiles(Tokens)
def _compile_tokens(element: Tokens, compiler: SQLCompiler, **kw: Any) -> str:
    if compiler.dialect.name != "default":
        raise _without_sql(compiler, element)
    return f"sealed_tokens({compiler.process(element.column, **kw)})"


@compiles(Tokens, "postgresql")
def _compile_tokens_postgresql(element: Tokens, compiler: SQLCompiler, **kw: Any) -> str:
    return _postgres_places(element, compiler, kw).array()


def _postgres_places(tokens: Tokens, compiler: SQLCompiler, kw: dict[str, Any]) -> PostgresPlaces:
    settings = cast("TokensType", tokens.type).source.settings
    column = compiler.process(tokens.column, **{**kw, "within_columns_clause": False})
    return PostgresPlaces(column, settings.slots, settings.is_text)


@compiles(TokenMatch)
def _compile_match(element: TokenMatch, compiler: SQLCompiler, **kw: Any) -> str:
    if compiler.dialect.name != "default":
        raise _without_sql(compiler, cast("Tokens", element.left))
    left, right = (compiler.process(side, **kw) for side in (element.left, element.right))
    return f"({left} @> {right})"


def _without_sql(compiler: SQLCompiler, tokens: Tokens) -> RefusedOperationError:
    return RefusedOperationError(
        f"a match index has no SQL for {compiler.dialect.name}; it can be searched on PostgreSQL, "
        "SQLite and MariaDB",
        where=cast("TokensType", tokens.type).source.label,
    )


@compiles(TokenMatch, "postgresql")
def _compile_match_postgresql(element: TokenMatch, compiler: SQLCompiler, **kw: Any) -> str:
    places = _postgres_places(cast("Tokens", element.left), compiler, kw)
    tokens = places.array()
    bound = f"CAST({compiler.process(element.right, **kw)} AS text)"
    parts = [f"string_to_array(split_part({bound}, '|', {n}), ' ')" for n in (2, 3, 4, 5)]
    # One condition for each index key and one for values without tokens: PostgreSQL joins the
    # bitmaps of three index scans, and has no need to look into the rows for them.
    is_share = element.term.place is None
    operator, looked_up = ("&&", parts[2:]) if is_share else ("@>", parts[:2])
    found = [f"{tokens} {operator} {each}" for each in looked_up]
    condition = f"({' OR '.join(found)} OR {tokens} @> ARRAY['{NO_TOKENS}'])"
    if not is_share:
        return condition
    # A token that is found across two others is a false match, as others are. OFFSET 0 keeps the
    # block from being computed once a token.
    least = f"CAST(split_part({bound}, '|', 1) AS integer)"
    enough = [
        f"(SELECT count(*) FROM (SELECT {places.block()} AS tokens OFFSET 0) AS _row, "  # noqa: S608
        f"unnest({each}) AS _token(value) WHERE strpos(_row.tokens, _token.value) > 0) >= {least}"
        for each in parts[:2]
    ]
    counted = f"CASE WHEN {places.has_tokens()} THEN {' OR '.join(enough)} ELSE true END"
    return f"({condition} AND {counted})"


class _Items(NamedTuple):
    """
    SQL of the items of each set that is searched, where there are no arrays.

    Attributes:
        rows: tables with one row for each item; its `value` is that of `_token`.
        counted: the test whether it is a token; the first item is how many there have to be.
        enough: GROUP BY set, with room for more, and the test whether so many were found.
    """

    rows: str
    counted: str
    enough: str


@compiles(TokenMatch, "sqlite")
def _compile_match_sqlite(element: TokenMatch, compiler: SQLCompiler, **kw: Any) -> str:
    bound = compiler.process(element.right, **kw)
    items = _Items(
        rows=f"json_each({bound}) AS _set, json_each(_set.value) AS _token",
        counted="_token.key > 0",
        enough="GROUP BY _set.key{} HAVING count(*) >= json_extract(_set.value, '$[0]')",
    )
    return _compile_items(element, compiler, items, kw)


@compiles(TokenMatch, "mysql", "mariadb")
def _compile_match_mysql(element: TokenMatch, compiler: SQLCompiler, **kw: Any) -> str:
    bound = compiler.process(element.right, **kw)
    items = _Items(
        rows=f"JSON_TABLE({bound}, '$[*]' COLUMNS (number FOR ORDINALITY, least INT PATH '$[0]', "
        "NESTED PATH '$[*]' COLUMNS (item FOR ORDINALITY, value VARCHAR(8) "
        "CHARACTER SET ascii COLLATE ascii_bin PATH '$'))) AS _token",
        counted="_token.item > 1",
        enough="GROUP BY _token.number, _token.least{} HAVING count(*) >= _token.least",
    )
    return _compile_items(element, compiler, items, kw)


def _compile_items(
    element: TokenMatch, compiler: SQLCompiler, items: _Items, kw: dict[str, Any]
) -> str:
    column: Any = element.searched
    owner = _token_table(column)
    if owner is not None:
        keys = ", ".join(compiler.process(column.table.c[key], **kw) for key in owner.keys)
        found = ", ".join(f"_row.{compiler.preparer.quote(name)}" for name in owner.key_names)
        return (
            f"(({keys}) IN (SELECT {found} FROM {items.rows}, "  # noqa: S608
            f"{compiler.preparer.format_table(owner.table)} AS _row WHERE {items.counted} "
            f"AND _row.{TOKEN} = _token.value {items.enough.format(f', {found}')}))"
        )
    settings = element.term.source.settings
    places = PortablePlaces(compiler.process(column, **kw), settings.slots, settings.is_text)
    rows, block = items.rows, places.block()
    if compiler.dialect.name == "sqlite":  # Which can compute it once a row, so.
        rows, block = f"(SELECT {block} AS tokens) AS _row, {rows}", "_row.tokens"
    return (
        f"(CASE WHEN {places.has_tokens()} THEN EXISTS (SELECT 1 FROM {rows} "  # noqa: S608
        f"WHERE {items.counted} AND instr({block}, _token.value) > 0 {items.enough.format('')}) "
        f"ELSE {places.column} IS NOT NULL END)"
    )


def _token_table(column: Any) -> Any:
    """Return the token table of a column of a table or of its alias, if one is declared."""
    table: Any = getattr(column, "table", None)
    while isinstance(table, Alias):
        table = table.element
    return table.info.get(TABLES, {}).get(column.name) if isinstance(table, Table) else None
