"""
Encrypted columns for SQLAlchemy: values are sealed on the way into the database and opened on
the way out.

    class Patient(Base):
        __tablename__ = "patients"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(EncryptedString())
        chart: Mapped[dict] = mapped_column(EncryptedJSON())

    get_sealer().configure(
        keystore=FileKeystore("sealed.keys.json"), provider=LocalRootKey.from_env()
    )
"""

from __future__ import annotations

from . import errors
from .context import Context
from .environment import configure_from_env
from .errors import SealedError
from .keymanager import KeyManager
from .keystores.file import FileKeystore
from .keystores.memory import MemoryKeystore
from .masked import MaskedStr
from .protocols import KEKProvider, Keystore
from .providers.local import LocalRootKey
from .sealer import Sealer, get_sealer
from .types import (
    Encrypted,
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
)

__version__ = "0.1.0"

__all__ = [
    "Context",
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
    "FileKeystore",
    "KEKProvider",
    "KeyManager",
    "Keystore",
    "LocalRootKey",
    "MaskedStr",
    "MemoryKeystore",
    "SealedError",
    "Sealer",
    "configure_from_env",
    "errors",
    "get_sealer",
]
