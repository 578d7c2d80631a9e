"""Members of an enumeration by name, or one text of a fixed list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import types as sa

from ..errors import OptionError, ValueRefusedError
from .base import Codec, not_decoded, refuse_type


@dataclass(frozen=True, slots=True)
class EnumCodec(Codec[Any]):
    """
    Enumerations. The name is sealed, so values can be changed and names cannot.

    Attributes:
        enum_class: the `enum.Enum` of the values, or None for texts.
        names: the texts that are sealed; aliases of a member are not among them.
    """

    enum_class: type[Enum] | None
    names: tuple[str, ...]

    exact = True

    def __post_init__(self) -> None:
        """Refuse an enumeration without members."""
        if not self.names:
            raise OptionError("an enumeration needs at least one name")

    @property
    def python_type(self) -> type[Any]:  # type: ignore[override]
        """The enumeration, or `str`."""
        return self.enum_class or str

    @property
    def population(self) -> int:  # type: ignore[override]
        """How many names there are."""
        return len(self.names)

    def encode(self, value: Any) -> bytes:
        """Return the name in UTF-8."""
        if self.enum_class is not None:
            if not isinstance(value, self.enum_class):
                refuse_type(self.enum_class.__name__, value)
            name = value.name
        else:
            if not isinstance(value, str):
                refuse_type("str", value)
            name = value
        if name not in self.names:
            raise ValueRefusedError("not one of the names of the enumeration")
        return name.encode()

    @property
    def index_form(self) -> object:
        """The enumeration; names without one are texts like any other."""
        return self.enum_class or str

    def decode(self, data: bytes) -> Any:
        """Return the member, or the text."""
        for name in self.names:
            if name.encode() == data:
                return name if self.enum_class is None else self.enum_class[name]
        not_decoded("a name of the enumeration")


def codec_of(inner: sa.Enum) -> EnumCodec:
    """Return the codec for an `Enum` of SQLAlchemy."""
    if inner.enum_class is None:
        return EnumCodec(None, tuple(inner.enums))
    return EnumCodec(inner.enum_class, tuple(member.name for member in inner.enum_class))
