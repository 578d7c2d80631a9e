"""A table of an application, as commands name it: `reseal.ledger:Base`. It can be a large one."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlalchemy_sealed import EncryptedString

Held = tuple[str | None, int] | None
"""What a row holds: its e-mail address, and how often it was written; None if there is no row."""

SHARES = 2
"""Writers that each have rows of their own: those whose id leaves the writer's number."""
_CHUNK = 10_000


class Base(DeclarativeBase):
    pass


class Entry(Base):
    __tablename__ = "entries"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    email: Mapped[str | None] = mapped_column(EncryptedString())
    version: Mapped[int] = mapped_column(server_default="1")

    # The ORM refuses to write a row that has another version than the one that it read.
    __mapper_args__ = {"version_id_col": version}


def first(id_: int) -> tuple[str | None, int]:
    """Return what a row of the table holds at the beginning."""
    return (f"mail-{id_}@example.org" if id_ % 11 else None, 1)


def fill(engine: sa.Engine, rows: int) -> None:
    """Make the table, and its rows with the ids from 1 on."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for begin in range(1, rows + 1, _CHUNK):
            ids = range(begin, min(begin + _CHUNK, rows + 1))
            new = [{"id": id_, "email": first(id_)[0]} for id_ in ids]
            connection.execute(sa.insert(Entry), new)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE entries")


def held(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Held]:
    """Return what rows hold."""
    query = sa.select(Entry.id, Entry.email, Entry.version).where(Entry.id.in_(ids))
    return dict.fromkeys(ids) | {id_: (e, v) for id_, e, v in connection.execute(query)}
