"""The scenarios in which an envelope with a token block does not open, one way each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vectors.builders import LONGER, TOKENS, fails, seal
from vectors.layout import Fields, Vector, flip

from sqlalchemy_sealed.padding import pad


def token_failures() -> Iterator[Vector]:
    """Return every vector about token blocks that expects a failure."""
    yield from _bad_token_blocks()
    yield from _tokens_changed()


def _bad_token_blocks() -> Iterator[Vector]:
    def bad_block(name: str, comment: str, *pieces: bytes) -> Vector:
        return fails(name, "not-an-envelope", comment, *pieces)

    orders = {
        "tokens_not_sorted": (TOKENS[::-1], "Falling order, though it would authenticate."),
        "tokens_last_two_swapped": ((*TOKENS[:-2], TOKENS[-1], TOKENS[-2]), "At the end only."),
        "token_twice": ((*TOKENS[:1], *TOKENS), "The first token stands twice."),
        "token_twice_at_the_end": ((*TOKENS, TOKENS[-1]), "The last token stands twice."),
        "tokens_equal_zero": ((bytes(3), bytes(3)), "No token but zero, and that twice."),
    }
    for name, (tokens, comment) in orders.items():
        yield bad_block(name, comment, *seal(name, suite=3, tokens=tokens).pieces)
    name = "token_count_too_large"
    fields = replace(seal(name, suite=3, tokens=()), token_count=1 << 16)
    yield bad_block(
        name, "65,536, one more than there may be, of which none is there.", *fields.pieces
    )
    name = "token_count_first_byte"
    fields = replace(seal(name, suite=3, tokens=TOKENS), token_count=len(TOKENS) | 1 << 16)
    yield bad_block(name, "The first byte of the count is not zero.", *fields.pieces)
    name = "token_count_beyond_the_bytes"
    fields = replace(seal(name, suite=3, tokens=TOKENS), token_count=0xFFFF)
    yield bad_block(name, "The count promises more than there is.", *fields.pieces)
    name = "token_count_one_beyond_the_bytes"
    fields = replace(seal(name, b"", suite=3, tokens=TOKENS), token_count=len(TOKENS) + 1)
    yield bad_block(name, "Three bytes are missing, and there is no ciphertext.", *fields.pieces)
    for where, size, slots in (("count", 29, ()), ("tokens", 40, ()), ("nonce", 42, ("slot",))):
        name = f"truncated_in_{where}_of_suite_3"
        fields = seal(name, suite=3, slots=(bytes(15),) * len(slots), tokens=TOKENS)
        yield bad_block(name, f"{size} bytes are left.", *fields.cut(size))
    name = "truncated_after_count_of_suite_3"
    yield bad_block(
        name,
        "54 bytes: enough for suite 1, one too few for a token count.",
        *seal(name, b"", suite=3, slots=(), tokens=()).cut(54),
    )
    name = "suite_3_without_token_block"
    nonce = b"\x00\x00\x09" + bytes(21)
    yield bad_block(
        name,
        "Suite 1 named 3: the nonce begins like a count, and the bytes after it do not rise.",
        *replace(seal(name, LONGER * 3, nonce=nonce), suite=3).pieces,
    )


def _tokens_changed() -> Iterator[Vector]:
    def changed(name: str, comment: str, fields: Fields) -> Vector:
        return fails(name, "authentication", comment, *fields.pieces)

    def sealed(name: str, suite: int = 3) -> Fields:
        return seal(name, pad(LONGER, 32), suite=suite, tokens=TOKENS)

    for where, at in (("first", 0), ("last", -1)):
        name = f"token_{where}_flipped"
        fields = sealed(name)
        tokens = list(fields.tokens)
        tokens[at] = flip(tokens[at], 2, 0x01)
        yield changed(
            name, "Still in rising order; tokens are authenticated.", with_tokens(fields, tokens)
        )
    name = "token_removed"
    fields = sealed(name)
    yield changed(name, "The count fits the tokens.", with_tokens(fields, fields.tokens[1:]))
    name = "token_added"
    fields = sealed(name)
    tokens = [*fields.tokens, b"\xff\xff\xff"]
    yield changed(name, "The count fits the tokens.", with_tokens(fields, tokens))
    name = "token_of_another_value"
    fields = sealed(name)
    yield changed(
        name, "The block of another value.", with_tokens(fields, [b"\x01\x02\x03", b"\x01\x02\x04"])
    )
    name = "token_count_one_less"
    yield changed(
        name,
        "A token is taken for nonce.",
        replace(sealed(name), token_count=len(TOKENS) - 1),
    )
    name = "token_count_zero"
    yield changed(name, "All tokens are taken for nonce.", replace(sealed(name), token_count=0))
    name = "token_count_one_more"
    nonce = b"\xff\xff\xff" + bytes(21)
    fields = seal(name, suite=3, tokens=TOKENS, nonce=nonce)
    yield changed(
        name,
        "The nonce begins like the greatest token, so it is taken for one.",
        replace(fields, token_count=len(TOKENS) + 1),
    )
    for suite, other, comment in (
        (3, 1, "The token block is taken for nonce."),
        (4, 2, "The token block is taken for nonce."),
        (3, 4, "The plaintext even has padding; the suite is authenticated."),
        (4, 3, "The padding would be taken for plaintext; the suite is authenticated."),
    ):
        name = f"suite_{suite}_changed_to_{other}"
        yield changed(name, comment, replace(sealed(name, suite), suite=other))
    nonce = bytes(3) + bytes(range(1, 22))
    for suite, other in ((1, 3), (2, 4)):
        name = f"suite_{suite}_changed_to_{other}"
        fields = replace(seal(name, pad(LONGER, 32), suite=suite, nonce=nonce), suite=other)
        yield changed(
            name, "The nonce begins like a count of zero; the suite is authenticated.", fields
        )


def with_tokens(fields: Fields, tokens: Sequence[bytes]) -> Fields:
    """Return the fields with other tokens, and their count."""
    return replace(fields, tokens=tuple(tokens), token_count=len(tokens))
