"""The page that the benchmark of types writes says what was measured, misses included."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select, text

ROOT = Path(__file__).parents[1]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the modules of the benchmark: the figures, the ways, and what runs them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield [import_module(name) for name in ("bench_types", "type_figures", "type_ways")]
    for name in [name for name in sys.modules if name.startswith(("bench_", "type_"))]:
        del sys.modules[name]


def _result(section: str, name: str, microseconds: float, **more: Any) -> Any:
    return import_module("common").Result(section, name, microseconds, microseconds, **more)


def test_what_is_added_is_divided_by_what_the_nearest_adds(modules: Any) -> None:
    """Ours adds 2 of 10 and the nearest other package 5: the ratio is 0.4, and the bar holds."""
    bench, _, ways = modules
    times = {ways.PLAIN: 10.0, ways.OURS: 12.0, "near": 15.0, "far": 40.0}
    results = [_result("s", name, each) for name, each in times.items()]
    added = bench.added(results, {"near", "far"})
    assert added.ratio == pytest.approx(0.4)
    assert added.against == "added by near"
    assert added.is_met


def test_a_miss_is_written_as_one(modules: Any) -> None:
    """A ratio above its bound stands in the page as that, and one below it too."""
    _, figures, _ = modules
    met = _result("s", "n", 1.0, against="x", ratio=1.1, fastest_ratio=1.1, bar=1.15)
    missed = _result("s", "n", 1.0, against="x", ratio=1.2, fastest_ratio=1.2, bar=1.15)
    assert figures._ratio(met) == "1.10 (≤ 1.15)"
    assert figures._ratio(missed) == "1.20 (**above** 1.15)"


@pytest.mark.parametrize("kind", ["ByHand", "ByHandParam"])
def test_the_floor_stores_nonce_ciphertext_and_tag(modules: Any, kind: str) -> None:
    """What ours is compared with is AES-GCM: 28 bytes more than the text, new at each write."""
    table = Table(
        "t",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("c", getattr(modules[2], kind)()),
    )
    engine = create_engine("sqlite://")
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"c": "Ada"}, {"c": "Ada"}, {"c": None}])
        first, second, none = connection.execute(text("SELECT c FROM t")).scalars()
        assert connection.execute(select(table.c.c)).scalars().all() == ["Ada", "Ada", None]
    assert (len(first), none) == (3 + 28, None)
    assert first != second
    engine.dispose()


def test_the_picture_in_the_documentation_is_small_and_whole() -> None:
    """The picture is an SVG of some kilobytes that shows us beside the others."""
    picture = ROOT / "docs" / "explanation" / "type-figures.svg"
    assert picture.stat().st_size < 10_000
    words = [each.text for each in ET.parse(picture).iter() if each.text]
    assert "sqlalchemy-sealed" in words
