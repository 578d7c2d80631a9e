"""The statement cache: types that differ never share a processor, equal types share a statement."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from fix_keys import forget
from sqlalchemy.engine.interfaces import CacheStats

from sqlalchemy_sealed import (
    Encrypted,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    EncryptedText,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    SealedError,
    Sealer,
    get_sealer,
)
from sqlalchemy_sealed.envelope import from_text, parse


class Upper(EncryptedString):
    """A subclass that changes values on both ways."""

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Seal in upper case."""
        return super().process_bind_param(value and value.upper(), dialect)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """Read with a mark."""
        return f"<{super().process_result_value(value, dialect)}>"


class Prefixed(EncryptedString):
    """A subclass with an argument that it says is safe to cache."""

    cache_ok = True

    def __init__(self, *, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        super().__init__(**options)

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Seal with the prefix."""
        return super().process_bind_param(self.prefix + value, dialect)


class Unsaid(Prefixed):
    """A subclass with an argument that says nothing of caching."""

    def __init__(self, *, prefix: str = "", **options: Any) -> None:
        super().__init__(prefix=prefix, **options)


class Fruit(enum.Enum):
    """One of two enumerations that have the same name."""

    FIG = 1


Berry = enum.Enum("Berry", {"FIG": 2})
Make = Callable[[], Encrypted[Any]]


class Pair(NamedTuple):
    """Two types that differ in one argument, and a value for both."""

    first: Make
    second: Make
    value: Any = "canary"


def pair(class_: Any, one: dict[str, Any], other: dict[str, Any], value: Any = "canary") -> Pair:
    """Return a pair of one class with different arguments."""
    common = {"context": "a.b"}
    return Pair(lambda: class_(**common | one), lambda: class_(**common | other), value)


def enums(one: Any, other: Any, value: Any) -> Pair:
    """Return a pair of enumerations."""
    return Pair(
        lambda: EncryptedEnum(*one, context="a.b"),
        lambda: EncryptedEnum(*other, context="a.b"),
        value,
    )


def of_column(table: str) -> Encrypted[Any]:
    """Return the type of a new table's column, without an explicit context."""
    return sa.Table(table, sa.MetaData(), sa.Column("email", EncryptedString())).c.email.type


def with_variant(**options: Any) -> Any:
    """Return a type that is another one on SQLite."""
    variant = EncryptedString(**{"context": "a.b", **options})
    return EncryptedString(context="a.b").with_variant(variant, "sqlite")


NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 - the value under test
BOTH = {
    "context": pair(EncryptedString, {}, {"context": "a.c"}),
    "derived context": Pair(lambda: of_column("people"), lambda: of_column("firms")),
    "sealer": pair(EncryptedString, {}, {"sealer": "second"}),
    "storage": pair(EncryptedString, {}, {"storage": "text"}),
    "inner type": Pair(
        lambda: Encrypted(sa.String(), context="a.b"), lambda: Encrypted(sa.JSON(), context="a.b")
    ),
    "timezone": pair(EncryptedDateTime, {}, {"timezone": True}, NAIVE),
    "names": enums(["FIG", "PLUM"], ["PLUM"], "FIG"),
    "enumeration": enums([Fruit], [Berry], Fruit.FIG),
    "subclass": Pair(lambda: EncryptedString(context="a.b"), lambda: Upper(context="a.b")),
    "variant": Pair(lambda: EncryptedString(context="a.b"), lambda: with_variant(sealer="second")),
    "variants": Pair(lambda: with_variant(context="a.c"), lambda: with_variant(context="a.d")),
}
ONLY_BOUND = {
    "no padding": pair(EncryptedString, {}, {"pad": 64}),
    "pad": pair(EncryptedString, {"pad": 16}, {"pad": 64}),
    "length": pair(EncryptedString, {"length": 9}, {"length": 5}),
    "no length": pair(EncryptedString, {}, {"length": 5}),
    "precision": pair(EncryptedNumeric, {"precision": 5}, {"precision": 3}, Decimal("1.234")),
    "scale": pair(
        EncryptedNumeric, {"precision": 5, "scale": 3}, {"precision": 5, "scale": 2},
        Decimal("1.234"),
    ),
    "argument of a subclass": pair(Prefixed, {"prefix": "a"}, {"prefix": "b"}),
}  # fmt: skip
ONLY_READ = {"masked": pair(EncryptedString, {}, {"masked": True})}
NEITHER = {
    "tracked": pair(EncryptedJSON, {}, {"tracked": False}),
    "class": Pair(lambda: EncryptedString(context="a.b"), lambda: EncryptedText(context="a.b")),
}
BOUND, READ = BOTH | ONLY_BOUND, BOTH | ONLY_READ
ALL = BOUND | READ | NEITHER


def values_list(type_: Any, value: Any) -> Any:
    """Return a statement over a VALUES list."""
    return sa.select(sa.values(sa.column("v", type_), name="rows").data([(value,)]).cte().c.v)


BINDS: dict[str, Callable[[Any, Any], Any]] = {
    "bindparam": lambda t, v: sa.select(sa.bindparam("v", v, t)),
    "literal": lambda t, v: sa.select(sa.literal(v, t)),
    "type_coerce": lambda t, v: sa.select(sa.type_coerce(v, t)),
    "cast": lambda t, v: sa.select(sa.cast(v, t)),
    "values": values_list,
    "func": lambda t, v: sa.select(sa.func.max(sa.literal(v, t))),
    "text": lambda t, v: sa.text("SELECT :v").bindparams(sa.bindparam("v", v, t)),
    "insert": lambda t, v: sa.insert(sa.table("raw", sa.column("data", t))).values(data=v),
    "update": lambda t, v: sa.update(sa.table("raw", sa.column("data", t))).values(data=v),
}
READS: dict[str, Callable[[Any], Any]] = {
    "column": lambda t: sa.select(sa.column("data", t)).select_from(sa.table("raw")),
    "table": lambda t: sa.select(sa.table("raw", sa.column("data", t))),
    "literal_column": lambda t: sa.select(sa.literal_column("data", t)).select_from(
        sa.table("raw")
    ),
    "type_coerce": lambda t: sa.select(sa.type_coerce(sa.column("data"), t)).select_from(
        sa.table("raw")
    ),
    "cast": lambda t: sa.select(sa.cast(sa.column("data"), t)).select_from(sa.table("raw")),
    "func": lambda t: sa.select(sa.func.max(sa.column("data"), type_=t)).select_from(
        sa.table("raw")
    ),
    "text().columns(type)": lambda t: sa.text("SELECT data FROM raw").columns(data=t),
    "text().columns(column)": lambda t: sa.text("SELECT data FROM raw").columns(
        sa.column("data", t)
    ),
}


@pytest.fixture(autouse=True)
def second(sealer: Sealer, provider: LocalRootKey) -> Iterator[Sealer]:
    """Configure the default sealer, and one named "second"; return that."""
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create("second")
    second = get_sealer("second")
    second.configure(keystore=keystore, provider=provider)
    yield second
    forget(second)


@pytest.fixture
def connection(sqlite_engine: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection to a database with an empty table of one untyped column."""
    with sqlite_engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE raw (data)")
        yield connection


def outcome(action: Callable[[], Any]) -> Any:
    """Return what an action returns, or our error that it raises."""
    try:
        return action()
    except SealedError as error:
        return type(error), str(error)


def meaning(stored: Any) -> Any:
    """Return what tells two envelopes apart: form, suite, key, size, context and plaintext."""
    data = from_text(stored) if isinstance(stored, str) else stored
    envelope = parse(data)
    opened = []
    for sealer in (get_sealer(), get_sealer("second")):
        for label in ("a.b", "a.c", "a.d", "people.email", "firms.email"):
            result = outcome(lambda s=sealer, la=label: s.open(data, la))
            if isinstance(result, bytes):
                opened.append((sealer.name, label, result))
    assert opened
    return type(stored), envelope.suite, envelope.key_id, len(stored), opened


def bound(connection: sa.Connection, statement: Any) -> Any:
    """Execute a statement, and return the parameter that the driver was given."""
    seen: list[Any] = []

    def see(_c: Any, _cursor: Any, _sql: str, parameters: Any, *_: Any) -> None:
        [parameter] = parameters
        seen.append(parameter)

    sa.event.listen(connection, "before_cursor_execute", see)
    try:
        connection.execute(statement)
    finally:
        sa.event.remove(connection, "before_cursor_execute", see)
    return meaning(seen[0])


def directly(connection: sa.Connection, type_: Any, value: Any) -> Any:
    """Return what a new type binds for a value, without a statement."""
    implementation = type_.dialect_impl(connection.dialect)
    return implementation.bind_processor(connection.dialect)(value)


@pytest.mark.parametrize("construct", BINDS)
@pytest.mark.parametrize("name", BOUND)
def test_a_value_is_sealed_as_its_own_type_says(
    name: str, construct: str, connection: sa.Connection
) -> None:
    """Two statements that differ in an argument of a type bind what each of them says."""
    first, second, value = BOUND[name]
    results = []
    for make in (first, second, first):
        statement = BINDS[construct](make(), value)
        result = outcome(lambda s=statement: bound(connection, s))
        assert result == outcome(lambda m=make: meaning(directly(connection, m(), value)))
        results.append(result)
    assert results[0] == results[2] != results[1]


# SQLite casts the bytes of an envelope to a text that the driver cannot read.
CASES = [(n, c) for n in READ for c in READS if (n, c) != ("storage", "cast")]


@pytest.mark.parametrize(("name", "construct"), CASES)
def test_a_value_is_opened_as_its_own_type_says(
    name: str, construct: str, connection: sa.Connection
) -> None:
    """Two statements that differ in an argument of a type read what each of them says."""
    first, second, value = READ[name]
    stored = directly(connection, first(), value)
    connection.exec_driver_sql("INSERT INTO raw VALUES (?)", (stored,))
    results = []
    for make in (first, second, first):
        statement = READS[construct](make())
        result = outcome(lambda s=statement: connection.scalar(s))
        process = make().dialect_impl(connection.dialect).result_processor(connection.dialect, None)
        assert repr(result) == repr(outcome(lambda p=process: p(stored)))
        results.append(repr(result))
    assert results[0] == results[2] != results[1]


@pytest.mark.parametrize("name", ALL)
def test_types_that_differ_have_different_keys(name: str) -> None:
    """An argument that differs makes another cache key, whatever it is good for."""
    first, second, _ = ALL[name]
    assert first()._static_cache_key != second()._static_cache_key
    for make in (first, second):
        assert make()._static_cache_key == make()._static_cache_key
        assert hash(make()._static_cache_key) == hash(make()._static_cache_key)


@pytest.mark.parametrize("construct", [*BINDS, *READS])
@pytest.mark.parametrize("name", ["context", "derived context", "subclass", "enumeration"])
def test_equal_types_share_a_statement(
    name: str, construct: str, connection: sa.Connection
) -> None:
    """A second statement with an equal type is not compiled again."""
    make, _, value = ALL[name]
    stats = []
    sa.event.listen(
        connection, "before_cursor_execute", lambda *args: stats.append(args[4].cache_hit)
    )
    for _ in range(3):
        make_statement: Any = BINDS.get(construct)
        statement = make_statement(make(), value) if make_statement else READS[construct](make())
        connection.execute(statement).close()
    uncached = construct == "values"  # SQLAlchemy does not cache VALUES.
    hit = CacheStats.NO_CACHE_KEY if uncached else CacheStats.CACHE_HIT
    assert stats[1:] == [hit, hit]


@pytest.mark.filterwarnings("ignore:.*will not produce a cache key")
@pytest.mark.parametrize("construct", BINDS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prefix": "a"}, {"prefix": "b"}),
        ({"context": "a.b"}, {"context": "a.c"}),
        ({"sealer": "default"}, {"sealer": "second"}),
    ],
    ids=repr,
)
def test_types_that_may_not_be_cached_share_nothing(
    one: Any, other: Any, construct: str, connection: sa.Connection
) -> None:
    """A subclass without cache_ok binds with its own arguments in every construct, too."""
    for options in (one, other):
        type_ = Unsaid(**{"context": "a.b", **options})
        result = bound(connection, BINDS[construct](type_, "canary"))
        assert result == meaning(directly(connection, type_, "canary"))


def test_a_copy_for_another_column_has_a_key_of_its_own() -> None:
    """A key that was asked for before a copy is not copied along."""
    type_ = of_column("people")
    before = type_._static_cache_key
    copied = sa.Table("firms", sa.MetaData(), sa.Column("email", type_.copy())).c.email.type
    assert type_._static_cache_key == before
    assert copied._static_cache_key == of_column("firms")._static_cache_key != before


def test_a_type_that_meets_its_column_after_it_was_used(connection: sa.Connection) -> None:
    """A statement that failed without a context works once the type has a column."""
    column = sa.Column("email", EncryptedString())
    statement = sa.select(sa.literal("canary", column.type))
    assert outcome(lambda: connection.scalar(statement))[1].startswith("EncryptedString is not")
    sa.Table("people", sa.MetaData(), column)
    again = sa.select(sa.literal("canary", column.type))
    assert connection.scalar(again) == "canary"
    assert connection.scalar(statement) == "canary"


def test_a_key_holds_no_value_and_no_secret(connection: sa.Connection) -> None:
    """The cache key of a statement shows options and names only."""
    type_ = EncryptedInteger(context="a.b", sealer="second")
    key = sa.select(sa.literal(246813579, type_))._generate_cache_key()
    assert "second" in repr(key.key)
    assert "246813579" not in repr(key.key)
