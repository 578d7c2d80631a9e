"""Codecs: Python values to the bytes that are sealed, one family a file."""

from __future__ import annotations

from typing import Any

from sqlalchemy import types as sa

from ..errors import OptionError
from .base import Codec
from .binary import BytesCodec, UuidCodec
from .enum import EnumCodec
from .json import JSONCodec
from .numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from .temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from .text import TextCodec

__all__ = [
    "BooleanCodec",
    "BytesCodec",
    "Codec",
    "DateCodec",
    "DateTimeCodec",
    "DecimalCodec",
    "EnumCodec",
    "FloatCodec",
    "IntegerCodec",
    "IntervalCodec",
    "JSONCodec",
    "TextCodec",
    "TimeCodec",
    "UuidCodec",
    "codec_for",
]


def codec_for(inner: sa.TypeEngine[Any]) -> Codec[Any]:  # noqa: C901, PLR0912 - one table
    """
    Return the codec for the values of a SQLAlchemy type.

    Raises:
        OptionError: values of this type cannot be sealed.
    """
    # Subclasses first: Enum is a String, Float was a Numeric until SQLAlchemy 2.1.
    match inner:
        case sa.Enum():
            if inner.enum_class is None:
                return EnumCodec(None, tuple(inner.enums))
            return EnumCodec(inner.enum_class, tuple(member.name for member in inner.enum_class))
        case sa.String():
            return TextCodec(inner.length)
        case sa.JSON():
            return JSONCodec()
        case sa.LargeBinary():
            return BytesCodec(inner.length)
        case sa.Boolean():
            return BooleanCodec()
        case sa.Integer():
            return IntegerCodec()
        case sa.Float() if inner.asdecimal:
            return DecimalCodec()  # Its precision counts bits, not digits.
        case sa.Float():
            return FloatCodec()
        case sa.Numeric() if not inner.asdecimal:
            return FloatCodec()
        case sa.Numeric():
            return DecimalCodec(inner.precision, inner.scale)
        case sa.DateTime():
            return DateTimeCodec(bool(inner.timezone))
        case sa.Date():
            return DateCodec()
        case sa.Time():
            return TimeCodec(bool(inner.timezone))
        case sa.Interval():
            return IntervalCodec()
        case sa.Uuid():
            return UuidCodec(bool(inner.as_uuid))
    raise OptionError(
        f"values of {type(inner).__name__} cannot be sealed; use one of String, Text, JSON, "
        "LargeBinary, Integer, Numeric, Float, Boolean, Date, DateTime, Time, Interval, Uuid, Enum"
    )
