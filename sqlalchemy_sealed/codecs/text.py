"""`str` as UTF-8. NUL and the empty string are values like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ValueRefusedError
from .base import Codec, check_size, not_decoded, refuse_type


@dataclass(frozen=True, slots=True)
class TextCodec(Codec[str]):
    """
    Text.

    Attributes:
        length: the most characters (code points) a value may have; None for any.
    """

    length: int | None = None

    python_type = str
    exact = True

    def __post_init__(self) -> None:
        """Refuse a length that is none."""
        check_size("length", self.length)

    def encode(self, value: str) -> bytes:
        """Return UTF-8; lone surrogates, which have none, are refused."""
        if not isinstance(value, str):
            refuse_type("str", value)
        if self.length is not None and len(value) > self.length:
            raise ValueRefusedError(
                f"too long: {len(value)} characters, the column takes {self.length}"
            )
        try:
            return str.encode(value)
        except UnicodeEncodeError:
            pass
        raise ValueRefusedError("not valid Unicode: the text has a lone surrogate")

    @property
    def quick_encode(self) -> Callable[[str], bytes]:
        """`str.encode`, unless the length has to be looked at."""
        return str.encode if self.length is None else self.encode

    @property
    def quick_decode(self) -> Callable[[bytes], str]:
        """`bytes.decode`."""
        return bytes.decode

    def index_bytes(self, value: str) -> bytes:
        """Return UTF-8 without looking at the length: a longer text is one that nobody has."""
        if type(value) is str and value.isascii():
            return value.encode()
        return _OF_ANY_LENGTH.encode(value)

    @property
    def index_form(self) -> object:
        """Text, as that of an enumeration without a class."""
        return str

    def decode(self, data: bytes) -> str:
        """Return the text."""
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
        not_decoded("UTF-8 text")


_OF_ANY_LENGTH = TextCodec()
