"""Sealed column types, all of them thin forms of `Encrypted`."""

from __future__ import annotations

from .. import leaks as leaks  # Importing it closes the leaks, before there is a sealed type.
from . import orm as orm  # Importing it sets the mapper listener.
from .base import Encrypted
from .catalog import (
    EncryptedBoolean,
    EncryptedBytes,
    EncryptedDate,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedFloat,
    EncryptedInteger,
    EncryptedInterval,
    EncryptedNumeric,
    EncryptedString,
    EncryptedText,
    EncryptedTime,
    EncryptedUUID,
)
from .json import EncryptedJSON
from .options import Options

__all__ = [
    "Encrypted",
    "EncryptedBoolean",
    "EncryptedBytes",
    "EncryptedDate",
    "EncryptedDateTime",
    "EncryptedEnum",
    "EncryptedFloat",
    "EncryptedInteger",
    "EncryptedInterval",
    "EncryptedJSON",
    "EncryptedNumeric",
    "EncryptedString",
    "EncryptedText",
    "EncryptedTime",
    "EncryptedUUID",
    "Options",
]
