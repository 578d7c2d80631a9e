"""Sealing many values by one call: each is a message as if it had been sealed by itself."""

from __future__ import annotations

import os
import threading

import pytest

from sqlalchemy_sealed import aead
from sqlalchemy_sealed.aead import Xaes, random_key

TEXTS = [b"", b"a", b"\0" * 100, b"a"]


def opened(xaes: Xaes, sealed: bytes) -> bytes:
    """Return the plaintext of a message."""
    return xaes.open(sealed[:24], sealed[24:], b"aad")


def test_each_message_opens() -> None:
    """They begin with what they are to begin with, and are plain messages after it."""
    xaes = Xaes(random_key())
    sealed = xaes.seal_all(TEXTS, b"aad", b"start")
    assert [message[:5] for message in sealed] == [b"start"] * len(TEXTS)
    assert [opened(xaes, message[5:]) for message in sealed] == TEXTS
    assert xaes.seal_all([], b"aad", b"start") == []


def test_no_nonce_comes_twice() -> None:
    """Of many equal values, by any way of sealing, no two messages are equal in their nonces."""
    xaes = Xaes(random_key())
    sealed = [
        *xaes.seal_all([b"same"] * 1000, b"", b""),
        *xaes.seal_all([b"same"] * 1000, b"", b""),
    ]
    sealed += [xaes.seal(b"same", b"") for _ in range(1000)]
    assert len({message[:24] for message in sealed}) == 3000
    assert len({message[:12] for message in sealed}) == 1


def test_a_prefix_is_used_for_so_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget of a prefix counts values, not calls; more than one prefix is good for is done."""
    monkeypatch.setattr(aead, "SEALS_PER_PREFIX", 10)
    xaes = Xaes(random_key())
    prefixes = [
        {message[:12] for message in xaes.seal_all([b"x"] * count, b"aad", b"")}
        for count in (6, 4, 6, 6)
    ]
    assert prefixes[0] == prefixes[1]
    assert len(set().union(*prefixes)) == 3
    sealed = xaes.seal_all(TEXTS * 10, b"aad", b"")
    assert [opened(xaes, message) for message in sealed] == TEXTS * 10
    counts: dict[bytes, int] = {}
    for message in sealed:
        counts[message[:12]] = counts.get(message[:12], 0) + 1
    assert max(counts.values()) <= 10


def test_children_have_prefixes_of_their_own() -> None:
    """As for single messages: a fork has another prefix than its parent, a thread has not."""
    xaes = Xaes(random_key())
    [mine] = xaes.seal_all([b"x"], b"", b"")
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.extend(xaes.seal_all([b"x"], b"", b"")))
    thread.start()
    thread.join()
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(write, xaes.seal_all([b"x"], b"", b"")[0])
        os._exit(0)
    os.waitpid(pid, 0)
    found.append(os.read(read, 100))
    assert mine[:12] == found[0][:12] != found[1][:12]
