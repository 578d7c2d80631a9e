"""The scenarios of index slots: values, the bytes that are hashed, and the slots of them."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from vectors.layout import Vector, hex_lines, text_lines

from sqlalchemy_sealed.aead import derive
from sqlalchemy_sealed.context import pack

INDEX_KEY = bytes(range(128, 160))
NEXT_INDEX_KEY = bytes(range(160, 192))
LABEL = "patients.email"
NAME = "equal"


def index_slots() -> Iterator[Vector]:
    """Return every vector of the folder `index`."""
    yield from _derived()
    yield from _truncated()
    yield from _unique()
    yield from _normalized()
    yield from _numbers()
    yield from _times()
    yield from _others()
    yield from _refused()


def slots(
    name: str,
    comment: str,
    kind: str,
    value: str,
    hashed: bytes | str,
    *,
    context: tuple[str, str] = (LABEL, NAME),
    keys: tuple[bytes, ...] = (INDEX_KEY,),
    normalize: tuple[str, ...] = (),
    bits: int = 120,
) -> Vector:
    """Return the vector of a value, whose hashed bytes are given and not computed here."""
    hashed = hashed.encode() if isinstance(hashed, str) else hashed
    slot_keys = [derive(key, b"sqlalchemy-sealed v1 index\0" + pack(context)) for key in keys]
    lines = [("expect", "success"), ("comment", comment)]
    lines += [("index-key", key.hex()) for key in keys]
    lines += text_lines("context", context)
    lines += [("type", kind), *text_lines("value", [value])]
    lines += [("normalize", each) for each in normalize]
    lines += [("bits", str(bits)), *hex_lines("hashed", hashed)]
    lines += [("slot-key", key.hex()) for key in slot_keys]
    lines += [("slot", cut(hmac.digest(key, hashed, "sha256"), bits).hex()) for key in slot_keys]
    return Vector(name, tuple(lines))


def cut(digest: bytes, bits: int) -> bytes:
    """Return the first 15 bytes, of which only the first bits are kept."""
    number = int.from_bytes(digest[:15], "big") >> (120 - bits) << (120 - bits)
    return number.to_bytes(15, "big")


def text(name: str, comment: str, value: str, hashed: str, **options: object) -> Vector:
    """Return the vector of a text."""
    return slots(name, comment, "text", value, hashed, **options)  # type: ignore[arg-type]


def _derived() -> Iterator[Vector]:
    email = "ada@example.org"
    yield text("text", "An index as it is by default.", email, email)
    yield text("text_empty", "The empty text has a slot like any other.", "", "")
    yield text("text_nul", "NUL is a character like any other.", "a\0b", "a\0b")
    yield text(
        "text_unicode", "UTF-8, in no normal form.", "e\u0301\U0001f512", "e\u0301\U0001f512"
    )
    yield text("context_shared", "A context of its own.", email, email, context=("emails", NAME))
    yield text("name_unicode", "A name that is not ASCII.", email, email, context=(LABEL, "\xe9"))
    for parts in (("ab", "c"), ("a", "bc")):
        comment = "The same letters; the lengths of the parts tell them apart."
        yield text(f"context_{'_'.join(parts)}", comment, email, email, context=parts)
    yield text("key_another", "Another index key.", email, email, keys=(NEXT_INDEX_KEY,))


def _truncated() -> Iterator[Vector]:
    email = "ada@example.org"
    for bits in (1, 7, 8, 9, 12, 64, 119):
        comment = f"The bits after the first {bits} are zero."
        yield text(f"bits_{bits}", comment, email, email, bits=bits)


def _unique() -> Iterator[Vector]:
    email = "ada@example.org"
    yield text(
        "unique", "Two slots, under one index key.", email, email, keys=(INDEX_KEY, INDEX_KEY)
    )
    yield text(
        "unique_while_rotated",
        "The new index key in the first slot, the old one in the second.",
        email,
        email,
        keys=(NEXT_INDEX_KEY, INDEX_KEY),
    )


def _normalized() -> Iterator[Vector]:
    cases = {
        "nfc": ("e\u0301 \ufb01 A", "\xe9 \ufb01 A", "Composed; compatibility characters stay."),
        "casefold": ("\u0130STRA\xdfE\u03a3\u03c2", "i\u0307strasse\u03c3\u03c3", "Full folding."),
        "digits": (
            "+49 \u0663\uff14 x\xb2",
            "4934",
            "Decimal digits of any script.",
        ),
        "strip": ("\u2003\x1c a \x85\n", "a", "White space at both ends."),
        "last4": ("4111 1111 1111 1234", "1234", "The last four characters."),
        "first_letter": ("\xdfa", "s", "The first character of the folded text."),
        "email_domain": ('"a@b"@Example.ORG', "example.org", "What follows the last at sign."),
    }
    for name, (value, hashed, comment) in cases.items():
        yield text(f"normalize_{name}", comment, value, hashed, normalize=(name,))
    yield text(
        "normalize_casefold_iota",
        "Folded in NFD, so that the order of the two marks does not matter.",
        "\u1fb3\u0323",
        "\u03b1\u0323\u03b9",
        normalize=("casefold",),
    )
    yield text(
        "normalize_strip_is_not_joiners",
        "Zero-width space and byte order mark are no white space.",
        "\u200ba\ufeff ",
        "\u200ba\ufeff",
        normalize=("strip",),
    )
    yield text("normalize_last4_short", "Three are all.", "123", "123", normalize=("last4",))
    yield text(
        "normalize_email_domain_alone",
        "Without an at sign, all of it.",
        "EXAMPLE.org",
        "example.org",
        normalize=("email_domain",),
    )
    yield text("normalize_to_nothing", "Nothing is left.", "none", "", normalize=("digits",))
    for names, hashed in ((("digits", "last4"), "0143"), (("last4", "digits"), "143")):
        yield text(
            f"normalize_{'_'.join(names)}",
            "Several, in the order of the lines.",
            "555-01-43",
            hashed,
            normalize=names,
        )


def _numbers() -> Iterator[Vector]:
    integers = {"zero": "0", "negative": "-42", "beyond_64_bits": "18446744073709551616"}
    for name, value in integers.items():
        yield slots(f"integer_{name}", "Decimal digits.", "integer", value, value)
    yield slots("boolean_true", "One digit.", "boolean", "1", "1")
    decimals = {
        "one": ("1", "1E+0"),
        "one_with_zeros": ("1.00", "1E+0"),
        "hundred": ("100", "1E+2"),
        "hundred_with_exponent": ("1E+2", "1E+2"),
        "fraction": ("-0.0120", "-12E-3"),
        "zero_negative": ("-0.00", "0"),
        "zero_with_exponent": ("0E+7", "0"),
        "infinity": ("Infinity", "Infinity"),
        "infinity_negative": ("-Infinity", "-Infinity"),
    }
    for name, (value, hashed) in decimals.items():
        comment = "One form for all decimals that are equal."
        yield slots(f"decimal_{name}", comment, "decimal", value, hashed)
    floats = {
        "negative_zero": ("-0.0", "0.0"),
        "large": ("1e+16", "1e+16"),
        "tenth": ("0.1", "0.1"),
        "infinity": ("inf", "inf"),
    }
    for name, (value, hashed) in floats.items():
        comment = "The plaintext, but for the sign of zero."
        yield slots(f"float_{name}", comment, "float", value, hashed)


def _times() -> Iterator[Vector]:
    yield slots("date", "The plaintext.", "date", "2025-01-31", "2025-01-31")
    naive = "2025-01-31T09:30:00.000001"
    yield slots("datetime", "The plaintext.", "datetime", naive, naive)
    moments = {
        "utc": ("2025-01-31T23:30:00.000000+00:00", "1738366200000000"),
        "offset": ("2025-02-01T05:15:00.000000+05:45", "1738366200000000"),
        "before_1970": ("1969-12-31T23:59:59.999999+00:00", "-1"),
        "first": ("0001-01-01T00:00:00.000000+14:00", "-62135647200000000"),
    }
    for name, (value, hashed) in moments.items():
        comment = "Microseconds since 1970 in UTC: one form for one moment."
        yield slots(f"aware_datetime_{name}", comment, "aware-datetime", value, hashed)
    yield slots("time", "The plaintext.", "time", "09:30:00.000000", "09:30:00.000000")
    times = {
        "utc": ("18:45:00.000000+00:00", "67500000000"),
        "offset": ("23:30:00.000000+04:45", "67500000000"),
        "before_midnight": ("00:30:00.000000+05:45", "-18900000000"),
        "after_midnight": ("23:30:00.000000-05:45", "105300000000"),
    }
    for name, (value, hashed) in times.items():
        comment = "Microseconds in UTC, not taken back into one day."
        yield slots(f"aware_time_{name}", comment, "aware-time", value, hashed)
    yield slots("interval", "The plaintext.", "interval", "-1500000", "-1500000")


def _others() -> Iterator[Vector]:
    data = bytes.fromhex("00ff0a")
    yield slots("bytes", "The bytes.", "bytes", data.hex(), data)
    yield slots("bytes_empty", "No bytes.", "bytes", "", b"")
    uuid = "00112233445566778899aabbccddeeff"
    yield slots("uuid", "16 bytes.", "uuid", uuid, bytes.fromhex(uuid))
    yield slots("enumeration", "The name.", "enumeration", "ACTIVE", "ACTIVE")


def _refused() -> Iterator[Vector]:
    def refused(name: str, comment: str, kind: str, value: str, *normalize: str) -> Vector:
        lines = [("expect", "value-refused"), ("comment", comment), ("index-key", INDEX_KEY.hex())]
        lines += text_lines("context", (LABEL, NAME))
        lines += [("type", kind), *text_lines("value", [value])]
        lines += [("normalize", each) for each in normalize]
        return Vector(name, (*lines, ("bits", "120")))

    equals_nothing = "A NaN does not equal itself, so it could not be found."
    yield refused("decimal_nan", equals_nothing, "decimal", "NaN")
    yield refused("float_nan", equals_nothing, "float", "nan")
    surrogate = "A lone surrogate has no UTF-8 form."
    yield refused("text_surrogate", surrogate, "text", "a\ud800")
    yield refused("text_surrogate_normalized", surrogate, "text", "a\ud800", "casefold")
    yield refused("enumeration_unknown", "Not one of the names.", "enumeration", "GONE")
