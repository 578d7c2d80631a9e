"""Types that never met a column of a Table: an explicit context, a column's type, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from sqlalchemy_sealed import Encrypted, EncryptedString, Sealer
from sqlalchemy_sealed.errors import ConfigurationError, NoContextError

PEOPLE = sa.Table(
    "people",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", EncryptedString()),
)


@pytest.fixture
def connection(sealer: Sealer, sqlite_engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection to a database with one person."""
    PEOPLE.metadata.create_all(sqlite_engine)
    with sqlite_engine.begin() as connection:
        connection.execute(sa.insert(PEOPLE), {"email": "canary"})
        yield connection


Make = Callable[[Encrypted[Any]], Any]


def a_values(type_: Encrypted[Any]) -> Any:
    """Return a statement that reads a VALUES list as a CTE."""
    rows = sa.values(sa.column("v", type_), name="rows").data([("canary",)])
    return sa.select(rows.cte().c.v)


READS: dict[str, Make] = {
    "text().columns(name=type)": lambda t: sa.text("SELECT email FROM people").columns(email=t),
    "text().columns(column)": lambda t: sa.text("SELECT email FROM people").columns(
        sa.column("email", t)
    ),
    "subquery of text().columns()": lambda t: sa.select(
        sa.text("SELECT email FROM people").columns(email=t).subquery().c.email
    ),
    "table()": lambda t: sa.select(sa.table("people", sa.column("email", t)).c.email),
    "column()": lambda t: sa.select(sa.column("email", t)).select_from(sa.text("people")),
    "literal_column()": lambda t: sa.select(sa.literal_column("email", t)).select_from(PEOPLE),
    "type_coerce()": lambda t: sa.select(sa.type_coerce(sa.literal_column("email"), t)).select_from(
        PEOPLE
    ),
    "cast()": lambda t: sa.select(sa.cast(sa.literal_column("email"), t)).select_from(PEOPLE),
    "func(type_=)": lambda t: sa.select(
        sa.func.max(sa.literal_column("email"), type_=t)
    ).select_from(PEOPLE),
}
BINDS: dict[str, Make] = {
    "literal()": lambda t: sa.select(sa.literal("canary", t)),
    "bindparam()": lambda t: sa.select(sa.bindparam("v", "canary", t)),
    "type_coerce() of a value": lambda t: sa.select(sa.type_coerce("canary", t)),
    "cast() of a value": lambda t: sa.select(sa.cast("canary", t)),
    "values()": a_values,
    "text().bindparams()": lambda t: (
        sa.text("SELECT :v AS v").bindparams(sa.bindparam("v", "canary", t)).columns(v=t)
    ),
    "insert(table())": lambda t: (
        sa.insert(sa.table("people", sa.column("email", t)))
        .values(email="canary")
        .returning(sa.column("email", t))
    ),
    "update(table())": lambda t: (
        sa.update(sa.table("people", sa.column("email", t)))
        .values(email="canary")
        .returning(sa.column("email", t))
    ),
}
ALL = READS | BINDS


@pytest.mark.parametrize("construct", ALL)
def test_an_explicit_context_works_everywhere(construct: str, connection: sa.Connection) -> None:
    """With context= a type that has no column seals and opens as that column does."""
    statement = ALL[construct](EncryptedString(context="people.email"))
    assert connection.execute(statement).scalar_one() == "canary"


@pytest.mark.parametrize("construct", ALL)
def test_the_type_of_a_column_works_everywhere(construct: str, connection: sa.Connection) -> None:
    """The type of a Table's column brings its context with it."""
    statement = ALL[construct](PEOPLE.c.email.type)
    assert connection.execute(statement).scalar_one() == "canary"


@pytest.mark.parametrize("construct", ALL)
def test_without_a_context_there_is_an_error(construct: str, connection: sa.Connection) -> None:
    """A type without a column refuses to guess, and says what to write."""
    statement = ALL[construct](EncryptedString())
    with pytest.raises(NoContextError) as caught:
        connection.execute(statement).all()
    assert "EncryptedString is not attached to a column" in str(caught.value)
    assert "pass context='table.column'" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_null_needs_no_context(connection: sa.Connection) -> None:
    """None is not sealed, so it needs nothing to be bound to."""
    assert connection.scalar(sa.select(sa.literal(None, EncryptedString()))) is None


def test_a_table_without_metadata_is_written_and_read(
    connection: sa.Connection, sealer: Sealer
) -> None:
    """What a migration writes through sa.table() is what the model reads."""
    light = sa.table("people", sa.column("email", EncryptedString(context="people.email")))
    connection.execute(sa.delete(light))
    connection.execute(sa.insert(light), [{"email": "a@x"}, {"email": None}])
    assert connection.scalars(sa.select(PEOPLE.c.email)).all() == ["a@x", None]


@pytest.mark.parametrize("reflected", [False, True], ids=["column", "event"])
def test_a_reflected_table_is_bound(reflected: bool, connection: sa.Connection) -> None:
    """A column that overrides a reflected one, or is given its type by an event, has a context."""
    metadata = sa.MetaData()
    if reflected:

        @sa.event.listens_for(metadata, "column_reflect")
        def seal(inspector: Any, table: Any, column: Any) -> None:
            if column["name"] == "email":
                column["type"] = EncryptedString()

        table = sa.Table("people", metadata, autoload_with=connection)
    else:
        column = sa.Column("email", EncryptedString())
        table = sa.Table("people", metadata, column, autoload_with=connection)
    assert table.c.email.type.label == "people.email"
    assert connection.scalar(sa.select(table.c.email)) == "canary"


# -- inside of another type


class Trimmed(sa.TypeDecorator[str]):
    """An application's own type around a sealed one."""

    impl = EncryptedString
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Take spaces away before the value is sealed."""
        return value and value.strip()


def test_a_type_inside_of_another_type_is_bound(stored_under: Any) -> None:
    """The sealed type inside of an application's type has the context of the column."""
    table = sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", Trimmed()),
        sa.Column("phone", Trimmed(20, storage="binary")),
    )
    stored_under(table.c.email, "people.email")
    stored_under(table.c.phone, "people.phone")


def test_a_type_inside_of_another_type_follows_to_metadata(stored_under: Any) -> None:
    """A copy of the table binds the inner type to the new column, and leaves the first."""
    table = sa.Table("people", sa.MetaData(), sa.Column("email", Trimmed()))
    copied = table.to_metadata(sa.MetaData(), name="archive")
    stored_under(copied.c.email, "archive.email")
    stored_under(table.c.email, "people.email")


def test_an_explicit_context_inside_of_another_type_can_be_shared(stored_under: Any) -> None:
    """With context= one instance may stand in any number of columns."""
    type_ = Trimmed(context="people.email")
    table = sa.Table("t", sa.MetaData(), sa.Column("one", type_), sa.Column("two", type_))
    stored_under(table.c.one, "people.email")
    stored_under(table.to_metadata(sa.MetaData()).c.two, "people.email")


def test_one_instance_inside_of_two_arrays_is_refused() -> None:
    """Where it cannot be replaced by a copy, a shared instance is an error, not a wrong context."""
    inner = EncryptedString()
    first = sa.Column("one", sa.ARRAY(inner))
    sa.Table("t", sa.MetaData(), first)
    with pytest.raises(ConfigurationError, match="shared by two columns"):
        sa.Column("two", sa.ARRAY(inner))
