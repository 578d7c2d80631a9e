"""The stored bytes: layout, sizes, positions for SQL, and the refusal of everything else."""

from __future__ import annotations

import pytest

from sqlalchemy_sealed.envelope import (
    MAGIC,
    MAX_SLOTS,
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


def envelope(slots: int = 0, suite: int = 1, sealed: bytes = SEALED) -> Envelope:
    """Return an envelope with bytes that can be recognised in every field."""
    return Envelope(suite, KEY_ID, tuple(slot(i) for i in range(slots)), NONCE, sealed)


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
    """52 bytes, and 15 for each slot."""
    assert [overhead(), overhead(1), overhead(15)] == [52, 67, 277]


@pytest.mark.parametrize("slots", [0, 1, 2, MAX_SLOTS])
def test_positions_that_sql_uses(slots: int) -> None:
    """Label and slots stand where SQL cuts them out, in bytes and in the text form."""
    data = bytes(envelope(slots))
    text = to_text(data)
    label = header(1, slots, KEY_ID)[3:]

    def substr(column, start: int, length: int):
        return column[start - 1 : start - 1 + length]

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
    """Of all 256 values only suites 1 and 2 are read, and only with all bytes of their slots."""
    suite, slots = byte >> 4, byte & 15
    data = MAGIC + bytes((byte,)) + KEY_ID + bytes(15 * slots + 24 + 16)
    if suite in (1, 2):
        assert parse(data).suite == suite
        assert len(parse(data).slots) == slots
        with pytest.raises(NotAnEnvelopeError, match="cut off"):
            parse(data[:-1])
    else:
        with pytest.raises(NotAnEnvelopeError, match=f"suite {suite}, .* newer version"):
            parse(data)


@pytest.mark.parametrize("slots", [0, 2])
def test_every_truncation_below_the_least_is_refused(slots: int) -> None:
    """However short it is, it is refused, and a text column of that length, too."""
    data = bytes(envelope(slots, sealed=SEALED[-16:]))
    for size in range(len(data)):
        with pytest.raises(NotAnEnvelopeError):
            parse(data[:size])


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
