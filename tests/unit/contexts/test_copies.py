"""The context after a table, a column or a type was copied, pickled or renamed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from sqlalchemy_sealed import EncryptedJSON, EncryptedString, Sealer
from sqlalchemy_sealed.errors import AuthenticationError, DecodingError

Check = Callable[[Any, str], None]


def people(**options: Any) -> sa.Table:
    """Return a new table with a sealed column."""
    return sa.Table(
        "people",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", EncryptedString(**options)),
        sa.Column("phone", EncryptedString(**options)),
    )


def test_an_imperative_table(stored_under: Check) -> None:
    """The columns of a Table are bound when they meet it."""
    column = sa.Column("email", EncryptedString())
    assert column.type.label is None
    table = sa.Table("people", sa.MetaData(), column)
    stored_under(table.c.email, "people.email")


def test_one_instance_in_two_tables(stored_under: Check) -> None:
    """The second use of a type instance is a copy with a context of its own."""
    type_ = EncryptedString()
    one = sa.Table("one", sa.MetaData(), sa.Column("a", type_), sa.Column("b", type_))
    two = sa.Table("two", sa.MetaData(), sa.Column("a", type_))
    assert one.c.a.type is type_
    stored_under(one.c.a, "one.a")
    stored_under(one.c.b, "one.b")
    stored_under(two.c.a, "two.a")


def test_the_schema_is_not_part_of_the_context(sealer: Sealer) -> None:
    """A schema differs between environments and tenants, so it is left out."""
    table = sa.Table("people", sa.MetaData(), sa.Column("email", EncryptedString()), schema="s1")
    copied = table.to_metadata(sa.MetaData(), schema="s2")
    assert table.c.email.type.label == copied.c.email.type.label == "people.email"


def test_to_metadata(stored_under: Check) -> None:
    """A copy in another MetaData has the context of its own name, and the first keeps its."""
    table = people()
    copied = table.to_metadata(sa.MetaData())
    archive = table.to_metadata(sa.MetaData(), name="archive")
    assert copied.c.email.type is not table.c.email.type
    stored_under(copied.c.email, "people.email")
    stored_under(archive.c.email, "archive.email")
    stored_under(archive.c.phone, "archive.phone")
    stored_under(table.c.email, "people.email")


def test_to_metadata_after_the_type_was_used(stored_under: Check) -> None:
    """What SQLAlchemy memoized on the first type does not go to the copy."""
    table = people()
    stored_under(table.c.email, "people.email")
    archive = table.to_metadata(sa.MetaData(), name="archive")
    stored_under(archive.c.email, "archive.email")


@pytest.mark.parametrize(
    "how", [copy.copy, copy.deepcopy, lambda type_: pickle.loads(pickle.dumps(type_))]
)
def test_a_copied_type_keeps_the_context_until_it_is_used_in_a_column(how: Any) -> None:
    """A copy of a column's type is bound as the column is; in a column it is bound anew."""
    type_ = how(people().c.email.type)
    assert type_.label == "people.email"
    table = sa.Table("firms", sa.MetaData(), sa.Column("fax", type_))
    assert table.c.fax.type.label == "firms.fax"


def test_a_pickled_table(stored_under: Check) -> None:
    """A Table that was pickled has its contexts, and can be copied further."""
    table = pickle.loads(pickle.dumps(people()))
    archive = table.to_metadata(sa.MetaData(), name="archive")
    stored_under(table.c.email, "people.email")
    stored_under(table.c.phone, "people.phone")
    stored_under(archive.c.email, "archive.email")


def test_a_pickled_metadata(stored_under: Check) -> None:
    """So has a whole MetaData, also after its types were used."""
    table = people()
    stored_under(table.c.email, "people.email")
    again = pickle.loads(pickle.dumps(table.metadata)).tables["people"]
    stored_under(again.c.email, "people.email")
    assert isinstance(again.c.email.type, EncryptedString)


def test_a_pickled_statement(sealer: Sealer, sqlite_engine: sa.Engine) -> None:
    """A statement that was pickled seals and opens under the same contexts."""
    table = people()
    table.create(sqlite_engine)
    insert = sa.insert(table).values(email="canary")
    select = sa.select(table.c.email)
    with sqlite_engine.begin() as connection:
        connection.execute(pickle.loads(pickle.dumps(insert)))
        assert connection.scalar(pickle.loads(pickle.dumps(select))) == "canary"
        assert connection.scalar(select) == "canary"


def test_an_explicit_context_survives_a_rename(sealer: Sealer, sqlite_engine: sa.Engine) -> None:
    """A table and a column of other names read what was stored under the explicit label."""
    old = sa.Table("people", sa.MetaData(), sa.Column("email", EncryptedString(context="p.mail")))
    new = sa.Table("person", sa.MetaData(), sa.Column("contact", EncryptedString(context="p.mail")))
    old.create(sqlite_engine)
    with sqlite_engine.begin() as connection:
        connection.execute(sa.insert(old), {"email": "canary"})
        connection.execute(sa.text("ALTER TABLE people RENAME TO person"))
        connection.execute(sa.text("ALTER TABLE person RENAME COLUMN email TO contact"))
        assert connection.scalar(sa.select(new)) == "canary"


def test_a_derived_context_does_not_survive_a_rename(
    sealer: Sealer, sqlite_engine: sa.Engine
) -> None:
    """Without an explicit label the renamed column refuses, until it is given the old label."""
    old = people()
    old.create(sqlite_engine)
    with sqlite_engine.begin() as connection:
        connection.execute(sa.insert(old), {"email": "canary"})
        connection.execute(sa.text("ALTER TABLE people RENAME COLUMN email TO mail"))
        for type_ in (EncryptedString(), EncryptedString(context="people.email")):
            new = sa.Table("people", sa.MetaData(), sa.Column("mail", type_))
            if type_.settings.context is None:
                with pytest.raises(AuthenticationError, match=r"^people\.mail: "):
                    connection.scalar(sa.select(new))
            else:
                assert connection.scalar(sa.select(new)) == "canary"


def test_equal_explicit_labels_are_interchangeable(
    sealer: Sealer, sqlite_engine: sa.Engine
) -> None:
    """An archive column with the label of the first one takes its stored values as they are."""
    table = people(context="people.contact")
    archive = table.to_metadata(table.metadata, name="archive")
    table.metadata.create_all(sqlite_engine)
    with sqlite_engine.begin() as connection:
        connection.execute(sa.insert(table), {"email": "canary"})
        connection.execute(sa.text("UPDATE people SET phone = email"))
        connection.execute(sa.insert(archive).from_select(["id", "email", "phone"], table.select()))
        assert connection.execute(sa.select(archive)).one() == (1, "canary", "canary")


def test_a_value_of_another_type_is_not_decoded(sealer: Sealer) -> None:
    """Under an equal label but another type the value opens, and is refused as what it is."""
    dialect = sqlite.dialect()
    stored = EncryptedString(context="a.b").bind_processor(dialect)("canary")
    with pytest.raises(DecodingError, match=r"^a\.b: .* it is not JSON"):
        EncryptedJSON(context="a.b").result_processor(dialect, None)(stored)
