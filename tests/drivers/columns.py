"""A table with every public sealed type in every form that is stored, and values for it."""

# ruff: noqa: DTZ001, DTZ901 - naive values are among those under test

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sqlalchemy_sealed import (
    BlindIndex,
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
    MatchIndex,
)


class Fruit(enum.Enum):
    """An enumeration."""

    POMEGRANATE = 1
    BLACKCURRANT = 2


EAST = timezone(timedelta(hours=5, minutes=45))
HARD = "canary\0 \N{LATIN SMALL LETTER E WITH ACUTE}\N{LOCK}'\"\\%s:x %(y)s ? $1 {}"
LONG = 70_000

VALUES: dict[str, tuple[Callable[..., Encrypted[Any]], Any, Any, Any]] = {
    "inner": (
        partial(Encrypted, sa.Numeric(30, 2)),
        Decimal("13579246.80"),
        Decimal(0),
        Decimal(10**20),
    ),
    "boolean": (EncryptedBoolean, True, False, True),
    "bytes": (EncryptedBytes, b"canary\0\xff'\\x", b"", b"\0\xffcanary" * (LONG // 8)),
    "date": (EncryptedDate, date(1815, 12, 10), date.min, date.max),
    "datetime": (EncryptedDateTime, datetime(1815, 12, 10, 1, 2, 3, 4), datetime.min, datetime.max),
    "aware": (
        partial(EncryptedDateTime, timezone=True),
        datetime(1815, 12, 10, tzinfo=EAST),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=EAST),
    ),
    "enum": (partial(EncryptedEnum, Fruit), *Fruit, Fruit.POMEGRANATE),
    "float": (EncryptedFloat, 1.2345678987654321, -0.0, float("-inf")),
    "integer": (EncryptedInteger, 987654321987654321, 0, 1 - 10**4300),
    "interval": (EncryptedInterval, timedelta(13579, 246), timedelta(0), timedelta.min),
    "json": (EncryptedJSON, {"canary": [HARD, 1, None, True]}, {}, ["canary" * (LONG // 6)]),
    "numeric": (EncryptedNumeric, Decimal("1357924680.00"), Decimal("-0.0"), Decimal(f"1E+{LONG}")),
    "string": (EncryptedString, HARD, "", "canary" * (LONG // 6)),
    "text": (EncryptedText, f" {HARD} ", "", HARD * (LONG // 20)),
    "time": (EncryptedTime, time(11, 22, 33, 444555), time.min, time.max),
    "uuid": (EncryptedUUID, UUID("5b2f6a3e-91d7-4c8e-b0a4-d3f1c2e45678"), UUID(int=0), UUID(int=1)),
}
"""How to make each type; a value of it that is not easy, the least one, and a long one."""

FORMS: dict[str, dict[str, Any]] = {
    "binary": {},
    "text": {"storage": "text"},
    "indexed": {"index": BlindIndex(few_values=True)},
    "indexed_text": {"index": BlindIndex(few_values=True), "storage": "text"},
    "matched": {"match": MatchIndex(), "index": BlindIndex(unique=True)},
    "matched_text": {"match": MatchIndex(), "storage": "text"},
}


def _has(name: str, form: str) -> bool:
    """Whether a type has a form: documents have no index, and only texts have a match index."""
    if form.startswith("matched"):
        return name == "string"
    return name != "json" or not form.startswith("indexed")


COLUMNS = {
    f"{name}_{form}": (partial(make, **options), values)
    for name, (make, *values) in VALUES.items()
    for form, options in FORMS.items()
    if _has(name, form)
}
TABLE = sa.Table(
    "everything",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(name, make()) for name, (make, _) in COLUMNS.items()),
)
SEALED = list(TABLE.c)[1:]
ROWS: list[dict[str, Any]] = [
    {"id": number + 1} | {name: values[number] for name, (_, values) in COLUMNS.items()}
    for number in range(3)
]
ROWS.append({"id": 4} | dict.fromkeys(COLUMNS))


def assert_same(read: Any, rows: list[dict[str, Any]] = ROWS) -> None:
    """Compare rows with what they should be, types and the last digit included."""
    mappings = [dict(row) for row in read]
    assert len(mappings) == len(rows)
    for mapping, row in zip(mappings, rows, strict=True):
        for name, value in row.items():
            assert repr(mapping[name]) == repr(value), name
