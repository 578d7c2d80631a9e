"""
The functions that seal and search for one context.

They follow their sealer: keys are looked up at each call, so that a sealer that is configured
later, or whose key was rotated, takes effect at the next value. This is what bind processors use:
one call a value, which costs one AES-GCM call, 12 random bytes and little more.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from .context import Context
from .envelope import header, suite_of
from .errors import NotConfiguredError, OptionError, SealedError, ValueRefusedError
from .keykeeper import Keys
from .padding import MAX_BLOCK, is_block
from .padding import pad as add_padding
from .unwrapped import Memo

_ELSEWHERE = (
    AttributeError,
    OverflowError,
    StopIteration,
    TypeError,
    ValueError,
    SealedError,
)
"""What sends a value the long way: no key or tail at hand, or a value that is refused."""


def sealing(  # noqa: PLR0913 - how values become bytes
    keys: Keys,
    context: Callable[[], Context],
    encode: Callable[[Any], bytes],
    *,
    quick: Callable[[Any], bytes] | None = None,
    pad: int | None = None,
    nothing: Any = None,
    once: bool = False,
) -> Callable[[Any], Any]:
    """
    Return a function that encodes and seals values.

    What it makes of keys is forgotten with them, and in the child of a fork.

    Args:
        keys: the sealer.
        context: returns what values are bound to; it is asked at the first value.
        encode: returns the bytes of a value.
        quick: the same, as fast as can be; any error sends the value to *encode*.
        pad: hide the length, by padding to a multiple of this many bytes.
        nothing: what is not sealed, but None.
        once: whether it is used for one value only, so that nothing is to be remembered.

    Raises:
        OptionError: *pad* is not a whole number of bytes from 2 to 65,536.
    """
    fast, exact = _padded(quick or encode, pad), _padded(encode, pad)
    suite = suite_of(padded=pad is not None, tokens=False)
    bound = b""
    # What values begin with, what is authenticated with them, and what seals them, while one
    # prefix is in use.
    memo = Memo(None, b"", b"", (), bytes)

    def seal(value: Any) -> Any:
        if value is nothing:
            return None
        try:
            cache = keys.keeper.cache  # type: ignore[union-attr]
            known, start, aad, tails, encrypt = memo.now
            if known is cache and monotonic() < cache.seal_attend_at:
                tail = next(tails)
                return start + tail + encrypt(tail, fast(value), aad)
        except _ELSEWHERE:
            pass  # Not sealed: go the long way, which says why.
        return slowly(value)

    def slowly(value: Any) -> bytes:
        nonlocal bound
        where = context()
        try:
            keeper = keys.keeper or keys.kept()
            cache = keeper.cache
            if monotonic() >= cache.seal_attend_at:
                cache = keeper.attend(sealing=True)
            key = cache.primary or cache.sealing_key()
            bound = bound or bytes(where)
            head = header(suite, 0, key.key_id)
            data = head + key.xaes.seal(exact(value), head + bound)
        except (ValueRefusedError, NotConfiguredError) as error:
            problem = error
        else:
            writer = key.xaes.writer
            if writer is not None and not once:
                start = head + writer.prefix
                now = (cache, start, head + bound, writer.tails, writer.encrypt)
                cache.remember(memo, now)
            return data
        raise problem.at(str(where))

    return seal


def _padded(encode: Callable[[Any], bytes], block: int | None) -> Callable[[Any], bytes]:
    if block is None:
        return encode
    if not is_block(block):
        raise OptionError(f"pad must be a whole number of bytes from 2 to {MAX_BLOCK}")
    return lambda value: add_padding(encode(value), block)


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
