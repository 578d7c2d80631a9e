"""
The matrix: each operation of SQLAlchemy on a sealed column, and the same on a plain twin of it.

The rows are right if they are those that the twin gives.
"""

from __future__ import annotations

from .kinds import ABSENT, KINDS, PRESENT, Kind, Mold
from .outcomes import Outcome, Rows, judge, outcome_of
from .tables import OTHERS, ROWS, SEALER, VALUES, Base, Row, Visit, fill

__all__ = [
    "ABSENT",
    "KINDS",
    "OTHERS",
    "PRESENT",
    "ROWS",
    "SEALER",
    "VALUES",
    "Base",
    "Kind",
    "Mold",
    "Outcome",
    "Row",
    "Rows",
    "Visit",
    "fill",
    "judge",
    "outcome_of",
]
