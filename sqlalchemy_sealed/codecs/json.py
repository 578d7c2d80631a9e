"""JSON (RFC 8259) as compact UTF-8, the order of keys kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

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
        _check_keys(value)
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
            return json.loads(data)
        except (ValueError, RecursionError):
            pass
        not_decoded("JSON")


def _check_keys(value: Any) -> None:
    """Refuse keys that are not text: json.dumps would turn 1 and True into "1" and "true"."""
    pending = [value]
    seen = 0
    while pending:
        item = pending.pop()
        seen += 1
        if isinstance(item, dict):
            for key, inner in item.items():
                if not isinstance(key, str):
                    refuse_type("str as the key of every JSON object", key)
                if isinstance(inner, dict | list | tuple):
                    pending.append(inner)
        elif isinstance(item, list | tuple):
            pending += [inner for inner in item if isinstance(inner, dict | list | tuple)]
        if seen > _MAX_CONTAINERS:
            raise ValueRefusedError("not JSON: it contains itself, or is too deep")


_MAX_CONTAINERS = 1_000_000
