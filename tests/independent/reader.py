"""
Opens sealed envelopes, version 1, as `docs/spec/envelope-v1.md` describes them.

Nothing here comes from the library: whether the two agree is what the tests ask. The numbers in
the comments are those of the sections of the specification.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from unicodedata import combining, normalize

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

NOT_AN_ENVELOPE = "not-an-envelope"
UNKNOWN_KEY = "unknown-key"
DESTROYED_KEY = "destroyed-key"
DISABLED_KEY = "disabled-key"
AUTHENTICATION = "authentication"
DECODING = "decoding"

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
DIGITS = {character: number for number, character in enumerate(ALPHABET)}


class NotOpened(Exception):
    """A stored value does not open; `code` is the failure as section 7.3 names it."""

    def __init__(self, code: str) -> None:
        """Keep the code."""
        super().__init__(code)
        self.code = code


# 1 Conventions


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104) of a message."""
    mac = HMAC(key, SHA256())
    mac.update(message)
    return mac.finalize()


def hkdf(material: bytes, info: bytes, size: int) -> bytes:
    """Return `size` bytes of HKDF-SHA256 (RFC 5869) without a salt."""
    extracted = hmac_sha256(bytes(32), material)
    output = block = b""
    counter = 0
    while len(output) < size:
        counter += 1
        block = hmac_sha256(extracted, block + info + bytes([counter]))
        output += block
    return output[:size]


def aes(key: bytes, block: bytes) -> bytes:
    """Return one block encrypted with AES-256."""
    encryptor = Cipher(AES(key), ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def xor(left: bytes, right: bytes) -> bytes:
    """Return the exclusive or of two byte strings of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def decode_base64url(text: str) -> bytes:
    """Return the bytes of canonical base64url without padding characters (step 1 of 7.1)."""
    if len(text) % 4 == 1:
        raise NotOpened(NOT_AN_ENVELOPE)
    output = bytearray()
    rest = bits = 0  # what was read and not yet put out, and how many bits that is
    for character in text:
        if character not in DIGITS:
            raise NotOpened(NOT_AN_ENVELOPE)
        rest = rest << 6 | DIGITS[character]
        bits += 6
        if bits >= 8:
            bits -= 8
            output.append(rest >> bits)
            rest &= (1 << bits) - 1
    if rest:
        raise NotOpened(NOT_AN_ENVELOPE)
    return bytes(output)


# 4 Keys


def derive_aead_key(data_key: bytes) -> bytes:
    """Return the AEAD key of a data key."""
    return hkdf(data_key, b"sqlalchemy-sealed v1 aead", 32)


def derive_key_id(data_key: bytes) -> bytes:
    """Return the key id of a data key."""
    return hkdf(data_key, b"sqlalchemy-sealed v1 key id", 8)


# 4.3 Match tokens


def fold(text: str) -> str:
    """Return the letters of a text."""
    decomposed = normalize("NFD", normalize("NFD", text).casefold())
    return "".join(character for character in decomposed if combining(character) == 0)


def marked_text(text: str) -> list[bytes]:
    """Return the characters of the marked text in UTF-8, the two marks included."""
    return [b"\xfe", *(character.encode("utf-8") for character in fold(text)), b"\xff"]


class Matcher:
    """The tokens of one match index under one index key."""

    def __init__(self, index_key: bytes, index: Sequence[str], n: int = 3, bits: int = 24) -> None:
        info = b"sqlalchemy-sealed v1 match\x00" + pack_context(index)
        self.key = hkdf(index_key, info, 32)
        self.n = n
        self.bits = bits

    def cut(self, data: bytes) -> bytes:
        """Return the first bits of some bytes as a token."""
        lost = 24 - self.bits
        return (int.from_bytes(data[:3], "big") >> lost << lost).to_bytes(3, "big")

    def gram_tokens(self, marked: Sequence[bytes]) -> list[bytes]:
        """Return the tokens of the grams of characters, in their order."""
        starts = range(len(marked) - self.n + 1)
        grams = [b"".join(marked[start : start + self.n]) for start in starts]
        return [self.cut(hmac_sha256(self.key, gram)) for gram in grams]

    def value_tokens(self, text: str, f: int = 8) -> list[bytes]:
        """Return the tokens that a value is stored with."""
        marked = marked_text(text)
        found = set(self.gram_tokens(marked))
        number = len(found)
        if f > 1:
            blocks = max(1, (number + f - 1) // f)
            number = max(number, min(f * blocks, 65_535, 2 ** (self.bits - 1)))
        seed = hmac_sha256(self.key, b"\xff" + b"".join(marked))
        i = 0
        while len(found) < number:
            more = hmac_sha256(self.key, b"\xff\xff" + seed + i.to_bytes(2, "big"))
            for start in range(0, 30, 3):
                if len(found) < number:
                    found.add(self.cut(more[start : start + 3]))
            i += 1
        return sorted(found)


# 5 Context


def pack_context(parts: Sequence[str]) -> bytes:
    """Return the context bytes; parts that are no context are an error of the caller."""
    if not parts or not parts[0]:
        raise ValueError("a context begins with a label, which is not empty")
    output = b""
    for part in parts:
        encoded = part.encode("utf-8")
        if len(encoded) > 65_535:
            raise ValueError("a part of a context has at most 65,535 bytes")
        output += len(encoded).to_bytes(2, "big") + encoded
    return output


# 6 XAES-256-GCM and padding


def derive_prefix_key(key: bytes, prefix: bytes) -> bytes:
    """Return the prefix key of a key and the first 12 bytes of a nonce (6.2, steps 1 to 4)."""
    number = int.from_bytes(aes(key, bytes(16)), "big")
    carry, shifted = divmod(number << 1, 1 << 128)
    subkey = (shifted ^ (0x87 if carry else 0)).to_bytes(16, "big")
    first = b"\x00\x01\x58\x00" + prefix
    second = b"\x00\x02\x58\x00" + prefix
    return aes(key, xor(first, subkey)) + aes(key, xor(second, subkey))


def open_xaes(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """Return the plaintext of ciphertext and tag (6.2)."""
    try:
        return AESGCM(derive_prefix_key(key, nonce[:12])).decrypt(nonce[12:], sealed, associated)
    except InvalidTag:
        raise NotOpened(AUTHENTICATION) from None


def remove_padding(padded: bytes) -> bytes:
    """Return what was padded as suite 2 does (step 9 of 7.1)."""
    marked = padded.rstrip(b"\x00")
    if not marked.endswith(b"\x80"):
        raise NotOpened(DECODING)
    return marked[:-1]


# 3 and 7 Opening


def head_size(stored: bytes) -> int:
    """Return how many bytes stand before the nonce of an envelope of the right form (3.1)."""
    suite, slot_count = divmod(stored[3], 16)
    size = 12 + 15 * slot_count
    if suite in {3, 4}:
        size += 3 + 3 * int.from_bytes(stored[size : size + 3], "big")
    return size


def associated_data(stored: bytes, context: Sequence[str]) -> bytes:
    """Return what an envelope is authenticated with: its head, and the context bytes (5)."""
    return stored[: head_size(stored)] + pack_context(context)


def check_form(stored: bytes) -> None:
    """Refuse what does not have the form of an envelope (steps 2 to 5 of 7.1)."""
    if stored[:3] != b"\xb1\xe6\xa5" or len(stored) < 52:
        raise NotOpened(NOT_AN_ENVELOPE)
    suite, slot_count = divmod(stored[3], 16)
    if suite not in {1, 2, 3, 4} or len(stored) < 52 + 15 * slot_count:
        raise NotOpened(NOT_AN_ENVELOPE)
    if suite in {3, 4}:
        check_token_block(stored, 12 + 15 * slot_count)


def check_token_block(stored: bytes, start: int) -> None:
    """Refuse a token block that is not of the form of 3.1."""
    if len(stored) < start + 3 + 40:
        raise NotOpened(NOT_AN_ENVELOPE)
    count = int.from_bytes(stored[start : start + 3], "big")
    if count > 65_535 or len(stored) < start + 3 + 3 * count + 40:
        raise NotOpened(NOT_AN_ENVELOPE)
    before = -1
    for number in range(count):
        at = start + 3 + 3 * number
        token = int.from_bytes(stored[at : at + 3], "big")
        if token <= before:
            raise NotOpened(NOT_AN_ENVELOPE)
        before = token


def open_binary(
    stored: bytes,
    data_keys: Iterable[bytes],
    context: Sequence[str],
    *,
    destroyed: Collection[bytes] = (),
    disabled: Collection[bytes] = (),
) -> bytes:
    """
    Return the plaintext of an envelope in its binary form.

    Args:
        stored: the envelope.
        data_keys: the data keys that the reader has, 32 bytes each.
        context: the parts of the context, the label first.
        destroyed: the ids of data keys that the reader knows to be destroyed.
        disabled: the ids of data keys that the reader has and must not use for now.

    Raises:
        NotOpened: the value does not open.
        ValueError: the context is none.
    """
    check_form(stored)
    key_id = stored[4:12]
    keys = {derive_key_id(data_key): data_key for data_key in data_keys}
    if key_id in destroyed:
        raise NotOpened(DESTROYED_KEY)
    if key_id not in keys:
        raise NotOpened(UNKNOWN_KEY)
    if key_id in disabled:
        raise NotOpened(DISABLED_KEY)
    associated = associated_data(stored, context)
    start = head_size(stored)
    nonce, sealed = stored[start : start + 24], stored[start + 24 :]
    plaintext = open_xaes(derive_aead_key(keys[key_id]), nonce, sealed, associated)
    return remove_padding(plaintext) if stored[3] >> 4 in {2, 4} else plaintext


def open_text(
    stored: str,
    data_keys: Iterable[bytes],
    context: Sequence[str],
    *,
    destroyed: Collection[bytes] = (),
    disabled: Collection[bytes] = (),
) -> bytes:
    """Return the plaintext of an envelope in its text form, otherwise as `open_binary`."""
    return open_binary(
        decode_base64url(stored), data_keys, context, destroyed=destroyed, disabled=disabled
    )
