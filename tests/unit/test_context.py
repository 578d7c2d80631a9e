"""Contexts: what they may hold, and that no two of them have the same bytes."""

from __future__ import annotations

from typing import Any

import pytest

from sqlalchemy_sealed import Context
from sqlalchemy_sealed.context import MAX_PART_SIZE, pack
from sqlalchemy_sealed.errors import ConfigurationError


@pytest.mark.parametrize(
    ("parts", "packed"),
    [
        ((), b""),
        (("",), b"\x00\x00"),
        (("patients.email",), b"\x00\x0epatients.email"),
        (("ab", "c"), b"\x00\x02ab\x00\x01c"),
        (("a", "bc"), b"\x00\x01a\x00\x02bc"),
        (("a", ""), b"\x00\x01a\x00\x00"),
        (("\N{EURO SIGN}",), b"\x00\x03\xe2\x82\xac"),
        (("\0\0",), b"\x00\x02\x00\x00"),
        (("t" * 300,), b"\x01\x2c" + b"t" * 300),
    ],
)
def test_packing(parts: tuple[str, ...], packed: bytes) -> None:
    """Each part is its length in bytes, as two bytes, and its UTF-8."""
    assert pack(parts) == packed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("ab", "c"), ("abc",)),
        (("a",), ("a", "")),
        (("a", "b"), ("b", "a")),
        (("a", "\0\1b"), ("a", "", "\1b")),
        (("a\0\1b",), ("a", "b")),
        (("\xe9",), ("e\u0301",)),
        (("a",), ("A",)),
    ],
)
def test_different_parts_have_different_bytes(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Neither where parts are divided nor what is in them can make two contexts the same."""
    assert pack(one) != pack(other)


@pytest.mark.parametrize("part", ["x" * MAX_PART_SIZE, "\xe9" * (MAX_PART_SIZE // 2)])
def test_longest_part(part: str) -> None:
    """A part of 65,535 bytes is taken; the limit counts bytes of UTF-8, not characters."""
    assert len(pack((part,))) == 2 + len(part.encode())


@pytest.mark.parametrize(
    "part",
    ["x" * (MAX_PART_SIZE + 1), "\xe9" * (MAX_PART_SIZE // 2 + 1), "secret\ud800"],
    ids=["one byte too long", "one character too long", "lone surrogate"],
)
def test_part_that_cannot_be_packed_is_refused(part: str) -> None:
    """What has no UTF-8 or too much of it is an error, which does not repeat the part."""
    with pytest.raises(ConfigurationError, match="at most 65535 bytes") as caught:
        bytes(Context("patients.email", (part,)))
    assert part[:6] not in str(caught.value)
    assert caught.value.__context__ is None


def test_context_bytes_are_label_then_scope() -> None:
    """The label comes first, and scope parts follow in their order."""
    context = Context("patients.email", ("tenant:17", ""))
    assert bytes(context) == pack(("patients.email", "tenant:17", ""))
    assert str(context) == "patients.email"


def test_label_must_not_be_empty() -> None:
    """Without a label all columns would be interchangeable, so it is refused at once."""
    with pytest.raises(ConfigurationError, match="must not be empty"):
        Context("")


@pytest.mark.parametrize("scope", ["acme", ["acme"], ("acme", 5), None])
def test_scope_that_is_no_tuple_of_texts_is_refused(scope: Any) -> None:
    """A text as scope would be taken for as many parts as it has letters."""
    with pytest.raises(ConfigurationError, match="tuple of texts"):
        Context("a.b", scope)
