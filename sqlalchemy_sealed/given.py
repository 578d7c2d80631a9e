"""Settings that are not the default, for the `repr` of what has settings."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def given(settings: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a dataclass that are not the default, by name."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if getattr(settings, field.name) != field.default
    }


def call(name: str, arguments: dict[str, Any]) -> str:
    """Return the call that has these arguments."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
