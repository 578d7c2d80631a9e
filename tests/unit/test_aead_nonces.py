"""Nonces: no two are the same, whatever threads and forks there are."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from sqlalchemy_sealed import aead
from sqlalchemy_sealed.aead import Xaes, random_key

PLAINTEXT = b"XAES-256-GCM"


@pytest.fixture
def xaes() -> Xaes:
    """Return XAES-256-GCM under a random key."""
    return Xaes(random_key())


def nonces(xaes: Xaes, count: int) -> list[bytes]:
    """Return the nonces of so many seals."""
    return [xaes.seal(b"", b"")[:24] for _ in range(count)]


def test_prefix_is_kept_and_tail_is_not(xaes: Xaes) -> None:
    """The messages of a process share a prefix, and every one has a tail of its own."""
    drawn = nonces(xaes, 1000)
    assert len({nonce[:12] for nonce in drawn}) == 1
    assert len({nonce[12:] for nonce in drawn}) == 1000


def test_prefix_has_a_budget(xaes: Xaes, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many seals the next one draws a new prefix, and opens like all others."""
    monkeypatch.setattr(aead, "SEALS_PER_PREFIX", 5)
    messages = [xaes.seal(PLAINTEXT, b"") for _ in range(12)]
    prefixes = [message[:12] for message in messages]
    assert list(Counter(prefixes).values()) == [5, 5, 2]
    assert prefixes == sorted(prefixes, key=prefixes.index)
    assert {xaes.open(message[:24], message[24:], b"") for message in messages} == {PLAINTEXT}


def test_each_key_draws_its_own_prefix(xaes: Xaes) -> None:
    """Two keys in one thread do not share a prefix, so prefixes do not link them."""
    other = Xaes(random_key())
    assert nonces(xaes, 1)[0][:12] != nonces(other, 1)[0][:12]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run *work* in so many threads that all start at once; raise what one of them raised."""
    start = threading.Barrier(count)
    problems: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def test_threads_share_a_prefix_and_no_tail(xaes: Xaes) -> None:
    """Eight threads that seal under one key go on with the prefix that there is."""
    [first] = nonces(xaes, 1)
    drawn: list[bytes] = []
    in_threads(8, lambda _: drawn.extend(nonces(xaes, 50)))
    assert {nonce[:12] for nonce in drawn} == {first[:12]}
    assert len({first, *drawn}) == 401


class Hurried(Xaes):
    """A key of which another thread uses up each prefix as soon as it sees it."""

    @property
    def writer(self) -> aead.Writer | None:
        return self._seen

    @writer.setter
    def writer(self, writer: aead.Writer | None) -> None:
        self._seen = writer
        if writer is not None:
            writer.take(aead.SEALS_PER_PREFIX)


def test_a_new_prefix_has_a_tail_for_who_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread that seals many values at once takes no tail of it before that."""
    monkeypatch.setattr(aead, "SEALS_PER_PREFIX", 3)
    xaes = Hurried(random_key())
    assert len(set(nonces(xaes, 10))) == 10
    assert len({message[:12] for message in xaes.seal_all([b""] * 3, b"", b"")}) == 1


def test_a_writer_is_not_copied(xaes: Xaes) -> None:
    """A copy would give away as many tails once more."""
    nonces(xaes, 1)
    for leave in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a writer cannot be pickled"):
            leave(xaes.writer)


def test_budget_without_a_lock_of_python(xaes: Xaes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python runs many threads at a time, they count under a lock of their own."""
    monkeypatch.setattr(aead, "HAS_LOCK", False)
    monkeypatch.setattr(aead, "SEALS_PER_PREFIX", 50)
    drawn: list[bytes] = []
    in_threads(8, lambda _: drawn.extend(nonces(xaes, 100)))
    drawn += [message[:24] for message in xaes.seal_all([b""] * 40, b"", b"")]
    assert len(set(drawn)) == 840
    assert max(Counter(nonce[:12] for nonce in drawn).values()) <= 50


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Let threads take turns 50 times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.slow
@pytest.mark.usefixtures("eager_switches")
def test_a_million_seals_in_eight_threads_repeat_no_nonce(
    xaes: Xaes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    125,000 seals in each of 8 threads: no nonce twice, no prefix beyond its budget, and they open.

    A third of them is sealed by calls for many.
    """
    monkeypatch.setattr(aead, "SEALS_PER_PREFIX", 1 << 15)
    size = 24 + 16
    written = [bytearray() for _ in range(8)]

    def work(number: int) -> None:
        out, seal = written[number], xaes.seal
        for _ in range(1250):
            for _ in range(67):
                out += seal(b"", b"aad")
            out += b"".join(xaes.seal_all([b""] * 33, b"aad", b""))

    in_threads(8, work)
    seen: set[bytes] = set()
    budgets: Counter[bytes] = Counter()
    for messages in written:
        view = memoryview(bytes(messages))
        starts = range(0, len(view), size)
        drawn = {bytes(view[at : at + 24]) for at in starts}
        assert len(drawn) == len(starts) == 125_000
        assert not drawn & seen
        seen |= drawn
        budgets.update(nonce[:12] for nonce in drawn)
        for at in starts[::100]:
            message = bytes(view[at : at + size])
            assert xaes.open(message[:24], message[24:], b"aad") == b""
    assert max(budgets.values()) <= 1 << 15


# -- forks


def in_child(work: Callable[[], bytes]) -> bytes:
    """Run *work* in a forked child and return what it returned there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(writing, "wb") as out:
                out.write(work())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    assert os.waitpid(child, 0) == (child, 0)
    return data


# Newer versions of Python warn that a fork of a process with threads may hang; ours never waits.
forking = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@forking
@pytest.mark.parametrize("thread", ["main thread", "another thread"])
def test_a_forked_child_never_repeats_a_prefix(thread: str, xaes: Xaes) -> None:
    """Parent, child and grandchild have three prefixes; the parent keeps its own, and seals on."""
    found: list[bytes] = []

    def family() -> None:
        def prefix() -> bytes:
            drawn = nonces(xaes, 3)
            assert len({nonce[:12] for nonce in drawn}) == 1
            return drawn[0][:12]

        def child() -> bytes:
            return prefix() + in_child(prefix) + prefix()

        found.append(prefix())
        lines = in_child(child)
        found.extend(lines[at : at + 12] for at in range(0, 36, 12))
        found.append(in_child(prefix))
        found.append(prefix())

    if thread == "main thread":
        family()
    else:
        in_threads(1, lambda _: family())
    parent, child, grandchild, child_again, second_child, parent_again = found
    assert parent == parent_again
    assert child == child_again
    assert len({parent, child, grandchild, second_child}) == 4


@forking
def test_a_forked_child_and_its_parent_open_each_other(xaes: Xaes) -> None:
    """What was sealed on one side of a fork opens on the other."""
    before = xaes.seal(b"parent", b"")
    message = in_child(lambda: xaes.seal(xaes.open(before[:24], before[24:], b""), b""))
    assert xaes.open(message[:24], message[24:], b"") == b"parent"


@forking
def test_a_prefix_that_is_shared_nonetheless_repeats_no_nonce(xaes: Xaes) -> None:
    """Where a fork goes unnoticed, parent and child share a prefix and the tails still differ."""
    before = nonces(xaes, 1)[0]
    writer = xaes.writer

    def child() -> bytes:
        xaes.writer = writer
        return b"".join(nonces(xaes, 100))

    lines = in_child(child)
    of_child = [lines[at : at + 24] for at in range(0, len(lines), 24)]
    of_parent = nonces(xaes, 100)
    assert {nonce[:12] for nonce in of_child + of_parent} == {before[:12]}
    assert len({*of_child, *of_parent}) == 200
