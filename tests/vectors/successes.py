"""The scenarios in which an envelope opens."""

from __future__ import annotations

from collections.abc import Iterator

from vectors.builders import FIRST_KEY, LABEL, SECOND_KEY, SLOTS, TOKENS, opens
from vectors.layout import Vector


def successes() -> Iterator[Vector]:
    """Return every vector that expects success."""
    yield from _plaintexts()
    yield from _contexts_and_keys()
    yield from _padded()
    yield from _with_tokens()
    yield from _text_forms()


def _plaintexts() -> Iterator[Vector]:
    yield opens(
        "example", "The worked example of the specification.", nonce=bytes(range(0xA0, 0xB8))
    )
    yield opens("plaintext_empty", "The empty plaintext is sealed like any other.", b"")
    yield opens("plaintext_one_byte", "One byte.", b"1")
    yield opens(
        "plaintext_unicode",
        "Text is UTF-8: one, two, three and four bytes a character, and a combining accent.",
        "a\N{LATIN SMALL LETTER E WITH ACUTE}\N{EURO SIGN}\N{OLD ITALIC LETTER A}e\u0301".encode(),
    )
    yield opens("plaintext_nul", "NUL is a character like any other.", b"\0a\0\0")
    yield opens(
        "plaintext_long",
        "More than 256 cipher blocks, so that the counter carries.",
        bytes(range(251)) * 20,
    )
    yield opens("slots_1", "One index slot, authenticated and not encrypted.", slots=SLOTS[:1])
    yield opens("slots_2", "Two index slots.", slots=SLOTS[:2])
    yield opens("slots_15", "As many index slots as there can be.", slots=SLOTS)
    yield opens("slots_15_plaintext_empty", "The header is all there is.", b"", slots=SLOTS)


def _contexts_and_keys() -> Iterator[Vector]:
    yield opens(
        "context_scope",
        "A context with two scope parts.",
        context=(*LABEL, "tenant:17", "subject:4711"),
    )
    yield opens(
        "context_unicode",
        "A part that is not ASCII: its length counts bytes, not characters.",
        context=(
            "\N{LATIN SMALL LETTER A WITH DIAERESIS}rzte.stra\N{LATIN SMALL LETTER SHARP S}e",
        ),
    )
    yield opens("context_scope_part_empty", "An empty scope part is a part.", context=(*LABEL, ""))
    yield opens(
        "context_part_300_bytes", "A length of more than one byte.", context=(*LABEL, "t" * 300)
    )
    yield opens(
        "key_second_of_two",
        "The reader has two data keys; the header names the one to use.",
        key=SECOND_KEY,
        others=(FIRST_KEY,),
    )


def _padded() -> Iterator[Vector]:
    yield opens("suite_2", "Padded to a multiple of 32 bytes.", block=32)
    yield opens("suite_2_plaintext_empty", "One whole block of padding.", b"", block=16)
    yield opens("suite_2_one_byte_of_padding", "One byte short of a block.", block=16)
    yield opens(
        "suite_2_whole_block_of_padding",
        "A full block gets one more.",
        b"0123456789abcdef",
        block=16,
    )
    yield opens(
        "suite_2_plaintext_ends_like_padding",
        "Only the last 80 and the zeros after it are padding.",
        b"a\x80\0\0",
        block=16,
    )
    yield opens("suite_2_block_7", "Any block from 2 to 65,536 bytes; it is not stored.", block=7)
    yield opens("suite_2_slots_2", "Padding and index slots together.", slots=SLOTS[:2], block=32)


def _with_tokens() -> Iterator[Vector]:
    yield opens("suite_3", "A token block, authenticated and not encrypted.", tokens=TOKENS)
    yield opens("suite_3_no_tokens", "A count of zero and nothing after it.", tokens=())
    yield opens("suite_3_one_token", "The token of three zero bytes.", tokens=(bytes(3),))
    yield opens("suite_3_plaintext_empty", "A token block and no ciphertext.", b"", tokens=TOKENS)
    yield opens("suite_3_slots_2", "Slots before tokens.", slots=SLOTS[:2], tokens=TOKENS)
    yield opens("suite_3_slots_15", "All slots, and tokens.", slots=SLOTS, tokens=TOKENS)
    yield opens(
        "suite_3_tokens_300",
        "A count of two bytes.",
        tokens=tuple((number * 7).to_bytes(3, "big") for number in range(300)),
    )
    yield opens(
        "suite_3_token_greatest",
        "The greatest token, after one that differs in its first byte only.",
        tokens=(b"\xfe\xff\xff", b"\xff\xff\xff"),
    )
    yield opens("suite_4", "Padding and a token block.", block=32, tokens=TOKENS)
    yield opens(
        "suite_4_slots_2",
        "Padding, slots and a token block.",
        slots=SLOTS[:2],
        block=32,
        tokens=TOKENS,
    )


def _text_forms() -> Iterator[Vector]:
    yield opens(
        "text_whole_groups", "A multiple of three bytes: no bits are left over.", b"ab", text=True
    )
    yield opens("text_two_bits_unused", "Two bits are left over.", b"a", text=True)
    yield opens("text_four_bits_unused", "Four bits are left over.", b"", text=True)
    yield opens(
        "text_slots_2",
        "With slots every field still begins at a group.",
        slots=SLOTS[:2],
        text=True,
    )
    yield opens("text_suite_2", "The text form of a padded value.", block=32, text=True)
    yield opens(
        "text_suite_3",
        "With tokens every field still begins at a group.",
        slots=SLOTS[:1],
        tokens=TOKENS,
        text=True,
    )
