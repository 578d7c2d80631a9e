"""The ways to write rows: each stores `ROWS` in an empty table, and may return what came back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session, registry

from drivers.columns import COLUMNS, ROWS, TABLE

Writer = Callable[[Connection], Any]
WITHOUT_IDS = [{name: row[name] for name in COLUMNS} for row in ROWS]


def mapped() -> Any:
    """Return a new class that is mapped to the table."""
    class_ = type("Everything", (), {})
    registry().map_imperatively(class_, TABLE)
    return class_


def made(class_: Any, row: dict[str, Any]) -> Any:
    """Return an object with the values of a row."""
    item = class_()
    for name, value in row.items():
        setattr(item, name, value)
    return item


def insert(connection: Connection) -> Any:
    """One row a statement, which returns it."""
    statement = TABLE.insert().returning(TABLE)
    return [connection.execute(statement, row).mappings().one() for row in ROWS]


def executemany(connection: Connection) -> None:
    """All rows by one executemany of the driver."""
    connection.execute(TABLE.insert(), ROWS)


def insertmanyvalues(connection: Connection) -> Any:
    """All rows by INSERT with many VALUES, which returns them; the database numbers them."""
    in_order = connection.dialect.name != "mariadb"
    statement = TABLE.insert().returning(TABLE, sort_by_parameter_order=in_order)
    return connection.execute(statement, WITHOUT_IDS).mappings().all()


def values(connection: Connection) -> None:
    """All rows in one VALUES clause of the statement."""
    connection.execute(TABLE.insert().values(ROWS))


def update(connection: Connection) -> None:
    """One row a statement, over empty ones."""
    _insert_empty(connection)
    for row in ROWS:
        connection.execute(TABLE.update().where(TABLE.c.id == row["id"]).values(row))


def update_executemany(connection: Connection) -> None:
    """All rows by one executemany of an UPDATE, over empty ones."""
    _insert_empty(connection)
    statement = TABLE.update().where(TABLE.c.id == sa.bindparam("number"))
    parameters = [{"number": row["id"]} | row for row in ROWS]
    connection.execute(statement, [{k: v for k, v in p.items() if k != "id"} for p in parameters])


def upsert(connection: Connection) -> None:
    """Each row over an empty one, by INSERT with ON CONFLICT or ON DUPLICATE KEY."""
    _insert_empty(connection)
    for row in ROWS:
        connection.execute(_upserting(connection.dialect.name, row))


def _upserting(dialect: str, row: dict[str, Any]) -> Any:
    if dialect in ("mysql", "mariadb"):
        to = mysql.insert(TABLE).values(row)
        return to.on_duplicate_key_update({name: to.inserted[name] for name in COLUMNS})
    statement: Any = {"sqlite": sqlite, "postgresql": postgresql}[dialect].insert(TABLE).values(row)
    new = {name: statement.excluded[name] for name in COLUMNS}
    return statement.on_conflict_do_update(index_elements=[TABLE.c.id], set_=new)


def literals(connection: Connection) -> None:
    """Each row in SQL text, without parameters."""
    for row in ROWS:
        compiled = (
            TABLE.insert()
            .values(row)
            .compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        )
        connection.execution_options(no_parameters=True).exec_driver_sql(str(compiled))


def add_all(connection: Connection) -> None:
    """Objects of the ORM; the database numbers them."""
    class_ = mapped()
    with Session(connection) as session:
        session.add_all([made(class_, row) for row in WITHOUT_IDS])
        session.commit()


def change(connection: Connection) -> None:
    """Objects of the ORM that are read empty, and changed."""
    _insert_empty(connection)
    with Session(connection) as session:
        for item in session.scalars(sa.select(mapped()).order_by(TABLE.c.id)):
            for name, value in ROWS[item.id - 1].items():
                setattr(item, name, value)
        session.commit()


def bulk_insert(connection: Connection) -> Any:
    """A bulk INSERT of the ORM that returns objects."""
    class_ = mapped()
    with Session(connection) as session:
        items = session.scalars(sa.insert(class_).returning(class_), ROWS).all()
        read = [{name: getattr(item, name) for name in ROWS[0]} for item in items]
        session.commit()
    return read


def bulk_update(connection: Connection) -> None:
    """A bulk UPDATE of the ORM by primary key."""
    _insert_empty(connection)
    with Session(connection) as session:
        session.execute(sa.update(mapped()), ROWS)
        session.commit()


def _insert_empty(connection: Connection) -> None:
    connection.execute(TABLE.insert(), [{"id": row["id"]} for row in ROWS])


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        *(insert, executemany, insertmanyvalues, values, update, update_executemany),
        *(upsert, literals, add_all, change, bulk_insert, bulk_update),
    )
}
