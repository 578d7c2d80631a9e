"""Limits of a key cache: what they may be."""

from __future__ import annotations

import math

import pytest

from sqlalchemy_sealed import KeyLimits
from sqlalchemy_sealed.errors import OptionError


def test_the_limits_that_hold_by_default() -> None:
    """Five minutes, an hour, a day; a second after a failure."""
    limits = KeyLimits()
    assert (limits.refresh, limits.fresh, limits.cache, limits.retry) == (300, 3600, 86400, 1)


@pytest.mark.parametrize("name", ["refresh", "fresh", "cache", "retry"])
@pytest.mark.parametrize("value", [0, -1, math.nan, None, "60", True], ids=repr)
def test_a_limit_is_a_positive_number(name: str, value: object) -> None:
    """Anything else is refused, and the limit is named."""
    with pytest.raises(OptionError, match=f"'{name}'"):
        KeyLimits(**{name: value})


@pytest.mark.parametrize("wrong", [{"refresh": 4000}, {"fresh": 90000}, {"cache": 60}], ids=str)
def test_limits_stand_in_order(wrong: dict[str, float]) -> None:
    """Asking comes before the end of sealing, that before the end of opening."""
    with pytest.raises(OptionError, match="refresh <= fresh <= cache"):
        KeyLimits(**wrong)


def test_a_limit_may_be_infinite() -> None:
    """Then it never comes."""
    assert KeyLimits(fresh=math.inf, cache=math.inf).cache == math.inf
