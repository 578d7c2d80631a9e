"""
The shape of all codecs: a Python value to the bytes that are sealed, and back.

A codec is frozen and hashable, since it is part of a type's statement cache key. `encode` takes
exactly the values that `decode` gives back; whatever would come back changed is refused.
Refusals name the Python type and the rule, never the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from ..errors import DecodingError, OptionError, ValueRefusedError

T = TypeVar("T")


class Codec(Generic[T]):
    """
    Encodes one Python type.

    Attributes:
        python_type: the type of the values.
        hashable: whether the values can be hashed.
        exact: whether two values that are equal always encode equally.
        population: how many different values there can be, where that is a small number.
    """

    python_type: ClassVar[type[Any]] = object
    hashable: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    population: ClassVar[int | None] = None

    def encode(self, value: T) -> bytes:
        """
        Return the bytes to seal.

        Raises:
            ValueRefusedError: not a value of this type, or not exactly representable.
        """
        raise NotImplementedError  # pragma: no cover

    def decode(self, data: bytes) -> T:
        """
        Return the value of opened bytes.

        Raises:
            DecodingError: not what `encode` writes.
        """
        raise NotImplementedError  # pragma: no cover

    @property
    def quick_encode(self) -> Callable[[T], bytes]:
        """
        What does as `encode` in less time, for values that it takes.

        For others it may raise any error, after which `encode` says what is wrong.
        """
        return self.encode

    @property
    def quick_decode(self) -> Callable[[bytes], T]:
        """What does as `decode` in less time; with other errors, as `quick_encode`."""
        return self.decode

    def index_bytes(self, value: T) -> bytes:
        """
        Return the bytes that a blind index hashes: the same for all values that are equal.

        Raises:
            ValueRefusedError: as `encode`, or a value that does not equal itself.
        """
        return self.encode(value)

    @property
    def index_form(self) -> object:
        """What two codecs share if equal index bytes of theirs mean equal values."""
        return type(self)


class TextFormCodec(Codec[T]):
    """A codec with one canonical ASCII text form for each value."""

    what: ClassVar[str] = "value"

    def form(self, value: T) -> str:
        """Return the canonical text of a checked value."""
        raise NotImplementedError  # pragma: no cover

    def parse(self, text: str) -> T:
        """Return the value of a text, or raise ValueError or ArithmeticError."""
        raise NotImplementedError  # pragma: no cover

    def check(self, value: T) -> T:
        """Return the value if it can be encoded, or raise ValueRefusedError."""
        raise NotImplementedError  # pragma: no cover

    def encode(self, value: T) -> bytes:
        """Return the canonical text in ASCII."""
        return self.form(self.check(value)).encode("ascii")

    def decode(self, data: bytes) -> T:
        """Return the value; a text that `encode` would not write is refused."""
        try:
            value = self.parse(data.decode("ascii"))
            if self.encode(value) == data:
                return value
        except (ValueError, ArithmeticError, ValueRefusedError):
            pass
        not_decoded(self.what)


def check_size(what: str, size: object, least: int = 1) -> None:
    """
    Check an argument of a codec: a whole number, or None.

    Raises:
        OptionError: it is something else, or less than *least*.
    """
    if size is not None and (type(size) is not int or size < least):
        raise OptionError(f"{what} must be a whole number of at least {least}")


def refuse_type(expected: str, value: object) -> NoReturn:
    """Raise the refusal of a value of the wrong Python type."""
    raise ValueRefusedError(f"expects {expected}, got {type(value).__name__}")


def not_decoded(what: str) -> NoReturn:
    """Raise the error for bytes that opened but are not what the codec writes."""
    raise DecodingError(
        f"the value opened, but it is not {what}: it was sealed by a column of another type"
    )
