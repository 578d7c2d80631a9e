"""The stored bytes: layout, sizes, positions for SQL, and the refusal of everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sqlalchemy_sealed.envelope import (
    MAGIC,
    MAX_SLOTS,
    MAX_TOKENS,
    SLOT_SIZE,
    Envelope,
    from_text,
    header,
    overhead,
    parse,
    to_text,
)
from sqlalchemy_sealed.errors import NotAnEnvelopeError

KEY_ID = bytes(range(0xE0, 0xE8))
NONCE = bytes(range(0xA0, 0xB8))
SEALED = b"ciphertext" + bytes(range(16))
TOKENS = (b"\0\0\0", b"\0\xff\0", b"\xff\xff\xff")


def envelope(slots: int = 0, suite: int = 1, sealed: bytes = SEALED) -> Envelope:
    """Return an envelope with bytes that can be recognised in every field."""
    return Envelope(suite, KEY_ID, tuple(slot(i) for i in range(slots)), NONCE, sealed)


def substr(column, start: int, length: int):
    """Return what SQL cuts out."""
    return column[start - 1 : start - 1 + length]


def slot(number: int) -> bytes:
    """Return 15 bytes that can be recognised."""
    return bytes((number,)) * SLOT_SIZE


def test_layout() -> None:
    """The fields stand in their order, without anything between them."""
    assert bytes(envelope(2)) == (
        b"\xb1\xe6\xa5" + b"\x12" + KEY_ID + slot(0) + slot(1) + NONCE + SEALED
    )
    assert envelope(2).head == bytes(envelope(2))[:42]


@pytest.mark.parametrize("slots", range(MAX_SLOTS + 1))
@pytest.mark.parametrize("suite", [1, 2])
def test_parse_gives_back_every_field(slots: int, suite: int) -> None:
    """Any slot count and both suites are read back, down to an empty ciphertext."""
    for sealed in (SEALED, SEALED[-16:]):
        written = envelope(slots, suite, sealed)
        assert parse(bytes(written)) == written
        assert len(bytes(written)) == overhead(slots) + len(sealed) - 16


def test_overhead() -> None:
    """52 bytes, 15 for each slot, and for a token block 3 and 3 for each token."""
    assert [overhead(), overhead(1), overhead(15)] == [52, 67, 277]
    assert [overhead(0, 0), overhead(0, 8), overhead(15, 8)] == [55, 79, 304]


@pytest.mark.parametrize("slots", [0, 1, 2, MAX_SLOTS])
def test_positions_that_sql_uses(slots: int) -> None:
    """Label and slots stand where SQL cuts them out, in bytes and in the text form."""
    data = bytes(envelope(slots))
    text = to_text(data)
    label = header(1, slots, KEY_ID)[3:]
    assert substr(data, 4, 9) == label
    assert substr(text, 5, 12) == to_text(label)
    for i in range(slots):
        assert substr(data, 13 + 15 * i, 15) == slot(i)
        assert substr(text, 17 + 20 * i, 20) == to_text(slot(i))


def test_text_form_begins_with_its_name() -> None:
    """The magic reads "seal" in base64url, so that a text column shows what it holds."""
    assert to_text(MAGIC) == "seal"
    assert to_text(bytes(envelope())).startswith("sealE")


@pytest.mark.parametrize("byte", range(256))
def test_suite_and_slot_count_byte(byte: int) -> None:
    """Of all 256 values only suites 1 to 4 are read, and only with all bytes of their slots."""
    suite, slots = byte >> 4, byte & 15
    count = 3 if suite in (3, 4) else 0
    data = MAGIC + bytes((byte,)) + KEY_ID + bytes(15 * slots + count + 24 + 16)
    if suite in (1, 2, 3, 4):
        assert parse(data).suite == suite
        assert len(parse(data).slots) == slots
        with pytest.raises(NotAnEnvelopeError, match="cut off"):
            parse(data[:-1])
    else:
        with pytest.raises(NotAnEnvelopeError, match=f"suite {suite}, .* newer version"):
            parse(data)


@pytest.mark.parametrize("count", [0, 1, 8, 256, MAX_TOKENS])
@pytest.mark.parametrize("suite", [3, 4])
@pytest.mark.parametrize("slots", [0, 2])
def test_parse_gives_back_every_token(slots: int, suite: int, count: int) -> None:
    """A token block is read back, of no token and of as many as there can be."""
    tokens = tuple(number.to_bytes(3, "big") for number in range(count))
    written = replace(envelope(slots, suite), tokens=tokens)
    assert parse(bytes(written)) == written
    assert written.head == bytes(written)[: 12 + 15 * slots + 3 + 3 * count]
    assert len(bytes(written)) == overhead(slots, count) + len(SEALED) - 16


def test_a_token_more_than_there_can_be_is_refused() -> None:
    """65,536 tokens are refused, though all of them are there and in order."""
    tokens = tuple(number.to_bytes(3, "big") for number in range(MAX_TOKENS + 1))
    with pytest.raises(NotAnEnvelopeError, match="65536 tokens, an envelope has at most 65535"):
        parse(bytes(replace(envelope(suite=3), tokens=tokens)))


@pytest.mark.parametrize(
    "tokens", [b"bbbaaa", b"aaaaaa", b"aaabbbbbb", b"\x01\0\0\0\xff\xff", b"\0\0\0\0\0\0"]
)
def test_tokens_that_do_not_rise_are_refused(tokens: bytes) -> None:
    """A set of tokens has one form: no token twice, and no other order."""
    cut = tuple(tokens[at : at + 3] for at in range(0, len(tokens), 3))
    with pytest.raises(NotAnEnvelopeError, match="not in rising order"):
        parse(bytes(replace(envelope(1, 3), tokens=cut)))


@pytest.mark.parametrize("slots", [0, 1, MAX_SLOTS])
def test_positions_of_tokens_that_sql_uses(slots: int) -> None:
    """Count and tokens stand where SQL cuts them out, in bytes and in the text form."""
    data = bytes(replace(envelope(slots, 3), tokens=TOKENS))
    text = to_text(data)
    assert substr(data, 13 + 15 * slots, 3) == b"\0\0\x03"
    assert substr(text, 17 + 20 * slots, 4) == to_text(b"\0\0\x03") == "AAAD"
    for i, token in enumerate(TOKENS):
        assert substr(data, 16 + 15 * slots + 3 * i, 3) == token
        assert substr(text, 21 + 20 * slots + 4 * i, 4) == to_text(token)


@pytest.mark.parametrize("slots", [0, 2])
def test_every_truncation_below_the_least_is_refused(slots: int) -> None:
    """However short it is, it is refused, and a text column of that length, too."""
    data = bytes(envelope(slots, sealed=SEALED[-16:]))
    with_tokens = bytes(replace(envelope(slots, 3, SEALED[-16:]), tokens=TOKENS))
    for whole in (data, with_tokens):
        for size in range(len(whole)):
            with pytest.raises(NotAnEnvelopeError):
                parse(whole[:size])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "magic bytes b1 e6 a5"),
        (b"ada@example.org", "plaintext or foreign data"),
        (b"\xb1\xe6", "magic"),
        (b"\xb1\xe6\xa5", "3 bytes, an envelope has at least 52.*column that is too narrow"),
        (bytes(envelope(2))[:81], "with 2 index slots an envelope has at least 82.*too narrow"),
    ],
)
def test_refusals_say_what_to_look_for(data: bytes, words: str) -> None:
    """The message names the likely cause."""
    with pytest.raises(NotAnEnvelopeError, match=words):
        parse(data)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"\xfb\xff\xfe", bytes(envelope(1))])
def test_text_form_and_back(data: bytes) -> None:
    """Every length modulo 3 comes back, and no padding is written."""
    text = to_text(data)
    assert from_text(text) == data
    assert len(text) == -(-len(data) * 4 // 3)


@pytest.mark.parametrize(
    "text",
    ["YQ==", "YWI=", "YWJj====", "YR", "YWJ", "Y", "+/8=", "+_-_", " YWJj", "YWJj\n", "YW Jj",
     "YWJj\0", "YWJ\xe9", "\ud800YWJ", "YQ=YQ", "!!!!", "ada@example.org"],
)  # fmt: skip
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    """Padding, the other alphabet, white space, unused bits that are set: nothing is lenient."""
    with pytest.raises(NotAnEnvelopeError, match="not canonical base64url") as caught:
        from_text(text)
    assert repr(text)[1:-1] not in str(caught.value)
    assert caught.value.__context__ is None


def test_repr_shows_sizes_and_key_id_only() -> None:
    """No ciphertext, nonce or slot in a repr; the key id is public."""
    assert repr(envelope(2)) == (
        "<Envelope suite=1 key=e0e1e2e3e4e5e6e7 slots=2 plaintext=10 bytes>"
    )
    assert repr(replace(envelope(suite=3), tokens=TOKENS)) == (
        "<Envelope suite=3 key=e0e1e2e3e4e5e6e7 slots=0 tokens=3 plaintext=10 bytes>"
    )
