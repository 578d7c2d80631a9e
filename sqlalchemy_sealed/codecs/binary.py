"""`bytes` as they are, and UUIDs as their 16 bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import types as sa

from ..errors import ValueRefusedError
from .base import Codec, check_size, not_decoded, refuse_type


@dataclass(frozen=True, slots=True)
class BytesCodec(Codec[bytes]):
    """
    Bytes.

    Attributes:
        length: the most bytes a value may have; None for any.
    """

    length: int | None = None

    python_type = bytes
    exact = True

    def __post_init__(self) -> None:
        """Refuse a length that is none."""
        check_size("length", self.length)

    def encode(self, value: bytes) -> bytes:
        """Return the bytes; `bytearray` and `memoryview` are taken, `str` is not."""
        if not isinstance(value, bytes | bytearray | memoryview):
            refuse_type("bytes", value)
        data = bytes(value)
        if self.length is not None and len(data) > self.length:
            raise ValueRefusedError(f"too long: {len(data)} bytes, the column takes {self.length}")
        return data

    def index_bytes(self, value: bytes) -> bytes:
        """Return the bytes without looking at the length: longer ones are some that nobody has."""
        return BytesCodec().encode(value)

    def decode(self, data: bytes) -> bytes:
        """Return the bytes."""
        return data


@dataclass(frozen=True, slots=True)
class UuidCodec(Codec[Any]):
    """
    UUIDs as 16 bytes, big-endian (RFC 9562).

    Attributes:
        as_uuid: values are `uuid.UUID`; if false, their text in lower case with hyphens.
    """

    as_uuid: bool = True

    exact = True

    @property
    def python_type(self) -> type[Any]:  # type: ignore[override]
        """`uuid.UUID`, or `str`."""
        return UUID if self.as_uuid else str

    def encode(self, value: Any) -> bytes:
        """Return the 16 bytes."""
        if self.as_uuid:
            if not isinstance(value, UUID):
                refuse_type("uuid.UUID", value)
            return value.bytes
        if not isinstance(value, str):
            refuse_type("str", value)
        try:
            parsed = UUID(value)
            if str(parsed) == value:
                return parsed.bytes
        except ValueError:
            pass
        raise ValueRefusedError("not the text of a UUID in lower case with hyphens")

    def decode(self, data: bytes) -> Any:
        """Return the UUID, or its text."""
        if len(data) != 16:
            not_decoded("a UUID")
        value = UUID(bytes=data)
        return value if self.as_uuid else str(value)


def codec_of(inner: sa.LargeBinary | sa.Uuid[Any]) -> Codec[Any]:
    """Return the codec for a type of SQLAlchemy."""
    if isinstance(inner, sa.Uuid):
        return UuidCodec(bool(inner.as_uuid))
    return BytesCodec(inner.length)
