"""Searches over all texts: exactly what Python finds, through the tokens alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from property.strategies import texts

from sqlalchemy_sealed import (
    EncryptedText,
    MatchIndex,
    Sealer,
    execute_exact,
    execute_ranked,
    match_table,
)
from sqlalchemy_sealed.errors import ValueRefusedError
from sqlalchemy_sealed.match import Place, fold
from sqlalchemy_sealed.normalizers import normalized
from sqlalchemy_sealed.types.match import scoring

TRICKY = (
    "aAbBeE\N{LATIN SMALL LETTER E WITH ACUTE}\N{COMBINING ACUTE ACCENT}\N{COMBINING DOT BELOW}"
    "\N{GREEK SMALL LETTER ALPHA}\N{COMBINING GREEK YPOGEGRAMMENI}\N{LATIN SMALL LETTER SHARP S}"
    "\N{GREEK SMALL LETTER ALPHA WITH PERISPOMENI AND YPOGEGRAMMENI}s\N{HANGUL SYLLABLE HAN}"
    "\N{HANGUL CHOSEONG HIEUH}\N{HANGUL JUNGSEONG A}\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}i \0%_"
)
"""Letters that compose, fold to several, or change places with their neighbours."""

tricky = st.text(TRICKY, max_size=24)
some_text = tricky | texts
values = st.lists(some_text, min_size=1, max_size=6)
indexes = st.builds(
    MatchIndex, n=st.integers(2, 4), bits=st.sampled_from([8, 16, 24]), block=st.integers(1, 9)
)


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[str], str]:
    """Return values, and a term: mostly a part of one of them."""
    found = draw(values)
    whole = draw(st.sampled_from(found))
    start = draw(st.integers(0, len(whole)))
    part = whole[start : draw(st.integers(start, len(whole)))]
    change = draw(
        st.sampled_from([str, str.upper, str.casefold, lambda text: normalized(("nfc",), text)])
    )
    return found, draw(st.just(change(part)) | some_text)


untimed = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300
)


@untimed
@given(tricky | texts, tricky | texts)
@example("e", "\N{COMBINING ACUTE ACCENT}")
@example(
    "\N{GREEK SMALL LETTER ALPHA}\N{COMBINING GREEK YPOGEGRAMMENI}", "\N{COMBINING ACUTE ACCENT}"
)
def test_parts_fold_by_themselves(one: str, other: str) -> None:
    """The folded text of two parts is their folded texts, wherever the cut is."""
    assert fold(one + other) == fold(one) + fold(other)
    assert fold(normalized(("casefold",), one)) == fold(one)


@untimed
@given(searches(), indexes, st.sampled_from(Place))
@example(
    (["e\N{COMBINING ACUTE ACCENT}ab"], "\N{COMBINING ACUTE ACCENT}ab"),
    MatchIndex(n=2),
    Place.CONTAINS,
)
def test_no_token_is_missing(
    search: tuple[list[str], str], match: MatchIndex, place: Place
) -> None:
    """A text in which a term stands has all grams of the term."""
    texts_, term = search
    finds = place.finds(term)
    try:
        grams = set(match.term_grams(term, place))
    except ValueRefusedError:
        return
    for text in texts_:
        if finds(text):
            assert grams <= match.value_grams(text)


@pytest.fixture
def tables(sealer: Sealer) -> Iterator[list[tuple[sa.Connection, sa.Table]]]:
    """Return columns of several kinds, on SQLite, with a token table and without."""
    engine = sa.create_engine("sqlite://")
    made = []
    for number, options in enumerate(
        ({}, {"storage": "text"}, {"match": MatchIndex(n=2, bits=12, block=1), "pad": 16})
    ):
        name = f"notes_{number}"
        body = sa.Column("body", EncryptedText(**{"match": MatchIndex()} | options))
        made.append(
            sa.Table(name, sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), body)
        )
    match_table(made[0].c.body)
    match_table(made[1].c.body)
    with engine.connect() as connection:
        for table in made:
            table.create(connection)
        yield [(connection, table) for table in made]
    engine.dispose()


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, term: term in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "icontains": lambda text, term: case(term) in case(text),
    "istartswith": lambda text, term: case(text).startswith(case(term)),
    "iendswith": lambda text, term: case(text).endswith(case(term)),
}


def case(text: str) -> str:
    """Return a text without case."""
    return normalized(("casefold",), text)


def store(connection: sa.Connection, table: sa.Table, texts_: list[str]) -> None:
    """Replace all rows."""
    connection.execute(table.delete())
    rows = [{"id": number, "body": text} for number, text in enumerate(texts_)]
    connection.execute(table.insert(), rows)


@untimed
@given(search=searches(), operator=st.sampled_from(sorted(OPERATORS)))
def test_searches_find_what_python_finds(
    tables: list[tuple[sa.Connection, sa.Table]], search: tuple[list[str], str], operator: str
) -> None:
    """Through the database, a term is found where Python finds it, or is too short to be asked."""
    texts_, term = search
    right = [n for n, text in enumerate(texts_) if OPERATORS[operator](text, term)]
    for connection, table in tables:
        store(connection, table, texts_)
        condition = getattr(table.c.body, operator)(term)
        statement = sa.select(table.c.id).where(condition).order_by(table.c.id)
        least = table.c.body.type.settings.match.n - (not operator.endswith("contains"))
        if len(fold(term)) < least:
            with pytest.raises(ValueRefusedError, match="too short"):
                execute_exact(connection, statement)
        else:
            assert execute_exact(connection, statement).scalars().all() == right


@untimed
@given(search=searches(), least=st.floats(0.01, 1))
def test_ranking_leaves_out_nothing(
    tables: list[tuple[sa.Connection, sa.Table]], search: tuple[list[str], str], least: float
) -> None:
    """Through the database, exactly the texts come that have so large a share of the words."""
    texts_, words = search
    for connection, table in tables:
        store(connection, table, texts_)
        match = table.c.body.type.settings.match
        statement: Any = sa.select(table.c.id)
        try:
            score = scoring(match, words)
        except ValueRefusedError:
            with pytest.raises(ValueRefusedError):
                execute_ranked(connection, statement, table.c.body, words)
            continue
        scores = {number: score(text) for number, text in enumerate(texts_)}
        rows = execute_ranked(connection, statement, table.c.body, words, least=least, limit=None)
        ranked = dict(map(tuple, rows))
        assert list(ranked.values()) == sorted(ranked.values(), reverse=True)
        close = {number for number, value in scores.items() if abs(value - least) < 1e-6}
        sure = {number: value for number, value in scores.items() if value >= least}
        assert {k: v for k, v in ranked.items() if k not in close} == {
            k: v for k, v in sure.items() if k not in close
        }
