"""The scenarios in which an envelope does not open, one way each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vectors.builders import (
    ABSENT_KEY,
    FIRST_KEY,
    LABEL,
    LONGER,
    PLAINTEXT,
    SECOND_KEY,
    TOKENS,
    fails,
    seal,
)
from vectors.layout import Fields, Vector

from sqlalchemy_sealed.envelope import to_text
from sqlalchemy_sealed.keys import key_id_of
from sqlalchemy_sealed.padding import pad


def failures() -> Iterator[Vector]:
    """Return every vector that expects a failure."""
    yield from _not_envelopes()
    yield from _cut_off()
    yield from _changed()
    yield from _other_contexts()
    yield from _other_keys()
    yield from _bad_padding()
    yield from _bad_texts()


def _not_envelopes() -> Iterator[Vector]:
    def not_envelope(name: str, comment: str, *pieces: bytes) -> Vector:
        return fails(name, "not-an-envelope", comment, *pieces)

    yield not_envelope("empty", "No bytes at all.", b"")
    yield not_envelope("plaintext_stored", "Plaintext was written past the type.", LONGER * 3)
    for at in range(3):
        name = f"magic_byte_{at + 1}_flipped"
        fields = seal(name).flipped("magic", at)
        yield not_envelope(name, "The magic is not b1 e6 a5.", *fields.pieces)
    name = "suite_0"
    yield not_envelope(name, "There is no suite 0.", *seal(name, suite=0).pieces)
    name = "suite_5"
    yield not_envelope(
        name,
        "A suite that this version does not define, though it would authenticate.",
        *seal(name, suite=5).pieces,
    )
    name = "suite_15"
    yield not_envelope(name, "The highest suite number.", *seal(name, suite=15).pieces)
    for bit in range(4):
        name = f"suite_bit_{bit}_flipped"
        fields = seal(name)
        pieces = replace(fields, suite=fields.suite ^ 1 << bit).pieces
        comment = "No bit of suite 1 can change: as suite 3, the count of tokens is too large."
        yield not_envelope(name, comment, *pieces)
    name = "slot_count_beyond_the_bytes"
    fields = replace(seal(name, PLAINTEXT, slots=()), count=2)
    yield not_envelope(
        name, "The header promises 30 bytes of slots, and 15 are left for them.", *fields.pieces
    )
    name = "suite_unknown_and_key_unknown"
    yield not_envelope(
        name,
        "The form is checked before the key is looked up.",
        *seal(name, suite=5, key=ABSENT_KEY).pieces,
    )


def _cut_off() -> Iterator[Vector]:
    at_boundaries = {
        "in_magic": 2,
        "after_magic": 3,
        "after_suite": 4,
        "in_key_id": 11,
        "after_key_id": 12,
        "after_slot_1": 27,
        "after_slot_2": 42,
        "in_nonce_prefix": 53,
        "after_nonce_prefix": 54,
        "in_nonce_tail": 65,
        "after_nonce": 66,
        "one_byte_below_the_least": 81,
    }
    for where, size in at_boundaries.items():
        name = f"truncated_{where}"
        yield fails(
            name,
            "not-an-envelope",
            f"{size} bytes are left of an envelope with two slots; 82 are the least.",
            *seal(name).cut(size),
        )
    name = "truncated_after_ciphertext_short"
    yield fails(
        name,
        "not-an-envelope",
        "The tag is missing, and the ciphertext is too short to be taken for one.",
        *seal(name, PLAINTEXT).pieces[:-1],
    )
    name = "truncated_in_tag_plaintext_empty"
    yield fails(
        name,
        "not-an-envelope",
        "Fifteen bytes of the tag, and no ciphertext before it.",
        *seal(name, b"").cut(81),
    )
    name = "truncated_and_key_unknown"
    yield fails(
        name,
        "not-an-envelope",
        "The form is checked before the key is looked up.",
        *seal(name, key=ABSENT_KEY).cut(66),
    )
    name = "truncated_after_ciphertext"
    yield fails(
        name,
        "authentication",
        "The tag is missing; the last 16 bytes of the ciphertext are taken for it.",
        *seal(name).pieces[:-1],
    )
    name = "truncated_in_tag"
    fields = seal(name)
    yield fails(
        name, "authentication", "The last byte is missing.", *fields.cut(len(bytes(fields)) - 1)
    )


def _changed() -> Iterator[Vector]:
    def changed(name: str, comment: str, fields: Fields, *after: bytes) -> Vector:
        return fails(name, "authentication", comment, *fields.pieces, *after)

    name = "suite_1_changed_to_2"
    padded = pad(LONGER, 32)
    yield changed(
        name,
        "The plaintext even has padding; the suite is authenticated.",
        replace(seal(name, padded), suite=2),
    )
    name = "suite_2_changed_to_1"
    yield changed(
        name,
        "The padding would be taken for plaintext; the suite is authenticated.",
        replace(seal(name, padded, suite=2), suite=1),
    )
    name = "slot_count_one_more"
    yield changed(
        name, "Enough bytes follow, so every field moves by 15.", replace(seal(name), count=3)
    )
    name = "slot_count_one_less"
    yield changed(name, "A slot is taken for nonce.", replace(seal(name), count=1))
    name = "slot_count_zero"
    yield changed(name, "Both slots are taken for nonce.", replace(seal(name), count=0))
    for number in (1, 2):
        name = f"slot_{number}_flipped"
        yield changed(name, "Slots are authenticated.", seal(name).with_slot_flipped(number))
    name = "slots_swapped"
    fields = seal(name)
    yield changed(name, "Slots have an order.", replace(fields, slots=fields.slots[::-1]))
    name = "slot_removed"
    fields = seal(name)
    yield changed(
        name, "The count fits the slots.", replace(fields, slots=fields.slots[:1], count=1)
    )
    flips = {
        "nonce_prefix_flipped": ("nonce", 0, "Another prefix, so another derived key."),
        "nonce_tail_flipped": ("nonce", 23, "The same derived key, another nonce."),
        "ciphertext_first_byte_flipped": ("ciphertext", 0, "The first bit of the value."),
        "ciphertext_last_byte_flipped": ("ciphertext", -1, "The last byte of the value."),
        "tag_first_byte_flipped": ("tag", 0, "The tag is compared from its first byte on."),
        "tag_last_byte_flipped": ("tag", -1, "The tag is compared to its last byte."),
    }
    for name, (part, at, comment) in flips.items():
        yield changed(name, comment, seal(name).flipped(part, at))
    name = "trailing_byte"
    yield changed(name, "One byte after the tag.", seal(name), b"\x01")
    name = "trailing_zero"
    yield changed(name, "As a column of fixed width might add.", seal(name), b"\0")


def _other_contexts() -> Iterator[Vector]:
    def elsewhere(
        name: str, comment: str, sealed: tuple[str, ...], read: tuple[str, ...]
    ) -> Vector:
        pieces = seal(name, context=sealed).pieces
        return fails(name, "authentication", comment, *pieces, context=read)

    tenant = (*LABEL, "tenant:17")
    yield elsewhere(
        "context_of_another_column", "Moved from another column.", ("patients.phone",), LABEL
    )
    yield elsewhere(
        "context_of_another_case", "Labels are compared byte by byte.", LABEL, ("Patients.email",)
    )
    yield elsewhere("context_scope_missing", "Sealed with a scope part.", tenant, LABEL)
    yield elsewhere("context_scope_added", "Sealed without a scope part.", LABEL, tenant)
    yield elsewhere(
        "context_scope_of_another_tenant", "Another tenant.", tenant, (*LABEL, "tenant:18")
    )
    yield elsewhere(
        "context_scope_part_empty_added", "No part is not an empty part.", LABEL, (*LABEL, "")
    )
    yield elsewhere(
        "context_parts_divided_elsewhere",
        "The same letters; the lengths of the parts tell them apart.",
        ("ab", "c"),
        ("a", "bc"),
    )
    yield elsewhere("context_parts_joined", "Two parts are not one.", ("ab", "c"), ("abc",))
    yield elsewhere(
        "context_parts_in_another_order",
        "Parts have an order.",
        (*LABEL, "a", "b"),
        (*LABEL, "b", "a"),
    )
    yield elsewhere(
        "context_not_normalised",
        "A letter with its accent, and letter and accent: no normal form is applied.",
        ("\N{LATIN SMALL LETTER E WITH ACUTE}",),
        ("e\u0301",),
    )


def _other_keys() -> Iterator[Vector]:
    both = (FIRST_KEY, SECOND_KEY)
    name = "key_unknown"
    yield fails(
        name,
        "unknown-key",
        "The header names a key that the reader does not have.",
        *seal(name, key=ABSENT_KEY).pieces,
    )
    for where, at in (("first", 0), ("last", -1)):
        name = f"key_id_{where}_byte_flipped"
        yield fails(
            name,
            "unknown-key",
            "The reader has the right key, but must not try keys that are not named.",
            *seal(name).flipped("key_id", at).pieces,
        )
    name = "key_destroyed"
    yield fails(
        name,
        "destroyed-key",
        "The reader knows that the key existed and was destroyed.",
        *seal(name, key=SECOND_KEY).pieces,
        destroyed=(SECOND_KEY,),
    )
    name = "key_destroyed_and_tag_flipped"
    yield fails(
        name,
        "destroyed-key",
        "Without the key nobody can tell that the value was changed, too.",
        *seal(name, key=SECOND_KEY).flipped("tag").pieces,
        destroyed=(SECOND_KEY,),
    )
    name = "key_disabled"
    yield fails(
        name,
        "disabled-key",
        "The reader has the right key and must not use it for now.",
        *seal(name, key=SECOND_KEY).pieces,
        keys=both,
        disabled=(SECOND_KEY,),
    )
    name = "key_disabled_and_tag_flipped"
    yield fails(
        name,
        "disabled-key",
        "The key is not used, so nobody is told that the value was changed, too.",
        *seal(name, key=SECOND_KEY).flipped("tag").pieces,
        keys=both,
        disabled=(SECOND_KEY,),
    )
    name = "key_id_of_another_key"
    yield fails(
        name,
        "authentication",
        "The reader has both keys; the header was changed to name the other one.",
        *replace(seal(name), key_id=key_id_of(SECOND_KEY)).pieces,
        keys=both,
    )
    name = "key_wrong"
    yield fails(
        name,
        "authentication",
        "Sealed under a second key with the id of the first one in the header.",
        *seal(name, key=SECOND_KEY, named=key_id_of(FIRST_KEY)).pieces,
        keys=both,
    )


def _bad_padding() -> Iterator[Vector]:
    plaintexts = {
        "suite_2_plaintext_missing": (b"", "No bytes, so no padding."),
        "suite_2_without_padding": (LONGER, "The plaintext was sealed as it is."),
        "suite_2_all_zero": (bytes(16), "Zeros without the byte 80."),
        "suite_2_padding_byte_wrong": (b"ada\x81" + bytes(12), "81 where 80 belongs."),
        "suite_2_padding_not_zero": (b"ada\x80" + bytes(11) + b"\x01", "01 after the zeros."),
        "suite_2_padding_of_pkcs_7": (b"ada" + b"\x0d" * 13, "Padding of another standard."),
    }
    for name, (plaintext, comment) in plaintexts.items():
        yield fails(name, "decoding", comment, *seal(name, plaintext, suite=2).pieces)
    name = "suite_4_without_padding"
    fields = seal(name, LONGER, suite=4, tokens=TOKENS)
    yield fails(name, "decoding", "The plaintext was sealed as it is.", *fields.pieces)


def _bad_texts() -> Iterator[Vector]:
    def bad_text(name: str, comment: str, text: str) -> Vector:
        return fails(name, "not-an-envelope", comment, text=text)

    two_bits = to_text(bytes(seal("bad text, two bits unused", b"a", slots=())))
    four_bits = to_text(bytes(seal("bad text, four bits unused", b"", slots=())))
    whole = to_text(bytes(seal("bad text", b"ab", slots=())))
    # The slot makes sure that both characters that differ are there.
    special = to_text(bytes(seal("bad text, special", b"ab", slots=(b"\xfb\xff" * 7 + b"\xfe",))))
    middle = len(whole) // 2

    yield bad_text("text_empty", "No characters at all.", "")
    yield bad_text("text_plaintext_stored", "Plaintext was written past the type.", "ada@b.org")
    yield bad_text("text_padded_once", "Padding is not written.", two_bits + "=")
    yield bad_text("text_padded_twice", "Padding is not written.", four_bits + "==")
    yield bad_text("text_padded_without_need", "Nor padding of a whole group.", whole + "====")
    yield bad_text("text_two_bits_not_zero", "The unused bits are zero.", _next(two_bits))
    yield bad_text("text_four_bits_not_zero", "The unused bits are zero.", _next(four_bits))
    yield bad_text(
        "text_standard_alphabet",
        "The other base64 alphabet.",
        special.replace("-", "+").replace("_", "/"),
    )
    yield bad_text("text_line_feed_after", "A line end after the text.", whole + "\n")
    yield bad_text("text_space_before", "A space before the text.", " " + whole)
    yield bad_text(
        "text_line_feed_within", "Lines are not wrapped.", f"{whole[:middle]}\n{whole[middle:]}"
    )
    yield bad_text("text_nul_within", "NUL is not skipped.", f"{whole[:middle]}\0{whole[middle:]}")
    yield bad_text("text_not_ascii", "No look-alikes.", "\N{LATIN SMALL LETTER DOTLESS I}" + whole)
    yield bad_text(
        "text_length_impossible", "One character more than whole groups is no byte.", whole + "A"
    )
    yield bad_text("text_of_hexadecimal", "Another coding of the same bytes.", "b1e6a5" + "10" * 49)


def _next(text: str) -> str:
    """Return *text* with the lowest of its unused last bits set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]
