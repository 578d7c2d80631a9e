"""
One column of a database, plain or sealed, and its values as a stream.

Errors name the column and the Python type, never the value: what a driver or SQLAlchemy says of a
value that it cannot read quotes it, and is not passed on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SAWarning, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from ..codecs import Codec, TextCodec, codec_for
from ..codecs.binary import BytesCodec
from ..context import Context
from ..envelope import MAGIC, from_text, parse, to_text
from ..environment import configure_from_env
from ..errors import ConfigurationError, NotAnEnvelopeError, OpenError, OptionError
from ..hints import near
from ..sealer import get_sealer

T = TypeVar("T")

Convert = Callable[[Any], tuple[Any, int | None]]

BATCH = 1000
"""How many rows are held at a time."""

TYPES: dict[str, TypeEngine[Any]] = {
    "text": sa.Text(),
    "integer": sa.Integer(),
    "numeric": sa.Numeric(),
    "float": sa.Float(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "datetime": sa.DateTime(),
    "datetime-tz": sa.DateTime(timezone=True),
    "time": sa.Time(),
    "time-tz": sa.Time(timezone=True),
    "interval": sa.Interval(),
    "uuid": sa.Uuid(),
    "bytes": sa.LargeBinary(),
}

_UNREADABLE = (SQLAlchemyError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
_MAGIC_TEXT = to_text(MAGIC)


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a column: [schema.]table.column."""

    schema: str | None
    table: str
    column: str

    @classmethod
    def parsed(cls, name: str) -> Name | None:
        """Return the parts of a name, or None if it has not two or three."""
        parts = name.split(".")
        if not all(parts) or len(parts) not in (2, 3):
            return None
        return cls(None if len(parts) == 2 else parts[0], parts[-2], parts[-1])

    @property
    def selectable(self) -> sa.TableClause:
        """The table in SQL."""
        return sa.table(self.table, schema=self.schema)

    @property
    def label(self) -> str:
        """The default context of the column: without the schema."""
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class Source:
    """
    A column that is there, and how its values are read.

    Attributes:
        codec: that of the values that are read.
        convert: opens what is sealed, and says how long it was.
        is_sealed: whether it holds envelopes.
    """

    connection: sa.Connection
    column: sa.ColumnClause[Any]
    name: Name
    codec: Codec[Any]
    convert: Convert
    is_sealed: bool

    def count(self) -> int:
        """Return how many rows the table has."""
        statement = sa.select(sa.func.count()).select_from(self.name.selectable)
        return int(_asked(self.name, lambda: self.connection.scalar(statement)) or 0)

    def values(self, sample: int | None = None) -> Iterator[tuple[Any, int | None]]:
        """
        Yield the value of each row, None for NULL, and the length that shows if it is sealed.

        Args:
            sample: how many rows to take by chance; by default all are read.

        Raises:
            ConfigurationError: the database does not give it, or some values are sealed and some
                are not.
            OpenError: a value does not open.
        """
        statement = sa.select(self.column)
        if sample is not None:
            mysql = self.connection.dialect.name in ("mysql", "mariadb")
            statement = statement.order_by(sa.func.rand() if mysql else sa.func.random())
            statement = statement.limit(sample)
        with closing(_stream(self.connection, statement, self.name)) as stream:
            for value in stream:
                yield (None, None) if value is None else self.convert(value)


def source(  # noqa: PLR0913 - what the command was given
    connection: sa.Connection,
    name: Name,
    type_: str | None = None,
    *,
    sealer: str,
    context: str | None = None,
    as_text: bool = False,
) -> Source:
    """
    Return the column of this name. Whether it is sealed, the first value that is there says.

    Args:
        connection: to its database.
        name: that of the column.
        type_: a key of `TYPES`; by default the type that the database says. The values of a
            sealed column are by default the bytes that were sealed.
        sealer: the name of the sealer whose keys open a sealed column. It is configured from the
            environment if it is needed.
        context: what the values of a sealed column are bound to; by default `table.column`.
        as_text: the values are texts, also if *type_* does not say so.

    Raises:
        ConfigurationError: there is no such table or column.
        OptionError: values of this type cannot be sealed.
    """
    found = _type_of(connection, name)
    table = name.selectable
    raw: sa.ColumnClause[Any] = sa.column(name.column, _selectable=table)
    one = sa.select(raw).where(raw.is_not(None)).limit(1)
    first = _asked(name, lambda: connection.scalar(one))
    given = TYPES[type_] if type_ else None
    if first is not None and _is_envelope(first):
        default = TextCodec() if as_text else BytesCodec()
        codec = _codec(given, name) if given else default
        opening = _opening(sealer, context or name.label, codec)
        return Source(connection, raw, name, codec, opening, is_sealed=True)
    typed: sa.ColumnClause[Any] = sa.column(name.column, given or found, _selectable=table)
    passing = _refusing_envelopes(name)
    return Source(connection, typed, name, _codec(typed.type, name), passing, is_sealed=False)


def _codec(type_: TypeEngine[Any], name: Name) -> Codec[Any]:
    try:
        return codec_for(type_)
    except OptionError as error:
        problem = error
    raise problem.at(name.label)


def _type_of(connection: sa.Connection, name: Name) -> TypeEngine[Any]:
    def columns() -> tuple[dict[str, TypeEngine[Any]] | None, list[str]]:
        inspector = sa.inspect(connection)
        if name.schema is not None and not inspector.has_schema(name.schema):
            hint = _near(name.schema, inspector.get_schema_names())
            raise ConfigurationError(f"there is no schema {name.schema!r}{hint}")
        try:
            described = inspector.get_columns(name.table, schema=name.schema)
        except NoSuchTableError:
            tables = inspector.get_table_names(name.schema)
            return None, tables + inspector.get_view_names(name.schema)
        return {column["name"]: column["type"] for column in described}, []

    with warnings.catch_warnings():
        # Of other columns, whose types SQLAlchemy does not know.
        warnings.simplefilter("ignore", SAWarning)
        types, tables = _asked(name, columns)
    if types is None:
        raise ConfigurationError(f"there is no table {name.table!r}{_near(name.table, tables)}")
    if name.column not in types:
        raise ConfigurationError(
            f"there is no column {name.column!r}{_near(name.column, list(types))}",
            where=name.table,
        )
    return types[name.column]


def _near(name: str, names: list[str]) -> str:
    hint = near(name, names)
    for each in names:
        if not hint and each.casefold() == name.casefold():
            hint = near(each, [each])
    return hint


def _is_envelope(stored: Any) -> bool:
    try:
        parse(_stored_bytes(stored))
    except NotAnEnvelopeError:
        return False
    return True


def _stored_bytes(stored: Any) -> bytes:
    """Return the bytes of a stored envelope, in binary or in text form."""
    if isinstance(stored, str):
        return from_text(stored)
    if isinstance(stored, bytes | bytearray | memoryview):
        return bytes(stored)
    raise NotAnEnvelopeError(
        f"the stored value is not an envelope: the driver returned {type(stored).__name__}"
    )


def _opening(name: str, context: str, codec: Codec[Any]) -> Convert:
    """Return the function from a stored envelope to its value and its length."""
    sealer = get_sealer(name)
    if not sealer.is_configured:
        configure_from_env(name)
    opened = sealer.opening(Context(context))

    def convert(stored: Any) -> tuple[Any, int]:
        try:
            data = _stored_bytes(stored)
            return codec.decode(opened(data)), len(parse(data).sealed)
        except OpenError as error:
            problem = error
        raise problem.at(context)

    return convert


def _refusing_envelopes(name: Name) -> Convert:
    """Return the function that lets plaintext pass: each envelope would count as a value."""

    def convert(value: Any) -> tuple[Any, None]:
        if _begins_sealed(value) and _is_envelope(value):
            raise ConfigurationError(
                "some rows are sealed and some are not; plan when all are one or the other",
                where=name.label,
            )
        return value, None

    return convert


def _begins_sealed(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(_MAGIC_TEXT)
    return isinstance(value, bytes) and value.startswith(MAGIC)


def _stream(
    connection: sa.Connection, statement: sa.Select[Any], name: Name
) -> Generator[Any, None, None]:
    """Yield the values of a column, a batch at a time: on PostgreSQL by a server-side cursor."""
    try:
        with warnings.catch_warnings():
            # SQLite has no decimals. What they are rounded to is how the application reads them.
            warnings.simplefilter("ignore", SAWarning)
            result = connection.execution_options(yield_per=BATCH).execute(statement)
        with result:
            yield from result.scalars()
    except _UNREADABLE as error:
        problem = _unreadable(error, name)
    else:
        return
    raise problem


def _asked(name: Name, ask: Callable[[], T]) -> T:
    """Return the answer of the database, or raise an error without what it quotes."""
    try:
        return ask()
    except _UNREADABLE as error:
        problem = _unreadable(error, name)
    raise problem


def _unreadable(error: Exception, name: Name) -> ConfigurationError:
    reason = type(error).__name__
    if isinstance(error, DBAPIError) and error.orig is not None:
        reason = type(error.orig).__name__
    return ConfigurationError(
        f"the column cannot be read ({reason}): no permission, or values that do "
        "not fit its type; --type says another one",
        where=name.label,
    )
