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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import binaryresults as binaryresults  # Importing these two sets them on all engines.
from . import errors
from . import guard as guard
from .context import Context
from .errors import SealedError
from .exact import execute_exact
from .index import BlindIndex
from .keymanager import KeyManager
from .keystores.memory import MemoryKeystore
from .limits import KeyLimits
from .masked import MaskedStr
from .match import MatchIndex
from .normalizers import register_normalizer
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
    blind_index,
    match_index,
    match_table,
)

if TYPE_CHECKING:
    from .environment import configure_from_env
    from .fips import FIPSReport, fips_report
    from .keystores.file import FileKeystore
    from .plan import IndexPlan, plan_index
    from .ranking import execute_ranked

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

_LATER = {
    "FIPSReport": "fips",
    "FileKeystore": "keystores.file",
    "IndexPlan": "plan",
    "configure_from_env": "environment",
    "execute_ranked": "ranking",
    "fips_report": "fips",
    "plan_index": "plan",
}
"""Names that models do not need, and where they are: imported when they are first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
