"""
The functions that seal on bind and open on result, one value at a time.

They are closures that give the driver plain bytes: SQLAlchemy's own LargeBinary wraps them in a
driver object, which costs more than AES-GCM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..envelope import from_text, to_text
from ..errors import NotAnEnvelopeError, NotConfiguredError, OpenError, ValueRefusedError
from ..masked import MaskedStr
from ..match import head_maker

if TYPE_CHECKING:
    from sqlalchemy.sql.type_api import _BindProcessorType, _ResultProcessorType

    from .base import Encrypted

T = TypeVar("T")


def sealing(source: Encrypted[T]) -> _BindProcessorType[T]:
    """Return the function that makes envelopes of values of a type."""
    if source.settings.index or source.settings.match:
        return _sealing_indexed(source)
    encode = source.codec.encode
    as_text = source.settings.is_text
    seal: Callable[[bytes], bytes] | None = None

    def process(value: T | None) -> Any:
        nonlocal seal
        if value is None:
            return None
        try:
            # Not before the first value: a sealer may be configured and a column may meet
            # its table after the statement was compiled.
            if seal is None:
                seal = source.sealer.sealing(source.context, pad=source.settings.pad)
            data = seal(encode(value))
        except (ValueRefusedError, NotConfiguredError) as error:
            problem = error
        else:
            return to_text(data) if as_text else data
        raise problem.at(str(source.context))

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


def opening(source: Encrypted[T]) -> _ResultProcessorType[T]:
    """Return the function that opens envelopes of a type."""
    decode = source.codec.decode
    stored_type = str if source.settings.is_text else bytes
    masked = source.settings.masked
    open_: Callable[[bytes], bytes] | None = None

    def process(value: Any) -> T | None:
        nonlocal open_
        if value is None:
            return None
        try:
            if open_ is None:
                open_ = source.sealer.opening(source.context)
            if type(value) is not bytes or stored_type is str:
                value = stored_bytes(value, stored_type)
            opened = decode(open_(value))
        except (OpenError, NotConfiguredError) as error:
            problem = error
        else:
            return MaskedStr(opened) if masked else opened  # type: ignore[return-value]
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
