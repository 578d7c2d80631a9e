"""Envelopes over all values: one form each, and back without a loss."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from property.strategies import contexts, damaged, envelopes, parts, texts, token_sets, untimed
from vectors.sealers import sealer_with

from sqlalchemy_sealed import Context, Sealer
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.envelope import (
    SUITE_PADDED,
    SUITE_PADDED_TOKENS,
    SUITE_PLAIN,
    SUITE_PLAIN_TOKENS,
    Envelope,
    from_text,
    overhead,
    parse,
    to_text,
    token_block,
)
from sqlalchemy_sealed.errors import AuthenticationError, DecodingError, NotAnEnvelopeError
from sqlalchemy_sealed.padding import MAX_BLOCK, pad, unpad

blocks = st.integers(2, MAX_BLOCK) | st.integers(2, 64)


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    """Return a sealer with two data keys and an index key."""
    return sealer_with([bytes(range(32)), bytes(range(32, 64))], index_key=bytes(32))


@untimed
@given(envelopes)
def test_parse_is_the_reverse_of_writing(envelope: Envelope) -> None:
    """Every envelope is read back field by field."""
    assert parse(bytes(envelope)) == envelope


@untimed
@given(damaged | st.binary(max_size=400))
def test_what_parses_is_written_the_same_way(data: bytes) -> None:
    """Whatever the parser takes, the writer would write: there is no second form."""
    try:
        envelope = parse(data)
    except NotAnEnvelopeError:
        return
    assert bytes(envelope) == data


@untimed
@given(st.binary())
def test_text_form_and_back(data: bytes) -> None:
    """All bytes come back from their text form."""
    assert from_text(to_text(data)) == data


@untimed
@given(st.text("AQgw-_+/= \n\0", max_size=12) | texts)
@example("QQ")
@example("QR")
def test_text_that_decodes_is_written_the_same_way(text: str) -> None:
    """Whatever text is taken, the writer would write: there is no second text."""
    try:
        data = from_text(text)
    except NotAnEnvelopeError:
        return
    assert to_text(data) == text


def unpack(packed: bytes) -> list[str]:
    """Return the parts of context bytes."""
    unpacked = []
    while packed:
        end = 2 + int.from_bytes(packed[:2], "big")
        unpacked.append(packed[2:end].decode())
        packed = packed[end:]
    return unpacked


@untimed
@given(parts | st.lists(texts))
def test_packing_can_be_undone(unpacked: list[str]) -> None:
    """The parts can be read back from the bytes, so no two lists of parts have the same."""
    assert unpack(pack(unpacked)) == unpacked


@untimed
@given(parts, parts)
def test_packing_tells_all_parts_apart(one: list[str], other: list[str]) -> None:
    """Two lists of parts have equal bytes only if they are equal."""
    assert (pack(one) == pack(other)) is (one == other)


@untimed
@given(st.binary(), blocks)
@example(b"\x80", 2)
@example(b"\x80\x00\x00", 4)
def test_padding_and_back(data: bytes, block: int) -> None:
    """Padded data fills whole blocks, grows by one block at most, and comes back."""
    padded = pad(data, block)
    assert len(padded) % block == 0
    assert 1 <= len(padded) - len(data) <= block
    assert unpad(padded) == data


@untimed
@given(st.binary() | st.lists(st.sampled_from([b"\x80", b"\x00", b"a"])).map(b"".join))
def test_what_is_unpadded_was_padded(data: bytes) -> None:
    """What is taken for padding is 80 and zeros, and nothing else is removed."""
    try:
        unpadded = unpad(data)
    except DecodingError:
        return
    assert data == unpadded + b"\x80" + bytes(len(data) - len(unpadded) - 1)


@untimed
@given(data=st.binary(), context=contexts, block=st.none() | blocks)
def test_sealed_values_open(
    sealer: Sealer, data: bytes, context: Context, block: int | None
) -> None:
    """Every plaintext opens in its context, in either suite, at the length that is promised."""
    sealed = sealer.seal(data, context, pad=block)
    assert sealer.open(sealed, context) == data
    assert parse(sealed).suite == (SUITE_PLAIN if block is None else SUITE_PADDED)
    expected = data if block is None else pad(data, block)
    assert len(sealed) == overhead() + len(expected)


@untimed
@given(data=st.binary(), context=contexts, block=st.none() | blocks, tokens=token_sets)
def test_sealed_values_open_with_their_tokens(
    sealer: Sealer, data: bytes, context: Context, block: int | None, tokens: set[bytes]
) -> None:
    """Whatever tokens stand beside a value, it opens and they are read back, in either suite."""
    written = tuple(sorted(tokens))
    seal = sealer.sealing_indexed(
        context, 0, lambda _, __: lambda _: token_block(written), tokens=True, pad=block
    )
    sealed = seal(data, None)
    assert sealer.open(sealed, context) == data
    assert parse(sealed).tokens == written
    assert parse(sealed).suite == (SUITE_PLAIN_TOKENS if block is None else SUITE_PADDED_TOKENS)


@untimed
@given(data=st.binary(), context=contexts, other=contexts)
def test_sealed_values_open_in_their_context_only(
    sealer: Sealer, data: bytes, context: Context, other: Context
) -> None:
    """No other context opens a value, and the error says where, not what."""
    assume(context != other)
    with pytest.raises(AuthenticationError) as caught:
        sealer.open(sealer.seal(data, context), other)
    assert caught.value.where == other.label
