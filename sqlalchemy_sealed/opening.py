"""
The functions that open for one context.

They follow their sealer, as those that seal. This is what result processors use: one call a value,
which costs one AES-GCM call and little more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from .aead import PREFIX_SIZE, TAIL_SIZE, InvalidTag
from .context import Context
from .envelope import (
    HEADER_SIZE,
    NONCE_SIZE,
    PADDED_SUITES,
    SLOT_SIZE,
    TOKEN_SUITES,
    parse,
)
from .errors import NotConfiguredError, OpenError, SealedError
from .keykeeper import KeyKeeper, Keys
from .padding import unpad
from .unwrapped import Memo

REMEMBERED = 512
"""Of how many nonce prefixes a function remembers what opens the values under them."""

# Slices that are made once: Python makes those that stand in an expression anew at each value.
_START = slice(HEADER_SIZE + PREFIX_SIZE)
_TAIL = slice(HEADER_SIZE + PREFIX_SIZE, HEADER_SIZE + NONCE_SIZE)
_SEALED = slice(HEADER_SIZE + NONCE_SIZE, None)

_ELSEWHERE = (AttributeError, KeyError, TypeError, ValueError, InvalidTag, SealedError)
"""What sends a value the long way: a key that is not at hand yet, or no value of ours."""


@dataclass(frozen=True, slots=True)
class Form:
    """
    How opened bytes become values.

    Attributes:
        decode: returns the value of opened bytes.
        quick: the same, as fast as can be; any error sends the bytes to *decode*.
        stored: returns the bytes of what a driver gave.
        nothing: what is not opened, but None.
    """

    decode: Callable[[bytes], Any]
    quick: Callable[[bytes], Any]
    stored: Callable[[Any], bytes]
    nothing: Any = None


def opening(keys: Keys, context: Callable[[], Context], form: Form) -> Callable[[Any], Any]:
    """
    Return a function that opens and decodes stored values of any suite.

    The first value under a header goes the long way and is checked field by field; the next ones
    need one dict lookup for all of that.

    Args:
        keys: the sealer.
        context: returns what values are bound to; it is asked at the first value.
        form: how opened bytes become values.
    """
    quick, nothing = form.quick, form.nothing
    bound = b""

    def open_(value: Any) -> Any:
        if value is nothing:
            return None
        try:
            cache = keys.keeper.cache  # type: ignore[union-attr]
            if monotonic() < cache.open_attend_at:
                openers, end, padded = cache.heads[value[:HEADER_SIZE]]
                at = end + PREFIX_SIZE
                plaintext = openers[value[end:at]](
                    value[at : at + TAIL_SIZE], value[at + TAIL_SIZE :], value[:end] + bound
                )
                return quick(unpad(plaintext) if padded else plaintext)
        except _ELSEWHERE:
            pass  # Not opened: go the long way, which says why.
        return slowly(value)

    def slowly(value: Any) -> Any:
        nonlocal bound
        where = context()
        bound = bound or bytes(where)
        try:
            plaintext = _open(keys.keeper or keys.kept(), form.stored(value), bound)
            return form.decode(plaintext)
        except (OpenError, NotConfiguredError) as error:
            problem = error
        raise problem.at(str(where))

    return open_


def opening_plain(keys: Keys, context: Callable[[], Context], form: Form) -> Callable[[Any], Any]:
    """
    Return a function as `opening`, for columns most of whose values have no slots and no padding.

    It remembers what opens the values that begin with the same 24 bytes: header and nonce prefix.
    """
    open_any = opening(keys, context, form)
    quick, nothing = form.quick, form.nothing
    memo = Memo(None, {})

    def open_(value: Any) -> Any:
        if value is nothing:
            return None
        try:
            cache = keys.keeper.cache  # type: ignore[union-attr]
            known, ready = memo.now
            if known is cache and monotonic() < cache.open_attend_at:
                decrypt, aad = ready[value[_START]]
                return quick(decrypt(value[_TAIL], value[_SEALED], aad))
        except _ELSEWHERE:
            pass
        opened = open_any(value)
        remember(value)
        return opened

    def remember(value: Any) -> None:
        """Keep what opens the values that begin as this one, which was opened."""
        cache = keys.kept().cache
        start = bytes(value[_START])
        openers, end, padded = cache.heads.get(start[:HEADER_SIZE], _NO_HEAD)
        if end != HEADER_SIZE or padded:
            return
        known, ready = memo.now
        if known is not cache:
            ready = {}
            cache.remember(memo, (cache, ready))
        elif len(ready) >= REMEMBERED:
            ready.clear()
        ready[start] = openers[start[HEADER_SIZE:]], start[:HEADER_SIZE] + bytes(context())

    return open_


_NO_HEAD: tuple[Any, int, bool] = ({}, 0, False)


def _open(keeper: KeyKeeper, data: bytes, bound: bytes) -> bytes:
    """Return the plaintext of a value, field by field, and note what may open the next ones."""
    if monotonic() >= keeper.cache.open_attend_at:
        keeper.attend(sealing=False)
    envelope = parse(data)
    cache = keeper.cache_with(envelope.key_id)
    key = cache.data_key(envelope.key_id)
    head = data[: len(data) - len(envelope.sealed) - NONCE_SIZE]
    plaintext = key.xaes.open(envelope.nonce, envelope.sealed, head + bound)
    padded = envelope.suite in PADDED_SUITES
    # A token block is checked in each value, so those go the long way.
    if envelope.suite not in TOKEN_SUITES:
        end = HEADER_SIZE + SLOT_SIZE * len(envelope.slots)
        cache.heads[data[:HEADER_SIZE]] = (key.xaes.openers, end, padded)
    return unpad(plaintext) if padded else plaintext
