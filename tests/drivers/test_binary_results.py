"""psycopg is asked for binary results where they are read alike, and only there."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from fix_db import empty_schema
from psycopg.types.numeric import FloatLoader
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine

from sqlalchemy_sealed import EncryptedString, Sealer
from sqlalchemy_sealed.binaryresults import SAME_IN_BOTH, Psycopg
from sqlalchemy_sealed.errors import RefusedOperationError

pytestmark = pytest.mark.postgres

TEXT, BINARY = False, True
UTC = dt.UTC
MOMENTS = ("0001-01-01T00:00:00", "1999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999")
ALIKE: dict[str, tuple[Any, list[Any]]] = {
    "boolean": (sa.Boolean(), [True, False]),
    "bytea": (sa.LargeBinary(), [b"", b"\0\xff", b"x" * 5000]),
    "smallint": (sa.SmallInteger(), [0, -(2**15), 2**15 - 1]),
    "integer": (sa.Integer(), [0, -(2**31), 2**31 - 1]),
    "bigint": (sa.BigInteger(), [0, -(2**63), 2**63 - 1]),
    "double": (sa.Double(), [0.1, -0.0, 1e308, 5e-324, float("inf"), 1 / 3]),
    "numeric": (
        sa.Numeric(),
        [Decimal(text) for text in ("0", "-0.10", "1.10", "1e30", "123456789.000000001", "1e-20")],
    ),
    "text": (sa.Text(), ["", "a'b\\c", "żółć 💡", "x" * 5000]),
    "varchar": (sa.String(20), ["", "ß", "  blanks  "]),
    "char": (sa.CHAR(5), ["ab   ", "żółć "]),
    "uuid": (sa.Uuid(), [UUID(int=0), UUID(int=2**128 - 1)]),
    "date": (sa.Date(), [dt.date.min, dt.date(2000, 1, 1), dt.date.max]),
    "timestamp": (
        sa.DateTime(),
        [dt.datetime.fromisoformat(text) for text in MOMENTS],
    ),
    "timestamptz": (
        sa.DateTime(timezone=True),
        [dt.datetime(2026, 3, 29, 1, 30, tzinfo=UTC), dt.datetime(1900, 1, 1, tzinfo=UTC)],
    ),
}
UNLIKE: dict[str, tuple[Any, Any]] = {
    "enum": (sa.Enum("up", "down", name="direction"), "up"),
    "real": (sa.REAL(), 0.1),
    "json": (sa.JSON(), {"a": [1, None]}),
    "jsonb": (postgresql.JSONB(), {"a": [1, None]}),
    "interval": (sa.Interval(), dt.timedelta(days=-3, microseconds=1)),
    "array": (sa.ARRAY(sa.Integer), [1, 2]),
    "time": (sa.Time(), dt.time(1, 2, 3)),
}


def table(*columns: sa.Column[Any], name: str = "people", **options: Any) -> sa.Table:
    """Return a table with a sealed column and others."""
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", EncryptedString(**options)),
        *columns,
    )


@pytest.fixture
def url(postgres_url: str) -> Iterator[sa.URL]:
    """Return the URL of an empty schema, by psycopg."""
    with empty_schema(postgres_url) as url:
        yield url


@pytest.fixture
def engine(url: sa.URL, sealer: Sealer) -> Iterator[sa.Engine]:
    """Return an engine, and end its connections."""
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def formats(engine: sa.Engine) -> list[bool]:
    """Return the formats of the results of SELECT so far, of this engine."""
    return watched(engine)


def watched(engine: sa.Engine) -> list[bool]:
    """Return a list that gets the format of each result of a SELECT."""
    found: list[bool] = []

    @sa.event.listens_for(engine, "after_cursor_execute")
    def look(_conn: Any, cursor: Any, _text: str, _values: Any, context: Any, _many: bool) -> None:
        if getattr(context.compiled and context.compiled.statement, "is_select", False):
            own = getattr(cursor, "_cursor", cursor)
            found.append(bool(own.format))

    return found


def filled(engine: sa.Engine, made: sa.Table, *rows: dict[str, Any]) -> sa.Table:
    """Create a table with rows."""
    made.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(made), list(rows))
    return made


def read(engine: sa.Engine, statement: Any, times: int = 3) -> list[list[Any]]:
    """Return the rows of a statement, each time it is executed."""
    found = []
    for _ in range(times):
        with engine.connect() as connection:
            found.append([tuple(row) for row in connection.execute(statement)])
    return found


def test_results_are_binary_from_the_second_execution(
    engine: sa.Engine, formats: list[bool]
) -> None:
    """The first one shows of which types the columns are; all give the same rows."""
    people = filled(engine, table(), {"id": 1, "name": "ada"}, {"id": 2, "name": None})
    assert read(engine, sa.select(people)) == [[(1, "ada"), (2, None)]] * 3
    assert formats == [TEXT, BINARY, BINARY]


@pytest.mark.parametrize("kind", ALIKE)
def test_values_of_these_types_are_the_same(
    kind: str, engine: sa.Engine, formats: list[bool]
) -> None:
    """To the last digit, type and time zone; as the least and greatest ones, and NULL."""
    type_, values = ALIKE[kind]
    rows = [{"id": at, "name": "x", "value": value} for at, value in enumerate([None, *values])]
    made = filled(engine, table(sa.Column("value", type_)), *rows)
    query = sa.select(made.c.value, made.c.name).order_by(made.c.id)
    first, *others = read(engine, query)
    assert formats == [TEXT, BINARY, BINARY]
    assert [row[0] for row in first] == [None, *values]
    for other in others:
        assert other == first
        assert [repr(row) for row in other] == [repr(row) for row in first]


def test_all_of_these_types_were_tried(engine: sa.Engine, formats: list[bool]) -> None:
    """None is in the list that is not in the test above."""
    made = table(*(sa.Column(kind, type_) for kind, (type_, _) in ALIKE.items()))
    filled(engine, made, {"id": 1, "name": "x"})
    with engine.connect() as connection:
        result = connection.execute(sa.select(made))
        oids = {column[1] for column in result.cursor.description}
    assert oids == SAME_IN_BOTH


@pytest.mark.parametrize("kind", UNLIKE)
def test_a_column_of_another_type_keeps_the_result_as_text(
    kind: str, engine: sa.Engine, formats: list[bool]
) -> None:
    """Such as an ENUM, which psycopg would return as bytes, and REAL, with other digits."""
    type_, value = UNLIKE[kind]
    row = {"id": 1, "name": "x", "value": value}
    made = filled(engine, table(sa.Column("value", type_)), row)
    assert read(engine, sa.select(made.c.value, made.c.name)) == [[(value, "x")]] * 3
    assert formats[-3:] == [TEXT] * 3


def test_a_type_that_the_model_does_not_tell_keeps_the_result_as_text(
    engine: sa.Engine, formats: list[bool]
) -> None:
    """What counts is the type in the database: a model may call an ENUM a text."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TYPE mood AS ENUM ('sad', 'glad')"))
        connection.execute(sa.text("CREATE TABLE people (id int, name bytea, mood mood)"))
        connection.execute(sa.text("INSERT INTO people VALUES (1, NULL, 'glad')"))
    people = table(sa.Column("mood", sa.String))
    assert read(engine, sa.select(people)) == [[(1, None, "glad")]] * 3
    assert formats == [TEXT] * 3


def test_other_statements_are_left_alone(engine: sa.Engine, formats: list[bool]) -> None:
    """Those without sealed bytes, and those that say so."""
    people = filled(engine, table(), {"id": 1, "name": "ada"})
    texts = filled(engine, table(name="texts", storage="text"), {"id": 1, "name": "ada"})
    read(engine, sa.select(people.c.id))
    read(engine, sa.select(texts))
    read(engine, sa.select(people).execution_options(sealed_binary_results=False))
    assert formats == [TEXT] * 9


def test_a_schema_that_is_translated_keeps_the_result_as_text(
    engine: sa.Engine, formats: list[bool]
) -> None:
    """Tables of the same name may have columns of other types there."""
    people = filled(engine, table(), {"id": 1, "name": "ada"})
    with engine.connect() as connection:
        schema = connection.scalar(sa.text("SELECT current_schema()"))
    translated = engine.execution_options(schema_translate_map={None: schema})
    assert read(translated, sa.select(people)) == [[(1, "ada")]] * 3
    assert formats == [TEXT] * 3


def test_a_loader_of_the_application_is_used(engine: sa.Engine, formats: list[bool]) -> None:
    """Those of connections, as for floats instead of decimals: for text only, so it stays text."""

    @sa.event.listens_for(engine, "connect")
    def floats(connection: Any, _record: Any) -> None:
        connection.adapters.register_loader("numeric", FloatLoader)

    made = table(sa.Column("price", sa.types.NullType()))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE people (id int, name bytea, price numeric)"))
        connection.execute(sa.text("INSERT INTO people VALUES (1, NULL, 1.5)"))
    rows = read(engine, sa.select(made))
    assert rows == [[(1, None, 1.5)]] * 3
    assert all(type(row[0][2]) is float for row in rows)
    assert formats == [TEXT] * 3


def test_a_cursor_that_cannot_is_left_alone(url: sa.URL, sealer: Sealer) -> None:
    """`psycopg.ClientCursor` has text only."""
    factory = {"cursor_factory": psycopg.ClientCursor}
    engine = sa.create_engine(url, connect_args=factory)
    formats = watched(engine)
    people = filled(engine, table(), {"id": 1, "name": "ada"})
    assert read(engine, sa.select(people)) == [[(1, "ada")]] * 3
    assert formats == [TEXT] * 3
    engine.dispose()


def test_rows_are_streamed_in_binary_form(engine: sa.Engine, formats: list[bool]) -> None:
    """By a cursor of the server, too."""
    rows = [{"id": number, "name": f"name {number}"} for number in range(100)]
    people = filled(engine, table(), *rows)
    query = sa.select(people).order_by(people.c.id).execution_options(yield_per=7)
    assert read(engine, query) == [[tuple(row.values()) for row in rows]] * 3
    assert formats == [TEXT, BINARY, BINARY]


def test_asyncio(url: sa.URL, sealer: Sealer) -> None:
    """It is the same with psycopg's asynchronous connections."""
    engine = create_async_engine(url)
    formats = watched(engine.sync_engine)
    people = table()

    async def main() -> list[Any]:
        async with engine.begin() as connection:
            await connection.run_sync(people.create)
            await connection.execute(sa.insert(people), [{"id": 1, "name": "ada"}])
            found = [(await connection.execute(sa.select(people))).all() for _ in range(3)]
            async with connection.stream(sa.select(people)) as rows:
                found.append([row async for row in rows])
        await engine.dispose()
        return found

    assert asyncio.run(main()) == [[(1, "ada")]] * 4
    assert formats == [TEXT, BINARY, BINARY, BINARY]


def test_types_that_change_meanwhile_are_an_error_once(
    engine: sa.Engine, formats: list[bool]
) -> None:
    """A migration makes an ENUM of a text: what comes in binary form is not returned as bytes."""
    row = {"id": 1, "name": "x", "mood": "glad"}
    people = filled(engine, table(sa.Column("mood", sa.String(10))), row)
    query = sa.select(people)
    read(engine, query)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TYPE mood AS ENUM ('sad', 'glad')"))
        change = "ALTER TABLE people ALTER COLUMN mood TYPE mood USING mood::mood"
        connection.execute(sa.text(change))
    with engine.connect() as connection:
        with pytest.raises(RefusedOperationError, match="execute it again"):
            connection.execute(query)
        assert connection.execute(query).all() == [(1, "x", "glad")]
    assert read(engine, query) == [[(1, "x", "glad")]] * 3
    assert formats[-4:] == [TEXT] * 4


def test_types_that_change_into_others_that_are_read_alike_are_no_error(
    engine: sa.Engine, formats: list[bool]
) -> None:
    """Such as a number that grows."""
    people = filled(engine, table(), {"id": 1, "name": "ada"})
    read(engine, sa.select(people))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE people ALTER COLUMN id TYPE bigint"))
    assert read(engine, sa.select(people)) == [[(1, "ada")]] * 3
    assert formats == [TEXT, *[BINARY] * 5]


def test_every_type_has_two_loaders() -> None:
    """There is one for each form; without it, values of that type would be bytes."""
    known = Psycopg()
    assert known.loaders.keys() == SAME_IN_BOTH
    assert all(one and other for one, other in known.loaders.values())
    assert known.loads_as_usual(psycopg.adapters, SAME_IN_BOTH)
