"""
Ways past a sealed type: statements that would store what is no envelope.

The columns have no CHECK constraint: what refuses is the type, the operators or the guard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sqlalchemy_sealed import BlindIndex, EncryptedString

from .tables import SEALER, Plain

SECRET = "plaintext of a secret"


def unchecked(**options: Any) -> EncryptedString:
    """Return a type whose column takes anything."""
    return EncryptedString(sealer=SEALER, check=False, **options)


class Base(DeclarativeBase):
    pass


class Target(Base):
    """What is written to."""

    __tablename__ = "targets"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[str | None] = mapped_column(Plain)
    stored: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    bare: Mapped[str | None] = mapped_column(unchecked())
    indexed: Mapped[str | None] = mapped_column(unchecked(index=BlindIndex()))
    as_text: Mapped[str | None] = mapped_column(unchecked(storage="text"))
    # The attribute, the key and the name of this column are three.
    attribute: Mapped[str | None] = mapped_column("named", unchecked(), key="keyed")


class Source(Base):
    """What is read from: plain texts, and sealed ones of other contexts and indexes."""

    __tablename__ = "sources"
    id: Mapped[int] = mapped_column(primary_key=True)
    plain: Mapped[str | None] = mapped_column(Plain)
    bare: Mapped[str | None] = mapped_column(Plain)
    indexed: Mapped[str | None] = mapped_column(Plain)
    as_text: Mapped[str | None] = mapped_column(Plain)
    sealed: Mapped[str | None] = mapped_column(unchecked())
    unindexed: Mapped[str | None] = mapped_column(unchecked(context="targets.indexed"))


T: Any = Target.__table__
S: Any = Source.__table__
COLUMNS = {"bare": "bare", "indexed": "indexed", "as_text": "as_text", "keyed": "named"}
"""The sealed columns that are written to: keys and names."""

Write = Callable[[Connection, str], Any]


def fill(connection: Connection) -> None:
    """Insert one row into either table."""
    values = dict.fromkeys(COLUMNS, "before")
    connection.execute(T.insert(), {"id": 1, "plain": SECRET, "stored": None, **values})
    plain = dict.fromkeys(("plain", "bare", "indexed", "as_text"), SECRET)
    connection.execute(S.insert(), {"id": 1, "sealed": "other", "unindexed": "other", **plain})


def dialect_insert(connection: Connection) -> Any:
    """Return an INSERT that can be an upsert in this database."""
    module = {"postgresql": postgresql, "sqlite": sqlite}.get(connection.dialect.name, mysql)
    return module.insert(T)


def upsert(connection: Connection, set_: Any, **more: Any) -> Any:
    """Execute an INSERT of a row that is there already."""
    insert = dialect_insert(connection).values(id=1)
    if isinstance(insert, mysql.Insert):
        return connection.execute(insert.on_duplicate_key_update(set_))
    return connection.execute(
        insert.on_conflict_do_update(index_elements=["id"], set_=set_, **more)
    )


def in_session(connection: Connection, work: Callable[[Session], Any]) -> None:
    """Do something in a session, and flush it."""
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        work(session)
        session.commit()


def _flushed(connection: Connection, key: str, value: Any) -> None:
    in_session(connection, lambda s: setattr(s.get_one(Target, 1), ATTRIBUTES.get(key, key), value))


ATTRIBUTES = {"keyed": "attribute"}
"""The mapped attributes whose names are not the key of their column."""


def scalar(column: Any) -> Any:
    """Return a scalar subquery."""
    return sa.select(column).limit(1).scalar_subquery()


EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "literal()": lambda c: sa.literal(SECRET),
    "literal() of bytes": lambda c: sa.literal(SECRET.encode()),
    "literal_column()": lambda c: sa.literal_column(f"'{SECRET}'"),
    "literal_column() of its type": lambda c: sa.literal_column(f"'{SECRET}'", c.type),
    "text()": lambda c: sa.text(f"'{SECRET}'"),
    "a function": lambda c: sa.func.lower(SECRET),
    "a function of its type": lambda c: sa.func.lower(SECRET, type_=c.type),
    "a function of it": sa.func.lower,
    "coalesce()": lambda c: sa.func.coalesce(c, SECRET),
    "coalesce(), the other way": lambda c: sa.func.coalesce(SECRET, c),
    "CASE": lambda c: sa.case((T.c.id == 1, SECRET), else_=c),
    "CASE, the other way": lambda c: sa.case((T.c.id == 2, c), else_=SECRET),
    "CAST": lambda c: sa.cast(SECRET.encode(), sa.LargeBinary),
    "CAST of a column to its type": lambda c: sa.cast(T.c.plain, c.type),
    "||": lambda c: sa.literal("plaintext ") + "of a secret",
    "|| of its type": lambda c: sa.literal("a").op("||", return_type=c.type)(SECRET),
    "a plain column": lambda c: T.c.plain,
    "a plain column as bytes": lambda c: sa.type_coerce(T.c.plain, sa.LargeBinary),
    "a binary column": lambda c: T.c.stored,
    "a labelled column": lambda c: T.c.plain.label("x"),
    "a column without a table": lambda c: sa.column("plain"),
    "a plain column as its type": lambda c: (
        sa.type_coerce(T.c.plain, c.type)
        if not c.type.settings.is_text
        else sa.func.lower(T.c.plain)
    ),
    "a function as its type": lambda c: sa.type_coerce(sa.func.lower(SECRET), c.type),
    "a scalar subquery": lambda c: scalar(S.c.plain),
    "a scalar subquery of its type": lambda c: scalar(
        sa.literal_column(f"'{SECRET}'", c.type).label("x")
    ),
    "a scalar subquery over a subquery": lambda c: scalar(
        sa.select(sa.func.lower(SECRET, type_=c.type).label("x")).subquery().c.x
    ),
    "a parameter with the type of its value": lambda c: sa.bindparam("other", SECRET),
    "a parameter of another type": lambda c: sa.bindparam("other", SECRET, sa.String()),
    "a parameter of bytes": lambda c: sa.bindparam("other", SECRET.encode(), sa.LargeBinary()),
    "a value of another context": lambda c: sa.literal(SECRET, unchecked(context="other")),
    "another column's value": lambda c: T.c.bare if c.key != "bare" else T.c.indexed,
    "a comparison": lambda c: T.c.id == 1,
    "a blind index": lambda c: (
        sa.select(T.c.indexed).scalar_subquery() if c.key != "indexed" else scalar(S.c.unindexed)
    ),
    "VALUES": lambda c: scalar(
        sa.values(sa.column("x", c.type), name="v").data([(sa.func.lower(SECRET),)]).cte().c.x
    ),
}
"""SQL that a sealed column is given as its new value, made of the column: all refused."""

SEALED_VALUES: dict[str, Callable[[Any], Any]] = {
    "a value": lambda c: SECRET,
    "a parameter that is rendered": lambda c: sa.bindparam(
        "p", SECRET, c.type, literal_execute=True
    ),
    "a parameter of its type": lambda c: sa.bindparam("p", SECRET, c.type),
    "literal() of its type": lambda c: sa.literal(SECRET, c.type),
    "type_coerce()": lambda c: sa.type_coerce(SECRET, c.type),
    "CAST to its type": lambda c: sa.cast(SECRET, c.type),
    "null()": lambda c: sa.null(),
    "CASE of its values": lambda c: sa.case(
        (sa.true(), sa.literal(SECRET, c.type)), else_=sa.literal("more", c.type)
    ),
    "coalesce() of its values": lambda c: sa.func.coalesce(sa.null(), sa.literal(SECRET, c.type)),
    "a scalar subquery of its value": lambda c: sa.select(
        sa.literal(SECRET, c.type)
    ).scalar_subquery(),
}
"""SQL that is sealed: what is stored is an envelope."""

PLACES: dict[str, Callable[[Connection, Any, Any], Any]] = {
    "UPDATE": lambda conn, c, value: conn.execute(T.update().values({c.key: value})),
    "UPDATE, the column": lambda conn, c, value: conn.execute(T.update().values({c: value})),
    "UPDATE, in order": lambda conn, c, value: conn.execute(
        T.update().ordered_values((T.c.stored, None), (c, value))
    ),
    "UPDATE, of a CTE": lambda conn, c, value: conn.execute(
        T.update().values({c: value}).where(T.c.id.in_(sa.select(sa.select(T.c.id).cte().c.id)))
    ),
    "INSERT": lambda conn, c, value: conn.execute(T.insert().values({"id": 2, c.key: value})),
    "INSERT of many": lambda conn, c, value: conn.execute(
        T.insert().values([{"id": 2, c.key: "first"}, {"id": 3, c.key: value}])
    ),
    "INSERT of a tuple": lambda conn, c, value: conn.execute(
        T.insert().values([2, *(value if each is c else None for each in list(T.c)[1:])])
    ),
    "upsert": lambda conn, c, value: upsert(conn, {c.key: value}),
    "upsert, the column": lambda conn, c, value: upsert(conn, {c: value}),
    "ORM, flush": lambda conn, c, value: _flushed(conn, c.key, value),
    "ORM, UPDATE": lambda conn, c, value: in_session(
        conn, lambda s: s.execute(sa.update(Target).values({ATTRIBUTES.get(c.key, c.key): value}))
    ),
    "ORM, INSERT": lambda conn, c, value: in_session(
        conn,
        lambda s: s.execute(
            sa.insert(Target).values({"id": 2, ATTRIBUTES.get(c.key, c.key): value})
        ),
    ),
    "ORM, INSERT of many": lambda conn, c, value: in_session(
        conn,
        lambda s: s.execute(
            sa.insert(Target).values(
                [{"id": n, ATTRIBUTES.get(c.key, c.key): v} for n, v in ((2, "x"), (3, value))]
            )
        ),
    ),
}
"""Where an SQL expression is assigned to a column."""
