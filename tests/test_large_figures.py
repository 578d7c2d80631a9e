"""The page that the benchmark of large values writes says what was measured."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from sqlalchemy_sealed import Sealer

ROOT = Path(__file__).parents[1]
OURS = ("bench_", "large_", "storage_", "type_")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what imports a module of the benchmarks, which is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield import_module
    for name in [name for name in sys.modules if name.startswith(OURS)]:
        del sys.modules[name]


def test_a_ratio_stands_beside_its_bound(module: Any) -> None:
    """A ratio that misses its bound stands in the page as that; one without stands alone."""
    figures, common, ways = module("large_figures"), module("common"), module("type_ways")
    section = f"SQLite, 1 MB, {module('large_tables').CORE_READ}"

    def result(name: str, microseconds: float, **more: Any) -> Any:
        return common.Result(section, name, microseconds, microseconds, **more)

    floor = result(ways.FLOOR, 10.0)
    for microseconds, said in ((11.0, "1.10 (≤ 1.15)"), (12.0, "1.20 (**above** 1.15)")):
        ours = result(ways.OURS, microseconds, against=ways.FLOOR, bar=1.15)
        grid = figures.Figures({"rows": 1}, [floor, ours])._operations("SQLite", "1 MB")
        assert grid.rows[-1] == [f"{ways.OURS} / {ways.FLOOR}", "", "", "", said]
    assert figures._quotient({"a": floor, "b": result("b", 5.0)}, "a", "b") == "2.00"


def test_documents_compress_and_bytes_do_not(module: Any) -> None:
    """What plain texts are measured with is as long as said, and compresses as records do."""
    large, way = module("large_ways"), module("type_ways").Way
    text = large.large_rows(way("a", str), 10_000, 1)[0]["value"]
    data = large.large_rows(way(large.PLAIN_BYTES, bytes), 10_000, 1)[0]["value"]
    assert (len(text.encode()), len(data)) == (10_000, 10_000)
    assert len(zlib.compress(text.encode())) < 4000
    assert len(zlib.compress(data)) > 9900


def test_what_is_stored_is_as_long_as_the_format_says(module: Any, sealer: Sealer) -> None:
    """A text of 20 bytes takes 52 more, 15 for each slot, and a third more as text."""
    storage, ways = module("storage_sizes"), module("type_ways")
    engine = create_engine("sqlite://")
    sizes = storage.sizes("SQLite", engine, storage.own_kept(), 200)
    engine.dispose()
    assert {name.removeprefix(ways.OURS): size.value for name, size in sizes.items()} == {
        ways.PLAIN: 20,
        ways.FLOOR: 20 + 28,
        "": 20 + 52,
        ", text storage": (20 + 52) * 4 / 3,
        ", padded to 32": 32 + 52,
        ", blind index": 20 + 52 + 15,
        ", blind index, text storage": (20 + 52 + 15) * 4 / 3,
        ", unique blind index": 20 + 52 + 30,
    }
    assert {name for name, size in sizes.items() if size.index} == {
        name for name in sizes if "blind index" in name or name == ways.PLAIN
    }
    assert all(size.row > size.value for size in sizes.values())


def test_a_stream_that_ends_early_is_no_figure(module: Any, tmp_path: Path) -> None:
    """A read that does not give all rows fails, so it cannot look fast."""
    stream, ways = module("large_stream"), module("large_ways")
    plain = ways.short_ways()[0]
    model = stream._model("stream", plain)
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    model.__table__.create(engine)
    stream._fill("SQLite", engine, model.__table__, 1500)
    with stream.Session(engine) as session:
        for orm in (False, True):
            stream._read(session, model, orm=orm, rows=1500)
            with pytest.raises(AssertionError, match="1500 of 1501 rows"):
                stream._read(session, model, orm=orm, rows=1501)
    engine.dispose()
