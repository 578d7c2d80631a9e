"""
Work in batches, some of them at a time: Vault works at one while another one is on its way.

Synopsis:

    for answer in in_batches(ask, items):  # one answer a batch, in the order of the items
        ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_A_TIME = 2
"""Requests that are under way together."""


def in_batches(
    work: Callable[[list[T]], R], items: Iterable[T], size: int
) -> Generator[R, None, None]:
    """
    Yield what *work* returns for each batch, in order.

    Less than a batch is worked at here, on no other thread. After a batch that fails no other is
    begun, but those that are under way are waited for.

    Args:
        work: is called with a batch, on another thread.
        items: asked for as they are needed, on this thread; at most 3 batches ahead.
        size: items of a batch.
    """
    waiting = iter(items)
    batch = list(islice(waiting, size))
    if len(batch) < size:
        if batch:
            yield work(batch)
        return
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(AT_A_TIME, "sqlalchemy-sealed batches") as threads:
        try:
            while batch or under_way:
                # One more than threads, so that none waits for what is done here.
                while batch and len(under_way) <= AT_A_TIME:
                    under_way.append(threads.submit(work, batch))
                    batch = list(islice(waiting, size))
                yield under_way.popleft().result()
        finally:
            for each in under_way:
                each.cancel()
