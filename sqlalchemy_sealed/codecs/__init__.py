"""
Codecs: Python values to the bytes that are sealed, one family a file.

A family is imported when a column needs it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import types as sa

from ..errors import OptionError
from .base import Codec
from .text import TextCodec

__all__ = ["Codec", "TextCodec", "codec_for"]

# ruff: noqa: PLC0415 - most applications have columns of two or three families


def codec_for(inner: sa.TypeEngine[Any]) -> Codec[Any]:
    """
    Return the codec for the values of a SQLAlchemy type.

    Raises:
        OptionError: values of this type cannot be sealed.
    """
    match inner:
        case sa.Enum():  # It is a String, too.
            from . import enum

            return enum.codec_of(inner)
        case sa.String():
            return TextCodec(inner.length)
        case sa.JSON():
            from . import json

            return json.JSONCodec()
        case sa.LargeBinary() | sa.Uuid():
            from . import binary

            return binary.codec_of(inner)
        case sa.Boolean() | sa.Integer() | sa.Float() | sa.Numeric():
            from . import numbers

            return numbers.codec_of(inner)
        case sa.DateTime() | sa.Date() | sa.Time() | sa.Interval():
            from . import temporal

            return temporal.codec_of(inner)
    raise OptionError(
        f"values of {type(inner).__name__} cannot be sealed; use one of String, Text, JSON, "
        "LargeBinary, Integer, Numeric, Float, Boolean, Date, DateTime, Time, Interval, Uuid, Enum"
    )
