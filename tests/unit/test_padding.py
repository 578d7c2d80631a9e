"""Padding: what it adds, what it hides, and that only padding of this form is removed."""

from __future__ import annotations

import pytest

from sqlalchemy_sealed import Sealer
from sqlalchemy_sealed.envelope import SUITE_PADDED, SUITE_PLAIN, overhead, parse
from sqlalchemy_sealed.errors import DecodingError, OptionError
from sqlalchemy_sealed.padding import MAX_BLOCK, is_block, pad, unpad


@pytest.mark.parametrize(
    ("data", "block", "padded"),
    [
        (b"", 2, b"\x80\x00"),
        (b"", 4, b"\x80\x00\x00\x00"),
        (b"a", 2, b"a\x80"),
        (b"abc", 4, b"abc\x80"),
        (b"abcd", 4, b"abcd\x80\x00\x00\x00"),
        (b"a\x80", 4, b"a\x80\x80\x00"),
        (b"a\x80\x00", 4, b"a\x80\x00\x80"),
        (b"\x00", 3, b"\x00\x80\x00"),
    ],
)
def test_padding_and_back(data: bytes, block: int, padded: bytes) -> None:
    """80, then zeros to a multiple of the block; data that looks like padding comes back."""
    assert pad(data, block) == padded
    assert unpad(padded) == data


@pytest.mark.parametrize("block", [2, 3, 16, 255, MAX_BLOCK])
def test_lengths_of_one_block_look_the_same(block: int) -> None:
    """All data shorter than a block fills one, and data of a whole block needs a second."""
    lengths = [0, 1, block - 1]
    assert {len(pad(bytes(length), block)) for length in lengths} == {block}
    assert len(pad(bytes(block), block)) == 2 * block


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", bytes(16), b"ada", b"ada\x81\x00", b"ada\x80\x01", b"\x80\x00\x7f", b"\x03" * 3],
)
def test_what_has_no_padding_is_refused(data: bytes) -> None:
    """Without 80 before the zeros at the end it is not what suite 2 seals."""
    with pytest.raises(DecodingError, match="no ISO 7816-4 padding"):
        unpad(data)


def test_removing_needs_no_block_size() -> None:
    """Padding of any number of zeros is removed: the block is not stored and may change."""
    assert {unpad(b"ada\x80" + bytes(zeros)) for zeros in range(64)} == {b"ada"}


@pytest.mark.parametrize("block", [2, 16, MAX_BLOCK])
def test_possible_blocks(block: int) -> None:
    """A block has 2 to 65,536 bytes."""
    assert is_block(block)


@pytest.mark.parametrize("block", [-16, 0, 1, MAX_BLOCK + 1, True, 16.0, "16", None])
def test_impossible_blocks(block: object) -> None:
    """Anything but a whole number in the range is no block; True is not 1."""
    assert not is_block(block)


@pytest.mark.parametrize("block", [0, 1, -1, MAX_BLOCK + 1, True, 16.0])
def test_sealer_refuses_impossible_blocks(block: int, sealer: Sealer) -> None:
    """A wrong block is an error when the sealing function is made, before any value."""
    with pytest.raises(OptionError, match="2 to 65536"):
        sealer.seal(b"x", "patients.email", pad=block)


def test_sealed_lengths_show_blocks_only(sealer: Sealer) -> None:
    """Values of different lengths have equal envelopes sizes with padding, and not without."""
    words = [b"clear", b"fail", b"consider"]
    padded = [sealer.seal(word, "exams.result", pad=16) for word in words]
    assert {len(data) for data in padded} == {overhead() + 16}
    assert {parse(data).suite for data in padded} == {SUITE_PADDED}
    assert [sealer.open(data, "exams.result") for data in padded] == words
    plain = [sealer.seal(word, "exams.result") for word in words]
    assert [len(data) - overhead() for data in plain] == [5, 4, 8]
    assert {parse(data).suite for data in plain} == {SUITE_PLAIN}


def test_block_may_change_between_values(sealer: Sealer) -> None:
    """One reader opens values of every block and of none."""
    opening = sealer.open
    sealed = [sealer.seal(b"ada", "patients.name", pad=block) for block in (None, 2, 7, 1024)]
    assert {opening(data, "patients.name") for data in sealed} == {b"ada"}
