"""
Dual reading: plaintext and envelopes side by side, while a column is encrypted in place.

It is an option of the type, `plaintext_until`, with a last day. Writes are always sealed. What is
read as plaintext has nothing of an envelope (`plainform`); what looks like one and does not open
stays an error. It ends by its last day, and before it by a latch (`latches`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Enum, LargeBinary, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from ..errors import NotAnEnvelopeError, OptionError, RefusedOperationError
from ..latches import Latches, latches_of
from ..masked import MASK, MaskedStr
from ..plainform import NEVER_PLAIN_BYTES, NEVER_PLAIN_TEXT, is_plain
from .changed import changes_values
from .literals import rendering

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.type_api import (
        _BindProcessorType,
        _LiteralProcessorType,
        _ResultProcessorType,
    )

    from .base import Encrypted
    from .options import Settings

IN_PLACE = (
    "only texts with text storage and bytes with binary storage can change places with their "
    "envelopes"
)
COLUMNS = (
    "rows that still hold plaintext have no index value to be compared with another one; search "
    "with values, or wait until plaintext_until= is taken away"
)
_NORMALIZED = (
    "its blind index is normalised, and rows that still hold plaintext would be missed; search by "
    "an index without normalize=, or encrypt into another column"
)
_CHANGED = (
    "its type changes values before they are sealed, and rows that still hold them unchanged would "
    "be missed; encrypt into another column"
)


def can_change_places(inner: TypeEngine[Any], *, is_text: bool) -> bool:
    """Whether plaintext of a type and its envelopes are of one SQL type, and mean what they say."""
    if is_text:
        return isinstance(inner, String) and not isinstance(inner, Enum)
    return isinstance(inner, LargeBinary)


def check_dual(type_name: str, settings: Settings, inner: TypeEngine[Any]) -> None:
    """
    Check that plaintext of a type can stand beside its envelopes, if it is to be read.

    Raises:
        OptionError: it cannot.
    """
    if not settings.is_dual:
        return
    if not can_change_places(inner, is_text=settings.is_text):
        raise OptionError(
            f"{type_name}: plaintext_until is for columns that are encrypted in place, and "
            f"{IN_PLACE}; encrypt into another column"
        )
    if any(index.unique for index in settings.index):
        raise OptionError(
            f"{type_name}: a unique index cannot hold rows of plaintext; declare "
            "BlindIndex(bridge=True), which is stored alike, and unique=True when plaintext_until "
            "is taken away, or encrypt into another column"
        )


def search_problem(source: Encrypted[Any], number: int, *, of_values: bool) -> str | None:
    """
    Return why a column cannot be searched while it may hold plaintext, or None.

    Args:
        source: the type of the column.
        number: which of its blind indexes is searched.
        of_values: whether it is searched for values, and not compared with another column.
    """
    if not source.settings.is_dual:
        return None
    if not of_values:
        return COLUMNS
    if source.settings.index[number].normalize:
        return _NORMALIZED
    return _CHANGED if changes_values(source) else None


# -- reading


def reading(
    source: Encrypted[Any], dialect: Dialect, opened: _ResultProcessorType[Any]
) -> _ResultProcessorType[Any]:
    """
    Return the function that reads plaintext as it is, and opens everything else.

    Args:
        source: the type of the column.
        dialect: that of the engine.
        opened: opens envelopes.
    """
    latches = latches_of(dialect)
    is_text, masked = source.settings.is_text, source.settings.masked

    def process(value: Any) -> Any:
        if is_text:
            if not isinstance(value, str) or not is_plain(value):
                return opened(value)
        elif isinstance(value, bytes | bytearray | memoryview):
            value = bytes(value)
            if not is_plain(value):
                return opened(value)
        else:
            return opened(value)
        reason = _ended(source, latches)
        if reason is None and not latches.is_known:
            reason = "the latches of this database were not read; read the column by a statement"
        if reason is None:
            return MaskedStr(value) if masked else value
        raise NotAnEnvelopeError(
            f"the stored value is not an envelope, and plaintext is not read: {reason}",
            where=str(source.context),
        )

    return process


def _ended(source: Encrypted[Any], latches: Latches) -> str | None:
    """Return why plaintext is not read any more, or None if it is."""
    until = source.settings.plaintext_until
    if until is None or datetime.now(UTC).date().isoformat() > until:
        return f"plaintext_until is {until}; encrypt what is left with 'sealed encrypt'"
    if source.label in latches.turned:
        return "its latch was turned, when no plaintext was left; somebody has written this since"
    return None


# -- searching


class _MaskedBytes(bytes):
    """Bytes that show nothing in a log of statements."""

    def __repr__(self) -> str:
        return MASK


class PlainType(TypeDecorator[Any]):
    """
    The type of a searched value as rows hold it that are not encrypted yet: as it is.

    It shows nothing in a log of parameters. Once plaintext is not read any more, and for what is no
    plaintext, a text is bound that no row has: who searches with an envelope must not find it.

    Args:
        source: the type of the column.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = LargeBinary
    cache_ok = True

    def __init__(self, source: Encrypted[Any]) -> None:
        super().__init__()
        self.source = source
        self.impl = Text() if source.settings.is_text else LargeBinary()

    def bind_processor(self, dialect: Dialect) -> _BindProcessorType[Any]:
        """Return the function from a searched value to what is bound."""
        source, latches = self.source, latches_of(dialect)
        is_text = source.settings.is_text
        without_nul = dialect.name == "postgresql"

        def process(value: Any) -> Any:
            if value is None:
                return None
            is_over = _ended(source, latches) is not None
            if is_text:
                # A value of another type is refused where its slot is made.
                if is_over or not isinstance(value, str) or not is_plain(value):
                    return NEVER_PLAIN_TEXT
                # There a text with a NUL is an error, and none has one.
                return NEVER_PLAIN_TEXT if without_nul and "\0" in value else MaskedStr(value)
            if is_over or not isinstance(value, bytes | bytearray | memoryview):
                return NEVER_PLAIN_BYTES
            data = bytes(value)
            return _MaskedBytes(data) if is_plain(data) else NEVER_PLAIN_BYTES

        return process

    def literal_processor(self, dialect: Dialect) -> _LiteralProcessorType[Any]:
        """Return the function that renders a refusal into SQL text; it does not raise."""

        def refuse(_value: Any) -> Any:
            raise RefusedOperationError(
                "searched plaintext does not go into SQL text; bind it, without literal_binds",
                where=self.source.label,
            )

        return rendering(refuse, dialect)

    @property
    def _static_cache_key(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (type(self), self.source._static_cache_key)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Return this type."""
        return self
