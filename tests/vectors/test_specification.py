"""Every number and every example of the specification, computed."""

from __future__ import annotations

import hmac
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import log2
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from vectors.layout import ASCII, FOLDER, HEX, JSON_TEXT, read, read_all

from sqlalchemy_sealed import LocalRootKey, match
from sqlalchemy_sealed.aead import SEALS_PER_PREFIX, derive
from sqlalchemy_sealed.codecs.base import Codec
from sqlalchemy_sealed.codecs.enum import EnumCodec
from sqlalchemy_sealed.codecs.json import JSONCodec
from sqlalchemy_sealed.codecs.numbers import BooleanCodec, DecimalCodec, FloatCodec, IntegerCodec
from sqlalchemy_sealed.codecs.temporal import DateCodec, DateTimeCodec, IntervalCodec, TimeCodec
from sqlalchemy_sealed.codecs.text import TextCodec
from sqlalchemy_sealed.context import pack
from sqlalchemy_sealed.envelope import MAX_SLOTS, MAX_TOKENS, overhead, to_text
from sqlalchemy_sealed.padding import MAX_BLOCK, pad

SPECIFICATION = (Path(__file__).parents[2] / "docs" / "spec" / "envelope-v1.md").read_text(
    encoding="utf-8"
)
EXAMPLE = read(FOLDER / "envelope" / "example.txt")
ROOT_KEY = bytes(range(0x80, 0xA0))


def section(title: str) -> str:
    """Return the text from a title to the next one of the same depth, in single spaces."""
    depth = title.split(" ", maxsplit=1)[0]
    _, _, rest = SPECIFICATION.partition(f"{title}\n")
    text = re.split(rf"^{depth} ", rest, flags=re.MULTILINE)[0]
    assert text
    return " ".join(text.split())


def shown(name: str) -> bytes:
    """Return a value of the worked example by its name."""
    pattern = rf"^    {re.escape(name)}  +([0-9a-f][0-9a-f ]*?)(?:  .*)?$"
    (value,) = re.findall(pattern, SPECIFICATION, flags=re.MULTILINE)
    return bytes.fromhex(value)


def xor(a: bytes, b: bytes) -> bytes:
    """Return a xor b."""
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def exponent(value: Fraction | int) -> int:
    """Return the power of two that is nearest to a number."""
    value = Fraction(value)
    return round(log2(value.numerator) - log2(value.denominator))


def pairs(count: int, space: int) -> Fraction:
    """Return the most probable chance that two of *count* random values are the same."""
    return Fraction(count * count, 2 * space)


def test_example_step_by_step() -> None:
    """The worked example follows from the steps as written, by HMAC, AES and AES-GCM alone."""
    data_key = shown("data key D")
    extracted = hmac.digest(bytes(32), data_key, "sha256")
    key = hmac.digest(extracted, b"sqlalchemy-sealed v1 aead\x01", "sha256")
    key_id = hmac.digest(extracted, b"sqlalchemy-sealed v1 key id\x01", "sha256")[:8]
    assert (extracted, key, key_id) == (
        shown("after extract"),
        shown("AEAD key K"),
        shown("key id"),
    )

    aad = shown("header") + shown("context bytes")
    assert shown("header") == bytes.fromhex("b1e6a510") + key_id
    assert shown("context bytes") == b"\x00\x0epatients.email"
    assert shown("A") == aad

    aes = Cipher(AES256(key), ECB()).encryptor().update
    nonce, l, k1 = shown("nonce N"), shown("L"), shown("K1")  # noqa: E741 - its name in the text
    assert l == aes(bytes(16))
    doubled = int.from_bytes(l, "big") << 1
    assert k1 == (doubled ^ (doubled >> 128) * (1 << 128 | 0x87)).to_bytes(16, "big")
    assert shown("M1") == bytes.fromhex("00015800") + nonce[:12]
    assert shown("M2") == bytes.fromhex("00025800") + nonce[:12]
    assert shown("M1 xor K1") == xor(shown("M1"), k1)
    assert shown("M2 xor K1") == xor(shown("M2"), k1)
    assert shown("prefix key Kx") == aes(shown("M1 xor K1")) + aes(shown("M2 xor K1"))
    assert shown("Nx") == nonce[12:]
    sealed = AESGCM(shown("prefix key Kx")).encrypt(shown("Nx"), shown("plaintext"), aad)
    assert sealed == shown("ciphertext") + shown("tag")


def test_example_is_the_vector() -> None:
    """The envelope and the text form of the worked example are those of its vector."""
    text = section("## 2 A worked example").replace(" ", "")
    envelope = EXAMPLE.hex("envelope")
    assert envelope.hex() in text
    assert to_text(envelope) in text
    assert f"Theenvelope,{len(envelope)}bytes" in text
    assert f"Itstextform,{len(to_text(envelope))}characters" in text
    assert EXAMPLE.hex("plaintext") == shown("plaintext")
    assert EXAMPLE.hexes("data-key") == [shown("data key D")]


def test_sizes() -> None:
    """Overhead, limits and the examples of packing and padding are what the code does."""
    form = section("### 3.1 Binary form")
    assert f"{overhead()} bytes are the least, {overhead(MAX_SLOTS)} with 15 slots" in form
    context = section("## 5 Context and associated data")
    for parts in (("ab", "c"), ("a", "bc")):
        packed = "".join(f"{part:02x}" for part in pack(parts))
        assert packed in context.replace(" ", "")
    padding = section("### 6.3 Padding (suites 2 and 4)")
    assert f"2 ≤ b ≤ {MAX_BLOCK:,}" in padding
    for plaintext in (b"", b"abc", b"abcd"):
        row = f"| {plaintext.hex(' ') or 'empty'} | 4 | {pad(plaintext, 4).hex(' ')} |"
        assert row in padding.replace("`", "")
    assert f"2^20 = {SEALS_PER_PREFIX:,} seals" in section("### 6.4 Nonces")
    assert f"2^31 - 1 = {2**31 - 1:,}" in section("### 6.1 The steps")


def test_numbers_of_match_tokens() -> None:
    """Limits and probabilities about tokens are what the code does and what follows from them."""
    text = section("### 4.3 Match tokens")
    default = match.MatchIndex()
    assert f"2 ≤ n ≤ {match.MAX_GRAM}, by default {default.n}," in text
    assert f"1 ≤ f ≤ {match.MAX_BLOCK:,}, by default {default.block}," in text
    assert f"fewer than {match.TOKEN_BITS} bits, of which {match.LEAST_BITS} are the least" in text
    assert f"A value of more than {MAX_TOKENS:,} is refused" in text
    assert f"`t` is 0 to {MAX_TOKENS:,}" in section("### 3.1 Binary form")
    by_chance = Fraction(1000, 2**24)
    assert (
        f"by chance with probability 2^{exponent(by_chance)}, and three at once with "
        f"2^{exponent(by_chance**3)}"
    ) in section("## 9 Rationale")


def test_nonce_bounds() -> None:
    """The table of section 8.2 and the probabilities around it follow from the nonce's shape."""
    text = section("### 8.2 When two nonces meet").replace("*", "")
    rows = re.findall(r"\| 2\^(\d+)[^|]*\| 2\^(-\d+) \| 2\^(-\d+) \| 2\^(-\d+) \|", text)
    assert [int(row[0]) for row in rows] == [20, 32, 40, 45]
    for row in rows:
        seals, *expected = map(int, row)
        within = 2**seals // SEALS_PER_PREFIX * pairs(SEALS_PER_PREFIX, 2**96)
        between = pairs(2**seals, 2**192)
        assert [exponent(p) for p in (within, between, within + between)] == expected
    prefixes = 2**45 // SEALS_PER_PREFIX
    for claim, value in {
        "2^{} for a whole prefix": pairs(SEALS_PER_PREFIX, 2**96),
        f"Two of 2^{exponent(prefixes)} prefixes (2^45 seals) are the same with probability "
        "2^{}": pairs(prefixes, 2**96),
        "their tails meet with probability 2^{}": pairs(2 * SEALS_PER_PREFIX, 2**96),
        "random nonces reaches 2^{} after 2^32 seals": pairs(2**32, 2**96),
    }.items():
        assert claim.format(exponent(value)) in text
    assert f"takes {2**45 / 100_000 / 86_400 / 365.25:.0f} years at 100,000 seals" in text
    assert f"reaches it at {2**45 / 90 / 86_400 / 1e6:.1f} million seals a second" in text
    forked = exponent(pairs(64 * SEALS_PER_PREFIX, 2**96))
    assert f"two equal tails with probability 2^{forked}" in section(
        "### 8.3 Forks, threads, copies of a machine"
    )


def test_bounds_of_the_cipher() -> None:
    """The bounds of section 8.4 follow from its formulas."""
    text = section("### 8.4 The cipher's own bounds")

    def confidentiality(size: int) -> tuple[int, int]:
        blocks = SEALS_PER_PREFIX * (size // 16 + 2)
        bound = Fraction(blocks * blocks, 2**129)
        return exponent(bound), exponent(bound * 2**25)

    for size, words in {
        4 << 10: "4 KiB under a prefix that is 2^{}, and 2^{} over 2^25 prefixes",
        1 << 20: "1 MiB it is 2^{} and 2^{};",
        2 << 30: "2 GiB, 2^{} and 2^{}.",
    }.items():
        assert words.format(*confidentiality(size)) in text
    assert f"at most 2^{exponent(pairs(2 * 2**25, 2**128))}." in text

    def forgery(size: int) -> Fraction:
        return Fraction((size + 1024) // 16 + 1, 2**128)

    assert "less than 2^-120 for a value of 1 KiB" in text
    assert forgery(1024) < Fraction(1, 2**120)
    assert "2^-100 for the largest" in text
    assert forgery(2**31 - 1) < Fraction(1, 2**100)
    for keys in (16, 20):
        chance = exponent(pairs(2**keys, 2**64))
        assert re.search(rf"wo of 2\^{keys} (data keys have .* probability|with) 2\^{chance}", text)


class Status(Enum):
    """An enumeration as an application may have it."""

    ACTIVE = 1


@pytest.mark.parametrize(
    ("kind", "codec", "values"),
    [
        ("string, text", TextCodec(), ["ada@example.org"]),
        ("JSON", JSONCodec(), [{"a": [1, None]}]),
        ("boolean", BooleanCodec(), [True]),
        ("integer", IntegerCodec(), [-42]),
        ("decimal", DecimalCodec(), [Decimal("1.00"), Decimal("1E+3"), Decimal("NaN")]),
        ("float", FloatCodec(), [0.1, 1e16, -0.0, float("inf"), float("nan")]),
        ("date", DateCodec(), [date(2025, 1, 31)]),
        ("time", TimeCodec(), [time(9, 30)]),
        (
            "date and time",
            DateTimeCodec(timezone=True),
            [datetime(2025, 1, 31, 9, 30, tzinfo=UTC)],
        ),
        ("interval", IntervalCodec(), [timedelta(seconds=-1.5)]),
        ("enumeration", EnumCodec(Status, ("ACTIVE",)), [Status.ACTIVE]),
    ],
)
def test_plaintext_forms(kind: str, codec: Codec[Any], values: list[Any]) -> None:
    """The examples of appendix A are what the codecs write."""
    (row,) = re.findall(rf"^\| {kind} \| .* \| (.*) \|$", SPECIFICATION, re.MULTILINE)
    assert row.split(", ") == [f"`{codec.encode(value).decode()}`" for value in values]


def test_root_key_example() -> None:
    """The example of appendix B is what the provider derives, and the sizes are right."""
    text = section("## Appendix B: keys wrapped by a local root key")
    root_key = f"sealedroot1_{to_text(ROOT_KEY)}"
    provider = LocalRootKey.from_text(root_key)
    assert f"`{root_key}`" in text
    assert f"`{derive(ROOT_KEY, b'sqlalchemy-sealed v1 root kek').hex()}`" in text
    assert f"`{provider.version().removeprefix('local:1:')}`" in text
    wrapped = provider.wrap(bytes(32), b"")
    assert f"the wrapped form has {len(wrapped)} characters" in text
    assert f"72 bytes, {len(to_text(bytes(72)))} characters" in text


def test_every_key_of_the_vectors_is_described() -> None:
    """Section 10 has a row for each key that a vector file may have, and each is in use."""
    rows = re.findall(r"^\| `([a-z-]+)` \| [a-zA-Z]+.* \|.*\| .* \|$", SPECIFICATION, re.MULTILINE)
    assert set(rows) >= HEX | JSON_TEXT | ASCII
    folders = ("envelope", "match", "index", "local-root-key")
    vectors = [vector for folder in folders for vector in read_all(folder)]
    assert {key for vector in vectors for key, _ in vector.lines} == HEX | JSON_TEXT | ASCII
