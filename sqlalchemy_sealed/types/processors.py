"""
The functions that seal on bind and open on result, one value at a time.

They give the driver plain bytes: SQLAlchemy's own LargeBinary wraps them in a driver object, which
costs more than AES-GCM.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..envelope import from_text, to_text
from ..errors import NotAnEnvelopeError, NotConfiguredError, OpenError, ValueRefusedError
from ..masked import MaskedStr
from ..match import head_maker
from ..opening import Form, opening_plain
from ..opening import opening as opening_any
from ..sealing import sealing as seals

if TYPE_CHECKING:
    from sqlalchemy.sql.type_api import _BindProcessorType, _ResultProcessorType

    from .base import Encrypted

T = TypeVar("T")


def sealing(source: Encrypted[T], *, once: bool = False) -> _BindProcessorType[T]:
    """
    Return the function that makes envelopes of values of a type.

    Args:
        source: the type.
        once: whether it is used for one value only, so that nothing is to be remembered.
    """
    settings, codec = source.settings, source.codec
    if settings.index or settings.match:
        return _sealing_indexed(source)
    # The context is not asked for before the first value: a column may meet its table after the
    # statement was compiled, as a sealer may be configured.
    seal = seals(
        source.sealer,
        lambda: source.context,
        codec.encode,
        quick=codec.quick_encode,
        pad=settings.pad,
        once=once,
    )
    if not settings.is_text:
        return cast("_BindProcessorType[T]", seal)

    def process(value: T | None) -> Any:
        data = seal(value)
        return None if data is None else to_text(data)

    return process


def _sealing_indexed(source: Encrypted[T]) -> _BindProcessorType[T]:
    encode = source.codec.encode
    settings = source.settings
    as_text = settings.is_text
    seal: Callable[[bytes, Any], bytes] | None = None

    def process(value: T | None) -> Any:
        nonlocal seal
        if value is None:
            return None
        try:
            if seal is None:
                label = str(source.context)
                seal = source.sealer.sealing_indexed(
                    source.context,
                    settings.slots,
                    head_maker(settings.index, settings.match, source.codec, label),
                    tokens=settings.match is not None,
                    pad=settings.pad,
                )
            data = seal(encode(value), value)
        except (ValueRefusedError, NotConfiguredError) as error:
            problem = error
        else:
            return to_text(data) if as_text else data
        raise problem.at(str(source.context))

    return process


def opening(source: Encrypted[T], *, once: bool = False) -> _ResultProcessorType[T]:
    """
    Return the function that opens envelopes of a type.

    Args:
        source: the type.
        once: whether it is used for one value only, so that nothing is to be remembered.
    """
    settings, codec = source.settings, source.codec
    decode: Any = codec.decode
    quick: Any = codec.quick_decode
    if settings.masked:
        decode = quick = lambda data: MaskedStr(codec.decode(data))
    form = Form(decode, quick, partial(stored_bytes, stored_type=bytes))
    is_plain = not settings.slots and settings.match is None and settings.pad is None
    opens = opening_plain if is_plain and not once else opening_any
    open_ = opens(source.sealer, lambda: source.context, form)
    if not settings.is_text:
        return cast("_ResultProcessorType[T]", open_)

    def process(value: Any) -> T | None:
        if value is None:
            return None
        try:
            data = stored_bytes(value, str)
        except OpenError as error:
            problem = error
        else:
            opened: T = open_(data)
            return opened
        raise problem.at(str(source.context))

    return process


def stored_bytes(value: Any, stored_type: type[Any]) -> bytes:
    """Return the stored bytes of what a driver gave, if it is of the column's storage form."""
    if stored_type is str and isinstance(value, str):
        return from_text(value)
    if stored_type is bytes and isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise NotAnEnvelopeError(
        f"the stored value is not an envelope: the driver returned {type(value).__name__}, the "
        f"column is declared with {'text' if stored_type is str else 'binary'} storage"
    )
