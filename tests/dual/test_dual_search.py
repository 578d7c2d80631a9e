"""Queries find the same rows before, while and after a column is encrypted in place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fix_db import ON_MARIADB_TOO
from sqlalchemy import Engine, bindparam, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, aliased

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedString,
    Sealer,
    blind_index,
    execute_exact,
)
from sqlalchemy_sealed.errors import RefusedOperationError, ValueRefusedError

from .shop import TOMORROW, Base, Customer, Supplier, make_tables, put, stored

pytestmark = ON_MARIADB_TOO

NAMES = ["ada", "Ada", "ada ", "ädä", "a'b\\c\"%s:x{}", "eve", "", "x" * 300]
"""Texts that a collation or a pattern may mistake for one another."""


@pytest.fixture
def shop(engine: Engine, sealer: Sealer) -> Iterator[Engine]:
    """Return an engine on rows of each name in plaintext, and sealed ones of the same names."""
    make_tables(engine)
    with Session(engine) as session:
        for number, name in enumerate(NAMES):
            put(session.connection(), number, email=name, photo=name.encode())
            session.add(Customer(id=100 + number, email=name, photo=name.encode()))
        put(session.connection(), 99)
        session.commit()
    yield engine
    Base.metadata.drop_all(engine)


def ids(engine: Engine, condition: Any, **parameters: Any) -> list[int]:
    """Return the ids of the rows that a condition finds."""
    with Session(engine) as session:
        query = select(Customer.id).where(condition).order_by(Customer.id)
        return list(session.scalars(query, parameters))


def of(*numbers: int) -> list[int]:
    """Return the ids of names, in plaintext and sealed."""
    return sorted([*numbers, *(100 + number for number in numbers)])


OTHERS = range(len(NAMES))


def test_equal_values_are_found_in_both_forms(shop: Engine) -> None:
    """A search is exact for plaintext, too, whatever the collation of the column."""
    for number, name in enumerate(NAMES):
        assert ids(shop, Customer.email == name) == of(number)
        assert ids(shop, Customer.photo == name.encode()) == of(number)
        rest = of(*(each for each in OTHERS if each != number))
        assert ids(shop, Customer.email != name) == rest
        assert ids(shop, Customer.photo != name.encode()) == rest
        assert ids(shop, ~(Customer.email == name)) == rest


def test_lists_are_found_in_both_forms(shop: Engine) -> None:
    """So are several values, none, and NULL among them as SQL has it."""
    for column, form in ((Customer.email, str), (Customer.photo, str.encode)):
        wanted = [form(NAMES[0]), form(NAMES[3]), form(NAMES[4])]
        assert ids(shop, column.in_(wanted)) == of(0, 3, 4)
        assert ids(shop, column.not_in(wanted)) == of(1, 2, 5, 6, 7)
        assert ids(shop, column.in_([])) == []
        assert ids(shop, column.not_in([*wanted, None])) == []
        assert ids(shop, column.in_([*wanted, None])) == of(0, 3, 4)


def test_is_distinct_from_counts_null_as_a_value(shop: Engine) -> None:
    """It is never NULL itself."""
    assert ids(shop, Customer.email.is_distinct_from("eve")) == sorted(
        [*of(0, 1, 2, 3, 4, 6, 7), 99]
    )
    assert ids(shop, Customer.email.is_not_distinct_from("eve")) == of(5)
    assert ids(shop, Customer.photo.is_distinct_from(b"eve")) == sorted(
        [*of(0, 1, 2, 3, 4, 6, 7), 99]
    )
    assert ids(shop, Customer.email.is_(None)) == [99]


def test_one_statement_serves_all_values_by_name(shop: Engine) -> None:
    """Parameters with names work, alone and as a list, and a cached statement takes new ones."""
    one, many = Customer.email == bindparam("q"), Customer.email.in_(bindparam("q"))
    for number in (0, 3, 5):
        assert ids(shop, one, q=NAMES[number]) == of(number)
        assert ids(shop, many, q=[NAMES[number], NAMES[1]]) == of(number, 1)
    assert ids(shop, one, q=None) == []
    assert ids(shop, many, q=[]) == []


def test_it_is_found_through_aliases_and_subqueries(shop: Engine) -> None:
    """The ORM puts another table in the place of the column, and so does a subquery."""
    other = aliased(Customer)
    with Session(shop) as session:
        found = session.scalars(select(other.id).where(other.email == "eve").order_by(other.id))
        assert list(found) == of(5)
        inner = select(Customer).subquery()
        query = select(inner.c.id).where(inner.c.email.in_(["eve"])).order_by(inner.c.id)
        assert list(session.scalars(query)) == of(5)
        assert session.query(Customer).filter_by(email="eve").count() == 2
        session.execute(sa.update(Customer).where(Customer.email == "eve").values(note="seen"))
        session.execute(sa.delete(Customer).where(Customer.email == "Ada"))
        session.commit()
        assert ids(shop, Customer.note.is_not(None)) == of(5)
        assert ids(shop, Customer.email == "Ada") == []


def test_searching_with_an_envelope_finds_nothing(shop: Engine) -> None:
    """Who knows what the database holds cannot ask which row has it."""
    with shop.connect() as connection:
        envelope, data = stored(connection, "email", 105), stored(connection, "photo", 105)
    assert ids(shop, Customer.email == envelope) == []
    assert ids(shop, Customer.email.in_([envelope])) == []
    assert ids(shop, Customer.photo == data) == []
    assert 105 in ids(shop, Customer.email != envelope)


def test_a_truncated_index_finds_both_forms_exactly(shop: Engine) -> None:
    """False matches are dropped after reading, as ever."""
    short = EncryptedString(
        storage="text", index=BlindIndex(bits=1), context="c.n", plaintext_until=TOMORROW
    )
    table = sa.Table(
        "short",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("n", short),
    )
    with shop.begin() as connection:
        table.create(connection)
        rows = [(n, e) for n, e in enumerate(NAMES) if e.isascii()]
        connection.execute(table.insert(), [{"id": 100 + n, "n": e} for n, e in rows])
        statement = sa.text("INSERT INTO short VALUES (:id, :n)")
        connection.execute(statement, [{"id": n, "n": e} for n, e in rows])
        query = select(table.c.id).where(table.c.n == "ada").order_by(table.c.id)
        found = list(execute_exact(connection, query).scalars())
        table.drop(connection)
    assert found == of(0)


@pytest.mark.parametrize("value", [7, b"ada", ["ada"]])
def test_a_value_of_another_type_is_refused(value: Any, shop: Engine) -> None:
    """As for every sealed column."""
    with pytest.raises(ValueRefusedError, match=r"customers\.email: expects str"):
        ids(shop, Customer.email == bindparam("q"), q=value)


@pytest.mark.parametrize("value", ["ada", iter(["ada"])], ids=["text", "iterator"])
def test_what_is_no_list_is_refused(value: Any, shop: Engine) -> None:
    """A text would be a list of letters, and an iterator gives its values once only."""
    with pytest.raises(ValueRefusedError, match="expects a list of values"):
        ids(shop, Customer.email.in_(bindparam("q")), q=value)


def test_a_log_of_statements_does_not_show_the_value(
    shop: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the error of a statement that fails."""
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    ids(shop, Customer.email == "eve is searched")
    ids(shop, Customer.email.in_(["eve is searched"]))
    ids(shop, Customer.photo == b"eve is searched")
    assert "***" in caplog.text
    assert "eve is searched" not in caplog.text
    with pytest.raises(DBAPIError) as caught:
        ids(shop, (Customer.email == "eve is searched") & (sa.column("nowhere") == 1))
    assert "eve is searched" not in str(caught.value)
    assert "eve is searched" not in repr(caught.value.params)


def test_it_is_not_rendered_into_sql_text(shop: Engine) -> None:
    """With literal_binds the value would stand in the statement; it says so in its place."""
    query = select(Customer.id).where(Customer.email == "eve")
    rendered = str(query.compile(shop, compile_kwargs={"literal_binds": True}))
    assert "sqlalchemy_sealed_could_not_seal" in rendered
    assert "eve" not in rendered


# -- what is refused


def refused(call: Any, shop: Engine) -> str:
    """Return why something is refused, when it is made or before it is sent."""
    sent: list[str] = []
    event.listen(shop, "after_cursor_execute", lambda *given: sent.append(given[2]))
    with shop.connect() as connection, pytest.raises(RefusedOperationError) as caught:
        connection.execute(call())
    assert not any("customers" in each for each in sent)
    return str(caught.value)


OTHER = aliased(Customer)
REFUSED = {
    "join": lambda: select(Customer.id).join(OTHER, Customer.email == OTHER.email),
    "other column": lambda: select(Customer.id).join(
        Supplier, blind_index(Supplier.email) == blind_index(Customer.email)
    ),
    "subquery": lambda: select(Customer.id).where(
        blind_index(Customer.email).in_(select(blind_index(OTHER.email)))
    ),
    "slot of a subquery": lambda: select(1).where(
        select(blind_index(Customer.email).label("s")).subquery().c.s == "eve"
    ),
    "group by": lambda: select(func.count()).group_by(blind_index(Customer.email)),
    "distinct": lambda: select(blind_index(Customer.email)).distinct(),
    "contains": lambda: select(Customer.id).where(Customer.email.contains("eve")),
    "copied": lambda: sa.update(Customer).values(email=Customer.email),
    "selected": lambda: sa.insert(Customer).from_select(
        ["email"], select(OTHER.email).where(OTHER.id == 1)
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_would_miss_or_copy_plaintext_is_refused(name: str, shop: Engine) -> None:
    """Rows of plaintext have no slot and no tokens, and must not be written anew."""
    said = refused(REFUSED[name], shop)
    assert "customers.email" in said or "suppliers.email" in said
    if name in ("copied", "selected"):
        assert "plaintext, which would be copied" in said


def test_a_normalised_index_is_refused(shop: Engine) -> None:
    """The database would have to normalise plaintext as this library does."""
    index = [BlindIndex(), BlindIndex("folded", normalize="casefold")]
    type_ = EncryptedString(storage="text", index=index, context="c.n", plaintext_until=TOMORROW)
    column = sa.column("n", type_)
    assert str(column == "eve")
    with pytest.raises(RefusedOperationError, match="normalised"):
        _ = blind_index(column, "folded") == "eve"


def test_a_type_that_changes_values_is_refused(shop: Engine) -> None:
    """Old rows hold what was not changed."""

    class Stripped(EncryptedString):
        def process_bind_param(self, value: Any, dialect: Any) -> Any:
            return super().process_bind_param(value and value.strip(), dialect)

    type_ = Stripped(storage="text", index=BlindIndex(), context="c.n", plaintext_until=TOMORROW)
    with pytest.raises(RefusedOperationError, match="changes values"):
        _ = sa.column("n", type_) == "eve"


def test_an_upsert_may_take_the_new_row(shop: Engine) -> None:
    """What was to be inserted is sealed, and may be set; what is there may not be copied."""
    if shop.dialect.name not in ("postgresql", "sqlite"):
        return
    insert = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[shop.dialect.name]
    statement: Any = insert(Customer).values(id=0, email="new@example.org")
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_={"email": statement.excluded.email}
    )
    with Session(shop) as session:
        session.execute(statement)
        session.commit()
    assert ids(shop, Customer.email == "new@example.org") == [0]
    copying = (
        insert(Customer)
        .values(id=0, email="x")
        .on_conflict_do_update(index_elements=["id"], set_={"email": Customer.email})
    )
    assert "would be copied" in refused(lambda: copying, shop)
