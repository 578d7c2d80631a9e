"""Keys, bindings, and texts that are not the wrapped key that they look like."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256

from ..envelope import to_text
from ..keys import KeyKind, KeyRecord

KEY = sha256(b"sqlalchemy-sealed: the key of the provider suite").digest()
OTHER_KEYS = [KEY, bytes(32), b"\xff" * 32, bytes(31) + b"\x01", b"\r\n\t \x00\x1a\x7f\x80" * 4]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def binding_of(name: str, kind: str = "data", key_id: bytes = KEY[:8]) -> bytes:
    """Return what a wrapped key of this name, kind and id is bound to."""
    return KeyRecord(
        name=name,
        kind=KeyKind(kind),
        generation=1,
        key_id=key_id,
        wrapped="",
        created=datetime(2026, 1, 2, tzinfo=UTC),
    ).binding


BINDING = binding_of("default")
OTHER_BINDINGS = {
    "another name": binding_of("patients"),
    "another case": binding_of("Default"),
    "a space more": binding_of("default "),
    "a name of other scripts": binding_of("pä/tiénts 患者 '\"\\{}"),
    "a long name": binding_of("x" * 300),
    "another kind": binding_of("default", "index"),
    "another id": binding_of("default", key_id=KEY[8:16]),
    "one byte less": BINDING[:-1],
    "one byte more": BINDING + b"\0",
    "bytes that are no text": b"\x00\xff\xfe" * 20,
}


def _bytes(size: int) -> str:
    return to_text(sha256(str(size).encode()).digest() * 100)[: size * 4 // 3]


FOREIGN = {
    "nothing": "",
    "a space": " ",
    "a colon": ":",
    "colons": ":::::",
    "a word": "key",
    "not Unicode": "\ud800\udfff",
    "a NUL": "\0",
    "a number": "1",
    "JSON": '{"key": "value"}',
    "of a root key": f"local:1:0011223344556677:{_bytes(72)}",
    "of a passphrase": f"pbkdf2:1:100000:{_bytes(15)}A:{_bytes(72)}",
    "of an RSA key": f"rsa:1:0011223344556677:{_bytes(255)}A",
    "of Vault": f"vault:v1:{_bytes(60)}",
    "of AWS KMS": f"awskms:1:{_bytes(150)}",
    "of a module": f"pkcs11:1:0011223344556677:{_bytes(60)}",
    "of somebody else": f"somebody-else:1:{_bytes(60)}",
    "a million characters": "A" * 1_000_000,
    "a million colons": ":" * 1_000_000,
}


def own_scheme(wrapped: str, foreign: str) -> bool:
    """Whether a foreign text is of the kind of this wrapped key."""
    return foreign.partition(":")[0] == wrapped.partition(":")[0]


def forms_of(key: bytes) -> list[str]:
    """Return how a key may be written: raw, in hexadecimal, in base64 at any offset, in Python."""
    base64 = [
        encode(bytes(at) + key).decode()[2 * at : 40] for at in range(3) for encode in _BASE64
    ]
    return [key.decode("latin-1"), key.hex(), repr(key)[2:-1], str(list(key))[1:-1], *base64]


_BASE64 = (b64encode, urlsafe_b64encode)


def flipped(wrapped: str) -> Iterator[str]:
    """Yield a wrapped key with one character changed, each in turn: its case, and its last bit."""
    for at, character in enumerate(wrapped):
        last_bit = _ALPHABET[_ALPHABET.index(character) ^ 1] if character in _ALPHABET else "A"
        for other in {character.swapcase(), last_bit} - {character}:
            yield wrapped[:at] + other + wrapped[at + 1 :]


def cut(wrapped: str) -> Iterator[str]:
    """Yield every beginning and every end of a wrapped key."""
    for at in range(1, len(wrapped)):
        yield wrapped[:at]
        yield wrapped[at:]


def not_canonical(wrapped: str) -> Iterator[str]:
    """Yield texts that a lenient reader would take for the wrapped key."""
    middle = len(wrapped) - 10
    for more in ("\n", " ", "\t", "\0", "=", "==", ":", "\ufeff", "A", "AAAA", "%3D", "\u0301"):
        yield more + wrapped
        yield wrapped + more
        yield wrapped[:middle] + more + wrapped[middle:]
    changed = (
        wrapped.upper(),
        wrapped.lower(),
        wrapped * 2,
        wrapped.replace(":", "::", 1),
        wrapped.replace(":", "\uff1a"),
        wrapped.replace("1", "\u0661", 1),
        wrapped.replace(":1:", ":01:", 1),
        wrapped.replace(":1:", ":2:", 1),
        wrapped.replace("-", "+").replace("_", "/"),
        wrapped.replace("+", "-").replace("/", "_"),
        wrapped.rstrip("="),
    )
    yield from (text for text in changed if text != wrapped)
