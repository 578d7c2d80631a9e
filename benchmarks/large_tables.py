"""Tables with large values or many columns, one of each kind for each way, and what is timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from common import Case
from large_ways import AS_TEXT, Row
from sqlalchemy import Engine, Integer, insert, select, text
from sqlalchemy.orm import Session, mapped_column, registry
from type_tables import collecting
from type_ways import POSTGRESQL, Way

ADD_ALL, CORE, ORM_READ, CORE_READ = "ORM add_all", "Core insert", "ORM select", "Core select"
OPERATIONS = (ADD_ALL, CORE, ORM_READ, CORE_READ)
BINARY = "binary results"
"""The driver asks for results in their binary form, where it would ask for text."""


class Store:
    """
    A table to read and one to write, for each way.

    Args:
        name: what kind of database it is.
        engine: the database.
        ways: what is compared.
        rows: returns the rows of a way: all have the same columns.
        binary: the same database by a driver that asks for binary results, if it is to be read
            that way, too.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        ways: Sequence[Way],
        rows: Callable[[Way], list[Row]],
        binary: Engine | None = None,
    ) -> None:
        self.name, self.ways, self._engine = name, list(ways), engine
        self._rows = {way.name: rows(way) for way in ways}
        self._columns = list(next(iter(self._rows.values()))[0])
        self._registry = registry()
        self._read = {way.name: self._model(f"r{n}", way) for n, way in enumerate(ways)}
        self._write = {way.name: self._model(f"w{n}", way) for n, way in enumerate(ways)}
        self._registry.metadata.create_all(engine)
        engines = {"": engine} if binary is None else {"": engine, BINARY: binary}
        self._connections = {which: each.connect() for which, each in engines.items()}
        self._sessions = {which: Session(each) for which, each in engines.items()}
        for way in ways:
            self._fill(way)

    def close(self) -> None:
        """Give the connections back, and drop the tables."""
        for each in (*self._sessions.values(), *self._connections.values()):
            each.close()
        self._registry.metadata.drop_all(self._engine)

    def _model(self, name: str, way: Way) -> Any:
        columns = {each: mapped_column(way.make(), nullable=False) for each in self._columns}
        columns["id"] = mapped_column(Integer, primary_key=True)
        return self._registry.mapped(type(name, (), {"__tablename__": name, **columns}))

    def _fill(self, way: Way) -> None:
        """Insert the rows, and read them back in each form of results."""
        model, rows, writer = self._read[way.name], self._rows[way.name], self._connections[""]
        writer.execute(insert(model.__table__), rows)
        writer.commit()
        for connection in self._connections.values():
            query = self._query(model).order_by(model.id)
            found = [tuple(row) for row in connection.execute(query)]
            connection.rollback()
            if found != [tuple(row.values()) for row in rows]:
                raise AssertionError(f"{way.name} does not read what it wrote")
        if self.name == POSTGRESQL:
            by_itself = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            with by_itself.connect() as connection:
                connection.execute(text(f"VACUUM ANALYZE {model.__tablename__}"))

    def _query(self, model: Any) -> Any:
        return select(*(model.__table__.c[name] for name in self._columns))

    # -- what is timed

    def cases(self, operation: str) -> list[Case]:
        """Return a case for each way; if it reads, also one for each other form of results."""
        if operation in (ADD_ALL, CORE):
            return [self._writing(operation, way) for way in self.ways]
        return [
            self._reading(operation, way, form)
            for way in self.ways
            for form in self._connections
            if not form or way.name not in AS_TEXT
        ]

    def _writing(self, operation: str, way: Way) -> Case:
        model, rows = self._write[way.name], self._rows[way.name]
        connection, session = self._connections[""], self._sessions[""]

        def add_all(_: Any) -> None:
            session.add_all([model(**row) for row in rows])
            session.commit()

        def core(_: Any) -> None:
            connection.execute(insert(model.__table__), rows)
            connection.commit()

        verb = "TRUNCATE" if self.name == POSTGRESQL else "DELETE FROM"
        emptying = text(f"{verb} {model.__tablename__}")

        def empty() -> None:
            session.expunge_all()
            connection.execute(emptying)
            connection.commit()

        run = add_all if operation == ADD_ALL else core
        return Case(way.name, run, per=len(rows), after=empty, around=collecting)

    def _reading(self, operation: str, way: Way, form: str) -> Case:
        model, connection = self._read[way.name], self._connections[form]
        session, query = self._sessions[form], self._query(model)

        def orm(_: Any) -> object:
            return session.scalars(select(model)).all()

        def core(_: Any) -> object:
            return connection.execute(query).all()

        def leave() -> None:
            session.expunge_all()
            session.rollback()
            connection.rollback()

        run = orm if operation == ORM_READ else core
        name = f"{way.name}, {form}" if form else way.name
        return Case(name, run, per=len(self._rows[way.name]), after=leave, around=collecting)
