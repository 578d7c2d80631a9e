"""What a sealed column is declared with: nothing that the database would compute or compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from sqlalchemy_sealed import BlindIndex, EncryptedInteger, EncryptedString, blind_index
from sqlalchemy_sealed.errors import ConfigurationError, RefusedOperationError


def table(*items: Any, type_: Any = None, **options: Any) -> sa.Table:
    """Return a table with a sealed column that is declared with these."""
    columns = [item for item in items if not isinstance(item, sa.Constraint | sa.Index)]
    others = [item for item in items if isinstance(item, sa.Constraint | sa.Index)]
    return sa.Table(
        "letters",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("body", type_ or EncryptedString(), *columns, **options),
        *others,
    )


def referring() -> Any:
    """Return tables of which one refers to the sealed column of the other."""
    letters = table(type_=EncryptedString(index=BlindIndex()))
    sa.Table(
        "answers",
        letters.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("letter", sa.ForeignKey("letters.body")),
    )
    return letters.metadata


def indexed(make: Callable[[Any], Any], *, unique: bool = False, **options: Any) -> sa.Index:
    """Return an index over an expression of the sealed column."""
    letters = table(type_=EncryptedString(**options))
    return sa.Index("ix", make(letters.c.body), unique=unique)


TRUNCATED = {"index": BlindIndex(bits=8)}
SEQUENCE = sa.Sequence("numbers")
REFUSED: dict[str, Callable[[], Any]] = {
    "a server default": lambda: table(server_default="x"),
    "a server default as SQL": lambda: table(server_default=sa.text("'x'")),
    "a server default for UPDATE": lambda: table(server_onupdate=sa.text("'x'")),
    "a default as SQL": lambda: table(default=sa.func.lower("x")),
    "a default as a subquery": lambda: table(default=sa.select(sa.literal("x")).scalar_subquery()),
    "a default for UPDATE as SQL": lambda: table(onupdate=sa.func.lower("x")),
    "a sequence": lambda: table(SEQUENCE, type_=EncryptedInteger()),
    "a sequence as default": lambda: table(type_=EncryptedInteger(), default=SEQUENCE),
    "an identity": lambda: table(sa.Identity(), type_=EncryptedInteger()),
    "a generated column": lambda: table(sa.Computed("'x'")),
    "a server default in an array": lambda: table(
        type_=sa.ARRAY(EncryptedString()), server_default="{}"
    ),
    "a primary key": lambda: table(primary_key=True),
    "a primary key constraint": lambda: sa.Table(
        "letters",
        sa.MetaData(),
        sa.Column("body", EncryptedString()),
        sa.PrimaryKeyConstraint("body"),
    ),
    "unique": lambda: table(unique=True),
    "a unique constraint": lambda: table(sa.UniqueConstraint("id", "body")),
    "an exclusion": lambda: table(ExcludeConstraint(("body", "="))),
    "a foreign key": lambda: table(sa.ForeignKey("others.id")),
    "a foreign key of two": lambda: table(
        sa.ForeignKeyConstraint(["id", "body"], ["others.id", "others.x"])
    ),
    "a foreign key to it": lambda: referring().create_all(sa.create_engine("sqlite://")),
    "an index": lambda: table(index=True),
    "an index over it": lambda: indexed(lambda body: body),
    "an index over a function": lambda: indexed(sa.func.lower),
    "an index in an order": lambda: indexed(sa.desc),
    "an index over a label": lambda: indexed(lambda body: body.label("x")),
    "an index over a CAST": lambda: indexed(lambda body: sa.cast(body, sa.String)),
    "a unique index over few bits": lambda: indexed(blind_index, unique=True, **TRUNCATED),
    "a unique index without a bridge": lambda: indexed(
        blind_index, unique=True, index=BlindIndex()
    ),
    "sealed in one database": lambda: table(
        type_=sa.String().with_variant(EncryptedString(), "postgresql")
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """It is refused when the table is made, and the error names the column."""
    with pytest.raises(ConfigurationError, match=r"^(letters\.)?body: "):
        REFUSED[case]()


ALLOWED: dict[str, Callable[[], Any]] = {
    "a default in Python": lambda: table(default="x", onupdate=lambda: "y"),
    "a value that a trigger makes": lambda: table(server_default=sa.FetchedValue()),
    "an index of the blind index": lambda: indexed(blind_index, index=BlindIndex()),
    "a unique one": lambda: indexed(blind_index, unique=True, index=BlindIndex(bridge=True)),
    "one that is not unique over few bits": lambda: indexed(blind_index, **TRUNCATED),
    "an index of the stored bytes, said so": lambda: indexed(
        lambda body: sa.type_coerce(body, sa.LargeBinary)
    ),
    "a constraint of NULL": lambda: table(sa.CheckConstraint("body IS NOT NULL")),
    "an array": lambda: table(type_=sa.ARRAY(EncryptedString())),
    "a sealed variant": lambda: table(
        type_=EncryptedString().with_variant(EncryptedString(storage="text"), "postgresql")
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed(case: str) -> None:
    """What works on the values, on the blind index, or on purpose on the stored bytes."""
    assert ALLOWED[case]() is not None


def test_a_blind_index_that_is_not_there() -> None:
    """`blind_index` refuses a plain column, a column without an index, and a wrong name."""
    letters = table(type_=EncryptedString(index=[BlindIndex("one"), BlindIndex("two")]))
    with pytest.raises(RefusedOperationError, match="not a sealed column"):
        blind_index(letters.c.id)
    with pytest.raises(RefusedOperationError, match="the column declares none"):
        blind_index(table().c.body)
    with pytest.raises(RefusedOperationError, match="the column declares 'one', 'two'"):
        blind_index(letters.c.body, "three")
