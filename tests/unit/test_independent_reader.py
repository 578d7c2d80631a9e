"""A second reader, written from the specification alone, reads what the library writes."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from independent import reader

from sqlalchemy_sealed import Context, LocalRootKey, MatchIndex, SealedError, Sealer
from sqlalchemy_sealed.envelope import token_block

VECTORS = Path(__file__).parents[1] / "vectors" / "envelope"
FILES = sorted(VECTORS.glob("*.txt"))
MATCHES = VECTORS.parent / "match"

KEYS = {
    "expect",
    "comment",
    "data-key",
    "destroyed-key-id",
    "disabled-key-id",
    "context",
    "envelope",
    "text",
    "plaintext",
    "block",
    "key-id",
    "aead-key",
    "prefix-key",
    "aad",
    "index-key",
    "value",
    "gram-size",
    "token-bits",
    "marked-text",
    "gram-tokens",
    "tokens",
}
"""The keys of a vector file about envelopes or match tokens."""

texts = st.text(st.characters(codec="utf-8"), max_size=100)
labels = texts.filter(bool)
contexts = st.tuples(labels, st.lists(texts, max_size=3))
plaintexts = st.binary(max_size=300)
pads = st.none() | st.integers(2, 65_536) | st.sampled_from([2, 16, 256])
blocks = st.sets(st.binary(min_size=3, max_size=3), max_size=40)
options = st.tuples(st.integers(2, 16), st.integers(8, 24), st.integers(1, 1024))

with_fixtures = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""One set of keys serves all examples of a test, and a slow machine is not a failure."""


def read_vector(path: Path) -> dict[str, list[str]]:
    """Return the values of each key of a vector file, in their order."""
    values: dict[str, list[str]] = {}
    for line in path.read_bytes().decode("ascii").removesuffix("\n").split("\n"):
        key, colon, value = line.partition(":")
        assert colon
        assert key in KEYS
        assert not value or value.startswith(" ")
        values.setdefault(key, []).append(value[1:])
    return values


def joined(vector: dict[str, list[str]], key: str) -> bytes:
    """Return the bytes that the lines of a key are together."""
    return bytes.fromhex("".join(vector[key]))


def opened(vector: dict[str, list[str]]) -> tuple[str, bytes | None]:
    """Return what the reader makes of a vector: the outcome, and the plaintext of a success."""
    data_keys = [bytes.fromhex(value) for value in vector.get("data-key", [])]
    out_of_use = {
        state: {bytes.fromhex(value) for value in vector.get(f"{state}-key-id", [])}
        for state in ("destroyed", "disabled")
    }
    context = [json.loads(value) for value in vector["context"]]
    try:
        if "text" in vector:
            text = json.loads(vector["text"][0])
            return "success", reader.open_text(text, data_keys, context, **out_of_use)
        stored = joined(vector, "envelope")
        return "success", reader.open_binary(stored, data_keys, context, **out_of_use)
    except reader.NotOpened as failure:
        return failure.code, None


def text_form(stored: bytes) -> str:
    """Return the text form of an envelope."""
    return urlsafe_b64encode(stored).decode("ascii").rstrip("=")


def material_of(sealer: Sealer, provider: LocalRootKey) -> bytes:
    """Return the data key that new values are sealed with."""
    record = sealer.keyset.primary
    return provider.unwrap(record.wrapped, record.binding)


def sealed_with_tokens(sealer: Sealer, plaintext: bytes, pad: int | None, tokens: set[bytes]):
    """Return what is sealed for the label "a" with a token block."""
    block = token_block(sorted(tokens))
    seal = sealer.sealing_indexed(
        Context("a"), 0, lambda _current, _bridge: lambda _value: block, tokens=True, pad=pad
    )
    return seal(plaintext, None)


def successes() -> list[Path]:
    """Return the vector files of values that open."""
    return [path for path in FILES if read_vector(path)["expect"] == ["success"]]


def test_there_are_vectors():
    """The folders of the vectors are where this test looks for them; every outcome occurs."""
    assert list(MATCHES.glob("*.txt"))
    outcomes = {read_vector(path)["expect"][0] for path in FILES}
    assert outcomes == {
        "success",
        reader.NOT_AN_ENVELOPE,
        reader.UNKNOWN_KEY,
        reader.DESTROYED_KEY,
        reader.DISABLED_KEY,
        reader.AUTHENTICATION,
        reader.DECODING,
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_vector_has_expected_outcome(path):
    """The reader gives the plaintext or the failure that the file names."""
    vector = read_vector(path)
    plaintext = joined(vector, "plaintext") if "plaintext" in vector else None
    assert opened(vector) == (vector["expect"][0], plaintext)


@pytest.mark.parametrize("path", successes(), ids=lambda path: path.stem)
def test_vector_has_expected_intermediate_values(path):
    """Key id, AEAD key, prefix key and associated data are what the file names."""
    vector = read_vector(path)
    data_key = bytes.fromhex(vector["data-key"][0])
    stored = joined(vector, "envelope")
    start = reader.head_size(stored)
    key = reader.derive_aead_key(data_key)
    context = [json.loads(value) for value in vector["context"]]
    assert reader.derive_key_id(data_key) == joined(vector, "key-id") == stored[4:12]
    assert key == joined(vector, "aead-key")
    prefix_key = reader.derive_prefix_key(key, stored[start : start + 12])
    assert prefix_key == joined(vector, "prefix-key")
    assert reader.associated_data(stored, context) == joined(vector, "aad")


@pytest.mark.parametrize("path", successes(), ids=lambda path: path.stem)
def test_both_forms_of_a_vector_open(path):
    """A value that opens does so in its binary form and in its text form."""
    vector = read_vector(path)
    text = text_form(joined(vector, "envelope"))
    if "text" in vector:
        assert json.loads(vector["text"][0]) == text
    binary = {key: value for key, value in vector.items() if key != "text"}
    assert opened(binary) == opened(binary | {"text": [json.dumps(text)]})


@pytest.mark.parametrize("path", sorted(MATCHES.glob("*.txt")), ids=lambda path: path.stem)
def test_match_tokens_of_a_vector(path):
    """Marked text, tokens of the grams and tokens of the value follow from the text."""
    vector = read_vector(path)
    index = [json.loads(part) for part in vector["context"]]
    n, bits, f = (int(vector[key][0]) for key in ("gram-size", "token-bits", "block"))
    matcher = reader.Matcher(joined(vector, "index-key"), index, n, bits)
    text = json.loads(vector["value"][0])
    marked = reader.marked_text(text)
    assert b"".join(marked) == joined(vector, "marked-text")
    assert b"".join(matcher.gram_tokens(marked)) == joined(vector, "gram-tokens")
    assert b"".join(matcher.value_tokens(text, f)) == joined(vector, "tokens")


@with_fixtures
@given(text=texts, material=st.binary(min_size=32, max_size=32), label=labels, options=options)
def test_reader_and_match_index_make_the_same_tokens(text, material, label, options):
    """Whatever the text, the library stores the tokens that the specification says."""
    n, bits, f = options
    match = MatchIndex(n=n, bits=bits, block=f)
    tokens = reader.Matcher(material, [label, "match"], n, bits).value_tokens(text, f)
    count = len(tokens).to_bytes(3, "big")
    assert match.block_function(label, material)(text) == count + b"".join(tokens)


@with_fixtures
@given(plaintext=plaintexts, pad=pads, tokens=blocks)
def test_reader_opens_what_is_sealed_with_tokens(sealer, provider, plaintext, pad, tokens):
    """What is sealed with a token block, padded or not, opens in the reader, in both forms."""
    stored = sealed_with_tokens(sealer, plaintext, pad, tokens)
    data_keys = [material_of(sealer, provider)]
    assert stored[3] == (0x30 if pad is None else 0x40)
    assert reader.open_binary(stored, data_keys, ["a"]) == plaintext
    assert reader.open_text(text_form(stored), data_keys, ["a"]) == plaintext


@with_fixtures
@given(plaintext=plaintexts, label=labels, pad=pads)
def test_reader_opens_what_the_sealer_seals(sealer, provider, plaintext, label, pad):
    """What is sealed with a label, padded or not, opens in the reader, in both forms."""
    stored = sealer.seal(plaintext, label, pad=pad)
    data_keys = [material_of(sealer, provider)]
    assert stored[3] == (0x10 if pad is None else 0x20)
    assert reader.open_binary(stored, data_keys, [label]) == plaintext
    assert reader.open_text(text_form(stored), data_keys, [label]) == plaintext


@with_fixtures
@given(plaintext=plaintexts, context=contexts, pad=pads)
def test_reader_opens_what_is_sealed_with_a_scope(sealer, provider, plaintext, context, pad):
    """What is sealed with scope parts opens in the reader with the same parts."""
    label, scope = context
    stored = sealer.seal(plaintext, Context(label, tuple(scope)), pad=pad)
    data_keys = [material_of(sealer, provider)]
    assert reader.open_binary(stored, data_keys, [label, *scope]) == plaintext


@with_fixtures
@given(plaintext=plaintexts, label=labels, other=labels)
def test_reader_refuses_another_label(sealer, provider, plaintext, label, other):
    """What is sealed with one label does not open with another one."""
    stored = sealer.seal(plaintext, label)
    if other == label:
        other += "2"
    with pytest.raises(reader.NotOpened) as caught:
        reader.open_binary(stored, [material_of(sealer, provider)], [other])
    assert caught.value.code == reader.AUTHENTICATION


@with_fixtures
@given(plaintext=plaintexts, pad=pads, tokens=st.none() | blocks, data=st.data())
def test_reader_and_sealer_refuse_a_changed_bit(sealer, provider, plaintext, pad, tokens, data):  # noqa: PLR0917
    """With one bit changed anywhere, reader and library refuse a value with the same code."""
    if tokens is None:
        changed = bytearray(sealer.seal(plaintext, "a", pad=pad))
    else:
        changed = bytearray(sealed_with_tokens(sealer, plaintext, pad, tokens))
    position = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(reader.NotOpened) as caught:
        reader.open_binary(bytes(changed), [material_of(sealer, provider)], ["a"])
    with pytest.raises(SealedError) as refused:
        sealer.open(bytes(changed), "a")
    assert refused.value.code == caught.value.code


def test_reader_without_the_key(sealer, provider):
    """A value whose key the reader never had is told from one whose key was destroyed."""
    stored = sealer.seal(b"value", "a")
    key_id = reader.derive_key_id(material_of(sealer, provider))
    with pytest.raises(reader.NotOpened, match=reader.UNKNOWN_KEY):
        reader.open_binary(stored, [bytes(32)], ["a"])
    with pytest.raises(reader.NotOpened, match=reader.DESTROYED_KEY):
        reader.open_binary(stored, [], ["a"], destroyed={key_id})


@pytest.mark.parametrize("context", [[], [""], ["", "a"], ["a", "b" * 65_536]], ids=len)
def test_reader_refuses_what_is_no_context(context):
    """A context has a label, and no part of more than 65,535 bytes."""
    with pytest.raises(ValueError, match=r"a context|a part"):
        reader.pack_context(context)
