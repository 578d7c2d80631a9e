"""
Rewraps the keys of a keystore after the KEK was turned: same keys, new wrapping, rows untouched.

Keys are asked for while others are still read, and written back in batches, each while the next
one comes in. A run that is killed has kept all but these two, and the next run goes on with what is
left, since a key that is wrapped as it should be is passed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import monotonic

from .errors import (
    KeystoreConflictError,
    KeystoreError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderTrustError,
    ProviderUnavailableError,
)
from .keys import KeyRecord
from .protocols import KEKProvider, Keystore, load_all, read_wrapped, update_all

BATCH = 20_000
"""
How many rewrapped keys wait to be written, at most, or as many as were written before: a keystore
may write all keys each time. One that does not says how many are best by its `update_size`.
"""
BATCH_SECONDS = 2.0
"""How long they wait, at most, while further ones come."""
_ATTEMPTS = 5
"""How often a batch is written anew because others changed the same keys."""
_OF_THE_PROVIDER = (ProviderUnavailableError, ProviderLoginError, ProviderTrustError)
"""What stops the run: the next key would meet the same."""
_MAYBE_OF_THE_PROVIDER = (ProviderDeniedError, ProviderKeyMissingError)
"""What stops the run unless another key was rewrapped before."""

Progress = Callable[[int, int], None]
"""Called with how many keys are done, and how many there are."""
Pair = tuple[KeyRecord, KeyRecord]
_Outcome = tuple[int, int]
"""Of a batch: how many keys it had, and how many were written."""
RewrapMany = Callable[[Iterable[tuple[str, bytes]]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class FailedKey:
    """A key that could not be rewrapped. It is as it was."""

    name: str
    key_id: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """
    What a rewrap did.

    Attributes:
        version: the version of the KEK that keys are wrapped under now.
        rewrapped: how many keys were wrapped anew.
        current: how many were wrapped under this version before.
        failed: those that could not be.
    """

    version: str
    rewrapped: int
    current: int
    failed: tuple[FailedKey, ...]


def outdated(records: Iterable[KeyRecord], provider: KEKProvider, version: str) -> list[KeyRecord]:
    """Return the records that are not wrapped under a version of the KEK, as far as it tells."""
    is_current = _is_current(provider)
    return [each for each in records if each.wrapped and not is_current(each.wrapped, version)]


def _is_current(provider: KEKProvider) -> Callable[[str, str], bool]:
    """Return what says whether a wrapped key is under a version of the KEK."""
    told: Callable[[str, str], bool] | None = getattr(provider, "is_current", None)
    return told or (lambda _, __: False)


def rewrap_all(
    keystore: Keystore,
    records: Iterable[KeyRecord] | None,
    provider: KEKProvider,
    progress: Progress | None = None,
) -> Rewrapped:
    """
    Rewrap keys under the current version of the KEK, and write them back.

    Args:
        keystore: where they lie.
        records: as they were read from there, or None for all. Destroyed ones are passed over.
        provider: who wrapped them. Its `rewrap_many` and `is_current` are used if it has them.
        progress: called now and then, not for each key.

    Raises:
        KeystoreError: the keystore cannot be read or written.
        ProviderError: the provider cannot be asked any more. What was rewrapped is kept.
    """
    if records is None:
        total, left = read_wrapped(keystore)
    else:
        wrapped = [record for record in records if record.wrapped]
        total, left = len(wrapped), iter(wrapped)
    version = provider.version()
    is_current = _is_current(provider)

    def old() -> Iterator[KeyRecord]:
        for record in left:
            if is_current(record.wrapped, version):
                writing.current += 1
            else:
                yield record

    with _Writing(keystore, total, progress) as writing:
        _ask(provider, old(), writing)
    return Rewrapped(version, writing.written, writing.current, tuple(writing.failed))


# -- asking the provider


def _ask(provider: KEKProvider, records: Iterator[KeyRecord], writing: _Writing) -> None:
    """Have each record written with its new wrapped key, or say why there is none."""
    rewrap_many = getattr(provider, "rewrap_many", None)
    ask = _one_by_one(provider) if rewrap_many is None else rewrap_many
    asked: deque[KeyRecord] = deque()
    """In this turn, and not answered yet."""
    again: deque[KeyRecord] = deque()
    """In an earlier turn, which ended before their answer."""
    any_done = False

    def items() -> Iterator[tuple[str, bytes]]:
        while again:
            record = again.popleft()
            asked.append(record)
            yield record.wrapped, record.binding
        for record in records:
            asked.append(record)
            yield record.wrapped, record.binding

    while first := _next(again, records):
        again.appendleft(first)
        problem = _no_answer()
        try:
            for wrapped in ask(items()):
                if not asked:
                    break
                writing.put(asked.popleft(), wrapped)
                any_done = True
        except ProviderError as error:
            problem = error
        again.extendleft(reversed(asked))
        asked.clear()
        failed = _next(again, records)
        if failed is None:
            return
        if _stops(problem, any_done=any_done):
            raise problem
        writing.fail(failed, problem)


def _next(first: deque[KeyRecord], then: Iterator[KeyRecord]) -> KeyRecord | None:
    return first.popleft() if first else next(then, None)


def _one_by_one(provider: KEKProvider) -> RewrapMany:
    def rewrap_many(items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        return (provider.rewrap(wrapped, binding) for wrapped, binding in items)

    return rewrap_many


def _no_answer() -> ProviderError:
    """Return the error for what can be no wrapped key: it would take the place of the old one."""
    return ProviderError("the KEK provider returned no wrapped key; the old one is kept")


def _stops(error: ProviderError, *, any_done: bool) -> bool:
    return isinstance(error, _OF_THE_PROVIDER) or (
        isinstance(error, _MAYBE_OF_THE_PROVIDER) and not any_done
    )


# -- writing


class _Writing:
    """
    Writes rewrapped keys in batches, and says how far it is.

    A batch is written on a thread of its own while the next one comes in. At the end, and after a
    failure of the provider, what waits is written; after one of the keystore, it is not.
    """

    def __init__(self, keystore: Keystore, total: int, progress: Progress | None) -> None:
        self._keystore = keystore
        self._most: int | None = getattr(keystore, "update_size", None)
        self._total = total
        self._progress = progress
        self._until = monotonic() + BATCH_SECONDS
        self._many = BATCH if self._most is None else min(BATCH, self._most)
        """How many are written at once."""
        self._waiting: list[Pair] = []
        self._thread = ThreadPoolExecutor(1, "sqlalchemy-sealed rewrap")
        self._under_way: Future[_Outcome] | None = None
        self._settled = 0
        self.current = 0
        self.written = 0
        self.failed: list[FailedKey] = []

    def __enter__(self) -> _Writing:
        self._tell()
        return self

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        with self._thread:
            if isinstance(problem, KeystoreError):
                self._waiting = []
            self._settle()
            self._add(self._write(self._taken()))

    def put(self, record: KeyRecord, wrapped: str) -> None:
        # It can be a wrapped key, which is ASCII without white space.
        is_word = isinstance(wrapped, str) and wrapped.isascii()
        if not (is_word and wrapped.split(None, 1) == [wrapped]):
            self.fail(record, _no_answer())
            return
        self._waiting.append((record, record.with_wrapped(wrapped)))
        if len(self._waiting) >= self._many or monotonic() > self._until:
            self._settle()
            self._under_way = self._thread.submit(self._write, self._taken())
            self._until = monotonic() + BATCH_SECONDS

    def fail(self, record: KeyRecord, problem: ProviderError) -> None:
        self.failed.append(FailedKey(record.name, record.key_id, str(problem)))

    def _taken(self) -> list[Pair]:
        taken, self._waiting = self._waiting, []
        return taken

    def _settle(self) -> None:
        """Wait for the batch that is being written, if there is one."""
        future = self._under_way
        if future is None:
            return
        wait([future])  # Here Ctrl-C may come: what waits is written all the same.
        self._under_way = None
        if future.exception() is not None:
            self._waiting = []
        self._add(future.result())

    def _add(self, outcome: _Outcome) -> None:
        count, written = outcome
        self.written += written
        self._settled += count
        if self._most is None:
            self._many = max(BATCH, self.written)
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            done = self._settled + self.current + len(self.failed)
            self._progress(done, max(done, self._total))

    def _write(self, pairs: list[Pair]) -> _Outcome:
        """Write a batch; what others changed meanwhile is read again."""
        count, written = len(pairs), 0
        for attempt in range(_ATTEMPTS):
            try:
                if pairs:
                    update_all(self._keystore, pairs)
            except KeystoreConflictError as error:
                if error.key_id is None:  # not about a record: another process holds the lock
                    raise
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                written += len(pairs)
                break
            written, pairs = self._read_again(pairs, written)
        return count, written

    def _read_again(self, pairs: list[Pair], written: int) -> tuple[int, list[Pair]]:
        """Return how many are written, and those that are not, over the records of now."""
        loaded = load_all(self._keystore, (old.name for old, _ in pairs))
        stored = {record.key_id: record for records in loaded.values() for record in records}
        left = []
        for old, new in pairs:
            record = stored.get(old.key_id)
            if record is not None and record.wrapped == new.wrapped:
                written += 1
            elif record is not None and record.wrapped == old.wrapped:
                left.append((record, record.with_wrapped(new.wrapped)))
            # Destroyed, or wrapped anew by another run: that stands.
        return written, left
