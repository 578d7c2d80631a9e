"""Every vector, read and run: the exact outcome, and the same bytes from the writer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from vectors.layout import FOLDER, Vector, read, read_all
from vectors.make import files
from vectors.sealers import sealer_with

from sqlalchemy_sealed import Context, LocalRootKey, Sealer
from sqlalchemy_sealed.aead import Xaes, derive
from sqlalchemy_sealed.envelope import PADDED_SUITES, from_text, parse, to_text
from sqlalchemy_sealed.errors import NotAnEnvelopeError, OpenError, ProviderError, SealedError
from sqlalchemy_sealed.keycache import unwrap
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, key_id_of
from sqlalchemy_sealed.match import MatchIndex, fold
from sqlalchemy_sealed.padding import pad

ENVELOPES = read_all("envelope")
OPENING = [vector for vector in ENVELOPES if vector.ascii("expect") == "success"]
MATCHES = read_all("match")
LOCAL_ROOT_KEY = read_all("local-root-key")


def named(vectors: list[Vector]) -> pytest.MarkDecorator:
    """Parametrize a test with vectors, each under its name."""
    return pytest.mark.parametrize("vector", vectors, ids=lambda vector: vector.name)


def context_of(vector: Vector) -> Context:
    """Return the context that the reader has in mind."""
    label, *scope = vector.texts("context")
    return Context(label, tuple(scope))


def stored(vector: Vector) -> bytes:
    """Return the bytes to open; raises if the text form is not one."""
    return from_text(vector.text("text")) if "text" in vector else vector.hex("envelope")


def sealer_of(vector: Vector) -> Sealer:
    """Return a sealer that has the keys of the vector and a newer primary."""
    keys = vector.hexes("data-key")
    return sealer_with(
        [*keys, bytes(32)],
        vector.hexes("destroyed-key-id"),
        disabled_key_ids=vector.hexes("disabled-key-id"),
    )


def outcomes(vector: Vector) -> Iterator[tuple[str, bytes]]:
    """Return how it opens the long way, and how where a value of the same header was opened."""
    sealer, context = sealer_of(vector), context_of(vector)
    yield outcome(vector, sealer.opening(context))
    opening = sealer.opening(context)
    sibling = sealed_beside(vector, sealer)
    if sibling is not None:
        opening(sibling)
    yield outcome(vector, opening)


def outcome(vector: Vector, opening) -> tuple[str, bytes]:
    """Return "success" and the plaintext, or the code of our error and nothing."""
    try:
        return "success", opening(stored(vector))
    except SealedError as error:
        return error.code, b""


def sealed_beside(vector: Vector, sealer: Sealer) -> bytes | None:
    """Return another value under the header of the vector, if its key is there."""
    try:
        envelope = parse(stored(vector))
        key = sealer.kept().cache.data_key(envelope.key_id)
    except OpenError:
        return None
    plaintext = pad(b"", 2) if envelope.suite in PADDED_SUITES else b""
    aad = envelope.head + bytes(context_of(vector))
    return envelope.head + key.xaes.seal(plaintext, aad)


def test_make_writes_the_committed_files() -> None:
    """The files are exactly those that the generator makes, byte for byte."""
    committed = {
        path.relative_to(FOLDER): path.read_text(encoding="ascii") for path in FOLDER.rglob("*.txt")
    }
    assert committed == dict(files())


@named(ENVELOPES)
def test_envelope_has_its_outcome(vector: Vector) -> None:
    """The reader ends as the vector expects, with exactly that plaintext or exactly that error."""
    plaintext = vector.hex("plaintext") if "plaintext" in vector else b""
    assert list(outcomes(vector)) == [(vector.ascii("expect"), plaintext)] * 2


@named(OPENING)
def test_writer_makes_the_same_bytes(vector: Vector) -> None:
    """Sealing again with the nonce and the slots of the vector gives its envelope."""
    data = vector.hex("envelope")
    envelope = parse(data)
    plaintext = vector.hex("plaintext")
    if "block" in vector:
        plaintext = pad(plaintext, int(vector.ascii("block")))
    key = sealer_of(vector).kept().cache.data_key(envelope.key_id)
    aad = envelope.head + bytes(context_of(vector))
    sealed = key.xaes.seal_with_nonce(envelope.nonce, plaintext, aad)
    assert envelope.head + envelope.nonce + sealed == data == bytes(envelope)


@named(OPENING)
def test_intermediate_values(vector: Vector) -> None:
    """Key id, AEAD key, prefix key, associated data and text form are those of the vector."""
    envelope = parse(vector.hex("envelope"))
    key = vector.hexes("data-key")[0]
    aead_key = derive(key, b"sqlalchemy-sealed v1 aead", 32)
    assert key_id_of(key) == envelope.key_id == vector.hex("key-id")
    assert aead_key == vector.hex("aead-key")
    assert Xaes(aead_key).derive(envelope.nonce[:12]) == vector.hex("prefix-key")
    assert envelope.head + bytes(context_of(vector)) == vector.hex("aad")
    if "text" in vector:
        assert to_text(bytes(envelope)) == vector.text("text")


@named(MATCHES)
def test_match_index_makes_the_tokens(vector: Vector) -> None:
    """Marked text, tokens of the grams and tokens of the value are those of the vector."""
    label, name = vector.texts("context")
    n, bits, block = (int(vector.ascii(key)) for key in ("gram-size", "token-bits", "block"))
    match = MatchIndex(n=n, bits=bits, block=block, name=name)
    marked, value = vector.hex("marked-text"), vector.text("value")
    assert marked == b"\xfe" + fold(value).encode() + b"\xff"
    tokens = match.tokens(label, vector.hex("index-key"))
    of_grams = [tokens[gram] for gram in match.grams(fold(value), b"\xfe", b"\xff")]
    assert b"".join(of_grams) == vector.hex("gram-tokens")
    made = match.block_function(label, vector.hex("index-key"))(value)
    assert made[3:] == vector.hex("tokens")
    assert int.from_bytes(made[:3], "big") == len(made[3:]) // 3
    assert {*of_grams} <= {made[at : at + 3] for at in range(3, len(made), 3)}


@named(LOCAL_ROOT_KEY)
def test_wrapped_key_has_its_outcome(vector: Vector) -> None:
    """A key wrapped by a local root key unwraps, or is refused, as the vector expects."""
    record = KeyRecord(
        name=vector.text("key-name"),
        kind=KeyKind(vector.ascii("key-kind")),
        generation=1,
        key_id=vector.hex("key-id"),
        wrapped=vector.ascii("wrapped"),
        created=datetime(2025, 1, 1, tzinfo=UTC),
    )
    if vector.ascii("expect") == ProviderError.code:
        with pytest.raises(ProviderError):
            unwrap(record, LocalRootKey.from_text(vector.ascii("root-key")))
        return
    assert vector.ascii("expect") == "success"
    provider = LocalRootKey.from_text(vector.ascii("root-key"))
    assert record.binding == vector.hex("binding")
    assert provider.unwrap(record.wrapped, record.binding) == vector.hex("unwrapped")
    assert unwrap(record, provider) == vector.hex("unwrapped")


def test_every_failure_has_vectors() -> None:
    """Success and each way of not opening are all expected somewhere, and nothing else is."""
    codes = {error.code for error in OpenError.__subclasses__()}
    assert {vector.ascii("expect") for vector in ENVELOPES} == {"success", *codes}


@pytest.mark.parametrize("line", ["expct: success", "expect", "expect:success", "", "# remark"])
def test_unknown_line_is_an_error(line: str, tmp_path: Path) -> None:
    """A vector file with a key that is not in the format is refused, not half read."""
    path = tmp_path / "scenario.txt"
    path.write_text(f"expect: success\n{line}\n")
    with pytest.raises(ValueError, match=r"^scenario\.txt: "):
        read(path)


def test_bad_texts_are_refused_as_texts() -> None:
    """A bad text fails when it is decoded, but for two that are base64url of something else."""
    decoded = set()
    for vector in ENVELOPES:
        if "text" in vector and "envelope" not in vector:
            try:
                from_text(vector.text("text"))
            except NotAnEnvelopeError:
                continue
            decoded.add(vector.name)
    assert decoded == {"text_empty", "text_of_hexadecimal"}
