"""Calls that are shared, their failures, and work in the background."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sqlalchemy_sealed.errors import ProviderError, ProviderTimeoutError
from sqlalchemy_sealed.flights import MAX_ERRANDS, Errands, Flights


def failing(error: BaseException, calls: list[int]):
    """Return a call that fails."""

    def load() -> int:
        calls.append(1)
        raise error

    return load


def test_a_failure_stands_for_a_while() -> None:
    """Who asks meanwhile gets an equal error of his own, unless he insists."""
    flights, calls = Flights(60), []
    load = failing(ProviderError("down"), calls)
    errors = []
    for _ in range(3):
        with pytest.raises(ProviderError, match=r"^down$") as caught:
            flights.fetch("a", load)
        errors.append(caught.value)
    assert (len(calls), len({id(error) for error in errors})) == (1, 3)
    assert flights.last_problem("a") == "down"
    assert flights.fetch("b", lambda: 5) == 5
    assert flights.fetch("a", lambda: 6, recent=False) == 6
    assert flights.fetch("a", lambda: 7) == 7


def test_a_general_failure_stands_for_everything() -> None:
    """A server that cannot be reached is not asked for the next key either."""
    flights, calls = Flights(60, (ProviderTimeoutError,)), []
    for key in "abc":
        with pytest.raises(ProviderTimeoutError):
            flights.fetch(key, failing(ProviderTimeoutError("slow"), calls))
    assert len(calls) == 1


def test_an_unexpected_error_is_shared_by_its_name_only() -> None:
    """Its text may hold anything, so the others do not get it."""
    flights, calls = Flights(60), []
    with pytest.raises(ValueError, match="secret"):
        flights.fetch("a", failing(ValueError("secret"), calls))
    with pytest.raises(ProviderError, match=r"^it failed with an unexpected ValueError$"):
        flights.fetch("a", failing(ValueError("secret"), calls))
    assert len(calls) == 1


def test_an_interrupted_call_is_made_by_the_next() -> None:
    """A thread that was interrupted takes nobody with it."""
    flights, started, gate = Flights(60), threading.Event(), threading.Event()

    def interrupted() -> int:
        started.set()
        gate.wait(30)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.fetch, "a", interrupted)
        assert started.wait(30)
        second = pool.submit(flights.fetch, "a", lambda: 5)
        gate.set()
        assert second.result(30) == 5
        assert isinstance(first.exception(30), KeyboardInterrupt)


def test_an_errand_is_not_sent_twice_at_a_time() -> None:
    """One that runs is not sent again, and there are no more than so many."""
    errands, gate = Errands(), threading.Event()
    assert errands.send(0, lambda: gate.wait(30))
    assert not errands.send(0, lambda: None)
    sent = [errands.send(number, lambda: gate.wait(30)) for number in range(1, 2 * MAX_ERRANDS)]
    assert sent.count(True) == MAX_ERRANDS - 1
    gate.set()


def test_what_an_errand_fails_with_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Of an unexpected error the class is logged, not the text."""
    errands = Errands()
    errands.send("a", failing(ValueError("secret"), []))
    while "a" in errands._running:
        pass
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text
