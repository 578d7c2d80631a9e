"""
The state matrix: each state in which a process knows a key, against each state in the keystore.

What is counted: readings of the keystore, keys unwrapped, questions for the version of the KEK.
So `101` is a refresh that unwraps nothing. The states of the KEK itself, in a real Vault, are in
`tests/vault/test_kek_states.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from counted import PAST, Parts, until

from sqlalchemy_sealed import KeyLimits, Sealer
from sqlalchemy_sealed.errors import (
    DestroyedKeyError,
    DisabledKeyError,
    KeystoreError,
    ProviderUnreachableError,
    SealedError,
    UnknownKeyError,
)
from sqlalchemy_sealed.keys import KeyKind, KeyState

OUTCOMES = {UnknownKeyError: "unknown", DisabledKeyError: "disabled", DestroyedKeyError: "gone"}
STATES = ("valid", "retired", "expired", "missing", "disabled", "destroyed")


class Keys:
    """A keystore with an older key, the key that a test is about, and perhaps a newer one."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        for _ in range(2):
            parts.manager.rotate("default")
        (self.index,) = (each for each in parts.records() if each.kind is KeyKind.INDEX)
        data = [each for each in parts.records() if each.kind is KeyKind.DATA]
        self.older, self.key, self.newer = sorted(data, key=lambda each: each.generation)

    def put(self, state: str, *, newer: bool = False) -> None:
        """Bring the key into a state. *newer*: one that is out of use has been replaced, too."""
        records = {
            "valid": [self.key],
            "retired": [self.key, self.newer],
            "expired": [replace(self.key, due=PAST)],
            "missing": [],
            "disabled": [self.key.with_state(KeyState.DISABLED)],
            "destroyed": [self.key.destroyed()],
        }[state]
        if newer and state in ("disabled", "destroyed"):
            records.append(self.newer)
        self.parts.keystore.put(self.index, self.older, *records)

    def sealed(self) -> bytes:
        """Return a value under the key."""
        self.put("valid")
        return self.parts.sealer().seal(b"value", "a.b")

    def name(self, key_id: bytes) -> str:
        """Return which key it is."""
        ids = {self.older.key_id: "older", self.key.key_id: "key", self.newer.key_id: "newer"}
        return ids[key_id]

    def asked(self, use: Callable[[], str]) -> str:
        """Return what *use* gives, and the calls that it makes."""
        results: list[str] = []
        calls = self.parts.calls_of(lambda: results.append(use()))
        return f"{results[0]} {''.join(map(str, calls))}".strip()


@pytest.fixture
def keys(parts: Parts) -> Keys:
    """Return three data keys."""
    return Keys(parts)


def opened(sealer: Sealer, data: bytes) -> str:
    """Return the value, or which error it was."""
    try:
        return sealer.open(data, "a.b").decode()
    except SealedError as error:
        assert error.key_id == data[4:12].hex()  # noqa: PT017 - a value is as good
        return OUTCOMES[type(error)]


def sealed_under(sealer: Sealer, keys: Keys) -> str:
    """Return the key that a new value is sealed under, or "none"."""
    try:
        return keys.name(sealer.seal(b"", "a.b")[4:12])
    except KeystoreError as error:
        assert error.key_id == keys.key.key_id.hex()  # noqa: PT017 - a value is as good
        assert "rotate to make a new one" in str(error)  # noqa: PT017 - as above
        return "none"


def refreshed(sealer: Sealer) -> str:
    """Read the keystore."""
    sealer.refresh()
    return ""


def rows(table: str) -> list[list[str]]:
    """Return the rows of a table, whose columns are two or more spaces apart."""
    return [re.split(r"\s{2,}", line) for line in table.strip().splitlines()[1:]]


# What a value gives that was sealed under the key, before and after a refresh.
OPENING = """
known       now         before          refresh   after
valid       valid       value 000       101       value 000
valid       retired     value 000       111       value 000
valid       expired     value 000       101       value 000
valid       missing     value 000       111       unknown 101
valid       disabled    value 000       111       disabled 000
valid       destroyed   value 000       111       gone 000
retired     valid       value 000       101       value 000
retired     retired     value 000       101       value 000
retired     expired     value 000       101       value 000
retired     missing     value 000       111       unknown 101
retired     disabled    value 000       101       disabled 000
retired     destroyed   value 000       101       gone 000
cold        valid       value 010       101       value 000
cold        retired     value 010       101       value 000
cold        expired     value 010       101       value 000
cold        missing     value 010       101       unknown 101
cold        disabled    value 010       101       disabled 000
cold        destroyed   value 010       101       gone 000
expired     valid       value 000       101       value 000
expired     retired     value 000       111       value 000
expired     expired     value 000       101       value 000
expired     missing     value 000       111       unknown 101
expired     disabled    value 000       111       disabled 000
expired     destroyed   value 000       111       gone 000
missing     valid       value 111       101       value 000
missing     retired     value 121       101       value 000
missing     expired     value 111       101       value 000
missing     missing     unknown 101     101       unknown 000
missing     disabled    disabled 111    101       disabled 000
missing     destroyed   gone 111        101       gone 000
disabled    valid       disabled 000    111       value 000
disabled    retired     disabled 000    101       value 010
disabled    expired     disabled 000    111       value 000
disabled    missing     disabled 000    111       unknown 101
disabled    disabled    disabled 000    101       disabled 000
disabled    destroyed   disabled 000    101       gone 000
destroyed   valid       gone 000        111       value 000
destroyed   retired     gone 000        101       value 010
destroyed   expired     gone 000        111       value 000
destroyed   missing     gone 000        111       unknown 101
destroyed   disabled    gone 000        101       disabled 000
destroyed   destroyed   gone 000        101       gone 000
"""

# Which key a new value is sealed under.
SEALING = """
known       now         before          refresh   after
valid       valid       key 000         101       key 000
valid       retired     key 000         111       newer 000
valid       expired     key 000         101       key 000
valid       missing     key 000         111       older 000
valid       disabled    key 000         101       none 000
valid       destroyed   key 000         101       none 000
retired     valid       newer 000       101       key 000
retired     retired     newer 000       101       newer 000
retired     expired     newer 000       101       key 000
retired     missing     newer 000       111       older 000
retired     disabled    newer 000       101       none 000
retired     destroyed   newer 000       101       none 000
expired     valid       key 000         101       key 000
expired     retired     key 000         111       newer 000
expired     expired     key 000         101       key 000
expired     missing     key 000         111       older 000
expired     disabled    key 000         101       none 000
expired     destroyed   key 000         101       none 000
missing     valid       older 000       111       key 000
missing     retired     older 000       111       newer 000
missing     expired     older 000       111       key 000
missing     missing     older 000       101       older 000
missing     disabled    older 000       101       none 000
missing     destroyed   older 000       101       none 000
disabled    valid       none 000        111       key 000
disabled    retired     none 000        111       newer 000
disabled    expired     none 000        111       key 000
disabled    missing     none 000        111       older 000
disabled    disabled    none 000        101       none 000
disabled    destroyed   none 000        101       none 000
destroyed   valid       none 000        111       key 000
destroyed   retired     none 000        111       newer 000
destroyed   expired     none 000        111       key 000
destroyed   missing     none 000        111       older 000
destroyed   disabled    none 000        101       none 000
destroyed   destroyed   none 000        101       none 000
"""


@pytest.mark.parametrize(("known", "now", "before", "refresh", "after"), rows(OPENING))
def test_opening(  # noqa: PLR0917 - the columns
    known: str, now: str, before: str, refresh: str, after: str, keys: Keys
) -> None:
    """
    What a process knows decides, until it refreshes; of an unknown key the keystore is asked.

    A known key is unwrapped already, unless it is "cold". A second time costs nothing.
    """
    data = keys.sealed()
    if known == "cold":
        keys.put("missing")
    reader = keys.parts.sealer()
    keys.put("retired" if known == "cold" else known, newer=True)
    reader.refresh()
    keys.put(now, newer=True)
    assert keys.asked(lambda: opened(reader, data)) == before
    assert keys.asked(lambda: opened(reader, data)) == f"{before[:-3]}000"
    assert keys.asked(lambda: refreshed(reader)) == refresh
    assert keys.asked(lambda: opened(reader, data)) == after
    assert keys.asked(lambda: opened(reader, data)) == f"{after[:-3]}000"


@pytest.mark.parametrize(("known", "now", "before", "refresh", "after"), rows(SEALING))
def test_sealing(  # noqa: PLR0917 - the columns
    known: str, now: str, before: str, refresh: str, after: str, keys: Keys
) -> None:
    """A new value never costs a call; a primary that is out of use seals nothing."""
    keys.put("valid")
    sealer = keys.parts.sealer()
    keys.put(known)
    sealer.refresh()
    keys.put(now)
    assert keys.asked(lambda: sealed_under(sealer, keys)) == before
    assert keys.asked(lambda: refreshed(sealer)) == refresh
    assert keys.asked(lambda: sealed_under(sealer, keys)) == after


def test_the_tables_are_full() -> None:
    """Every state that can be known, against every state that there is."""
    pairs = [(row[0], row[1]) for row in rows(SEALING)]
    assert pairs == [(known, now) for known in STATES for now in STATES]
    cold = [("cold", now) for now in STATES]
    assert sorted((row[0], row[1]) for row in rows(OPENING)) == sorted(pairs + cold)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("valid", "key 110"),
        ("retired", "newer 110"),
        ("expired", "key 110"),
        ("missing", "older 110"),
        ("disabled", "none 100"),
        ("destroyed", "none 100"),
    ],
)
def test_a_start(state: str, expected: str, keys: Keys) -> None:
    """One reading, one key; a process does not start without a primary that it can use."""
    keys.put(state)

    def start() -> str:
        try:
            sealer = keys.parts.sealer()
        except KeystoreError as error:
            assert error.key_id == keys.key.key_id.hex()  # noqa: PT017 - a value is as good
            return "none"
        return sealed_under(sealer, keys)

    assert keys.asked(start) == expected


def test_a_keystore_that_lost_all_keys(keys: Keys) -> None:
    """A process does not start; one that runs goes on with what it knows, up to its limits."""
    sealer = keys.parts.sealer()
    data = sealer.seal(b"value", "a.b")
    keys.parts.keystore.put()
    for ask in (keys.parts.sealer, sealer.refresh, sealer.warm):
        with pytest.raises(KeystoreError, match="no data key named 'default'"):
            ask()
    assert sealer.open(data, "a.b") == b"value"
    assert sealer.seal(b"", "a.b")


def test_a_primary_that_is_enabled_again_seals_again(keys: Keys, clock) -> None:
    """The keystore is asked again soon, by itself."""
    sealer = keys.parts.sealer(KeyLimits(retry=1))
    keys.put("disabled")
    sealer.refresh()
    keys.put("valid")
    assert sealed_under(sealer, keys) == "none"
    clock.ahead = 1.1
    sealed_under(sealer, keys)
    until(lambda: sealed_under(sealer, keys) == "key")


@pytest.mark.parametrize(("state", "outcome"), [("disabled", "disabled"), ("destroyed", "gone")])
def test_a_key_that_is_taken_away_while_the_provider_is_down(
    state: str, outcome: str, keys: Keys
) -> None:
    """A refresh that fails for the provider's sake has read the keystore, and keeps to it."""
    data = keys.sealed()
    keys.put("retired")
    sealer = keys.parts.sealer()
    assert opened(sealer, data) == "value"
    limit = sealer.kept().cache.fresh_until
    keys.put(state, newer=True)
    keys.parts.provider.broken = True
    with pytest.raises(ProviderUnreachableError):
        sealer.refresh()
    assert opened(sealer, data) == outcome
    assert sealed_under(sealer, keys) == "newer"
    assert sealer.kept().cache.fresh_until == limit
    keys.parts.provider.broken = False
    sealer.refresh()
    assert sealer.kept().cache.fresh_until > limit
