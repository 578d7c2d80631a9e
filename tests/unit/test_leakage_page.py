"""The plot of the leakage page shows what the planner computes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_sealed import IndexPlan, plan_index

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "leakage.md").read_text()


def block(language: str) -> str:
    """Return the first block of a language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def series(kind: str) -> list[list[float]]:
    """Return the numbers of the series of one kind in the plot."""
    found = re.findall(rf"^ *{kind}.*\[(.*)\]$", block("mermaid"), re.MULTILINE)
    return [[float(number) for number in numbers.split(",")] for numbers in found]


@pytest.fixture(scope="module")
def plan() -> IndexPlan:
    """Return the plan for the towns of the page."""
    names: dict[str, Any] = {}
    exec(block("python"), names)
    return plan_index(names["homes"], pad=16)


def test_the_plot_shows_what_the_plan_says(plan: IndexPlan) -> None:
    """Its lines and bars, in percent of the rows, are the figures at the widths on its axis."""
    ((*widths,),) = series("x-axis")
    shown = [plan.exposure(int(bits)) for bits in widths]
    at_most, by_frequency = series("line")
    (per_search,) = series("bar")

    def percent(name: str) -> list[float]:
        return [round(100 * getattr(each, name) / plan.rows, 1) for each in shown]

    assert by_frequency == percent("by_frequency")
    assert at_most == percent("at_most")
    assert per_search == percent("per_search")


def test_the_titles_of_the_plot_are_those_of_the_data(plan: IndexPlan) -> None:
    """The plot says of how many values and rows it is."""
    assert f"{plan.distinct:,} towns, {plan.rows:,} patients" in block("mermaid")
