"""How many bytes a row takes on disk, and an entry of an index that its value is searched by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    text,
)
from type_tables import rows_of
from type_ways import FLOOR, OURS, PLAIN, POSTGRESQL, ByHand, Way

from sqlalchemy_sealed import BlindIndex, EncryptedString, blind_index

DETERMINISTIC = "sqlalchemy-utils, AES-CBC"
"""Equal values have equal ciphertexts there, so the column itself can have an index."""


@dataclass
class Kept:
    """
    A way to store a text, and to find it again.

    Attributes:
        way: how it is stored.
        indexed: returns what an index is made over, of the column; None for no such index.
    """

    way: Way
    indexed: Callable[[Any], Any] | None = None


@dataclass
class Size:
    """
    Bytes on disk.

    Attributes:
        value: of the stored value alone.
        row: of a row of the table: its value, an integer key, and what the database adds.
        index: of an entry of all indexes but the primary key; 0 if there is none.
    """

    value: float
    row: float
    index: float


def own_kept() -> list[Kept]:
    """Return what needs no other package."""

    def ours(name: str, **options: Any) -> Way:
        return Way(f"{OURS}{name}", lambda: EncryptedString(**options))

    equal = BlindIndex()
    return [
        Kept(Way(PLAIN, String), lambda column: column),
        Kept(Way(FLOOR, ByHand)),
        Kept(ours("")),
        Kept(ours(", text storage", storage="text")),
        Kept(ours(", padded to 32", pad=32)),
        Kept(ours(", blind index", index=equal), blind_index),
        Kept(ours(", blind index, text storage", index=equal, storage="text"), blind_index),
        Kept(ours(", unique blind index", index=BlindIndex(unique=True))),
    ]


def kept_peers(peers: list[Way]) -> list[Kept]:
    """Return the other packages: those of which equal values are equal have an index, too."""
    found = []
    for way in peers:
        is_searched = way.name == DETERMINISTIC
        found.append(Kept(way, (lambda column: column) if is_searched else None))
    return found


def sizes(name: str, engine: Engine, kept: list[Kept], rows: int) -> dict[str, Size]:
    """Fill a table for each way and return what it takes."""
    values = [row["number"] for row in rows_of(rows)]
    found = {}
    for number, each in enumerate(kept):
        if name in each.way.databases:
            few = values[: max(1, int(rows * each.way.share))]
            found[each.way.name] = _size(name, engine, each, f"kept_{number}", few)
    return found


def _size(name: str, engine: Engine, kept: Kept, label: str, values: list[str]) -> Size:
    table = Table(
        label,
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("value", kept.way.make(), nullable=False),
    )
    if kept.indexed is not None:
        Index(f"ix_{label}", kept.indexed(table.c.value))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"value": value} for value in values])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Indexes as they are when they were made of what is there, and no free space.
        connection.execute(text(f"REINDEX TABLE {label}" if name == POSTGRESQL else "REINDEX"))
        ask = _of_postgresql if name == POSTGRESQL else _of_sqlite
        row, index = ask(connection, label)
        length = connection.execute(text(f"SELECT avg(length(value)) FROM {label}")).scalar_one()
    table.metadata.drop_all(engine)
    return Size(float(length), row / len(values), index / len(values))


def _of_postgresql(connection: Connection, table: str) -> tuple[int, int]:
    indexes = (
        "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0) FROM pg_index "
        f"WHERE indrelid = '{table}'::regclass AND NOT indisprimary"
    )
    size = connection.execute(text(f"SELECT pg_table_size('{table}')")).scalar_one()
    return int(size), int(connection.execute(text(indexes)).scalar_one())


def _of_sqlite(connection: Connection, table: str) -> tuple[int, int]:
    size = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name "
    indexes = f"IN (SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}')"
    row = connection.execute(text(f"{size} = '{table}'")).scalar_one()
    return int(row), int(connection.execute(text(size + indexes)).scalar_one())
