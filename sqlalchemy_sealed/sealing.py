"""
The functions that seal, search and open for one context.

They follow their sealer: keys are looked up at each call, so that a sealer that is configured
later, or whose key was rotated, takes effect at the next value. This is what bind and result
processors use; a call costs one AES-GCM call and little more.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from .aead import InvalidTag
from .context import Context
from .envelope import (
    HEADER_SIZE,
    NONCE_SIZE,
    PADDED_SUITES,
    SLOT_SIZE,
    TOKEN_SUITES,
    header,
    parse,
    suite_of,
)
from .errors import DecodingError, OpenError, OptionError
from .keycache import Head, KeyCache
from .keykeeper import KeyKeeper
from .padding import MAX_BLOCK, is_block, unpad
from .padding import pad as add_padding
from .unwrapped import Memo


class Keys(Protocol):
    """Who has the keys: a sealer."""

    keeper: KeyKeeper | None

    def kept(self) -> KeyKeeper:
        """Return the keeper, or raise NotConfiguredError."""
        ...


def sealing(keys: Keys, context: Context, pad: int | None) -> Callable[[bytes], bytes]:
    """
    Return a function that seals encoded values.

    Raises:
        OptionError: *pad* is not a whole number of bytes from 2 to 65,536.
    """
    if pad is not None and not is_block(pad):
        raise OptionError(f"pad must be a whole number of bytes from 2 to {MAX_BLOCK}")
    suite = suite_of(padded=pad is not None, tokens=False)
    bound = bytes(context)
    # The key id stands for the key, so that nothing here holds a key that is to be forgotten.
    current: tuple[bytes, bytes, bytes] = (b"", b"", b"")

    def seal(plaintext: bytes) -> bytes:
        nonlocal current
        keeper = keys.keeper or keys.kept()
        cache = keeper.cache
        if monotonic() >= cache.seal_attend_at:
            cache = keeper.attend(sealing=True)
        key = cache.primary or cache.sealing_key()
        key_id, head, aad = current
        if key.key_id is not key_id:
            head = header(suite, 0, key.key_id)
            aad = head + bound
            current = (key.key_id, head, aad)
        if pad is not None:
            plaintext = add_padding(plaintext, pad)
        return head + key.xaes.seal(plaintext, aad)

    return seal


def sealing_indexed(  # noqa: PLR0913 - what an index needs besides
    keys: Keys,
    context: Context,
    slots: int,
    maker: Callable[[bytes, bytes], Callable[[Any], bytes]],
    *,
    tokens: bool,
    pad: int | None,
) -> Callable[[bytes, Any], bytes]:
    """Return a function that seals an encoded value with what it is searched by."""
    suite = suite_of(padded=pad is not None, tokens=tokens)
    bound = bytes(context)
    memo = Memo(None, b"", bytes)

    def seal(plaintext: bytes, value: Any) -> bytes:
        keeper = keys.keeper or keys.kept()
        cache = keeper.cache
        if monotonic() >= cache.seal_attend_at:
            cache = keeper.attend(sealing=True)
        key = cache.primary or cache.sealing_key()
        known, head, slots_of = memo.now
        if known is not cache:
            head = header(suite, slots, key.key_id)
            slots_of = maker(*cache.sealing_index_keys())
            cache.remember(memo, (cache, head, slots_of))
        start: bytes = head + slots_of(value)
        if pad is not None:
            plaintext = add_padding(plaintext, pad)
        return start + key.xaes.seal(plaintext, start + bound)

    return seal


def matching(
    keys: Keys, maker: Callable[[bytes], Callable[[Any], bytes]]
) -> Callable[[Any], list[bytes]]:
    """Return a function from a searched value to its slots under every index key in use."""
    memo = Memo(None, [])

    def match(value: Any) -> list[bytes]:
        keeper = keys.keeper or keys.kept()
        cache = keeper.cache
        if monotonic() >= cache.open_attend_at:
            cache = keeper.attend(sealing=False)
        known, functions = memo.now
        if known is not cache:
            functions = [maker(key) for key in cache.searched_keys()]
            cache.remember(memo, (cache, functions))
        if len(functions) == 1:
            return [functions[0](value)]
        return [function(value) for function in functions]

    return match


def opening(keys: Keys, context: Context) -> Callable[[bytes], bytes]:
    """
    Return a function that opens envelopes.

    The first value under a header goes the long way and is checked field by field; the next ones
    need one dict lookup for all of that.
    """
    bound = bytes(context)

    def open_(data: bytes) -> bytes:
        keeper = keys.keeper or keys.kept()
        cache = keeper.cache
        if monotonic() < cache.open_attend_at:
            try:
                openers, end, padded = cache.heads[data[:HEADER_SIZE]]
                at = end + 12
                plaintext = openers[data[end:at]](
                    data[at : at + 12], data[at + 12 :], data[:end] + bound
                )
                return unpad(plaintext) if padded else plaintext
            except (KeyError, ValueError, InvalidTag, DecodingError):
                pass  # Not opened: go the long way, which says why.
        plaintext, cache, head = _open(keeper, data, context, bound)
        if head is not None:
            cache.heads[data[:HEADER_SIZE]] = head
        return plaintext

    return open_


def _open(
    keeper: KeyKeeper, data: bytes, context: Context, bound: bytes
) -> tuple[bytes, KeyCache, Head | None]:
    if monotonic() >= keeper.cache.open_attend_at:
        keeper.attend(sealing=False)
    try:
        envelope = parse(data)
        cache = keeper.cache_with(envelope.key_id)
        key = cache.data_key(envelope.key_id)
        head = data[: len(data) - len(envelope.sealed) - NONCE_SIZE]
        plaintext = key.xaes.open(envelope.nonce, envelope.sealed, head + bound)
        padded = envelope.suite in PADDED_SUITES
        end = HEADER_SIZE + SLOT_SIZE * len(envelope.slots)
        # A token block is checked in each value, so those go the long way.
        with_tokens = envelope.suite in TOKEN_SUITES
        known = None if with_tokens else (key.xaes.openers, end, padded)
        return unpad(plaintext) if padded else plaintext, cache, known
    except OpenError as error:
        problem = error
    raise problem.at(str(context))
