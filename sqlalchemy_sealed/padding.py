"""
Padding that hides the length of a plaintext (suite 2).

ISO/IEC 7816-4: the byte 80, then as many 00 as it takes to a multiple of the block. At least one
byte is always added. The block size is not stored: any padding of this form can be removed.
"""

from __future__ import annotations

from .errors import DecodingError

MAX_BLOCK = 1 << 16
"""Largest block, in bytes."""


def is_block(block: object) -> bool:
    """Return whether this is a possible block size: a whole number from 2 to 65,536."""
    return type(block) is int and 2 <= block <= MAX_BLOCK


def pad(data: bytes, block: int) -> bytes:
    """Return *data* padded to the next multiple of *block* bytes."""
    return data + b"\x80" + bytes(-(len(data) + 1) % block)


def unpad(data: bytes) -> bytes:
    """
    Return *data* without its padding.

    Raises:
        DecodingError: there is no padding of this form.
    """
    stripped = data.rstrip(b"\0")
    if stripped[-1:] != b"\x80":
        raise DecodingError("the value opened, but has no ISO 7816-4 padding as suite 2 must have")
    return stripped[:-1]
