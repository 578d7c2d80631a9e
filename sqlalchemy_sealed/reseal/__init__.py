"""
Moving the data of live tables: to new keys, from plaintext to sealed and back.

One engine does all of it. It pages by key, seals outside of transactions, and writes each batch by
one statement that leaves rows alone which changed since they were read.
"""

from __future__ import annotations

from .changes import Change, decrypt_change, encrypt_change, reseal_change
from .job import run
from .latching import LatchResult, turn_latches
from .models import SealedColumn, sealed_columns
from .order import Job, Summary
from .outcome import BadRow, Outcome
from .pace import Pace
from .pages import Range
from .proof import Status, status
from .retries import Waits
from .run import Runner
from .table import MovedTable, moved_table
from .tasks import decrypt, encrypt, reseal, verify
from .throttle import Throttle

__all__ = [
    "BadRow",
    "Change",
    "Job",
    "LatchResult",
    "MovedTable",
    "Outcome",
    "Pace",
    "Range",
    "Runner",
    "SealedColumn",
    "Status",
    "Summary",
    "Throttle",
    "Waits",
    "decrypt",
    "decrypt_change",
    "encrypt",
    "encrypt_change",
    "moved_table",
    "reseal",
    "reseal_change",
    "run",
    "sealed_columns",
    "status",
    "turn_latches",
    "verify",
]
