"""Values that are opened in many threads at once: each thread gets its own."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sqlalchemy_sealed import Context, Sealer
from sqlalchemy_sealed.errors import AuthenticationError

THREADS = 16
SIZES = (0, 20, 1000, 3000, 20_000, 200_000)
"""Bytes: the cipher lets other threads of Python run from about two kilobytes on."""
CONTEXT = Context("a.b")


@pytest.fixture
def values(sealer: Sealer) -> dict[bytes, bytes]:
    """Return plaintexts by their envelopes: all sizes, under three data keys."""
    seal = sealer.sealing(CONTEXT)
    found = {}
    for number in range(3):
        for size in SIZES:
            plaintext = random.Random(100 * number + size).randbytes(size)
            found[seal(plaintext)] = plaintext
        sealer.rotate()
    return found


def test_each_thread_gets_what_it_opens(sealer: Sealer, values: dict[bytes, bytes]) -> None:
    """Sixteen threads open values of all sizes by one function, each in an order of its own."""
    open_, barrier = sealer.opening(CONTEXT), threading.Barrier(THREADS)

    def read(number: int) -> int:
        order = list(values) * 5
        random.Random(number).shuffle(order)
        barrier.wait()
        return sum(open_(data) == values[data] for data in order)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(read, range(THREADS))) == [5 * len(values)] * THREADS


def test_a_changed_value_is_refused_beside_whole_ones(
    sealer: Sealer, values: dict[bytes, bytes]
) -> None:
    """A value that does not authenticate is refused, while other threads open whole ones."""
    open_, barrier = sealer.opening(CONTEXT), threading.Barrier(THREADS)
    changed = [data[:-1] + bytes([data[-1] ^ 1]) for data in values]

    def read(number: int) -> list[str]:
        mine = changed if number % 2 else list(values)
        barrier.wait()
        told = []
        for data in mine * 3:
            try:
                told.append("opened" if open_(data) == values[data] else "another")
            except AuthenticationError:
                told.append("refused")
        return told

    with ThreadPoolExecutor(THREADS) as pool:
        for number, told in enumerate(pool.map(read, range(THREADS))):
            assert set(told) == {"refused" if number % 2 else "opened"}
