"""Arrays that are written here are those that psycopg writes of lists."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlalchemy_sealed.reseal.psycopgarrays import teach

from .moved import ON_POSTGRESQL

LONGEST = 1 << 63
ITEMS = st.one_of(
    st.lists(st.none() | st.binary(max_size=9), min_size=1, max_size=20),
    st.lists(st.binary(min_size=3, max_size=3), min_size=1, max_size=20),
    st.lists(
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1
    ),
    st.lists(st.integers(-LONGEST, LONGEST - 1), min_size=1),
)
TYPES = {bytes: "bytea", str: "text", int: "bigint"}


@ON_POSTGRESQL
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(items=ITEMS)
def test_the_server_reads_what_was_given(items: list[Any], engine: sa.Engine) -> None:
    """NULLs, empty values, values of one length and of many."""
    kinds = {type(item) for item in items if item is not None}
    type_ = TYPES[kinds.pop()] if kinds else "text"
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        array = teach(driver)
        query = f"SELECT item FROM unnest(%b::{type_}[]) WITH ORDINALITY AS u(item, n) ORDER BY n"
        assert [row[0] for row in driver.execute(query, (array(items),))] == items


@ON_POSTGRESQL
@pytest.mark.parametrize("items", [[1, LONGEST], [True, False], [1.5, 2.5], [1, None]])
def test_other_items_stay_a_list(items: list[Any], engine: sa.Engine) -> None:
    """Numbers that are longer, NULL among numbers, and other types are left to psycopg."""
    with engine.connect() as connection:
        assert teach(connection.connection.driver_connection)(items) == items


@ON_POSTGRESQL
def test_texts_go_in_the_encoding_of_the_connection(engine: sa.Engine) -> None:
    """It need not be UTF-8."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("SET client_encoding TO latin1")
        array = teach(driver)(["Zürich"])
        assert driver.execute("SELECT (%b::text[])[1]", (array,)).fetchone() == ("Zürich",)
