"""Match indexes: folding, grams, tokens, what is added to them, and what is refused."""

from __future__ import annotations

import pickle
import sys
import unicodedata

import pytest

from sqlalchemy_sealed import (
    BlindIndex,
    EncryptedBytes,
    EncryptedEnum,
    EncryptedInteger,
    EncryptedJSON,
    EncryptedString,
    EncryptedText,
    MatchIndex,
)
from sqlalchemy_sealed.errors import OptionError, ValueRefusedError
from sqlalchemy_sealed.match import CACHED_GRAMS, MAX_SEARCHED, Place, fold
from sqlalchemy_sealed.normalizers import normalized

KEY = bytes(range(32))
LABEL = "notes.body"


def tokens_of(text: str, match: MatchIndex | None = None, label: str = LABEL) -> list[bytes]:
    """Return the tokens that a text is stored with."""
    block = (match or MatchIndex()).block_function(label, KEY)(text)
    assert int.from_bytes(block[:3], "big") == len(block[3:]) // 3
    return [block[at : at + 3] for at in range(3, len(block), 3)]


# -- folding


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Headache", "headache"),
        ("STRASSE Straße", "strasse strasse"),
        ("Crème brûlée", "creme brulee"),
        ("e\N{COMBINING ACUTE ACCENT}", "e"),
        ("\N{COMBINING ACUTE ACCENT}", ""),
        ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i"),
        ("\N{LATIN SMALL LETTER O WITH STROKE}", "\N{LATIN SMALL LETTER O WITH STROKE}"),
        (" 1.\0", " 1.\0"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    """Case and accents go, and nothing else does."""
    assert fold(text) == folded


def test_every_character_folds_as_its_normal_forms_and_its_other_case() -> None:
    """
    What is equal without case folds to the same letters, and folding again changes nothing.

    Together with the next test this is why a search cannot miss a text: a part of it, or of its
    case folding, has no grams that the text does not have.
    """
    characters = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn"
    ]
    changed = [c for c in characters if fold(c) != c or c.casefold() != c]
    assert len(changed) > 14_000
    for character in changed:
        folded = fold(character)
        assert fold(folded) == folded
        for same in (
            unicodedata.normalize("NFC", character),
            unicodedata.normalize("NFD", character),
            character.casefold(),
            normalized(("casefold",), character),
        ):
            assert "".join(map(fold, same)) == folded
    kept = {c for c in characters if unicodedata.combining(c) and fold(c)}
    assert kept == {"\N{COMBINING GREEK YPOGEGRAMMENI}"}  # Whose order does not matter.


# -- grams and tokens


@pytest.mark.parametrize(
    ("text", "grams"),
    [
        ("", []),
        ("a", [b"\xfea\xff"]),
        ("Ab", [b"\xfeab", b"ab\xff"]),
        ("aaaa", [b"\xfeaa", b"aa\xff", b"aaa"]),
        ("\N{EURO SIGN}1", [b"\xfe\xe2\x82\xac1", b"\xe2\x82\xac1\xff"]),
    ],
)
def test_grams_of_a_value(text: str, grams: list[bytes]) -> None:
    """Both ends are marked, so that one letter makes a gram, and characters are not bytes."""
    assert MatchIndex().value_grams(text) == set(grams)


@pytest.mark.parametrize(
    ("place", "term", "grams"),
    [
        (Place.CONTAINS, "Head", [b"hea", b"ead"]),
        (Place.ICONTAINS, "HEAD", [b"hea", b"ead"]),
        (Place.STARTS, "he", [b"\xfehe"]),
        (Place.ISTARTS, "head", [b"\xfehe", b"hea", b"ead"]),
        (Place.ENDS, "ad", [b"ad\xff"]),
        (Place.IENDS, "EAD", [b"ead", b"ad\xff"]),
    ],
)
def test_grams_of_a_term(place: Place, term: str, grams: list[bytes]) -> None:
    """A term has a mark where it stands at an end."""
    assert MatchIndex().term_grams(term, place) == grams


def test_grams_of_words() -> None:
    """White space divides words, a gram counts once, and short words are left out."""
    assert MatchIndex().word_grams("Head  a\theads") == [b"hea", b"ead", b"ads"]


def test_a_long_term_is_searched_by_its_first_grams() -> None:
    """A term of any length makes a bounded query; the comparison after opening sees all of it."""
    term = "".join(map(str, range(1000)))
    assert len(MatchIndex().term_grams(term, Place.CONTAINS)) == MAX_SEARCHED


@pytest.mark.parametrize(
    ("place", "term", "least"),
    [
        (Place.CONTAINS, "he", 3),
        (Place.ICONTAINS, "", 3),
        (Place.CONTAINS, "e\N{COMBINING ACUTE ACCENT}a", 3),
        (Place.STARTS, "h", 2),
        (Place.IENDS, "h", 2),
    ],
)
def test_a_term_that_is_too_short_is_refused(place: Place, term: str, least: int) -> None:
    """Without a gram there is nothing to search for; the error does not repeat the term."""
    words = rf"too short to search for: {place.value}\(\) takes at least {least} letters"
    with pytest.raises(ValueRefusedError, match=words):
        MatchIndex().term_grams(term, place)


@pytest.mark.parametrize("term", [b"head", 17, "\udcfehe", "\ud800abc", None])
def test_what_is_no_text_is_refused(term: object) -> None:
    """Bytes, numbers and lone surrogates, which could stand for a mark, are no terms."""
    with pytest.raises(ValueRefusedError):
        MatchIndex().term_grams(term, Place.CONTAINS)
    with pytest.raises(ValueRefusedError):
        MatchIndex().word_grams(term)


def test_tokens_of_a_part_are_tokens_of_the_text() -> None:
    """All tokens of a term stand among those of a text that has it."""
    match = MatchIndex()
    tokens = match.tokens(LABEL, KEY)
    terms = [tokens[gram] for gram in match.term_grams("headache", Place.CONTAINS)]
    assert set(terms) <= set(tokens_of("severe HEADACHE since May"))
    assert not set(terms) <= set(tokens_of("severe heartache since May"))


@pytest.mark.parametrize(
    "other",
    [
        tokens_of("headache", label="notes.title"),
        tokens_of("headache", MatchIndex(name="words")),
        tokens_of("headache", MatchIndex(n=2)),
        tokens_of("toothbrush"),
    ],
    ids=["label", "name", "n", "text"],
)
def test_tokens_differ(other: list[bytes]) -> None:
    """Another column, another name, other grams: no token in common, but by rare chance."""
    assert len(set(tokens_of("headache")) & set(other)) <= 1


@pytest.mark.parametrize("bits", [8, 12, 17, 23])
def test_fewer_bits_are_the_first_ones(bits: int) -> None:
    """A narrower token is the wider one with zeros at its end."""
    wide = MatchIndex(block=1).tokens(LABEL, KEY)
    narrow = MatchIndex(block=1, bits=bits).tokens(LABEL, KEY)
    for number in range(100):
        gram = str(number).encode()
        lost = 24 - bits
        assert (
            int.from_bytes(narrow[gram], "big") == int.from_bytes(wide[gram], "big") >> lost << lost
        )


@pytest.mark.parametrize(
    ("text", "match", "count"),
    [
        ("", MatchIndex(), 8),
        ("a", MatchIndex(), 8),
        ("abcdefgh", MatchIndex(), 8),
        ("abcdefghi", MatchIndex(), 16),
        ("", MatchIndex(block=1), 0),
        ("abcdefghi", MatchIndex(block=1), 9),
        ("abcdefghi", MatchIndex(block=100), 100),
        ("abcdefghi", MatchIndex(bits=8, block=1024), 128),
    ],
)
def test_tokens_are_filled_up(text: str, match: MatchIndex, count: int) -> None:
    """To a whole number of blocks, but to no more than half of the tokens that there are."""
    assert len(tokens_of(text, match)) == count


def test_a_text_has_the_same_tokens_each_time() -> None:
    """Those that are added, too: versions of a row do not show which they are."""
    assert tokens_of("a") == tokens_of("a")
    assert len(set(tokens_of("a")) & set(tokens_of("b"))) == 0


def test_a_value_of_too_many_tokens_is_refused() -> None:
    """More than 65,535 tokens do not fit; the error counts and does not quote."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 260)))
    text = "".join(a + b for a in text for b in text)
    with pytest.raises(ValueRefusedError, match=r"too long for a match index: .* 65535 can be"):
        tokens_of(text)
    assert len(tokens_of(text[:60_000])) < 65_535


def test_no_more_than_so_many_grams_are_remembered() -> None:
    """Who stores ever new texts does not fill the memory of the process."""
    tokens = MatchIndex().tokens(LABEL, KEY)
    for number in range(CACHED_GRAMS + 10):
        tokens[b"%d" % number]
    assert len(tokens) == 10


def test_grams_and_keys_do_not_show() -> None:
    """The tokens that a process remembers show neither in a repr nor in a pickle."""
    tokens = MatchIndex().tokens(LABEL, KEY)
    assert tokens[b"hea"]
    assert repr(tokens) == "<GramTokens 1 remembered>"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(tokens)


# -- declaration


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 1}, "n must be a whole number from 2 to 16"),
        ({"n": 17}, "n must be"),
        ({"n": 3.0}, "n must be"),
        ({"n": True}, "n must be"),
        ({"bits": 7}, "bits must be a whole number from 8 to 24"),
        ({"bits": 25}, "bits must be"),
        ({"block": 0}, "block must be a whole number from 1 to 1024"),
        ({"block": 1025}, "block must be"),
        ({"name": ""}, "name of a match index"),
        ({"name": 7}, "name of a match index"),
        ({"name": "\ud800"}, "name of a match index"),
    ],
)
def test_arguments_that_it_cannot_have(arguments: dict[str, object], words: str) -> None:
    """A wrong argument is refused where the index is made."""
    with pytest.raises(OptionError, match=words):
        MatchIndex(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("match", [True, "words", MatchIndex, [MatchIndex()], BlindIndex()])
def test_what_is_no_match_index_is_refused(match: object) -> None:
    """The option takes one match index."""
    with pytest.raises(OptionError, match="match must be a MatchIndex"):
        EncryptedString(match=match)  # type: ignore[arg-type]


@pytest.mark.parametrize("type_", [EncryptedBytes, EncryptedInteger, EncryptedJSON])
def test_other_types_have_none(type_: type) -> None:
    """Only texts have parts that can be searched."""
    with pytest.raises(OptionError, match="only texts can have a match index"):
        type_(match=MatchIndex())


def test_an_enumeration_of_texts_has_none() -> None:
    """So few values would be given away by their tokens."""
    with pytest.raises(OptionError, match="only texts"):
        EncryptedEnum("yes", "no", match=MatchIndex())


def test_repr_is_the_call() -> None:
    """A migration that quotes the type makes the same index."""
    type_ = EncryptedText(match=MatchIndex(n=2, bits=16), context="notes.body")
    assert repr(type_) == ("EncryptedText(context='notes.body', match=MatchIndex(n=2, bits=16))")
    assert repr(MatchIndex()) == "MatchIndex()"
    assert eval(repr(MatchIndex(block=1, name="x"))) == MatchIndex(block=1, name="x")
