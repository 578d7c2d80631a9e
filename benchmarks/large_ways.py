"""The ways to store a large value, or many values in a row, and the values themselves."""

from __future__ import annotations

import json
import random
from typing import Any

from sqlalchemy import LargeBinary, String, Text
from type_ways import FLOOR, OURS, PLAIN, ByHand, Way

from sqlalchemy_sealed import EncryptedString, EncryptedText

PLAIN_TEXT, PLAIN_BYTES = "plain Text", "plain LargeBinary"
OURS_TEXT = f"{OURS}, text storage"
OURS_UNCHECKED = f"{OURS}, text storage, check=False"
AS_TEXT = (PLAIN_TEXT, OURS_TEXT, OURS_UNCHECKED)
"""Those that a database keeps as text, which is sent as it is in both forms of results."""

Row = dict[str, Any]


def large_ways() -> list[Way]:
    """Return the ways to store a document. That of LargeBinary gets bytes in place of a text."""
    return [
        Way(PLAIN_TEXT, Text),
        Way(PLAIN_BYTES, LargeBinary),
        Way(FLOOR, ByHand),
        Way(OURS, EncryptedText),
        Way(OURS_TEXT, lambda: EncryptedText(storage="text")),
        Way(OURS_UNCHECKED, lambda: EncryptedText(storage="text", check=False)),
    ]


def short_ways() -> list[Way]:
    """Return the ways to store a short text."""
    return [Way(PLAIN, String), Way(FLOOR, ByHand), Way(OURS, EncryptedString)]


def document(size: int, seed: int) -> str:
    """Return so many characters of JSON lines, which compress to about a third, as records do."""
    digits = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < size:
        record = {
            "taken": f"2026-{digits.randint(1, 12):02d}-{digits.randint(1, 28):02d}T09:26:53Z",
            "systolic": digits.randint(90, 180),
            "diastolic": digits.randint(50, 110),
            "device": f"{digits.getrandbits(48):012x}",
            "note": digits.choice(("at rest", "after exercise", "repeated", "")),
        }
        parts.append(json.dumps(record) + "\n")
        length += len(parts[-1])
    return "".join(parts)[:size]


def large_rows(way: Way, size: int, count: int) -> list[Row]:
    """Return rows of one value each: documents, or for LargeBinary what does not compress."""
    if way.name == PLAIN_BYTES:
        return [{"value": random.Random(seed).randbytes(size)} for seed in range(count)]
    return [{"value": document(size, seed)} for seed in range(count)]


def wide_rows(_: Way, columns: list[str], count: int) -> list[Row]:
    """Return rows of many texts of 20 characters, the same to all ways."""
    digits = random.Random(4)
    return [{name: f"{digits.randrange(10**20):020d}" for name in columns} for _ in range(count)]
