"""The sealed types by name: each is `Encrypted` over one SQLAlchemy type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar, Unpack, overload
from uuid import UUID

from sqlalchemy import types as sa

from .base import Encrypted
from .options import Options

_ENUM_BLOCK = 16
E = TypeVar("E", bound=Enum)


class EncryptedString(Encrypted[str]):
    """
    Sealed text.

    Args:
        length: the most characters (code points) of a value; longer ones are refused. It does
            not bound what is stored, which is 52 bytes longer than the UTF-8 of the text.
        options: see `Options`.
    """

    cache_ok = True

    def __init__(self, length: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(sa.String(length), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return the length."""
        return {"length": getattr(self.inner, "length", None)}


class EncryptedText(EncryptedString):
    """Sealed text; the same as `EncryptedString`, for who writes `Text` for long texts."""

    cache_ok = True


class EncryptedBytes(Encrypted[bytes]):
    """
    Sealed bytes.

    Args:
        length: the most bytes of a value; longer ones are refused.
        options: see `Options`.
    """

    cache_ok = True

    def __init__(self, length: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(sa.LargeBinary(length), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return the length."""
        return {"length": getattr(self.inner, "length", None)}


class EncryptedInteger(Encrypted[int]):
    """Sealed integers of up to 4,300 decimal digits; the length shows their magnitude."""

    cache_ok = True

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(sa.Integer(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class EncryptedNumeric(Encrypted[Decimal]):
    """
    Sealed decimals, exact to the exponent.

    Args:
        precision: the most significant digits.
        scale: the most digits after the decimal point. What does not fit is refused, not
            rounded.
        options: see `Options`.
    """

    cache_ok = True

    def __init__(
        self,
        precision: int | None = None,
        scale: int | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(sa.Numeric(precision, scale), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return precision and scale."""
        return {
            "precision": getattr(self.inner, "precision", None),
            "scale": getattr(self.inner, "scale", None),
        }


class EncryptedFloat(Encrypted[float]):
    """Sealed IEEE 754 doubles, infinities and NaN included, exact to the last bit."""

    cache_ok = True

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(sa.Float(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class EncryptedBoolean(Encrypted[bool]):
    """Sealed truth values, both of one length."""

    cache_ok = True

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(sa.Boolean(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class EncryptedDate(Encrypted[date]):
    """Sealed dates, all of one length."""

    cache_ok = True

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(sa.Date(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class EncryptedDateTime(Encrypted[datetime]):
    """
    Sealed dates with time, to the microsecond.

    Args:
        timezone: values are aware and keep their UTC offset; if false (default), values are
            naive. The other kind is refused.
        options: see `Options`.
    """

    cache_ok = True

    def __init__(self, timezone: bool = False, **options: Unpack[Options]) -> None:  # noqa: FBT001, FBT002
        super().__init__(sa.DateTime(timezone), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return whether values are aware, if they are."""
        return {"timezone": getattr(self.inner, "timezone", False) or None}


class EncryptedTime(Encrypted[time]):
    """
    Sealed times of day, to the microsecond.

    Args:
        timezone: values are aware and keep their UTC offset; if false (default), naive.
        options: see `Options`.
    """

    cache_ok = True

    def __init__(self, timezone: bool = False, **options: Unpack[Options]) -> None:  # noqa: FBT001, FBT002
        super().__init__(sa.Time(timezone), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return whether values are aware, if they are."""
        return {"timezone": getattr(self.inner, "timezone", False) or None}


class EncryptedInterval(Encrypted[timedelta]):
    """Sealed intervals, negative ones too, to the microsecond."""

    cache_ok = True

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(sa.Interval(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class EncryptedUUID(Encrypted[UUID]):
    """Sealed UUIDs, all of one length."""

    cache_ok = True

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(sa.Uuid(), **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class EncryptedEnum(Encrypted[E]):
    """
    Sealed members of an enumeration, or texts of a fixed list.

    The name is sealed. Names differ in length, so they are padded by default to the multiple of
    16 bytes that holds the longest; `pad=None` turns that off.

    Args:
        members: an `enum.Enum` class, or the texts.
        options: see `Options`.
    """

    cache_ok = True

    @overload
    def __init__(self, members: type[E], /, **options: Unpack[Options]) -> None: ...

    @overload
    def __init__(
        self: EncryptedEnum[Any], members: str, /, *more: str, **options: Unpack[Options]
    ) -> None: ...

    def __init__(self, *members: Any, **options: Unpack[Options]):
        inner: Any = sa.Enum(*members)
        names = [member.name for member in inner.enum_class or ()] or inner.enums
        longest = max((len(name.encode()) for name in names), default=0)
        options.setdefault("pad", _ENUM_BLOCK * (longest // _ENUM_BLOCK + 1))
        super().__init__(inner, **options)

    def inner_arguments(self) -> dict[str, Any]:
        """Return nothing; the names are rendered without one."""
        return {}

    def option_arguments(self) -> dict[str, Any]:
        """Return the options, the padding in any case: its default is that of the names."""
        return {"pad": self.settings.pad} | super().option_arguments()

    def __repr__(self) -> str:
        """Return the call that makes this type, by the names of the enumeration."""
        names: Sequence[str] = getattr(self.codec, "names", ())
        head, _, tail = super().__repr__().partition("(")
        return f"{head}({', '.join(map(repr, names))}, {tail}"
