"""What it brings to open values in several threads, by their size."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common import Case, Result, measure

from sqlalchemy_sealed import Context, get_sealer

SIZES = {"100 B": 100, "2 KB": 2048, "16 KB": 16_384, "64 KB": 65_536, "1 MB": 1_048_576}
THREADS = (1, 2, 4)
SERIAL = "no pool"
ONE_BY_ONE = "2 threads, a task for each value"
SERIAL_DROPPED, DROPPED = "no pool, values dropped", "2 threads, values dropped"
"""Each value is dropped as soon as the next one is open, so its memory is used again."""
_TURN_BYTES = 8_000_000
"""Bytes that one turn opens, at most: it is short for large values, too."""
_COUNTING_S = 0.1
_STEP = 1000


def section_of(label: str) -> str:
    """Return the heading of the cases of one size."""
    return f"opening in threads, {label}"


def pool_name(threads: int) -> str:
    """Return the name of a case."""
    return f"{threads} thread{'s' * (threads > 1)}, equal parts"


def opening(rounds: int, *, smoke: bool) -> list[Result]:
    """Time the opening of many values: one after the other, and by pools of threads."""
    context = Context("large.value")
    seal, open_ = get_sealer().sealing(context), get_sealer().opening(context)
    results = []
    for label, size in SIZES.items():
        count = min(2000, _TURN_BYTES // size) // (10 if smoke and size < 10_000 else 1)
        values = [seal(bytes(size)) for _ in range(count)]
        pools = {threads: ThreadPoolExecutor(threads) for threads in THREADS}
        cases = [
            Case(SERIAL, lambda _, v=values: [open_(each) for each in v], per=count),
            *(
                Case(pool_name(n), _in_parts(pool, n, open_, values), SERIAL, per=count)
                for n, pool in pools.items()
            ),
            Case(ONE_BY_ONE, _each(pools[2], open_, values), SERIAL, per=count),
            Case(SERIAL_DROPPED, lambda _, v=values: _drop(open_, v), per=count),
            Case(DROPPED, _dropping(pools[2], open_, values), SERIAL_DROPPED, per=count),
        ]
        results += measure(section_of(label), cases, lambda _: range(3), rounds)
        for pool in pools.values():
            pool.shutdown()
    return results


def _in_parts(
    pool: ThreadPoolExecutor, threads: int, open_: Callable[[bytes], bytes], values: Sequence[bytes]
) -> Callable[[Any], object]:
    parts = [values[number::threads] for number in range(threads)]

    def part(mine: Sequence[bytes]) -> list[bytes]:
        return [open_(each) for each in mine]

    return lambda _: list(pool.map(part, parts))


def _each(
    pool: ThreadPoolExecutor, open_: Callable[[bytes], bytes], values: Sequence[bytes]
) -> Callable[[Any], object]:
    return lambda _: list(pool.map(open_, values))


def _drop(open_: Callable[[bytes], bytes], values: Sequence[bytes]) -> None:
    for each in values:
        open_(each)


def _dropping(
    pool: ThreadPoolExecutor, open_: Callable[[bytes], bytes], values: Sequence[bytes]
) -> Callable[[Any], object]:
    halves = (values[::2], values[1::2])
    return lambda _: list(pool.map(_drop, (open_, open_), halves))


def left_for_python() -> dict[str, float]:
    """
    Return how fast Python code runs beside a thread that opens values, by their size.

    Returns:
        The share of the speed that it has alone: about 0.5 where two threads share Python's lock,
        and 1 where the cipher works without it.
    """
    context = Context("large.value")
    seal, open_ = get_sealer().sealing(context), get_sealer().opening(context)
    shares = {}
    for label, size in SIZES.items():
        value = seal(bytes(size))
        shares[label] = _beside(open_, value) / _counted()
    return shares


def _beside(open_: Callable[[bytes], bytes], value: bytes) -> int:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            open_(value)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        return _counted()
    finally:
        stop.set()
        thread.join()


def _counted() -> int:
    """Return how often a short loop of Python code runs in a while."""
    steps, end = 0, time.perf_counter() + _COUNTING_S
    while time.perf_counter() < end:
        for _ in range(_STEP):
            pass
        steps += 1
    return steps


def has_lock() -> bool:
    """Return whether this Python has its global lock: a free-threaded one may go without."""
    asked = getattr(sys, "_is_gil_enabled", None)
    return asked is None or bool(asked())
