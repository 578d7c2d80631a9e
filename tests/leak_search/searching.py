"""Situations in which sealed columns are searched, well or not."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, aliased

from sqlalchemy_sealed import BlindIndex, EncryptedString, execute_exact
from sqlalchemy_sealed.errors import NotConfiguredError, RefusedOperationError, ValueRefusedError

from .situation import PEOPLE, Person, ends_in, row, store

IDS = sa.select(PEOPLE.c.id)

# -- nothing goes wrong


@ends_in(None, after=store)
def _a_value_is_searched(connection: Connection, secret: str) -> None:
    """Every operator of a blind index, with one value and with many."""
    code = PEOPLE.c.code
    for condition in (
        code == secret,
        code.in_([secret, "another", None]),
        code.is_not_distinct_from(secret),
        ~(code != secret),
    ):
        assert connection.scalars(IDS.where(condition)).all() == [1]
    for condition in (code != secret, code.not_in([secret]), code.is_distinct_from(secret)):
        assert connection.scalars(IDS.where(condition)).all() == []


@ends_in(None, after=store)
def _objects_are_found(connection: Connection, secret: str) -> None:
    """The ORM: a filter, a join over two sealed columns, a changed row."""
    with Session(connection) as session:
        person = session.scalars(sa.select(Person).filter_by(code=secret)).one()
        other = aliased(Person)
        joined = sa.select(other).join(Person, Person.code == other.code)
        assert session.scalars(joined.where(Person.code == secret)).one() is person
        changed = sa.update(Person).where(Person.code == secret).values(badge=secret)
        assert session.execute(changed).rowcount == 1
        session.commit()


@ends_in(None, after=store)
def _a_truncated_index_is_searched(connection: Connection, secret: str) -> None:
    """False matches are opened, compared and dropped."""
    connection.execute(PEOPLE.insert(), [row(f"town {n}", id=n) for n in range(2, 100)])
    found = execute_exact(connection, IDS.where(PEOPLE.c.city == secret.upper()))
    assert found.scalars().all() == [1]


@ends_in(None, after=store)
def _a_searched_value_is_rendered_as_a_literal(connection: Connection, secret: str) -> None:
    """SQL text with the index values in it, executed without parameters."""
    code = PEOPLE.c.code
    conditions = (code == secret, code.in_([secret, None, "another"]), code.not_in([]))
    for condition in (*conditions, ~code.in_([None]) | (code == secret)):
        compiled = IDS.where(condition).compile(connection, compile_kwargs={"literal_binds": True})
        assert connection.exec_driver_sql(str(compiled)).scalars().all() == [1]


# -- a searched value cannot be hashed


@ends_in(ValueRefusedError)
def _a_searched_value_of_the_wrong_type(connection: Connection, secret: str) -> None:
    connection.execute(IDS.where(PEOPLE.c.code == [secret]))


@ends_in(ValueRefusedError)
def _one_of_many_searched_values_of_the_wrong_type(connection: Connection, secret: str) -> None:
    connection.execute(IDS.where(PEOPLE.c.code.in_([secret, secret.encode()])))


@ends_in(ValueRefusedError)
def _a_searched_text_with_a_lone_surrogate(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.scalars(sa.select(Person).filter_by(code=secret + "\udfff")).all()


@ends_in(ValueRefusedError)
def _an_exact_search_of_the_wrong_type(connection: Connection, secret: str) -> None:
    execute_exact(connection, IDS.where(PEOPLE.c.city == {secret})).all()


@ends_in(DBAPIError)
def _a_searched_literal_cannot_be_hashed(connection: Connection, secret: str) -> None:
    compiled = IDS.where(PEOPLE.c.code == [secret]).compile(
        connection, compile_kwargs={"literal_binds": True}
    )
    connection.exec_driver_sql(str(compiled))


@ends_in(NotConfiguredError)
def _a_search_with_a_sealer_without_keys(connection: Connection, secret: str) -> None:
    type_ = EncryptedString(context="a.b", sealer="never configured", index=BlindIndex())
    column: Any = sa.type_coerce(PEOPLE.c.id, type_)
    connection.execute(IDS.where(column == secret))


# -- a search is refused


@ends_in(RefusedOperationError)
def _a_column_without_an_index_is_searched(connection: Connection, secret: str) -> None:
    connection.execute(IDS.where(PEOPLE.c.secret == secret))


@ends_in(RefusedOperationError)
def _a_part_of_a_value_is_searched(connection: Connection, secret: str) -> None:
    connection.execute(IDS.where(PEOPLE.c.code.like(f"%{secret}%")))


@ends_in(RefusedOperationError)
def _a_truncated_index_is_searched_without_the_helper(connection: Connection, secret: str) -> None:
    connection.execute(IDS.where(PEOPLE.c.city == secret))


@ends_in(RefusedOperationError, after=store)
def _the_database_is_to_compute_a_sealed_value(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.update().values(secret=sa.func.upper(secret)))


@ends_in(RefusedOperationError, after=store)
def _the_database_is_to_choose_a_sealed_value(connection: Connection, secret: str) -> None:
    chosen = sa.case((PEOPLE.c.id == 1, secret), else_=PEOPLE.c.secret)
    with Session(connection) as session:
        session.execute(sa.update(Person).values(secret=chosen))


# -- the database refuses


@ends_in(IntegrityError)
def _a_unique_index_has_the_value_already(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, badge=secret))
    connection.execute(PEOPLE.insert(), row(secret, badge=secret))


@ends_in(DBAPIError)
def _the_searched_table_does_not_exist(connection: Connection, secret: str) -> None:
    table = PEOPLE.to_metadata(sa.MetaData(), name="leak_nobody")
    connection.execute(sa.select(table).where(table.c.code.in_([secret, "another"])))
