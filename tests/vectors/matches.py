"""The scenarios of match tokens: texts, and the tokens that an index key makes of them."""

from __future__ import annotations

from collections.abc import Iterator

from vectors.layout import Vector, hex_lines, text_lines

from sqlalchemy_sealed.aead import Mac, derive
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.match import MatchIndex, fold

INDEX_KEY = bytes(range(96, 128))
LABEL = "notes.body"


def matches() -> Iterator[Vector]:
    """Return every vector about match tokens."""
    yield tokens("ascii", "Case goes, and seven tokens are added.", "Head Ache")
    yield tokens("empty", "No gram, and yet a whole block of tokens.", "")
    yield tokens("one_letter", "One gram: mark, letter, mark.", "a")
    yield tokens("repeated", "A gram that stands twice makes one token.", "banana banana")
    yield tokens(
        "accents",
        "Accents go, composed or combining; a stroke is part of its letter and stays.",
        "Cr\N{LATIN SMALL LETTER E WITH GRAVE}me bru\N{COMBINING ACUTE ACCENT}l"
        "\N{LATIN SMALL LETTER O WITH STROKE}",
    )
    yield tokens(
        "full_case_folding",
        "One character folds to two letters, and an accent to a letter.",
        "Stra\N{LATIN SMALL LETTER SHARP S}e \N{GREEK SMALL LETTER ALPHA}"
        "\N{COMBINING GREEK YPOGEGRAMMENI}\N{COMBINING ACUTE ACCENT}",
    )
    yield tokens(
        "hangul",
        "A syllable is taken apart into its letters.",
        "\N{HANGUL SYLLABLE HAN}\N{HANGUL SYLLABLE GUG}",
    )
    yield tokens("grams_of_two", "Grams of two characters.", "Head Ache", MatchIndex(n=2))
    yield tokens("grams_of_sixteen", "Too short for a gram.", "Head Ache", MatchIndex(n=16))
    yield tokens("nothing_added", "f is 1: no tokens are added.", "Head Ache", MatchIndex(block=1))
    yield tokens("twelve_bits", "Half of each token is zero.", "Head Ache", MatchIndex(bits=12))
    yield tokens(
        "eight_bits_many_added",
        "At most half of the 256 tokens that there are, however large f is.",
        "Head Ache",
        MatchIndex(bits=8, block=1024),
    )
    yield tokens(
        "another_name", "The name is part of the key.", "Head Ache", MatchIndex(name="words")
    )


def tokens(
    name: str,
    comment: str,
    value: str,
    match: MatchIndex = MatchIndex(),  # noqa: B008 - frozen
) -> Vector:
    """Return the vector of a text."""
    index = (LABEL, match.name)
    digest = Mac(derive(INDEX_KEY, b"sqlalchemy-sealed v1 match\0" + pack(index))).digest
    kept = (1 << 24) - (1 << (24 - match.bits))
    marked = [b"\xfe", *(character.encode() for character in fold(value)), b"\xff"]
    grams = [b"".join(marked[at : at + match.n]) for at in range(len(marked) - match.n + 1)]
    of_grams = [int.from_bytes(digest(gram)[:3], "big") & kept for gram in grams]
    block = match.block_function(LABEL, INDEX_KEY)(value)
    lines = [("expect", "success"), ("comment", comment), ("index-key", INDEX_KEY.hex())]
    lines += text_lines("context", index)
    lines += text_lines("value", [value])
    lines += [("gram-size", str(match.n)), ("token-bits", str(match.bits))]
    lines += [("block", str(match.block))]
    lines += hex_lines("marked-text", b"".join(marked))
    lines += hex_lines("gram-tokens", *(token.to_bytes(3, "big") for token in of_grams))
    lines += hex_lines("tokens", *(block[at : at + 3] for at in range(3, len(block), 3)))
    return Vector(name, tuple(lines))
