"""
Dates, times and intervals as ISO 8601 text of a fixed width.

Microseconds are always written, so that the length says nothing. An aware value keeps its UTC
offset, not the name of its time zone. `fold` of a naive value is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, TypeVar

from sqlalchemy import types as sa

from ..errors import ValueRefusedError
from .base import TextFormCodec, refuse_type

T = TypeVar("T", datetime, time)


@dataclass(frozen=True, slots=True)
class DateCodec(TextFormCodec[date]):
    """Dates; a `datetime`, which is a `date` in Python, is refused."""

    python_type = date
    what = "a date"
    exact = True

    def check(self, value: date) -> date:
        """Refuse everything but dates."""
        if not isinstance(value, date) or isinstance(value, datetime):
            refuse_type("date", value)
        return value

    def form(self, value: date) -> str:
        """Return YYYY-MM-DD."""
        return value.isoformat()

    def parse(self, text: str) -> date:
        """Return the date."""
        return date.fromisoformat(text)


def _check_aware(value: datetime | time, timezone: bool) -> None:  # noqa: FBT001
    offset = value.utcoffset()
    if offset is None and value.tzinfo is not None:
        raise ValueRefusedError("its time zone has no fixed UTC offset, so it would be lost")
    if (offset is not None) is timezone:
        return
    if timezone:
        raise ValueRefusedError("has no UTC offset, the column takes aware values (timezone=True)")
    raise ValueRefusedError(
        "has a UTC offset, the column takes naive values; declare it with timezone=True"
    )


@dataclass(frozen=True, slots=True)
class DateTimeCodec(TextFormCodec[datetime]):
    """
    Date and time.

    Attributes:
        timezone: values are aware; if false, they are naive. The other kind is refused.
    """

    timezone: bool = False

    python_type = datetime
    what = "a date and time"

    def check(self, value: datetime) -> datetime:
        """Refuse other types, and aware values for naive ones."""
        if not isinstance(value, datetime):
            refuse_type("datetime", value)
        _check_aware(value, self.timezone)
        return value

    def index_bytes(self, value: datetime) -> bytes:
        """Return one form for aware values of one moment, whatever their offset."""
        value = self.check(value)
        if self.timezone:
            moment = (value.replace(tzinfo=None) - _EPOCH) - _offset(value)
            return str(moment // _MICROSECOND).encode("ascii")
        return self.form(value).encode("ascii")

    @property
    def index_form(self) -> object:
        """Aware and naive values are never equal."""
        return type(self), self.timezone

    def form(self, value: datetime) -> str:
        """Return ISO 8601 with microseconds, and the offset of an aware value."""
        return value.isoformat(timespec="microseconds")

    def parse(self, text: str) -> datetime:
        """Return the value."""
        return _with_offset(datetime.fromisoformat(text), text)


@dataclass(frozen=True, slots=True)
class TimeCodec(TextFormCodec[time]):
    """
    Time of day.

    Attributes:
        timezone: values are aware; if false, they are naive. The other kind is refused.
    """

    timezone: bool = False

    python_type = time
    what = "a time"

    def check(self, value: time) -> time:
        """Refuse other types, and aware values for naive ones."""
        if not isinstance(value, time):
            refuse_type("time", value)
        _check_aware(value, self.timezone)
        return value

    def index_bytes(self, value: time) -> bytes:
        """Return one form for aware values that are equal: their time of day in UTC."""
        value = self.check(value)
        if self.timezone:
            of_day = datetime.combine(_EPOCH, value.replace(tzinfo=None)) - _EPOCH
            return str((of_day - _offset(value)) // _MICROSECOND).encode("ascii")
        return self.form(value).encode("ascii")

    @property
    def index_form(self) -> object:
        """Aware and naive values are never equal."""
        return type(self), self.timezone

    def form(self, value: time) -> str:
        """Return ISO 8601 with microseconds, and the offset of an aware value."""
        return value.isoformat(timespec="microseconds")

    def parse(self, text: str) -> time:
        """Return the value."""
        return _with_offset(time.fromisoformat(text), text)


@dataclass(frozen=True, slots=True)
class IntervalCodec(TextFormCodec[timedelta]):
    """Intervals, negative ones too, as a whole number of microseconds."""

    python_type = timedelta
    what = "an interval"
    exact = True

    def check(self, value: timedelta) -> timedelta:
        """Refuse everything but timedeltas."""
        if not isinstance(value, timedelta):
            refuse_type("timedelta", value)
        return value

    def form(self, value: timedelta) -> str:
        """Return the number of microseconds."""
        return str(value // _MICROSECOND)

    def parse(self, text: str) -> timedelta:
        """Return the interval."""
        return int(text) * _MICROSECOND


def _with_offset(value: T, text: str) -> T:
    """
    Return a parsed value with the UTC offset that its text ends with.

    `fromisoformat` reads an offset of less than a second as none.
    """
    if text[-16:-7] in ("+00:00:00", "-00:00:00"):
        offset = int(text[-16] + text[-6:]) * _MICROSECOND
        return value.replace(tzinfo=timezone(offset))
    return value


_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - only differences of naive values are taken


def _offset(value: datetime | time) -> timedelta:
    offset = value.utcoffset()
    assert offset is not None  # noqa: S101 - it was checked
    return offset


def codec_of(inner: sa.DateTime | sa.Date | sa.Time | sa.Interval) -> TextFormCodec[Any]:
    """Return the codec for a type of SQLAlchemy."""
    match inner:
        case sa.DateTime():
            return DateTimeCodec(bool(inner.timezone))
        case sa.Time():
            return TimeCodec(bool(inner.timezone))
        case sa.Interval():
            return IntervalCodec()
    return DateCodec()
