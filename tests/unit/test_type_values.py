"""What sealed types do with values: literals in SQL, subclasses, and when an UPDATE is needed."""

from __future__ import annotations

import warnings
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, registry

from sqlalchemy_sealed import (
    Encrypted,
    EncryptedBytes,
    EncryptedFloat,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    Sealer,
)
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    NotAnEnvelopeError,
    NotConfiguredError,
    ValueRefusedError,
)

SQLITE = sqlite.dialect()


# -- processors


@pytest.mark.parametrize("storage", ["binary", "text"])
def test_null_is_not_sealed_and_the_empty_text_is(storage: Any, sealer: Sealer) -> None:
    """None goes through both ways; an empty text is an envelope like any other."""
    type_ = EncryptedString(context="a.b", storage=storage)
    bind, result = type_.bind_processor(SQLITE), type_.result_processor(SQLITE, None)
    assert bind(None) is None
    assert result(None) is None
    assert len(bind("")) == (52 if storage == "binary" else 70)
    assert result(bind("")) == ""


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_whatever_bytes_a_driver_returns_are_opened(kind: Any, sealer: Sealer) -> None:
    """Some drivers return a bytearray or a memoryview."""
    type_ = EncryptedString(context="a.b")
    data = type_.bind_processor(SQLITE)("canary")
    assert type_.result_processor(SQLITE, None)(kind(data)) == "canary"


@pytest.mark.parametrize(
    ("storage", "stored"),
    [
        ("binary", "plaintext"),
        ("binary", b"plaintext"),
        ("binary", 5),
        ("text", "plaintext"),
        ("text", b"plaintext"),
        ("text", "sealé"),
        ("text", ""),
        ("binary", b""),
    ],
    ids=repr,
)
def test_what_is_not_an_envelope_is_not_returned(storage: Any, stored: Any, sealer: Sealer) -> None:
    """Plaintext in the column, and a value of the other storage, are errors that name it."""
    result = EncryptedString(context="a.b", storage=storage).result_processor(SQLITE, None)
    with pytest.raises(NotAnEnvelopeError, match=r"^a\.b: ") as caught:
        result(stored)
    assert "plaintext" not in str(caught.value).replace("plaintext or foreign data", "")


def test_an_envelope_in_the_other_storage_is_refused(sealer: Sealer) -> None:
    """Bytes in a column of text storage, and text in one of binary storage, do not open."""
    binary = EncryptedString(context="a.b")
    text = EncryptedString(context="a.b", storage="text")
    for one, other in ((binary, text), (text, binary)):
        stored = one.bind_processor(SQLITE)("x")
        with pytest.raises(NotAnEnvelopeError, match="storage"):
            other.result_processor(SQLITE, None)(stored)


@pytest.mark.parametrize("pad", [None, 16])
def test_padding_may_be_changed_later(pad: int | None, sealer: Sealer) -> None:
    """How a value was padded is in its envelope, so every pad reads every other."""
    stored = EncryptedString(context="a.b", pad=pad).bind_processor(SQLITE)("canary")
    for other in (None, 2, 64):
        type_ = EncryptedString(context="a.b", pad=other)
        assert type_.result_processor(SQLITE, None)(stored) == "canary"


@pytest.mark.parametrize(
    ("type_", "value"),
    [(EncryptedString(4, context="a.b"), "canary"), (EncryptedInteger(context="a.b"), "canary")],
    ids=repr,
)
def test_a_refused_value_is_said_of_the_column(
    type_: Encrypted[Any], value: Any, sealer: Sealer
) -> None:
    """The error names the column, not the value, and has no cause that shows it."""
    with pytest.raises(ValueRefusedError, match=r"^a\.b: ") as caught:
        type_.bind_processor(SQLITE)(value)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_a_sealer_without_keys_is_said_of_the_column() -> None:
    """The error names the column, the sealer and what to call, and reading fails as writing."""
    type_ = EncryptedString(context="a.b", sealer="never configured")
    with pytest.raises(NotConfiguredError, match=r"^a\.b: .*get_sealer\('never configured'\)"):
        type_.bind_processor(SQLITE)("x")
    with pytest.raises(NotConfiguredError, match=r"^a\.b: "):
        type_.result_processor(SQLITE, None)(b"x")


# -- literals in SQL text


@pytest.mark.parametrize(
    ("dialect", "storage", "head"),
    [
        (sqlite.dialect(), "binary", "X'b1e6a510"),
        (postgresql.dialect(), "binary", "decode('b1e6a510"),
        (sqlite.dialect(), "text", "'sealE"),
        (postgresql.dialect(), "text", "'sealE"),
    ],
)
def test_a_literal_is_rendered_sealed(
    dialect: Any, storage: Any, head: str, sealer: Sealer
) -> None:
    """With literal_binds the SQL text holds an envelope, without a character to be escaped."""
    value = sa.literal("canary", EncryptedString(context="a.b", storage=storage))
    text = str(sa.select(value).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    assert head in text
    assert "\\" not in text
    assert "canary" not in text


@pytest.mark.parametrize("storage", ["binary", "text"])
def test_a_rendered_literal_can_be_run(
    storage: Any, sealer: Sealer, sqlite_engine: sa.Engine
) -> None:
    """What was rendered is stored, and read back as the value."""
    type_ = EncryptedString(storage=storage)
    table = sa.Table("t", sa.MetaData(), sa.Column("a", type_), sa.Column("b", type_))
    rendered = sa.insert(table).values(a="it's", b=None)
    sql = str(rendered.compile(sqlite_engine, compile_kwargs={"literal_binds": True}))
    table.create(sqlite_engine)
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql(sql)
        assert connection.execute(sa.select(table)).one() == ("it's", None)


@pytest.mark.parametrize(
    ("type_", "value", "reason"),
    [
        (EncryptedString(3, context="it's.b"), "canary", "it''s.b: too long: 6 characters"),
        (EncryptedString(), "canary", "not attached to a column"),
        (EncryptedInteger(context="a.b"), "canary", "a.b: expects int, got str"),
        (EncryptedString(context="a.b", sealer="never configured"), "canary", "no keys yet"),
    ],
    ids=repr,
)
def test_a_literal_that_cannot_be_sealed_is_rendered_as_an_error(
    type_: Any, value: Any, reason: str, sealer: Sealer, sqlite_engine: sa.Engine
) -> None:
    """Rendering shows no value and the reason; running it fails on every database."""
    statement = sa.select(sa.literal(value, type_))
    sql = str(statement.compile(sqlite_engine, compile_kwargs={"literal_binds": True}))
    assert reason in sql
    assert "canary" not in sql
    with sqlite_engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.exec_driver_sql(sql)


# -- subclasses


class Email(EncryptedString):
    """A subclass that changes the value on both ways."""

    def process_bind_param(self, value: str | None, dialect: Any) -> Any:
        """Seal in lower case."""
        return super().process_bind_param(value and value.lower(), dialect)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        """Read with a mark."""
        opened = super().process_result_value(value, dialect)
        return opened and f"<{opened}>"


class Reserved(EncryptedString):
    """A subclass with an argument of its own, which says nothing of caching."""

    def __init__(self, *, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        super().__init__(**options)


class Derived(Reserved):
    """A plain subclass of that."""


class Uncacheable(EncryptedString):
    """A subclass that does not want to be cached."""

    cache_ok = False


class PlainUncacheable(Uncacheable):
    """A plain subclass of that."""


def test_a_subclass_may_change_values_before_and_after(
    sealer: Sealer, sqlite_engine: sa.Engine
) -> None:
    """Overridden process methods see plain values, and their column binds as the stock types."""
    table = sa.Table("t", sa.MetaData(), sa.Column("a", Email()))
    table.create(sqlite_engine)
    with sqlite_engine.begin() as connection:
        connection.execute(sa.insert(table), [{"a": "ADA@X.org"}, {"a": None}])
        assert connection.scalars(sa.select(table.c.a)).all() == ["<ada@x.org>", None]
        stored = connection.exec_driver_sql("SELECT a FROM t").scalars().first()
    assert sealer.open(stored, "t.a") == b"ada@x.org"
    render = table.c.a.type.literal_processor(SQLITE)
    assert sealer.open(bytes.fromhex(render("ADA")[2:-1]), "t.a") == b"ada"


def test_a_plain_subclass_is_cacheable() -> None:
    """A subclass without arguments of its own shares the promise of the stock types."""
    key = Email(context="a.b")._static_cache_key
    assert key == Email(context="a.b")._static_cache_key
    assert key != EncryptedString(context="a.b")._static_cache_key


@pytest.mark.parametrize("class_", [Reserved, Derived])
def test_a_subclass_with_arguments_must_say_that_it_is_cacheable(class_: Any) -> None:
    """Its arguments may not be in the cache key, so SQLAlchemy warns and nothing is shared."""
    one, other = (sa.select(sa.column("x", class_(prefix="a", context="a.b"))) for _ in range(2))
    with pytest.warns(sa.exc.SAWarning, match="will not produce a cache key"):
        assert one._generate_cache_key() != other._generate_cache_key()


@pytest.mark.parametrize("class_", [Uncacheable, PlainUncacheable])
def test_a_subclass_may_refuse_to_be_cached(class_: Any) -> None:
    """With cache_ok = False no key is shared, and there is nothing to warn of."""
    one, other = (sa.select(sa.column("x", class_(context="a.b"))) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one._generate_cache_key() != other._generate_cache_key()


# -- when an UPDATE is needed


@pytest.mark.parametrize(
    ("type_", "old", "new", "same"),
    [
        (EncryptedString(), "a", "a", True),
        (EncryptedString(), "a", "b", False),
        (EncryptedString(), None, None, True),
        (EncryptedString(), "", None, False),
        (EncryptedNumeric(), Decimal("1.0"), Decimal("1.00"), False),
        (EncryptedNumeric(), Decimal("1.0"), Decimal("1.0"), True),
        (EncryptedNumeric(), Decimal(1), 1, True),
        (EncryptedFloat(), 0.0, -0.0, False),
        (EncryptedFloat(), 1.0, 1, True),
        (EncryptedFloat(), float("nan"), float("nan"), True),
        (EncryptedInteger(), 1, True, False),
        (EncryptedInteger(), 1, 1.0, False),
        (EncryptedJSON(), {"a": 1}, {"a": True}, False),
        (EncryptedJSON(), {"a": 1}, {"a": 1.0}, False),
        (EncryptedJSON(), {"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        (EncryptedJSON(), {"a": [1]}, {"a": [1]}, True),
        (EncryptedJSON(), {"a": [1]}, {"a": (1,)}, True),
        (EncryptedJSON(), None, sa.JSON.NULL, False),
        (EncryptedBytes(), b"a", bytearray(b"a"), True),
    ],
    ids=repr,
)
def test_values_are_the_same_if_they_would_be_sealed_the_same(
    type_: Encrypted[Any], old: Any, new: Any, same: bool
) -> None:
    """Equality of Python is not enough: 1 is not True, 1.0 is not 1.00."""
    assert type_.compare_values(old, new) is same
    assert type_.compare_values(new, old) is same


@pytest.fixture
def record(sealer: Sealer, sqlite_engine: sa.Engine) -> Any:
    """Return a mapped class of one column of each kind, on an empty database."""
    table = sa.Table(
        "records",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", EncryptedString()),
        sa.Column("number", EncryptedNumeric()),
    )
    table.create(sqlite_engine)
    record = type("Record", (), {})
    registry().map_imperatively(record, table)
    return record


@pytest.mark.parametrize(
    ("value", "changed", "stored"),
    [
        (Decimal("1.0"), False, "Decimal('1.0')"),
        (Decimal("1.00"), True, "Decimal('1.00')"),
        (None, True, "None"),
        pytest.param(sa.null(), True, "None", id="NULL"),
    ],
    ids=repr,
)
def test_an_update_is_sent_for_a_change_only(
    value: Any, changed: bool, stored: str, record: Any, sqlite_engine: sa.Engine
) -> None:
    """Assigning the same value writes nothing; another one, or an SQL expression, does."""
    with Session(sqlite_engine) as session:
        row = record()
        row.number = Decimal("1.0")
        session.add(row)
        session.commit()
        assert row.number == 1
        row.number = value
        assert session.is_modified(row) is changed
        session.commit()
        assert repr(row.number) == stored


def test_an_sql_null_replaces_a_text(record: Any, sqlite_engine: sa.Engine) -> None:
    """The expression null() can be assigned where a text was loaded."""
    with Session(sqlite_engine) as session:
        row = record()
        row.text = "a"
        session.add(row)
        session.commit()
        assert row.text == "a"
        row.text = sa.null()
        session.commit()
        assert row.text is None


def test_a_value_of_another_column_does_not_open(sealer: Sealer) -> None:
    """The processors of one label refuse what those of another made."""
    stored = EncryptedString(context="a.b").bind_processor(SQLITE)("canary")
    with pytest.raises(AuthenticationError, match=r"^a\.c: the value does not authenticate"):
        EncryptedString(context="a.c").result_processor(SQLITE, None)(stored)
