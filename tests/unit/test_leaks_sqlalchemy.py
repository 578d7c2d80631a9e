"""
The two places where SQLAlchemy itself shows plaintext, with and without what closes them.

The tests that take our listeners away show that the search finds what there is to find.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from leak_search import PEOPLE, SITUATIONS, Base, Search, canary, row
from sqlalchemy import Engine, StaticPool, create_engine, event
from sqlalchemy.exc import IntegrityError, StatementError

from sqlalchemy_sealed import Sealer, leaks

BY_NAME = {situation.name: situation for situation in SITUATIONS}


@pytest.fixture
def secret() -> str:
    """Return a secret text."""
    return canary()


@contextmanager
def loud_engine(**options: Any) -> Iterator[Engine]:
    """Yield an engine on a database in memory that logs all it can, under a name of its own."""
    name = f"loud{len(logging.root.manager.loggerDict)}"
    logger = logging.getLogger("sqlalchemy")
    handlers = list(logger.handlers)
    options = {"echo": "debug", "logging_name": name, "poolclass": StaticPool} | options
    engine = create_engine("sqlite://", **options)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()
    logger.handlers = handlers


def logger_of(engine: Engine) -> logging.Logger:
    """Return the logger of an engine that has a name."""
    return logging.getLogger(f"sqlalchemy.engine.Engine.{engine.logging_name}")


def failing(engine: Engine, secret: str, name: str = "another column refuses its value") -> Search:
    """Return what is written where a statement fails before its parameters are sealed."""
    search = Search()
    situation = BY_NAME[name]
    with engine.connect() as connection, pytest.raises(StatementError) as caught:
        situation.deed(connection, secret)
    search.exception(caught.value)
    return search


def reading(engine: Engine, secret: str) -> Search:
    """Return what is logged where a row is written and read."""
    search = Search()
    with search.logs_and_warnings(), engine.connect() as connection:
        connection = connection.execution_options(logging_token="token")  # noqa: PLW2901
        connection.execute(PEOPLE.insert(), row(secret))
        assert connection.scalar(sa.select(PEOPLE.c.secret)) == secret
    return search


# -- what there is to find


@pytest.mark.parametrize(
    "written",
    [
        lambda data: b"before" + data + b"after",
        lambda data: data.hex().encode(),
        lambda data: data.hex().upper().encode(),
        b64encode,
        lambda data: b64encode(b"." + data + b"."),
        lambda data: b64encode(b".." + data),
    ],
)
def test_the_search_finds_a_secret_in_every_form(written: Any, secret: str) -> None:
    """Hexadecimal and base64, also in the middle of something longer, hide nothing from it."""
    search = Search()
    search.bytes("here", written(secret.encode()))
    search.bytes("there", b"nothing")
    assert search.places(secret) == ["here"]


def test_without_the_listener_the_error_of_another_column_would_show_it(
    secret: str, sealer: Sealer
) -> None:
    """SQLAlchemy puts the parameters into the text, an attribute, the pickle and the traceback."""
    event.remove(Engine, "handle_error", leaks.hide_parameters)
    try:
        with loud_engine() as engine:
            places = failing(engine, secret).places(secret)
    finally:
        event.listen(Engine, "handle_error", leaks.hide_parameters)
    assert {"str of StatementError", "StatementError.params", "pickle 4 of StatementError"} <= {
        *places
    }
    assert "traceback of StatementError" in places


def test_without_the_filter_the_log_of_rows_would_show_it(secret: str, sealer: Sealer) -> None:
    """`echo="debug"` logs what the result processors return."""
    event.remove(Engine, "engine_connect", leaks.hide_rows)
    try:
        with loud_engine() as engine:
            places = set(reading(engine, secret).places(secret))
    finally:
        event.listen(Engine, "engine_connect", leaks.hide_rows)
    assert places == {f"log of {logger_of(engine).name}"}


# -- what closes them


@pytest.mark.parametrize("hidden", [False, True], ids=["parameters shown", "parameters hidden"])
@pytest.mark.parametrize(
    "name",
    [
        "another column refuses its value",
        "a parameter is missing in the second row",
        "the default of another column fails",
        "another type raises an error of the driver",
        "the connection was closed",
    ],
)
def test_an_error_before_sealing_has_no_parameters(
    name: str, hidden: bool, secret: str, sealer: Sealer
) -> None:
    """Whatever failed, also if it is an error of the driver, the plaintext is not in the error."""
    with loud_engine(hide_parameters=hidden) as engine:
        search = failing(engine, secret, name)
    assert search.places(secret) == []
    assert search.saw("INSERT INTO leak_people")


def test_an_error_of_the_database_keeps_its_parameters(secret: str, sealer: Sealer) -> None:
    """After sealing they help to find the row, and show nothing."""
    with loud_engine() as engine, engine.connect() as connection:
        connection.execute(PEOPLE.insert(), row(secret, key="taken"))
        with pytest.raises(IntegrityError, match="taken") as caught:
            connection.execute(PEOPLE.insert(), row(secret, key="taken"))
    assert "taken" in caught.value.params
    assert secret not in str(caught.value)


def test_rows_are_logged_without_their_values(secret: str, sealer: Sealer) -> None:
    """The log says that there was a row; statements and columns are as before."""
    with loud_engine() as engine:
        search = reading(engine, secret)
    assert search.places(secret) == []
    assert search.saw("[token] Row (values are not logged)")
    assert search.saw("[token] Col ('secret',)")
    assert search.saw("[token] SELECT leak_people.secret")


def test_a_level_that_is_set_later_shows_no_rows(secret: str, sealer: Sealer) -> None:
    """Logging that is turned on by `logging` or by `engine.echo`, after the engine was made."""
    for turn_on in (
        lambda engine: logger_of(engine).setLevel(logging.DEBUG),
        lambda engine: setattr(engine, "echo", "debug"),
    ):
        with loud_engine(echo=False) as engine:
            turn_on(engine)
            search = reading(engine, secret)
            logger_of(engine).setLevel(logging.NOTSET)
        assert search.saw("Row (values are not logged)")
        assert search.places(secret) == []


def test_other_lines_of_the_log_are_not_changed() -> None:
    """The filter rewrites the line of a row, with or without a token, and no other."""
    lines = {
        ("Row %r", ("value",)): "Row (values are not logged)",
        ("[%s] Row %r", ("token", "value")): "[token] Row (values are not logged)",
        ("Col %r", ("value",)): "Col 'value'",
        ("Row %r of %s", ("value", 5)): "Row 'value' of 5",
    }
    for (message, arguments), expected in lines.items():
        record = logging.LogRecord("x", logging.DEBUG, __file__, 1, message, arguments, None)
        assert leaks.RowFilter().filter(record)
        assert record.getMessage() == expected
    record = logging.LogRecord("x", logging.DEBUG, __file__, 1, LookupError("Row %r"), (), None)
    assert leaks.RowFilter().filter(record)


def test_a_logger_gets_the_filter_once() -> None:
    """A thousand connections do not make the log slower."""
    with loud_engine() as engine:
        for _ in range(5):
            engine.connect().close()
    assert [type(each) for each in logger_of(engine).filters] == [leaks.RowFilter]


def test_an_engine_that_was_made_before_the_import_is_covered(secret: str) -> None:
    """It does not matter whether an application makes its engine first."""
    program = f"""
        import logging, sys
        import sqlalchemy as sa
        engine = sa.create_engine("sqlite://", echo="debug")
        engine.connect().close()
        import sqlalchemy_sealed
        metadata = sa.MetaData()
        table = sa.Table("t", metadata, sa.Column("a", sa.String), sa.Column("b", sa.Boolean))
        metadata.create_all(engine)
        with engine.connect() as connection:
            connection.execute(sa.select(sa.literal("{secret[:9]}" + "{secret[9:]}"))).all()
            try:
                connection.execute(table.insert(), dict(a="{secret[:9]}" + "{secret[9:]}", b="no"))
            except sa.exc.StatementError as error:
                print(error, repr(error.params))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Row (values are not logged)" in done.stdout
    assert "INSERT INTO t" in done.stdout
    assert "Row ('" not in done.stdout
    assert "'a': " not in done.stdout
