"""JSON (RFC 8259) as compact UTF-8, the order of keys kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy.types import JSON

from ..errors import ValueRefusedError
from .base import Codec, not_decoded, refuse_type


@dataclass(frozen=True, slots=True)
class JSONCodec(Codec[Any]):
    """
    JSON documents. `JSON.NULL` is the JSON null; Python's None never comes here.

    Refused, since they would come back as something else: keys that are not `str`, NaN and
    infinities, other Python types. A tuple is an array and comes back as a list.
    """

    python_type = dict
    hashable = False

    def encode(self, value: Any) -> bytes:
        """Return the compact text in UTF-8."""
        if value is JSON.NULL:
            return b"null"
        _check_containers(value)
        problem = "not JSON"
        try:
            return json.dumps(
                value, separators=(",", ":"), ensure_ascii=False, allow_nan=False
            ).encode()
        except UnicodeEncodeError:
            problem = "not valid Unicode: a text in it has a lone surrogate"
        except (TypeError, ValueError, RecursionError):
            problem = (
                "not JSON: it has a value of another Python type, a NaN or infinity, a number "
                "of more than 4,300 digits, or contains itself"
            )
        raise ValueRefusedError(problem)

    def decode(self, data: bytes) -> Any:
        """Return the document; the JSON null is None."""
        try:
            # From text: bytes may be UTF-16 as well. Not NaN, which json.loads would take.
            return json.loads(data.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            pass
        not_decoded("JSON")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _check_containers(value: Any) -> None:
    """
    Refuse what json.dumps would take and change, and what could not be read back.

    It turns the keys 1 and True into "1" and "true", and JSON.NULL, which is a number in Python,
    into that number. Level by level, so that a cycle ends at the limit.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                for key in item:
                    if not isinstance(key, str):
                        refuse_type("str as the key of every JSON object", key)
                inner += item.values()
            elif isinstance(item, list | tuple):
                inner += item
        if any(item is JSON.NULL for item in inner):
            raise ValueRefusedError(
                "not JSON: it has a value of another Python type; inside of a document, the JSON "
                "null is None"
            )
        level = [item for item in inner if isinstance(item, dict | list | tuple)]
        if not level:
            return
        if len(level) > MAX_CONTAINERS:
            break
    refuse_depth()


def refuse_depth() -> NoReturn:
    """Raise the refusal of a document that is nested too deep, perhaps in itself."""
    raise ValueRefusedError(
        f"not JSON: it contains itself, or is nested deeper than {MAX_DEPTH} levels"
    )


MAX_DEPTH = 100
"""How deep a document may be nested: reading must not depend on how deep the caller's stack is."""
MAX_CONTAINERS = 1_000_000
"""How many objects and arrays a document may have on one level."""
