"""Sealed column types, all of them thin forms of `Encrypted`."""

from __future__ import annotations

from .. import leaks as leaks  # Importing it closes the leaks, before there is a sealed type.
from . import companion as companion  # Importing it sets what MySQL and MariaDB compile.
from . import declaration as declaration  # Importing it sets the listeners on columns.
from . import inlist as inlist  # As companion.
from . import match_sql as match_sql  # Importing it teaches the compilers.
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
from .comparator import blind_index
from .json import EncryptedJSON
from .match import match_index
from .match_table import MatchTable, match_table
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
    "MatchTable",
    "Options",
    "blind_index",
    "match_index",
    "match_table",
]
