"""
The stored bytes: what they are, how to read and write them. No key is known here.

    offset       size      field
    0            3         magic b1 e6 a5 (base64url of it reads "seal")
    3            1         suite << 4 | slots
    4            8         key id
    12           15*slots  blind-index slots
    ..           24        nonce
    ..           n         ciphertext (n = length of the plaintext as sealed)
    last 16      16        tag

52 bytes and 15 a slot. The parser takes exactly what the writer writes and refuses all else.
The text form is the base64url (RFC 4648 section 5) of the same bytes, without padding.

Specification: `docs/spec/envelope-v1.md`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass

from .errors import NotAnEnvelopeError

MAGIC = b"\xb1\xe6\xa5"
SUITE_PLAIN = 1
"""Suite 1: XAES-256-GCM over the plaintext as it is."""
SUITE_PADDED = 2
"""Suite 2: suite 1 over the plaintext padded as in ISO/IEC 7816-4."""
SUITES = frozenset({SUITE_PLAIN, SUITE_PADDED})

HEADER_SIZE = 12
"""Magic, suite and slot count, key id: 12 bytes. The last 9 of them are the label."""
KEY_ID_SIZE = 8
SLOT_SIZE = 15
MAX_SLOTS = 15
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

    @property
    def head(self) -> bytes:
        """The 12 + 15*slots bytes that are authenticated but not encrypted."""
        return header(self.suite, len(self.slots), self.key_id) + b"".join(self.slots)

    def __bytes__(self) -> bytes:
        """Return the stored bytes."""
        return self.head + self.nonce + self.sealed

    def __repr__(self) -> str:
        """Return a text without ciphertext: sizes and the key id only."""
        return (
            f"<Envelope suite={self.suite} key={self.key_id.hex()} slots={len(self.slots)} "
            f"plaintext={len(self.sealed) - TAG_SIZE} bytes>"
        )


def header(suite: int, slots: int, key_id: bytes) -> bytes:
    """Return the first 12 bytes of an envelope: magic, suite and slot count, key id."""
    return MAGIC + bytes((suite << 4 | slots,)) + key_id


def overhead(slots: int = 0) -> int:
    """Return how many bytes an envelope adds to the plaintext: 52 and 15 a slot."""
    return HEADER_SIZE + SLOT_SIZE * slots + NONCE_SIZE + TAG_SIZE


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
    return Envelope(
        suite=suite,
        key_id=data[4:HEADER_SIZE],
        slots=tuple(data[at : at + SLOT_SIZE] for at in range(HEADER_SIZE, start, SLOT_SIZE)),
        nonce=data[start : start + NONCE_SIZE],
        sealed=data[start + NONCE_SIZE :],
    )


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
    if data is None or to_text(data) != text:
        raise NotAnEnvelopeError(
            "the stored text is not an envelope (not canonical base64url without padding): "
            "plaintext or foreign data was written past the type"
        )
    return data


def _decoded(text: str) -> bytes | None:
    try:
        standard = text.translate(_TO_STANDARD).encode("ascii")
        return a2b_base64(standard + b"=" * (-len(standard) % 4))
    except (Base64Error, UnicodeEncodeError):
        return None


_TO_STANDARD = str.maketrans("-_", "+/")
