"""A search for plaintext and keys in everything that is written, and what it is tried on."""

from __future__ import annotations

from . import reading, searching, writing
from .canaries import Search, canary
from .reading import OTHER_SEALER
from .situation import PEOPLE, SITUATIONS, Base, Person, Situation, row

__all__ = [
    "OTHER_SEALER",
    "PEOPLE",
    "SITUATIONS",
    "Base",
    "Person",
    "Search",
    "Situation",
    "canary",
    "reading",
    "row",
    "searching",
    "writing",
]
