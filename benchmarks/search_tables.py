"""The tables of the search benchmark: sealed ones, plain ones beside them, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count, islice
from typing import Any

from common import sealer
from sqlalchemy import Connection, Engine, Index, Integer, LargeBinary, String, text
from sqlalchemy.orm import DeclarativeBase, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedString, Sealer, blind_index

WIDTH = 15
"""Characters of a value, and bytes of a slot: an index over either is of the same width."""
_BITS = 24
"""Numbers have so many bits: 16,777,216 values, each of 8 digits and a domain."""


def value(number: int) -> str:
    """Return the value of a number: a different one for each, in no visible order."""
    mask = (1 << _BITS) - 1
    for _ in range(2):
        number = number * 0x9E3779B1 & mask
        number ^= number >> _BITS // 2
    return f"{number:08d}@ex.org"


class Base(DeclarativeBase):
    """The tables of one run."""


class Tables:
    """
    The tables, by what they show. Each has an `id` and a `value`.

    Args:
        rows: how many rows each is filled with.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        sealer("default")
        self.rotating: Sealer = sealer("rotating")
        # Four candidates a search, in the middle of what is recommended for such a table.
        bits = max(1, (rows // 4).bit_length() - 1)
        equal = BlindIndex()
        self.plain = _plain("plain", String(WIDTH), index=True)
        self.plain_bytes = _plain("plain_bytes", LargeBinary(WIDTH), index=True)
        self.plain_bare = _plain("plain_bare", String(WIDTH), index=False)
        self.sealed = _sealed("sealed", index=equal)
        self.sealed_bare = _sealed("sealed_bare")
        self.sealed_slot = _sealed("sealed_slot", index=equal, search=False)
        self.as_text = _sealed("as_text", index=equal, storage="text")
        self.two_keys = _sealed("two_keys", index=equal, sealer="rotating")
        self.unique = _sealed("one_of_a_kind", index=BlindIndex(unique=True))
        self.truncated = _sealed("truncated", index=BlindIndex(bits=bits))
        self.all: list[Any] = [mapper.class_ for mapper in Base.registry.mappers]
        self._fresh = count(rows)

    def create(self, engine: Engine) -> None:
        """Make the tables and fill them; all indexes are there while the rows come in."""
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            for model in self.all:
                connection.execute(text(f"ALTER TABLE {_name(model)} SET (autovacuum_enabled=off)"))
                numbers = range(self.rows)
                if model is self.two_keys:  # Half of the rows under each key.
                    _copy(connection, model, numbers[: self.rows // 2])
                    self.rotating.rotate(index=True)
                    numbers = numbers[self.rows // 2 :]
                _copy(connection, model, numbers)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for model in self.all:
                connection.execute(text(f"VACUUM ANALYZE {_name(model)}"))
            connection.execute(text("CHECKPOINT"))

    def fresh(self, rows: int) -> list[dict[str, Any]]:
        """Return rows that were never inserted."""
        return [{"value": value(number)} for number in islice(self._fresh, rows)]


def _plain(name: str, type_: Any, *, index: bool) -> Any:
    model = _model(name, type_)
    if index:
        Index(f"ix_{name}", model.value)
    return model


def _sealed(name: str, *, search: bool = True, **options: Any) -> Any:
    model = _model(name, EncryptedString(WIDTH, **options))
    index: BlindIndex | None = options.get("index")
    if search and index is not None and not index.unique:
        Index(f"ix_{name}", blind_index(model.value))
    return model


def _model(name: str, type_: Any) -> Any:
    columns = {"id": mapped_column(Integer, primary_key=True), "value": mapped_column(type_)}
    return type(name, (Base,), {"__tablename__": name, **columns})


def _name(model: Any) -> str:
    return str(model.__tablename__)


def _copy(connection: Connection, model: Any, numbers: Iterable[int]) -> None:
    """Insert rows by COPY, with what the column's type gives the driver."""
    column = model.__table__.c.value
    bind: Callable[[Any], Any] = column.type.bind_processor(connection.dialect) or (lambda v: v)
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {_name(model)} (value) FROM STDIN (FORMAT binary)") as copy:
        is_bytes = isinstance(column.type, LargeBinary)
        copy.set_types(["bytea" if is_bytes or _is_binary(column.type) else "text"])
        for number in numbers:
            item = value(number)
            copy.write_row((item.encode() if is_bytes else bind(item),))


def _is_binary(type_: Any) -> bool:
    return isinstance(type_, EncryptedString) and not type_.settings.is_text
