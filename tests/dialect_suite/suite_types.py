"""
Sealed types under the names of the plain types that the suite uses.

They have a blind index, since the suite compares what it stored, and one context, since it makes
a new type for each literal. What the plain types can be told of their storage means nothing here.
"""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedBoolean,
    EncryptedBytes,
    EncryptedDate,
    EncryptedDateTime,
    EncryptedEnum,
    EncryptedFloat,
    EncryptedInteger,
    EncryptedInterval,
    EncryptedJSON,
    EncryptedNumeric,
    EncryptedString,
    EncryptedText,
    EncryptedTime,
    EncryptedUUID,
    KeyManager,
    LocalRootKey,
    MemoryKeystore,
    get_sealer,
)

STORED: dict[str, Any] = {"context": "suite", "storage": os.environ["SEALED_SUITE_STORAGE"]}
OPTIONS: dict[str, Any] = STORED | {"index": BlindIndex(few_values=True)}

provider = LocalRootKey.from_text(LocalRootKey.generate())
keystore = MemoryKeystore()
KeyManager(keystore, provider).create("default")
get_sealer().configure(keystore=keystore, provider=provider)


class String(EncryptedString):
    """As `EncryptedString`."""

    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length, **OPTIONS)


class Text(EncryptedText):
    """As `EncryptedText`."""

    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length, **OPTIONS)


class LargeBinary(EncryptedBytes):
    """As `EncryptedBytes`."""

    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length, **OPTIONS)


class Integer(EncryptedInteger):
    """As `EncryptedInteger`."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(**OPTIONS)


class Numeric(EncryptedNumeric):
    """As `EncryptedNumeric`."""

    cache_ok = True

    def __init__(self, precision: int | None = None, scale: int | None = None) -> None:
        super().__init__(precision, scale, **OPTIONS)


class Float(EncryptedFloat):
    """As `EncryptedFloat`."""

    cache_ok = True

    def __init__(self, precision: int | None = None) -> None:
        super().__init__(**OPTIONS)


class Boolean(EncryptedBoolean):
    """As `EncryptedBoolean`."""

    cache_ok = True

    def __init__(self, create_constraint: bool = False) -> None:
        super().__init__(**OPTIONS)


class Date(EncryptedDate):
    """As `EncryptedDate`."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(**OPTIONS)


class DateTime(EncryptedDateTime):
    """As `EncryptedDateTime`."""

    cache_ok = True

    def __init__(self, timezone: bool = False) -> None:
        super().__init__(timezone, **OPTIONS)


class Time(EncryptedTime):
    """As `EncryptedTime`."""

    cache_ok = True

    def __init__(self, timezone: bool = False) -> None:
        super().__init__(timezone, **OPTIONS)


class Interval(EncryptedInterval):
    """As `EncryptedInterval`."""

    cache_ok = True

    def __init__(self, **_storage: int) -> None:
        super().__init__(**OPTIONS)


class Uuid(EncryptedUUID):
    """As `EncryptedUUID`; it has no form for texts."""

    cache_ok = True

    def __init__(self, **_storage: bool) -> None:
        super().__init__(**OPTIONS)


class Enum(EncryptedEnum[Any]):
    """As `EncryptedEnum`."""

    cache_ok = True

    def __init__(self, *names: str) -> None:
        super().__init__(*names, **OPTIONS)


class JSON(EncryptedJSON):
    """As `EncryptedJSON`. None is NULL, whatever is asked for."""

    cache_ok = True

    def __init__(self, *, none_as_null: bool = True) -> None:
        super().__init__(tracked=False, **STORED)
