"""
The text format of the vectors, read and written, and envelopes taken apart into their fields.

`docs/spec/envelope-v1.md` section 10 describes the format. Nothing here opens or seals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
HEX_BYTES_A_LINE = 32

HEX = frozenset(
    {
        "data-key",
        "destroyed-key-id",
        "disabled-key-id",
        "key-id",
        "aead-key",
        "prefix-key",
        "aad",
        "plaintext",
        "envelope",
        "binding",
        "unwrapped",
        "index-key",
        "marked-text",
        "gram-tokens",
        "tokens",
        "hashed",
        "slot-key",
        "slot",
    }
)
"""Values in hexadecimal."""
JSON_TEXT = frozenset({"context", "text", "key-name", "value"})
"""Values that are a JSON string, so that spaces and line ends are seen."""
ASCII = frozenset(
    {
        "expect",
        "comment",
        "block",
        "root-key",
        "key-kind",
        "wrapped",
        "gram-size",
        "token-bits",
        "type",
        "normalize",
        "bits",
    }
)
"""Values taken as they stand."""
JOINED = frozenset({"aad", "plaintext", "envelope"})
"""Keys whose lines are one value, cut for reading; other keys that repeat are a list."""


@dataclass(frozen=True)
class Vector:
    """One scenario: a name and its lines, as (key, value) with the values in their text form."""

    name: str
    lines: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """Return the content of the file."""
        return "".join(f"{key}: {value}".rstrip() + "\n" for key, value in self.lines)

    def __contains__(self, key: str) -> bool:
        """Return whether there is a line with this key."""
        return any(key == name for name, _ in self.lines)

    def all(self, key: str) -> list[str]:
        """Return the text values of a key that may repeat."""
        return [value for name, value in self.lines if name == key]

    def ascii(self, key: str) -> str:
        """Return the value of a key that stands once."""
        (value,) = self.all(key)
        return value

    def hex(self, key: str) -> bytes:
        """Return a value in hexadecimal, its lines joined."""
        return bytes.fromhex("".join(self.all(key)))

    def hexes(self, key: str) -> list[bytes]:
        """Return the values of a key in hexadecimal that may repeat."""
        return [bytes.fromhex(value) for value in self.all(key)]

    def texts(self, key: str) -> list[str]:
        """Return the values of a key whose values are JSON strings."""
        return [json.loads(value) for value in self.all(key)]

    def text(self, key: str) -> str:
        """Return the JSON string of a key that stands once."""
        (value,) = self.texts(key)
        return value


def read(path: Path) -> Vector:
    """Return the vector in a file; a line of another form, or an unknown key, is an error."""
    lines = []
    for line in path.read_text(encoding="ascii").splitlines():
        key, colon, value = line.partition(":")
        if not colon or key not in HEX | JSON_TEXT | ASCII:
            raise ValueError(f"{path.name}: unknown line {key!r}")
        if value and not value.startswith(" "):
            raise ValueError(f"{path.name}: no space after {key!r}")
        lines.append((key, value[1:]))
    return Vector(path.stem, tuple(lines))


def read_all(folder: str) -> list[Vector]:
    """Return every vector of a folder, sorted by name."""
    return [read(path) for path in sorted((FOLDER / folder).glob("*.txt"))]


def hex_lines(key: str, *pieces: bytes) -> Iterator[tuple[str, str]]:
    """Return lines for the pieces of one value, a new line for each piece and 32 bytes."""
    written = False
    for piece in pieces:
        for at in range(0, len(piece), HEX_BYTES_A_LINE):
            yield key, piece[at : at + HEX_BYTES_A_LINE].hex()
            written = True
    if not written:
        yield key, ""


def text_lines(key: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Return one line with a JSON string for each text."""
    for text in texts:
        yield key, json.dumps(text)


@dataclass(frozen=True)
class Fields:
    """An envelope taken apart. `replace` changes one field, whatever it does to the others."""

    suite: int
    count: int
    key_id: bytes
    nonce: bytes
    ciphertext: bytes
    tag: bytes
    slots: tuple[bytes, ...] = ()
    magic: bytes = field(default=b"\xb1\xe6\xa5")
    token_count: int | None = None
    tokens: tuple[bytes, ...] = ()

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The fields in their order."""
        return (
            self.magic,
            bytes((self.suite << 4 | self.count,)),
            self.key_id,
            *self.slots,
            *self.token_block,
            self.nonce,
            self.ciphertext,
            self.tag,
        )

    @property
    def token_block(self) -> tuple[bytes, ...]:
        """Token count and tokens, if there is a count."""
        if self.token_count is None:
            return ()
        return (self.token_count.to_bytes(3, "big"), *self.tokens)

    def __bytes__(self) -> bytes:
        """Return the stored bytes."""
        return b"".join(self.pieces)

    def cut(self, size: int) -> tuple[bytes, ...]:
        """Return the fields of the first *size* bytes."""
        ends = [0, *(min(end, size) for end in accumulate(map(len, self.pieces)))]
        return tuple(bytes(self)[start:end] for start, end in pairwise(ends))

    def flipped(self, name: str, at: int = 0, bit: int = 0x01) -> Fields:
        """Return the fields with one bit of one of them changed."""
        return replace(self, **{name: flip(getattr(self, name), at, bit)})

    def with_slot_flipped(self, number: int) -> Fields:
        """Return the fields with one bit of a slot changed, the first one being slot 1."""
        slots = list(self.slots)
        slots[number - 1] = flip(slots[number - 1], 0, 0x01)
        return replace(self, slots=tuple(slots))


def flip(data: bytes, at: int, bit: int) -> bytes:
    """Return *data* with one bit changed."""
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)
