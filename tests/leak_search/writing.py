"""Situations in which values are written, well or not."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError, StatementError
from sqlalchemy.orm import Session

from sqlalchemy_sealed import EncryptedString
from sqlalchemy_sealed.errors import NoContextError, NotConfiguredError, ValueRefusedError

from .situation import LENGTH, PEOPLE, Person, ends_in, row, store

# -- nothing goes wrong


@ends_in(None)
def _rows_are_written_and_read(connection: Connection, secret: str) -> None:
    """Every ordinary statement, with one row and with many."""
    connection.execute(PEOPLE.insert(), row(secret))
    connection.execute(PEOPLE.insert(), [row(secret), row(secret)])
    made = connection.execute(PEOPLE.insert().returning(PEOPLE), [row(secret), row(secret)]).all()
    connection.execute(PEOPLE.update().values(note=secret, document=[secret]))
    found = connection.execute(sa.select(PEOPLE)).all()
    assert {each.secret for each in [*made, *found]} == {secret}


@ends_in(None)
def _objects_are_written_and_read(connection: Connection, secret: str) -> None:
    """The ORM, from the first flush to a changed document."""
    with Session(connection) as session:
        person = Person(**row(secret))
        session.add_all([person, Person(**row(secret))])
        session.commit()
        assert person.document == {secret: [secret]}
        person.document[secret].append(secret)
        session.commit()
        assert [each.secret for each in session.scalars(sa.select(Person))] == [secret] * 2


@ends_in(None)
def _values_are_rendered_as_literals(connection: Connection, secret: str) -> None:
    """SQL text with the values in it, executed without parameters."""
    insert = PEOPLE.insert().values(**row(secret))
    compiled = insert.compile(connection, compile_kwargs={"literal_binds": True})
    connection.exec_driver_sql(str(compiled))
    assert connection.scalar(sa.select(PEOPLE.c.secret)) == secret


# -- a sealed value cannot be bound


@ends_in(ValueRefusedError)
def _a_value_of_the_wrong_type(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, secret=[secret]))


@ends_in(ValueRefusedError)
def _a_text_that_is_too_long(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, secret=secret * LENGTH))


@ends_in(ValueRefusedError)
def _a_text_with_a_lone_surrogate(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, note=secret + "\ud800"))


@ends_in(ValueRefusedError)
def _a_document_with_a_value_that_is_not_json(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, document={secret: {secret}}))


@ends_in(ValueRefusedError)
def _a_document_with_a_key_that_is_not_text(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, document={secret.encode(): secret}))


@ends_in(ValueRefusedError)
def _a_document_with_a_lone_surrogate(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, document=[secret + "\udfff"]))


@ends_in(ValueRefusedError)
def _a_document_that_contains_itself(connection: Connection, secret: str) -> None:
    document: list[Any] = [secret]
    document.append(document)
    connection.execute(PEOPLE.insert(), row(secret, document=document))


@ends_in(ValueRefusedError)
def _a_refused_value_in_the_second_of_many_rows(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), [row(secret), row(secret, number=secret)])


@ends_in(ValueRefusedError)
def _a_refused_value_in_a_flush(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.add(Person(**row(secret, number=secret)))
        session.flush()


@ends_in(ValueRefusedError)
def _a_refused_value_in_a_query(connection: Connection, secret: str) -> None:
    compared = sa.literal_column("1") == sa.bindparam("x", [secret], PEOPLE.c.secret.type)
    connection.execute(sa.select(PEOPLE.c.id).where(compared))


@ends_in(NotConfiguredError)
def _a_sealer_without_keys(connection: Connection, secret: str) -> None:
    type_ = EncryptedString(context="a.b", sealer="never configured")
    connection.execute(sa.select(sa.literal(secret, type_)))


@ends_in(NoContextError)
def _a_type_without_a_context(connection: Connection, secret: str) -> None:
    connection.execute(sa.select(sa.literal(secret, EncryptedString())))


# -- something beside it cannot


@ends_in(StatementError)
def _another_column_refuses_its_value(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, kind="no such kind"))


@ends_in(StatementError)
def _another_column_refuses_in_the_second_of_many_rows(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), [row(secret), row(secret, kind="no such kind")])


@ends_in(StatementError)
def _another_column_refuses_in_an_update(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.update().values(secret=secret, kind="no such kind"))


@ends_in(StatementError)
def _another_attribute_refuses_in_a_flush(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.add_all([Person(**row(secret)), Person(**row(secret, kind="no such kind"))])
        session.flush()


@ends_in(PendingRollbackError)
def _a_session_is_used_after_a_flush_that_failed(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.add(Person(**row(secret, kind="no such kind")))
        try:
            session.flush()
        except StatementError:
            session.scalars(sa.select(Person)).all()


@ends_in(StatementError)
def _a_flush_fails_before_a_query(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.add(Person(**row(secret, kind="no such kind")))
        session.scalars(sa.select(Person)).all()


@ends_in(StatementError)
def _many_rows_are_inserted_by_the_orm(connection: Connection, secret: str) -> None:
    rows = [row(secret), row(secret, kind="no such kind")]
    with Session(connection) as session:
        session.execute(sa.insert(Person), rows)


@ends_in(StatementError)
def _a_parameter_is_missing_in_the_second_row(connection: Connection, secret: str) -> None:
    second = row(secret)
    del second["key"]
    connection.execute(PEOPLE.insert(), [row(secret), second])


@ends_in(StatementError)
def _a_bound_parameter_has_no_value(connection: Connection, secret: str) -> None:
    statement = PEOPLE.update().values(secret=sa.bindparam("new"), key=sa.bindparam("forgotten"))
    connection.execute(statement, {"new": secret})


@ends_in(StatementError)
def _the_default_of_another_column_fails(connection: Connection, secret: str) -> None:
    def fail(context: Any) -> str:
        raise LookupError("no default today")

    columns = [PEOPLE.c.secret._copy(), sa.Column("key", sa.String, default=fail)]
    table = sa.Table("leak_people", sa.MetaData(), *columns)
    connection.execute(table.insert(), {"secret": secret})


@ends_in(StatementError)
def _another_type_raises_an_error_of_the_driver(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, refusing="anything"))


@ends_in(StatementError)
def _the_connection_was_closed(connection: Connection, secret: str) -> None:
    connection.connection.dbapi_connection.close()
    try:
        connection.execute(PEOPLE.insert(), row(secret))
    finally:
        connection.invalidate()


# -- the database refuses


@ends_in(IntegrityError, after=store)
def _a_unique_column_has_the_value_already(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, key="taken"))


@ends_in(IntegrityError)
def _a_column_must_not_be_null(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), row(secret, key=None))


@ends_in(IntegrityError, after=store)
def _one_of_many_rows_is_refused_by_the_database(connection: Connection, secret: str) -> None:
    connection.execute(PEOPLE.insert(), [row(secret), row(secret, key="taken")])


@ends_in(IntegrityError, after=store)
def _one_of_many_returned_rows_is_refused(connection: Connection, secret: str) -> None:
    rows = [row(secret), row(secret, key="taken"), row(secret)]
    connection.execute(PEOPLE.insert().returning(PEOPLE.c.id, PEOPLE.c.secret), rows)


@ends_in(IntegrityError, after=store)
def _an_object_is_refused_by_the_database(connection: Connection, secret: str) -> None:
    with Session(connection) as session:
        session.add_all([Person(**row(secret, key="taken")), Person(**row(secret))])
        session.flush()


@ends_in(IntegrityError, after=store)
def _plaintext_is_refused_by_the_check(connection: Connection, secret: str) -> None:
    """The error of a database may quote the whole row: the other columns are sealed in it."""
    connection.execute(sa.text("UPDATE leak_people SET number = :value"), {"value": b"36"})


@ends_in(DBAPIError)
def _the_table_does_not_exist(connection: Connection, secret: str) -> None:
    table = PEOPLE.to_metadata(sa.MetaData(), name="leak_nobody")
    connection.execute(table.insert(), row(secret))


@ends_in(DBAPIError)
def _a_literal_cannot_be_sealed(connection: Connection, secret: str) -> None:
    insert = PEOPLE.insert().values(**row(secret, secret=secret * LENGTH))
    compiled = insert.compile(connection, compile_kwargs={"literal_binds": True})
    connection.exec_driver_sql(str(compiled))
