"""What a command says of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sqlalchemy_sealed.cli.runs import say_summary
from sqlalchemy_sealed.reseal.moves import Kind
from sqlalchemy_sealed.reseal.order import Summary


def test_the_rate_is_that_of_this_call(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that a call before it had done count as done, and not as done in its seconds."""
    whole = Summary("verify", "patients", read=1000, seconds=2.0, finished=True)
    say_summary(Kind.VERIFY, whole)
    say_summary(Kind.VERIFY, replace(whole, before=900))
    say_summary(Kind.VERIFY, replace(whole, before=1000))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.endswith("patients: 1,000 rows opened in 2.0 s (500 rows/s)")
    assert second.endswith("patients: 1,000 rows opened, 100 of them now, in 2.0 s (50 rows/s)")
    assert third.endswith("patients: 1,000 rows opened before")
