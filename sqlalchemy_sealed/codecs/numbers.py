"""Numbers and truth values as canonical decimal text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from sqlalchemy import types as sa

from ..errors import OptionError, ValueRefusedError
from .base import TextFormCodec, check_size, refuse_type

MAX_DIGITS = 4300
"""Most decimal digits of an integer: Python's own default limit for converting them."""


@dataclass(frozen=True, slots=True)
class IntegerCodec(TextFormCodec[int]):
    """Integers of up to 4,300 decimal digits, not bounded by any database type."""

    python_type = int
    what = "an integer"

    def check(self, value: int) -> int:
        """Refuse `bool`, which is an `int` in Python, and numbers too long to be read back."""
        if not isinstance(value, int) or isinstance(value, bool):
            refuse_type("int", value)
        # 3.32 bits a digit: a cheap bound first, so that a huge number is never converted.
        if value.bit_length() > MAX_DIGITS * 3.33 or abs(value) >= _TOO_LARGE:
            raise ValueRefusedError(f"more than {MAX_DIGITS} decimal digits")
        return value

    def form(self, value: int) -> str:
        """Return decimal digits, with a minus sign where needed."""
        return int.__repr__(value)

    def parse(self, text: str) -> int:
        """Return the number."""
        return int(text)


_TOO_LARGE = 10**MAX_DIGITS


@dataclass(frozen=True, slots=True)
class BooleanCodec(TextFormCodec[bool]):
    """Truth values as "1" and "0", so that the length does not tell them apart."""

    python_type = bool
    what = "a truth value"
    population = 2

    def check(self, value: bool) -> bool:  # noqa: FBT001 - the value of this codec
        """Refuse everything but True and False."""
        if not isinstance(value, bool):
            refuse_type("bool", value)
        return value

    def form(self, value: bool) -> str:  # noqa: FBT001 - the value of this codec
        """Return "1" or "0"."""
        return "1" if value else "0"

    def parse(self, text: str) -> bool:
        """Return the truth value."""
        return text == "1"


@dataclass(frozen=True, slots=True)
class FloatCodec(TextFormCodec[float]):
    """
    IEEE 754 doubles, infinities and NaN included, as Python's shortest exact text.

    The sign of zero is kept; the payload and the sign of a NaN are not.
    """

    python_type = float
    what = "a float"

    def check(self, value: float) -> float:
        """Take a `float`, and an `int` that a float holds exactly."""
        if isinstance(value, float):
            return float(value)
        if not isinstance(value, int) or isinstance(value, bool):
            refuse_type("float", value)
        try:
            number = float(value)
        except OverflowError:
            number = float("nan")
        if number != value:
            raise ValueRefusedError("an int that no float holds exactly")
        return number

    def index_bytes(self, value: float) -> bytes:
        """Return one form for both zeros; NaN, which equals nothing, is refused."""
        number = self.check(value)
        if number != number:  # noqa: PLR0124 - NaN
            _refuse_nan()
        return self.form(number + 0.0).encode("ascii")  # -0.0 + 0.0 is 0.0

    def form(self, value: float) -> str:
        """Return the shortest text that reads back as the same double."""
        return repr(value)

    def parse(self, text: str) -> float:
        """Return the number."""
        return float(text)


@dataclass(frozen=True, slots=True)
class DecimalCodec(TextFormCodec[Decimal]):
    """
    Decimals with their exponent: 1.0, 1.00 and 1E+1 stay what they are.

    Infinities and a plain NaN are taken; a signalling NaN, a signed one and one with a payload
    are refused.

    Attributes:
        precision: the most significant digits of a finite value that is sealed; None for any.
        scale: the most digits after the decimal point; None for any.
    """

    precision: int | None = None
    scale: int | None = None

    python_type = Decimal
    what = "a decimal number"

    def __post_init__(self) -> None:
        """Refuse sizes that no number fits."""
        check_size("precision", self.precision)
        check_size("scale", self.scale, least=0)
        if self.scale is not None and self.precision is not None and self.scale > self.precision:
            raise OptionError("scale must not be more than precision")

    def check(self, value: Decimal) -> Decimal:
        """Take a `Decimal`, and an `int`; a `float` is refused, since it is rarely exact."""
        if isinstance(value, int) and not isinstance(value, bool):
            value = Decimal(IntegerCodec().check(value))
        if not isinstance(value, Decimal):
            refuse_type("Decimal", value)
        if value.is_nan() and str(value) != "NaN":
            raise ValueRefusedError("a NaN that is signalling, signed or has a payload")
        if value.is_finite():
            self._check_size(value)
        return value

    def _check_size(self, value: Decimal) -> None:
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # noqa: S101 - a finite value
        if self.scale is not None and -exponent > self.scale:
            raise ValueRefusedError(
                f"{-exponent} digits after the decimal point, the column takes {self.scale}"
            )
        whole = max(len(digits) + exponent, 0) if any(digits) else 0
        if self.precision is not None and whole > self.precision - (self.scale or 0):
            raise ValueRefusedError(
                f"{whole} digits before the decimal point, the column takes "
                f"{self.precision - (self.scale or 0)}"
            )
        if self.precision is not None and self.scale is None and len(digits) > self.precision:
            raise ValueRefusedError(
                f"{len(digits)} significant digits, the column takes {self.precision}"
            )

    def index_bytes(self, value: Decimal) -> bytes:
        """Return one form for 1, 1.0 and 1E+0; NaN, which equals nothing, is refused."""
        number = DecimalCodec().check(value)
        if number.is_nan():
            _refuse_nan()
        if not number:
            return b"0"
        if not number.is_finite():
            return str(number).encode("ascii")
        sign, digits, exponent = number.as_tuple()
        text = "".join(map(str, digits)).lstrip("0")
        stripped = text.rstrip("0")
        power = int(exponent) + len(text) - len(stripped)
        return f"{'-' * sign}{stripped}E{power:+d}".encode("ascii")

    def decode(self, data: bytes) -> Decimal:
        """Return the number, of any size: it may have been sealed when the column took more."""
        return TextFormCodec.decode(_ANY_SIZE, data)

    def form(self, value: Decimal) -> str:
        """Return Python's text of the decimal, which keeps sign, digits and exponent."""
        return str(value)

    def parse(self, text: str) -> Decimal:
        """Return the number."""
        return Decimal(text)


_ANY_SIZE = DecimalCodec()


def _refuse_nan() -> NoReturn:
    raise ValueRefusedError("a NaN cannot be found: it does not equal itself")


def codec_of(inner: sa.TypeEngine[Any]) -> TextFormCodec[Any]:
    """Return the codec for a `Boolean`, `Integer`, `Float` or `Numeric` of SQLAlchemy."""
    match inner:
        case sa.Boolean():
            return BooleanCodec()
        case sa.Integer():
            return IntegerCodec()
        # Float was a Numeric until SQLAlchemy 2.1. Its precision counts bits, not digits.
        case sa.Float() if inner.asdecimal:
            return DecimalCodec()
        case sa.Numeric() if inner.asdecimal:
            return DecimalCodec(inner.precision, inner.scale)
    return FloatCodec()
