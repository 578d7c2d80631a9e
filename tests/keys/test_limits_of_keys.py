"""Refresh, freshness limit, cache limit: what goes on while nobody answers, and how it ends."""

from __future__ import annotations

import threading

import pytest
from counted import Parts, until

from sqlalchemy_sealed import Context, KeyLimits
from sqlalchemy_sealed.errors import StaleKeysError

LIMITS = KeyLimits(refresh=10, fresh=100, cache=1000, retry=1)


def test_values_do_not_wait_for_a_refresh(parts: Parts, clock) -> None:
    """They go on with the keys known, while one thread in the background asks once."""
    sealer = parts.sealer(LIMITS)
    data = sealer.seal(b"value", "a.b")
    loads = parts.keystore.loads
    gate = threading.Event()
    wait, parts.provider._answer = parts.provider._answer, gate.wait
    clock.ahead = 11
    for _ in range(50):
        assert sealer.open(data, "a.b") == b"value"
        sealer.seal(b"", "a.b")
        clock.ahead += 1
    until(lambda: parts.keystore.loads == loads + 1)
    parts.provider._answer = wait
    gate.set()
    until(lambda: sealer.kept().cache.open_attend_at > clock() - 55)
    assert parts.keystore.loads == loads + 1


def test_past_the_freshness_limit_nothing_is_sealed(parts: Parts, clock) -> None:
    """Opening goes on; the refusal names the limit; sealing comes back by itself."""
    sealer = parts.sealer(LIMITS)
    data = sealer.seal(b"value", "a.b")
    parts.break_()
    clock.ahead = 101
    loads = parts.keystore.loads
    for _ in range(20):
        with pytest.raises(StaleKeysError, match=r"freshness limit of 100 seconds.*sealed"):
            sealer.seal(b"", "a.b")
        assert sealer.open(data, "a.b") == b"value"
    assert parts.keystore.loads <= loads + 2
    parts.break_(broken=False)
    clock.ahead += 2
    assert sealer.open(sealer.seal(b"again", "a.b"), "a.b") == b"again"


def test_past_the_cache_limit_the_keys_are_forgotten(parts: Parts, clock) -> None:
    """Nothing is opened, no key is left in this process, and all comes back by itself."""
    sealer = parts.sealer(LIMITS)
    seal, open_ = sealer.sealing(Context("a.b")), sealer.opening(Context("a.b"))
    match = sealer.matching(lambda key: lambda value: key)
    data = seal(b"value")
    assert open_(data) == b"value"
    (found,) = match(None)
    parts.break_()
    clock.ahead = 1001
    cache = sealer.kept().cache
    for use in (lambda: open_(data), lambda: match(None)):
        with pytest.raises(StaleKeysError, match=r"cache limit of 1000 seconds.*opened"):
            use()
    assert (cache.primary, cache.heads, cache._unwrapped.count) == (None, {}, 0)
    with pytest.raises(StaleKeysError):
        seal(b"")
    parts.break_(broken=False)
    clock.ahead += 2
    assert parts.calls_of(lambda: open_(data)) == (1, 1, 1)
    assert match(None) == [found]
    assert open_(seal(b"again")) == b"again"


def test_a_new_primary_is_found_by_a_refresh(parts: Parts, clock) -> None:
    """A rotation elsewhere is taken up within the refresh limit."""
    sealer = parts.sealer(LIMITS)
    new = parts.manager.rotate("default").primary.key_id
    assert sealer.seal(b"", "a.b")[4:12] != new
    clock.ahead = 11
    sealer.seal(b"", "a.b")
    until(lambda: sealer.keyset.primary.key_id == new)
    assert sealer.seal(b"", "a.b")[4:12] == new
