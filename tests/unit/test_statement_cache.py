"""The statement cache: types that differ never share a processor, equal types share a statement."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sqlalchemy_sealed import (
    EncryptedString,
)

Make = Callable[..., Any]


class Upper(EncryptedString):
    """A subclass that changes values on both ways."""

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Seal in upper case."""
        return super().process_bind_param(value and value.upper(), dialect)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        """Read with a mark."""
        return f"<{super().process_result_value(value, dialect)}>"


class Prefixed(EncryptedString):
    """A subclass with an argument that it says is safe to cache."""

    cache_ok = True

    def __init__(self, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        super().__init__(**options)

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """Seal with the prefix."""
        return super().process_bind_param(self.prefix + value, dialect)


class Unsaid(Prefixed):
    """A subclass with an argument of its own that says nothing of caching."""

    def __init__(self, prefix: str, *, suffix: str = "", **options: Any) -> None:
        self.suffix = suffix
        super().__init__(prefix, **options)


def variant(**options: Any) -> Any:
    """Return a type that is another one on SQLite."""
    return EncryptedString(context="a.b").with_variant(EncryptedString(**options), "sqlite")


class Fruit(enum.Enum):
    """Two enumerations of one set of names."""

    FIG = 1


Berry = enum.Enum("Berry", {"FIG": 2})

ONE = {"context": "a.b"}
DEPTH = 3


@dataclass(frozen=True)
class Pair:
    """Two types that differ in one argument, and a value that both are given."""

    first: Make
    second: Make
    value: Any = "canary"
    reads: Any = field(default_factory=lambda: EncryptedString(context="a.b"))


def made(class_: Any, *arguments: Any, **options: Any) -> Make:
    """Return a function that makes the type, a new one at each call."""
    return lambda: class_(*arguments, **options)


def date(text: str) -> Any:
    """Return a naive datetime."""
    return sa.func.now() and __import__("datetime").datetime.fromisoformat(text)
