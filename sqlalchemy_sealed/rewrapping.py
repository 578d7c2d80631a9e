"""
Rewraps the keys of a keystore after the KEK was turned: same keys, new wrapping, rows untouched.

Keys are written back in batches. A run that is killed has kept all but the last batch, and the
next run goes on with what is left, since a key that is wrapped as it should be is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from .errors import (
    KeystoreConflictError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderTrustError,
    ProviderUnavailableError,
)
from .keys import KeyRecord
from .protocols import KEKProvider, Keystore, update_all

BATCH = 1000
"""How many rewrapped keys wait to be written, at most."""
BATCH_SECONDS = 5.0
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
    is_current: Callable[[str, str], bool] | None = getattr(provider, "is_current", None)
    return [
        record
        for record in records
        if record.wrapped and not (is_current and is_current(record.wrapped, version))
    ]


def rewrap_all(
    keystore: Keystore,
    records: Iterable[KeyRecord],
    provider: KEKProvider,
    progress: Progress | None = None,
) -> Rewrapped:
    """
    Rewrap keys under the current version of the KEK, and write them back.

    Args:
        keystore: where they lie.
        records: as they were read from there. Destroyed ones are passed over.
        provider: who wrapped them. Its `rewrap_many` and `is_current` are used if it has them.
        progress: called now and then, not for each key.

    Raises:
        KeystoreError: the keystore cannot be written.
        ProviderError: the provider cannot be asked any more. What was rewrapped is kept.
    """
    records = [record for record in records if record.wrapped]
    version = provider.version()
    old = outdated(records, provider, version)
    writing = _Writing(keystore, len(records) - len(old), len(records), progress)
    failed: list[FailedKey] = []
    try:
        for each in _rewrapped(old, provider):
            if isinstance(each, FailedKey):
                failed.append(each)
                writing.skip()
            else:
                writing.put(each)
    finally:
        writing.flush()
    return Rewrapped(version, writing.written, len(records) - len(old), tuple(failed))


# -- asking the provider


def _rewrapped(records: list[KeyRecord], provider: KEKProvider) -> Iterator[Pair | FailedKey]:
    """Yield each record with its rewrapped form, or why there is none."""
    rewrap_many = getattr(provider, "rewrap_many", None)
    ask = _one_by_one(provider) if rewrap_many is None else rewrap_many
    left, any_done = records, False
    while left:
        answers = iter(ask((each.wrapped, each.binding) for each in left))
        for done, record in enumerate(left):  # noqa: B007 - says where it stopped
            try:
                wrapped = _checked(next(answers, ""))
            except ProviderError as error:
                problem = error
                break
            any_done = True
            yield record, record.with_wrapped(wrapped)
        else:
            return
        if _stops(problem, any_done=any_done):
            raise problem
        yield FailedKey(record.name, record.key_id, str(problem))
        left = left[done + 1 :]


def _one_by_one(provider: KEKProvider) -> RewrapMany:
    def rewrap_many(items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        return (provider.rewrap(wrapped, binding) for wrapped, binding in items)

    return rewrap_many


def _checked(wrapped: Any) -> str:
    """Return a wrapped key if it can be one: the old one is about to be replaced by it."""
    if isinstance(wrapped, str) and wrapped.isascii() and wrapped.split(None, 1) == [wrapped]:
        return wrapped
    raise ProviderError("the KEK provider returned no wrapped key; the old one is kept")


def _stops(error: ProviderError, *, any_done: bool) -> bool:
    return isinstance(error, _OF_THE_PROVIDER) or (
        isinstance(error, _MAYBE_OF_THE_PROVIDER) and not any_done
    )


# -- writing


class _Writing:
    """Writes rewrapped keys in batches, and says how far it is."""

    def __init__(
        self, keystore: Keystore, done: int, total: int, progress: Progress | None
    ) -> None:
        self._keystore = keystore
        self._waiting: list[Pair] = []
        self._since = monotonic()
        self._done = done
        self._total = total
        self._progress = progress
        self.written = 0
        self._tell()

    def put(self, pair: Pair) -> None:
        self._waiting.append(pair)
        if len(self._waiting) >= BATCH or monotonic() - self._since > BATCH_SECONDS:
            self.flush()

    def skip(self) -> None:
        self._done += 1

    def flush(self) -> None:
        pairs, self._waiting = self._waiting, []
        self.written += self._write(pairs)
        self._done += len(pairs)
        self._since = monotonic()
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _write(self, pairs: list[Pair]) -> int:
        """Write a batch; what others changed meanwhile is read again. Return how many it was."""
        written = 0
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
                return written + len(pairs)
            written, pairs = self._read_again(pairs, written)
        return written

    def _read_again(self, pairs: list[Pair], written: int) -> tuple[int, list[Pair]]:
        """Return how many are written, and those that are not, over the records of now."""
        stored = {
            record.key_id: record
            for name in dict.fromkeys(old.name for old, _ in pairs)
            for record in self._keystore.load(name)
        }
        left = []
        for old, new in pairs:
            record = stored.get(old.key_id)
            if record is not None and record.wrapped == new.wrapped:
                written += 1
            elif record is not None and record.wrapped == old.wrapped:
                left.append((record, record.with_wrapped(new.wrapped)))
            # Destroyed, or wrapped anew by another run: that stands.
        return written, left
