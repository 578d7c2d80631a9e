"""
Binary results from psycopg 3, for statements that read sealed columns.

psycopg asks PostgreSQL for results as text unless it is told otherwise, and the text of bytes is
hexadecimal: twice as long, and to be translated on both sides. So a SELECT of sealed bytes asks for
binary results, where every other column of it comes out as the same Python value in both forms.
Which types its columns have is not known before: its first execution is a usual one, and shows it.

`execution_options(sealed_binary_results=False)`, on an engine, a connection or a statement, leaves
results as they are.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from .errors import RefusedOperationError
from .guard.kinds import sealed_results

OPTION = "sealed_binary_results"

SAME_IN_BOTH = frozenset(
    {
        16,  # boolean
        17,  # bytea
        20,  # bigint
        21,  # smallint
        23,  # integer
        25,  # text
        701,  # double precision; real has other digits in text
        1042,  # char
        1043,  # varchar
        1082,  # date
        1114,  # timestamp
        1184,  # timestamp with time zone
        1700,  # numeric
        2950,  # uuid
    }
)
"""
Object ids of the types of PostgreSQL (`pg_type.dat`) that psycopg loads alike in both forms.

Those that an extension or a user made have other ids everywhere, and psycopg returns the unknown
ones as text, or in binary form as bytes.
"""

_UNKNOWN: tuple[int, ...] = (0,)
"""Instead of the types of a result: they are to be looked at when there is one."""


class Psycopg:
    """
    What is used of psycopg 3.

    Attributes:
        cursors: the cursors that can be asked for binary results.
        text, binary: the two formats.
        loaders: for each type, the two loaders that psycopg itself has for it.
    """

    def __init__(self) -> None:
        import psycopg  # noqa: PLC0415 - somebody has a cursor of it
        from psycopg.adapt import AdaptersMap  # noqa: PLC0415
        from psycopg.postgres import register_default_adapters, types  # noqa: PLC0415

        self.cursors = {
            psycopg.Cursor,
            psycopg.ServerCursor,
            psycopg.AsyncCursor,
            psycopg.AsyncServerCursor,
        }
        self.text, self.binary = psycopg.pq.Format.TEXT, psycopg.pq.Format.BINARY
        fresh = AdaptersMap(types=types)
        register_default_adapters(_Context(fresh))
        self.loaders = {
            oid: (fresh.get_loader(oid, self.text), fresh.get_loader(oid, self.binary))
            for oid in SAME_IN_BOTH
        }

    def loads_as_usual(self, adapters: Any, oids: tuple[int, ...]) -> bool:
        """Whether no application has put another loader in the place of psycopg's own."""
        loader_of, text, binary = adapters.get_loader, self.text, self.binary
        for oid, own_text, own_binary in _own_loaders(oids):
            if loader_of(oid, text) is not own_text or loader_of(oid, binary) is not own_binary:
                return False
        return True


@lru_cache(1000)
def _own_loaders(oids: tuple[int, ...]) -> list[tuple[int, Any, Any]]:
    """Return each of these types once, with the two loaders that psycopg itself has for it."""
    loaders = _psycopg().loaders
    return [(oid, *loaders[oid]) for oid in set(oids)]


class _Context:
    """What psycopg asks for its adapters when it registers them."""

    connection = None

    def __init__(self, adapters: Any) -> None:
        self.adapters = adapters


@cache
def _psycopg() -> Psycopg:
    return Psycopg()


def ask_for_binary(
    _connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, _many: Any
) -> tuple[Any, Any]:
    """Ask for a binary result where the statement is known to have one that is read alike."""
    compiled = context.compiled
    if compiled is not None:
        oids = getattr(compiled, "_sealed_oids", None)
        if oids is None:
            oids = compiled._sealed_oids = _UNKNOWN if _reads_sealed_bytes(compiled) else ()
        if oids and oids is not _UNKNOWN and _may_ask(context):
            own = getattr(cursor, "_cursor", cursor)
            psycopg = _psycopg()
            if type(own) in psycopg.cursors and psycopg.loads_as_usual(own.adapters, oids):
                own.format = psycopg.binary
    return statement, parameters


def look_at_result(
    _connection: Any, cursor: Any, _statement: Any, _parameters: Any, context: Any, _many: Any
) -> None:
    """
    Note the types of a result, for the next time.

    Raises:
        RefusedOperationError: they have changed since, into some that psycopg would return in
            another form.
    """
    oids = getattr(context.compiled, "_sealed_oids", None)
    if not oids:
        return
    own = getattr(cursor, "_cursor", cursor)
    result = getattr(own, "pgresult", None)
    if result is None:
        return
    found = tuple(map(result.ftype, range(result.nfields)))
    if found == oids:
        return
    alike = SAME_IN_BOTH.issuperset(found)
    context.compiled._sealed_oids = found if alike else ()
    if alike or own.format is not _psycopg().binary:
        return
    cursor.close()
    raise RefusedOperationError(
        "the columns of this statement have other types than when it was executed last, so its "
        "result cannot be read; execute it again"
    )


def _reads_sealed_bytes(compiled: Any) -> bool:
    """Whether a statement is a SELECT by psycopg with sealed columns of binary storage."""
    dialect = compiled.dialect
    if dialect.name != "postgresql" or dialect.driver not in ("psycopg", "psycopg_async"):
        return False
    if not getattr(compiled.statement, "is_select", False):
        return False
    return any(not type_.settings.is_text for type_ in sealed_results(compiled))


def _may_ask(context: Any) -> bool:
    options = context.execution_options
    # Another schema may have a table of this name whose columns have other types.
    return options.get(OPTION, True) and not options.get("schema_translate_map")


event.listen(Engine, "before_cursor_execute", ask_for_binary, retval=True)
event.listen(Engine, "after_cursor_execute", look_at_result)
