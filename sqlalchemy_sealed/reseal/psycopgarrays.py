"""
Arrays of numbers, bytes and texts for psycopg 3, in a fifth of the time that it takes with lists.

It is the binary form of PostgreSQL (array_recv): the number of dimensions, whether there are NULLs,
the type of the items; for the dimension its size and its lowest index; and each item after its
length, which is -1 for NULL. All numbers have four bytes, the high one first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat
from struct import Struct
from typing import Any

_HEAD = Struct(">iiIii").pack
_LENGTH = Struct(">i").pack
_NUMBER = Struct(">iq").pack
_NULL = _LENGTH(-1)
_BIGINT, _BIGINT_ARRAY = 20, 1016
_LONGEST = range(-(1 << 63), 1 << 63)
_BYTES, _BYTES_ARRAY = 17, 1001
_TEXT, _TEXT_ARRAY = 25, 1009
"""Object ids of types, which are the same in every PostgreSQL (pg_type.dat)."""


class _Array:
    """The items of an array, written."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _BigintArray(_Array):
    __slots__ = ()


class _BytesArray(_Array):
    __slots__ = ()


class _TextArray(_Array):
    __slots__ = ()


def teach(connection: Any) -> Callable[[Sequence[Any]], Any]:
    """Teach a connection these arrays, and return the function that makes one of values."""
    from psycopg.adapt import Dumper  # noqa: PLC0415 - the driver of some databases only
    from psycopg.pq import Format  # noqa: PLC0415

    class BytesDumper(Dumper):
        format = Format.BINARY
        oid = _BYTES_ARRAY

        def dump(self, obj: Any) -> bytes:
            return bytes(obj.data)

    class TextDumper(BytesDumper):
        oid = _TEXT_ARRAY

    class BigintDumper(BytesDumper):
        oid = _BIGINT_ARRAY

    connection.adapters.register_dumper(_BigintArray, BigintDumper)
    connection.adapters.register_dumper(_BytesArray, BytesDumper)
    connection.adapters.register_dumper(_TextArray, TextDumper)
    return partial(_array, connection.info.encoding)


def _array(encoding: str, values: Sequence[Any]) -> Any:
    """Return an array of values, or a list if they are not all of one type that is known here."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bytes}:
        return _BytesArray(_written(_BYTES, values))
    if kinds == {str}:
        encoded = [None if value is None else value.encode(encoding) for value in values]
        return _TextArray(_written(_TEXT, encoded))
    if (
        kinds == {int}
        and None not in values
        and min(values) in _LONGEST
        and max(values) in _LONGEST
    ):
        return _BigintArray(_numbers(values))
    return list(values)


def _written(type_: int, items: Sequence[bytes | None]) -> bytes:
    head = _HEAD(1, None in items, type_, len(items), 1)
    try:
        lengths = list(map(len, items))  # type: ignore[arg-type]
        if len(set(lengths)) == 1:
            length = _LENGTH(lengths[0])
            return head + length + length.join(items)  # type: ignore[arg-type]
        pairs = zip(map(_LENGTH, lengths), items, strict=True)
        return head + b"".join(chain.from_iterable(pairs))  # type: ignore[arg-type]
    except TypeError:  # There are NULLs.
        parts = [_NULL if item is None else _LENGTH(len(item)) + item for item in items]
        return head + b"".join(parts)


def _numbers(items: Sequence[int]) -> bytes:
    return _HEAD(1, 0, _BIGINT, len(items), 1) + b"".join(map(_NUMBER, repeat(8), items))
