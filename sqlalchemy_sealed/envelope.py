"""
The stored bytes: what they are, how to read and write them. No key is known here.

    offset       size      field
    0            3         magic b1 e6 a5 (base64url of it reads "seal")
    3            1         suite << 4 | slots
    4            8         key id
    12           15*slots  blind-index slots
    ..           3 + 3*t   suites 3 and 4 only: the token count t, and t tokens in rising order
    ..           24        nonce
    ..           n         ciphertext (n = length of the plaintext as sealed)
    last 16      16        tag

52 bytes, 15 a slot, and 3 + 3*t for tokens. The parser takes exactly what the writer writes and
refuses all else.
The text form is the base64url (RFC 4648 section 5) of the same bytes, without padding.

Specification: `docs/spec/envelope-v1.md`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import lt
from struct import Struct

from .errors import NotAnEnvelopeError

MAGIC = b"\xb1\xe6\xa5"
SUITE_PLAIN = 1
"""Suite 1: XAES-256-GCM over the plaintext as it is."""
SUITE_PADDED = 2
"""Suite 2: suite 1 over the plaintext padded as in ISO/IEC 7816-4."""
SUITE_PLAIN_TOKENS = 3
"""Suite 3: suite 1 with a token block, which a match index is searched by."""
SUITE_PADDED_TOKENS = 4
"""Suite 4: suite 2 with a token block."""
SUITES = frozenset({SUITE_PLAIN, SUITE_PADDED, SUITE_PLAIN_TOKENS, SUITE_PADDED_TOKENS})
PADDED_SUITES = frozenset({SUITE_PADDED, SUITE_PADDED_TOKENS})
TOKEN_SUITES = frozenset({SUITE_PLAIN_TOKENS, SUITE_PADDED_TOKENS})

HEADER_SIZE = 12
"""Magic, suite and slot count, key id: 12 bytes. The last 9 of them are the label."""
KEY_ID_SIZE = 8
SLOT_SIZE = 15
MAX_SLOTS = 15
COUNT_SIZE = 3
"""The token count: 3 bytes, the high one first. Its first byte is zero, so that SQL reads two."""
TOKEN_SIZE = 3
MAX_TOKENS = 65_535
NONCE_SIZE = 24
TAG_SIZE = 16


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """One parsed envelope. `head + nonce + sealed` is the stored bytes again."""

    suite: int
    key_id: bytes
    slots: tuple[bytes, ...]
    nonce: bytes
    sealed: bytes
    """Ciphertext and, in the last 16 bytes, the tag."""
    tokens: tuple[bytes, ...] = ()
    """Tokens of 3 bytes, in suites 3 and 4."""

    @property
    def head(self) -> bytes:
        """The bytes before the nonce, which are authenticated but not encrypted."""
        start = header(self.suite, len(self.slots), self.key_id) + b"".join(self.slots)
        return start + token_block(self.tokens) if self.suite in TOKEN_SUITES else start

    def __bytes__(self) -> bytes:
        """Return the stored bytes."""
        return self.head + self.nonce + self.sealed

    def __repr__(self) -> str:
        """Return a text without ciphertext: sizes and the key id only."""
        tokens = f"tokens={len(self.tokens)} " if self.suite in TOKEN_SUITES else ""
        return (
            f"<Envelope suite={self.suite} key={self.key_id.hex()} slots={len(self.slots)} "
            f"{tokens}plaintext={len(self.sealed) - TAG_SIZE} bytes>"
        )


def header(suite: int, slots: int, key_id: bytes) -> bytes:
    """Return the first 12 bytes of an envelope: magic, suite and slot count, key id."""
    return MAGIC + bytes((suite << 4 | slots,)) + key_id


def suite_of(*, padded: bool, tokens: bool) -> int:
    """Return the suite of a value that is padded or not, with a token block or without."""
    if tokens:
        return SUITE_PADDED_TOKENS if padded else SUITE_PLAIN_TOKENS
    return SUITE_PADDED if padded else SUITE_PLAIN


def token_block(tokens: Sequence[bytes]) -> bytes:
    """Return the token count, 3 bytes, and the tokens, 3 bytes each. They are in rising order."""
    return len(tokens).to_bytes(COUNT_SIZE, "big") + b"".join(tokens)


def overhead(slots: int = 0, tokens: int | None = None) -> int:
    """
    Return how many bytes an envelope adds to the plaintext.

    Args:
        slots: how many slots there are.
        tokens: how many tokens there are; None for an envelope without a token block.
    """
    block = 0 if tokens is None else COUNT_SIZE + TOKEN_SIZE * tokens
    return HEADER_SIZE + SLOT_SIZE * slots + block + NONCE_SIZE + TAG_SIZE


def parse(data: bytes) -> Envelope:
    """
    Split the stored bytes into their fields.

    Raises:
        NotAnEnvelopeError: bad magic, a suite this version does not know, or fewer bytes than
            the header promises.
    """
    if data[:3] != MAGIC:
        raise NotAnEnvelopeError(
            "the stored value is not an envelope (it does not begin with the magic bytes "
            "b1 e6 a5): plaintext or foreign data was written past the type"
        )
    if len(data) < overhead():
        raise NotAnEnvelopeError(
            f"the stored value is cut off: {len(data)} bytes, an envelope has at least "
            f"{overhead()}; look for a column that is too narrow"
        )
    suite, slots = data[3] >> 4, data[3] & 0x0F
    if suite not in SUITES:
        raise NotAnEnvelopeError(
            f"the stored value says suite {suite}, this version knows {sorted(SUITES)}: it was "
            "written by a newer version, or it is not an envelope"
        )
    if len(data) < overhead(slots):
        raise NotAnEnvelopeError(
            f"the stored value is cut off: {len(data)} bytes, with {slots} index slots an "
            f"envelope has at least {overhead(slots)}; look for a column that is too narrow"
        )
    start = HEADER_SIZE + SLOT_SIZE * slots
    tokens = _tokens(data, start) if suite in TOKEN_SUITES else None
    end = start if tokens is None else start + COUNT_SIZE + TOKEN_SIZE * len(tokens)
    return Envelope(
        suite=suite,
        key_id=data[4:HEADER_SIZE],
        slots=tuple(data[at : at + SLOT_SIZE] for at in range(HEADER_SIZE, start, SLOT_SIZE)),
        nonce=data[end : end + NONCE_SIZE],
        sealed=data[end + NONCE_SIZE :],
        tokens=tokens or (),
    )


def _tokens(data: bytes, start: int) -> tuple[bytes, ...]:
    """Return the tokens of the block at *start*, or raise NotAnEnvelopeError."""
    least = start + COUNT_SIZE + NONCE_SIZE + TAG_SIZE
    count = int.from_bytes(data[start : start + COUNT_SIZE], "big")
    if len(data) >= least and count > MAX_TOKENS:
        raise NotAnEnvelopeError(
            f"the stored value says that it has {count} tokens, an envelope has at most "
            f"{MAX_TOKENS}: it was damaged, or it is not an envelope"
        )
    if len(data) < least or len(data) < least + TOKEN_SIZE * count:
        raise NotAnEnvelopeError(
            f"the stored value is cut off: {len(data)} bytes are too few for its match tokens; "
            "look for a column that is too narrow"
        )
    start += COUNT_SIZE
    tokens = tuple(chain.from_iterable(_each(data[start : start + TOKEN_SIZE * count])))
    if not all(map(lt, tokens, tokens[1:])):
        raise NotAnEnvelopeError(
            "the stored value has match tokens that are not in rising order: it was damaged, or "
            "it is not an envelope"
        )
    return tokens


def to_text(data: bytes) -> str:
    """Return the text form: base64url without padding, ASCII only."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_text(text: str) -> bytes:
    """
    Return the bytes of a text form.

    Raises:
        NotAnEnvelopeError: not base64url, padded, or not the one text that the writer writes
            (RFC 4648 section 3.5: the unused last bits must be zero).
    """
    data = _decoded(text)
    if data is None:
        raise NotAnEnvelopeError(
            "the stored text is not an envelope (not canonical base64url without padding): "
            "plaintext or foreign data was written past the type"
        )
    return data


def _decoded(text: str) -> bytes | None:
    try:
        standard = text.encode("ascii").translate(_TO_STANDARD)
        standard += b"=" * (-len(standard) % 4)
        data = a2b_base64(standard, strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        return None
    # The decoder takes any unused bits in the last letter, the encoder writes zeros.
    last = len(data) % 3
    canonical = not last or b2a_base64(data[-last:], newline=False) == standard[-4:]
    return data if canonical else None


_each = Struct(f"{TOKEN_SIZE}s").iter_unpack
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
