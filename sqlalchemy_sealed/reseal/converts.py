"""
Converts the values of a page: seals them again, for the first time, or opens them for good.

What cannot be converted is blamed, and stays as it is. Most values of a page were sealed by the
same process under the same key, so what is looked up for one of them is kept for the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..aead import InvalidTag
from ..envelope import HEADER_SIZE, header, suite_of, to_text
from ..errors import (
    AuthenticationError,
    OpenError,
    SealedError,
    ValueRefusedError,
)
from ..keycache import Head
from ..match import head_maker
from ..padding import pad
from ..plainform import looks_sealed
from ..types import Encrypted
from ..types.processors import stored_bytes
from .forms import head_of
from .unreadable import Unreadable

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

Blame = Callable[[int, SealedError], None]
"""Takes the place of a value in its page, and what is wrong with it."""
Convert = Callable[[Sequence[Any], Blame], list[Any]]
"""From the values of a page to those that take their place. None is nothing to convert, and nothing
to write."""

_PREFIX_END = HEADER_SIZE + 12
_NONCE_END = HEADER_SIZE + 24


def resealing(before: Encrypted[Any], after: Encrypted[Any], *, is_copied: bool = False) -> Convert:
    """
    Return what opens values and seals them again, if they are not current.

    Args:
        before: how they are sealed.
        after: how they will be.
        is_copied: whether they go to another column, all of them.
    """
    opened = _opening(before, after)
    sealed = _sealing(before, after)

    def convert(values: Sequence[Any], blame: Blame) -> list[Any]:
        current = None if is_copied else head_of(after)
        return sealed(opened(values, current, blame), blame)

    return convert


def encrypting(type_: Encrypted[Any], dialect: Dialect) -> Convert:
    """Return what seals values as a statement of the application would."""
    bind: Any = type_.bind_processor(dialect)
    # What an application adds to a type may raise anything, and quote the value.
    is_ours = type(type_).process_bind_param is Encrypted.process_bind_param

    def seal(value: Any) -> Any:
        if isinstance(value, Unreadable):
            raise value.as_plaintext(type_.label)
        try:
            sealed = bind(value)
        except Exception as error:
            if is_ours or isinstance(error, SealedError):
                raise
            problem = f"process_bind_param of its type raised {type(error).__name__}"
        else:
            if sealed is not None:
                return sealed
            problem = "its type makes NULL of the value"
        raise ValueRefusedError(problem, where=type_.label)

    return _each(seal)


def decrypting(type_: Encrypted[Any], dialect: Dialect, *, in_place: bool) -> Convert:
    """Return what opens values, and gives them in the form of a plain column."""
    opened = _opening(type_)
    decode = type_.codec.decode
    bind = None if in_place else type_.inner.dialect_impl(dialect).bind_processor(dialect)

    def plain(encoded: bytes) -> Any:
        value: Any = decode(encoded)
        if in_place and looks_sealed(value):
            raise ValueRefusedError(
                "the plaintext itself looks like an envelope, so it could not be told from one; "
                "open it into another column",
                where=type_.label,
            )
        return value if bind is None else bind(value)

    each = _each(plain)
    return lambda values, blame: each(opened(values, None, blame), blame)


def _each(function: Callable[[Any], Any]) -> Convert:
    """Return what converts the values of a page one by one."""

    def convert(values: Sequence[Any], blame: Blame) -> list[Any]:
        new: list[Any] = []
        for at, value in enumerate(values):
            try:
                new.append(None if value is None else function(value))
            except (OpenError, ValueRefusedError) as error:
                new.append(None)
                blame(at, error)
        return new

    return convert


def _opening(
    type_: Encrypted[Any], also: Encrypted[Any] | None = None
) -> Callable[[Sequence[Any], bytes | None, Blame], list[bytes | None]]:
    """
    Return what opens stored values, all but those that begin with a header.

    Args:
        type_: how they are sealed.
        also: how some of them may be sealed, too: under another context.
    """
    sealer, bound, stored = type_.sealer, bytes(type_.context), _storing(type_)
    open_ = sealer.opening(type_.context)
    if also is not None and (also.context, also.sealer) != (type_.context, type_.sealer):
        open_ = _either(open_, also.sealer.opening(also.context))

    def opened(values: Sequence[Any], current: bytes | None, blame: Blame) -> list[bytes | None]:
        keeper = sealer.kept()
        cache = keeper.cache
        if monotonic() >= cache.open_attend_at:
            cache = keeper.attend(sealing=False)
        heads, known, found = cache.heads, None, []
        decrypt: Any = None
        aad = b""
        for at, value in enumerate(values):
            try:
                start = value[:_PREFIX_END]
                if start != known:
                    decrypt, aad = _ready(heads, start, current, bound)
                    known = start
                found.append(decrypt(value[_PREFIX_END:_NONCE_END], value[_NONCE_END:], aad))
            except (KeyError, TypeError, ValueError, InvalidTag):
                found.append(one(value, current, partial(blame, at)))
        return found

    def one(value: Any, current: bytes | None, refuse: Callable[[SealedError], None]) -> Any:
        """Open what is not like the value before, or say why not."""
        if value is None:
            return None
        try:
            data = stored(value)
            return None if data[:HEADER_SIZE] == current else open_(data)
        except OpenError as error:
            refuse(error)
            return None

    return opened


def _ready(
    heads: dict[bytes, Head], start: bytes, current: bytes | None, bound: bytes
) -> tuple[Any, bytes]:
    """
    Return what opens the values of a page that begin like one of them, and their associated data.

    Raises:
        KeyError: they are not plain values of a key that is known, or they are current.
    """
    head = start[:HEADER_SIZE]
    openers, end, padded = heads[head]
    if padded or end != HEADER_SIZE or head == current:
        raise KeyError
    return openers[start[HEADER_SIZE:]], head + bound


def _either(
    first: Callable[[bytes], bytes], second: Callable[[bytes], bytes]
) -> Callable[[bytes], bytes]:
    """Return what opens by the one function or, if the value does not authenticate, the other."""

    def open_(data: bytes) -> bytes:
        try:
            return first(data)
        except AuthenticationError as error:
            problem = error
        try:
            return second(data)
        except AuthenticationError:
            pass
        raise problem

    return open_


def _storing(type_: Encrypted[Any]) -> Callable[[Any], bytes]:
    """Return the function from what a driver gave to the stored bytes."""
    stored_type = str if type_.settings.is_text else bytes

    def stored(value: Any) -> bytes:
        if isinstance(value, Unreadable):
            raise value.as_sealed()
        return stored_bytes(value, stored_type=stored_type)

    return stored


def _sealing(
    before: Encrypted[Any], after: Encrypted[Any]
) -> Callable[[Sequence[bytes | None], Blame], list[Any]]:
    """Return what seals encoded values, with what they are searched by."""
    settings = after.settings
    sealer, context = after.sealer, after.context
    if settings.index or settings.match is not None:
        decode = before.codec.decode
        seal = sealer.sealing_indexed(
            context,
            settings.slots,
            head_maker(settings.index, settings.match, after.codec, str(context)),
            tokens=settings.match is not None,
            pad=settings.pad,
        )
        one: Callable[[bytes], Any] = lambda encoded: seal(encoded, decode(encoded))  # noqa: E731
    else:
        one = sealer.sealing(context, pad=settings.pad)
    each = _each((lambda encoded: to_text(one(encoded))) if settings.is_text else one)
    if settings.index or settings.match is not None:
        return each
    suite = suite_of(padded=settings.pad is not None, tokens=False)
    bound, block = bytes(context), settings.pad

    def all_(values: Sequence[bytes | None], blame: Blame) -> list[Any]:
        plaintexts: list[bytes] = [value for value in values if value is not None]
        if block is not None:
            plaintexts = [pad(plaintext, block) for plaintext in plaintexts]
        keeper = sealer.kept()
        cache = keeper.cache
        if monotonic() >= cache.seal_attend_at:
            cache = keeper.attend(sealing=True)
        key = cache.primary or cache.sealing_key()
        head = header(suite, 0, key.key_id)
        try:
            sealed: list[Any] = key.xaes.seal_all(plaintexts, head + bound, head)
        except ValueRefusedError:  # One of them is too large.
            return each(values, blame)
        if settings.is_text:
            sealed = [to_text(data) for data in sealed]
        if len(sealed) == len(values):
            return sealed
        rest = iter(sealed)
        return [None if value is None else next(rest) for value in values]

    return all_
