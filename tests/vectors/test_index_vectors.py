"""Every vector of an index slot: by the library, and by the steps of the specification alone."""

from __future__ import annotations

import hmac
import re
import sys
import unicodedata
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from vectors.layout import Vector, read_all

from sqlalchemy_sealed import BlindIndex, normalizers
from sqlalchemy_sealed.aead import derive
from sqlalchemy_sealed.codecs import Codec, TextCodec
from sqlalchemy_sealed.codecs.binary import BytesCodec, UuidCodec
from sqlalchemy_sealed.codecs.enum import EnumCodec
from sqlalchemy_sealed.codecs.numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from sqlalchemy_sealed.codecs.temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.errors import DecodingError, ValueRefusedError
from sqlalchemy_sealed.index import SLOT_BITS, search_function, slots_function
from sqlalchemy_sealed.normalizers import normalized

VECTORS = read_all("index")
MADE = [vector for vector in VECTORS if vector.ascii("expect") == "success"]
SPECIFICATION = (Path(__file__).parents[2] / "docs" / "spec" / "envelope-v1.md").read_text(
    encoding="utf-8"
)


class Status(Enum):
    """An enumeration as an application may have it."""

    ACTIVE = 1


CODECS: dict[str, Codec[Any]] = {
    "text": TextCodec(),
    "bytes": BytesCodec(),
    "uuid": UuidCodec(),
    "boolean": BooleanCodec(),
    "integer": IntegerCodec(),
    "decimal": DecimalCodec(),
    "float": FloatCodec(),
    "date": DateCodec(),
    "datetime": DateTimeCodec(),
    "aware-datetime": DateTimeCodec(timezone=True),
    "time": TimeCodec(),
    "aware-time": TimeCodec(timezone=True),
    "interval": IntervalCodec(),
    "enumeration": EnumCodec(Status, ("ACTIVE",)),
}


def named(vectors: list[Vector]) -> pytest.MarkDecorator:
    """Parametrize a test with vectors, each under its name."""
    return pytest.mark.parametrize("vector", vectors, ids=lambda vector: vector.name)


def value_of(vector: Vector) -> Any:
    """Return the Python value of a vector."""
    kind, text = vector.ascii("type"), vector.text("value")
    if kind == "text":
        return text
    if kind == "bytes":
        return bytes.fromhex(text)
    if kind == "uuid":
        return UUID(text)
    try:
        return CODECS[kind].decode(text.encode())
    except DecodingError:
        return text  # Not a value of its type: it is refused as such.


def index_of(vector: Vector) -> tuple[BlindIndex, str]:
    """Return the index of a vector, and the label of its column."""
    label, name = vector.texts("context")
    return BlindIndex(
        name,
        normalize=tuple(vector.all("normalize")),
        bits=int(vector.ascii("bits")),
        unique=len(vector.all("index-key")) == 2,
    ), label


@named(MADE)
def test_the_library_makes_the_slots(vector: Vector) -> None:
    """What is written and what is searched are the slots of the vector, and nothing else."""
    index, label = index_of(vector)
    codec, value = CODECS[vector.ascii("type")], value_of(vector)
    keys, expected = vector.hexes("index-key"), vector.hexes("slot")
    assert index.normalized(codec, value) == vector.hex("hashed")
    made = slots_function((index,), codec, label, keys[0], keys[-1])(value)
    assert made == b"".join(expected)
    assert [search_function(index, codec, label, key)(value) for key in keys] == expected
    shared = BlindIndex(index.name, index.normalize, context=label, bits=index.bits)
    assert search_function(shared, codec, "another.column", keys[0])(value) == expected[0]


@named(MADE)
def test_the_steps_make_the_slots(vector: Vector) -> None:
    """HKDF and HMAC of the hashed bytes, cut to the bits, give the slots."""
    bits = int(vector.ascii("bits"))
    info = b"sqlalchemy-sealed v1 index\0" + pack(vector.texts("context"))
    for index_key, slot_key, slot in zip(
        vector.hexes("index-key"), vector.hexes("slot-key"), vector.hexes("slot"), strict=True
    ):
        extracted = hmac.digest(bytes(32), index_key, "sha256")
        assert slot_key == hmac.digest(extracted, info + b"\x01", "sha256")
        assert slot_key == derive(index_key, info)
        digest = hmac.digest(slot_key, vector.hex("hashed"), "sha256")
        whole = f"{int.from_bytes(digest, 'big'):0256b}"
        assert f"{int.from_bytes(slot, 'big'):0{SLOT_BITS}b}" == whole[:bits].ljust(SLOT_BITS, "0")


@named([vector for vector in VECTORS if vector not in MADE])
def test_what_has_no_slot_is_refused(vector: Vector) -> None:
    """It is refused when it is written, and when it is searched."""
    index, label = index_of(vector)
    assert vector.ascii("expect") == ValueRefusedError.code
    codec, value, [key] = CODECS[vector.ascii("type")], value_of(vector), vector.hexes("index-key")
    for function in (
        search_function(index, codec, label, key),
        slots_function((index,), codec, label, key, key),
    ):
        with pytest.raises(ValueRefusedError):
            function(value)


def test_slots_of_different_things_differ() -> None:
    """Two whole slots are equal exactly if key, context and hashed bytes are."""
    slots = {
        ((key, *vector.all("context"), vector.hex("hashed")), slot)
        for vector in MADE
        if int(vector.ascii("bits")) == SLOT_BITS
        for key, slot in zip(vector.all("index-key"), vector.all("slot"), strict=True)
    }
    assert len({made for made, _ in slots}) == len({slot for _, slot in slots}) == len(slots)


# -- the specification


def rows_of(heading: str) -> dict[str, str]:
    """Return the rows of a table of the specification: first cell to last cell."""
    _, _, rest = SPECIFICATION.partition(f"| {heading} |")
    lines = rest.splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in lines[: lines.index("")]]
    return {row[0]: row[-1] for row in cells}


def test_every_normalizer_and_every_type_is_specified() -> None:
    """Section 4.2 has a row for each normalizer and each type, and there is a vector of each."""
    named = {name.strip("`") for name in rows_of("normalizer")}
    assert named == set(normalizers._NORMALIZERS)
    assert {name for vector in MADE for name in vector.all("normalize")} == named
    assert {vector.ascii("type") for vector in MADE} == set(CODECS)
    kinds = {kind.strip("` ") for row in rows_of("`type` in vectors") for kind in row.split(",")}
    assert kinds == set(CODECS)


def test_examples_of_hashed_bytes() -> None:
    """The examples in the table of types are vectors."""
    hashed = {vector.hex("hashed") for vector in MADE}
    examples = [
        example
        for row in rows_of("`type` in vectors").values()
        for example in re.findall(r"`([^`]+)`", row)
    ]
    assert len(examples) > 5
    assert {example.encode() for example in examples} - {b"-", b"E"} <= hashed


def test_a_character_of_a_newer_unicode() -> None:
    """The example of section 4.2: a digit that Unicode has since 15.0 is one from then on."""
    assert "U+11F50" in SPECIFICATION
    version = tuple(map(int, unicodedata.unidata_version.split(".")))
    assert (version >= (15,)) is (sys.version_info >= (3, 12))
    assert normalized(("digits",), "\U00011f50") == ("0" if version >= (15,) else "")
