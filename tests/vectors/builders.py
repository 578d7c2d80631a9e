"""How vectors of the envelope are built, and the keys and values that they share."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from vectors.layout import Fields, Vector, hex_lines, text_lines

from sqlalchemy_sealed.aead import Xaes, derive
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.keys import key_id_of
from sqlalchemy_sealed.padding import pad

FIRST_KEY = bytes(range(32))
SECOND_KEY = bytes(range(32, 64))
ABSENT_KEY = bytes(range(64, 96))
LABEL = ("patients.email",)
PLAINTEXT = b"ada@example.org"
LONGER = b"grace.hopper@example.org"
SLOTS = tuple(bytes(range(start, start + 15)) for start in range(0x10, 0x100, 0x10))
"""Fifteen slots of recognisable bytes. An index is not computed here."""
TOKENS = tuple(bytes((0, 0x10 + number, 0xA0)) for number in range(8))
"""Eight tokens of recognisable bytes, in rising order."""


def aead_key(key: bytes) -> bytes:
    """Return the AEAD key of a data key."""
    return derive(key, b"sqlalchemy-sealed v1 aead", 32)


def seal(
    name: str,
    plaintext: bytes = LONGER,
    *,
    key: bytes = FIRST_KEY,
    context: tuple[str, ...] = LABEL,
    slots: tuple[bytes, ...] = SLOTS[:2],
    suite: int = 1,
    nonce: bytes | None = None,
    named: bytes | None = None,
    tokens: tuple[bytes, ...] | None = None,
) -> Fields:
    """Return an envelope. Its nonce comes from *name*, its key id from *named* if given."""
    nonce = nonce or sha256(name.encode()).digest()[:24]
    fields = Fields(suite, len(slots), named or key_id_of(key), nonce, b"", b"", slots)
    if tokens is not None:
        fields = replace(fields, token_count=len(tokens), tokens=tokens)
    aad = b"".join(fields.pieces[:-3]) + pack(context)
    sealed = Xaes(aead_key(key)).seal_with_nonce(nonce, plaintext, aad)
    return replace(fields, ciphertext=sealed[:-16], tag=sealed[-16:])


def opens(
    name: str,
    comment: str,
    plaintext: bytes = PLAINTEXT,
    *,
    key: bytes = FIRST_KEY,
    others: tuple[bytes, ...] = (),
    context: tuple[str, ...] = LABEL,
    slots: tuple[bytes, ...] = (),
    block: int | None = None,
    nonce: bytes | None = None,
    text: bool = False,
    tokens: tuple[bytes, ...] | None = None,
) -> Vector:
    """Return a vector that opens, with the intermediate values that help to find a mistake."""
    padded = plaintext if block is None else pad(plaintext, block)
    suite = (1 if block is None else 2) + (0 if tokens is None else 2)
    fields = seal(
        name,
        padded,
        key=key,
        context=context,
        slots=slots,
        suite=suite,
        nonce=nonce,
        tokens=tokens,
    )
    lines = [("expect", "success"), ("comment", comment)]
    lines += [("data-key", one.hex()) for one in (key, *others)]
    lines += text_lines("context", context)
    lines += [] if block is None else [("block", str(block))]
    lines += hex_lines("plaintext", plaintext)
    lines += hex_lines("envelope", *fields.pieces)
    lines += text_lines("text", [to_text(bytes(fields))] if text else [])
    lines.append(("key-id", fields.key_id.hex()))
    lines.append(("aead-key", aead_key(key).hex()))
    lines.append(("prefix-key", Xaes(aead_key(key)).derive(fields.nonce[:12]).hex()))
    lines += hex_lines("aad", *fields.pieces[:-3], pack(context))
    return Vector(name, tuple(lines))


def fails(
    name: str,
    expect: str,
    comment: str,
    *pieces: bytes,
    keys: tuple[bytes, ...] = (FIRST_KEY,),
    destroyed: tuple[bytes, ...] = (),
    disabled: tuple[bytes, ...] = (),
    context: tuple[str, ...] = LABEL,
    text: str | None = None,
) -> Vector:
    """Return a vector that fails, of the fields of an envelope or of a text form."""
    lines = [("expect", expect), ("comment", comment)]
    lines += [("data-key", key.hex()) for key in keys]
    lines += [("destroyed-key-id", key_id_of(key).hex()) for key in destroyed]
    lines += [("disabled-key-id", key_id_of(key).hex()) for key in disabled]
    lines += text_lines("context", context)
    lines += hex_lines("envelope", *pieces) if text is None else text_lines("text", [text])
    return Vector(name, tuple(lines))
