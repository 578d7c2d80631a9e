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
from . import guard as guard  # Importing it sets the guard on all engines.
from .context import Context
from .environment import configure_from_env
from .errors import SealedError
from .exact import execute_exact
from .fips import FIPSReport, fips_report
from .index import BlindIndex
from .keymanager import KeyManager
from .keystores.file import FileKeystore
from .keystores.memory import MemoryKeystore
from .limits import KeyLimits
from .masked import MaskedStr
from .match import MatchIndex
from .normalizers import register_normalizer
from .plan import IndexPlan, plan_index
from .protocols import KEKProvider, Keystore
from .providers.local import LocalRootKey
from .ranking import execute_ranked
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
    blind_index,
    match_index,
    match_table,
)

__version__ = "0.1.0"

__all__ = [
    "BlindIndex",
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
    "FIPSReport",
    "FileKeystore",
    "IndexPlan",
    "KEKProvider",
    "KeyLimits",
    "KeyManager",
    "Keystore",
    "LocalRootKey",
    "MaskedStr",
    "MatchIndex",
    "MemoryKeystore",
    "SealedError",
    "Sealer",
    "blind_index",
    "configure_from_env",
    "errors",
    "execute_exact",
    "execute_ranked",
    "fips_report",
    "get_sealer",
    "match_index",
    "match_table",
    "plan_index",
    "register_normalizer",
]
