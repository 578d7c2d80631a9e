"""
Hazardous materials: the only module that calls a cipher, a KDF or a MAC.

XAES-256-GCM (C2SP, c2sp.org/XAES-256-GCM) is AES-256-GCM with a 24-byte nonce: its first 12
bytes choose a derived AES-256-GCM key, its last 12 are the nonce under that key. Deriving costs
more than sealing a short value, so a writer keeps one prefix and its derived key for a while,
and a reader caches derived keys by prefix. What is written stays a plain XAES-256-GCM message.

Key derivation is HKDF-SHA256 (RFC 5869) without salt, one `info` for each purpose.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import pbkdf2_hmac
from itertools import islice, repeat
from os import urandom
from struct import Struct
from threading import Lock
from typing import NoReturn
from weakref import WeakSet

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import AuthenticationError, ValueRefusedError

__all__ = [
    "KEY_SIZE",
    "NONCE_SIZE",
    "PREFIX_SIZE",
    "SEALS_PER_PREFIX",
    "TAG_SIZE",
    "TAIL_SIZE",
    "InvalidTag",
    "Mac",
    "OpenerCache",
    "Xaes",
    "derive",
    "linked_openssl",
    "random_key",
    "stretch",
]

KEY_SIZE = 32
NONCE_SIZE = 24
PREFIX_SIZE = 12
TAIL_SIZE = 12
TAG_SIZE = 16

SEALS_PER_PREFIX = 1 << 20
"""How many messages a process seals under one nonce prefix before it draws the next one."""
CACHED_PREFIXES = 1024
"""How many derived keys a reader holds for each data key; at most twice as many stay alive."""

# The random half of the nonce is 12 bytes, so two of 2^20 messages of one prefix meet with
# probability 2^39 / 2^96 = 2^-57; two of 2^25 such prefixes (2^45 messages) meet in their first
# half with probability 2^49 / 2^96 = 2^-47. docs/spec/envelope-v1.md section 8 adds them up.

HAS_LOCK: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether Python runs one thread at a time. A free-threaded one (PEP 703) does not."""
Encrypt = Callable[[bytes, bytes, bytes], bytes]
Decrypt = Callable[[bytes, bytes, bytes], bytes]


def random_key() -> bytes:
    """Return 32 random bytes from the operating system."""
    return urandom(KEY_SIZE)


def derive(material: bytes, info: bytes, size: int = KEY_SIZE) -> bytes:
    """Return *size* bytes of HKDF-SHA256 (RFC 5869) of *material*: no salt, the given info."""
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=info).derive(material)


def stretch(passphrase: bytes, salt: bytes, iterations: int, size: int = KEY_SIZE) -> bytes:
    """
    Return *size* bytes of PBKDF2-HMAC-SHA256 (RFC 8018 section 5.2) of a passphrase.

    600,000 iterations take a fraction of a second, in which other threads run.
    """
    return pbkdf2_hmac("sha256", passphrase, salt, iterations, size)


def linked_openssl() -> tuple[str, bool | None]:
    """
    Return the version of the OpenSSL that cryptography links, and whether it is in FIPS mode.

    In FIPS mode OpenSSL takes no implementation that does not come from a FIPS provider; whether
    such a provider works is another question. None if cryptography does not say.
    """
    from cryptography.hazmat.backends.openssl import backend  # noqa: PLC0415 - seldom asked for

    version = backend.openssl_version_text()
    try:
        from cryptography.hazmat.bindings._rust import openssl  # noqa: PLC0415 - it may go away

        return version, bool(openssl.is_fips_enabled())
    except (ImportError, AttributeError):
        return version, None


class Mac:
    """
    HMAC-SHA256 (RFC 2104) under one key of 32 bytes. Safe to share between threads.

    The key is hashed in once; a digest starts from a copy of that state, at a third of the cost.
    """

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())

    def digest(self, message: bytes) -> bytes:
        """Return the 32 bytes of the message authentication code."""
        mac = self._keyed.copy()
        mac.update(message)
        return mac.finalize()

    def __repr__(self) -> str:
        """Return a text without key material."""
        return "<Mac>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a key must not leave the process that way."""
        raise TypeError("a MAC key cannot be pickled")


class Xaes:
    """
    XAES-256-GCM under one 32-byte key.

    Messages are `nonce (24) || ciphertext || tag (16)`. Safe to share between threads.

    Attributes:
        writer: what this process seals with at present, once it has sealed. Who uses it by itself
            takes the next of its `tails` for each message, and another writer after the last one.
    """

    __slots__ = ("__weakref__", "_cipher", "_mask", "_openers", "writer")

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(AES256(key), ECB())  # noqa: S305 - XAES is built on the bare block
        self._mask = _cmac_subkey(self._cipher.encryptor().update(bytes(16)))
        self._openers = OpenerCache(self)
        self.writer: Writer | None = None
        _alive.add(self)

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """
        Return nonce, ciphertext and tag.

        Raises:
            ValueRefusedError: more than 2^31 - 1 bytes, the limit of the AES-GCM call.
        """
        writer = self.writer
        tail = None if writer is None else next(writer.tails, None)
        if writer is None or tail is None:
            writer = Writer(self)
            tail = next(writer.tails)  # Before others see it, so that there is one.
            self.writer = writer
        try:
            return writer.prefix + tail + writer.encrypt(tail, plaintext, aad)
        except OverflowError:
            pass
        raise ValueRefusedError("the value is too large: AES-GCM seals at most 2^31 - 1 bytes")

    def seal_all(self, plaintexts: Sequence[bytes], aad: bytes, start: bytes) -> list[bytes]:
        """
        Return, for each plaintext, *start* with what `seal` returns after it.

        It costs less than one call each.

        Raises:
            ValueRefusedError: as `seal`.
        """
        count = len(plaintexts)
        writer = self.writer
        if writer is None or not writer.take(count):
            writer = Writer(self)
            if not writer.take(count):  # More than one prefix is good for.
                return [start + self.seal(plaintext, aad) for plaintext in plaintexts]
            self.writer = writer
        start += writer.prefix
        encrypt = writer.encrypt
        try:
            return [
                start + tail + encrypt(tail, plaintext, aad)
                for (tail,), plaintext in zip(
                    _tails(urandom(TAIL_SIZE * count)), plaintexts, strict=True
                )
            ]
        except OverflowError:
            pass
        raise ValueRefusedError("the value is too large: AES-GCM seals at most 2^31 - 1 bytes")

    def seal_with_nonce(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """
        Return ciphertext and tag under a given nonce. For test vectors only.

        A nonce used twice under one key gives both plaintexts away.
        """
        return AESGCM(self.derive(nonce[:12])).encrypt(nonce[12:], plaintext, aad)

    def open(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """
        Return the plaintext.

        Raises:
            AuthenticationError: ciphertext, tag, nonce, associated data or key differ.
        """
        try:
            if len(nonce) == NONCE_SIZE:
                return self._openers[nonce[:12]](nonce[12:], sealed, aad)
        except InvalidTag:
            pass
        raise AuthenticationError(
            "the value does not authenticate: it was changed, moved here from another column, "
            "or sealed under another key"
        )

    @property
    def openers(self) -> OpenerCache:
        """The derived keys by nonce prefix, for callers that have checked the envelope."""
        return self._openers

    def derive(self, prefix: bytes) -> bytes:
        """Return the AES-256-GCM key of a 12-byte nonce prefix (XAES-256-GCM, step 4)."""
        # A fresh encryptor for each call: one that is shared between threads is not specified
        # to be safe, and this runs once a prefix, not once a value.
        block = int.from_bytes(prefix, "big")
        m1 = (_M1 | block) ^ self._mask
        m2 = (_M2 | block) ^ self._mask
        return self._cipher.encryptor().update(m1.to_bytes(16, "big") + m2.to_bytes(16, "big"))

    def __repr__(self) -> str:
        """Return a text without key material."""
        return "<Xaes>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a key must not leave the process that way."""
        raise TypeError("an XAES key cannot be pickled")


class Writer:
    """
    A nonce prefix, its derived key, and as many tails as it is good for.

    Safe to share between threads: the steps of both iterators are made in C, under Python's lock
    or, where it has none, one of their own. So no more tails are given away than there are.

    Attributes:
        prefix: the first 12 bytes of the nonces.
        encrypt: AES-256-GCM under the key of that prefix.
        tails: the other 12 bytes, drawn from the operating system when they are asked for.
    """

    __slots__ = ("_left", "encrypt", "prefix", "tails")

    def __init__(self, xaes: Xaes) -> None:
        self.prefix = urandom(PREFIX_SIZE)
        self.encrypt: Encrypt = AESGCM(xaes.derive(self.prefix)).encrypt
        left = repeat(TAIL_SIZE, SEALS_PER_PREFIX)
        self._left: Iterator[int] = left if HAS_LOCK else _Locked(left)
        self.tails: Iterator[bytes] = map(urandom, self._left)

    def take(self, count: int) -> bool:
        """Use up so many tails, which the caller draws; whether there were that many."""
        return len(list(islice(self._left, count))) == count

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a copy would have tails of its own to give away."""
        raise TypeError("a writer cannot be pickled")


class _Locked(Iterator[int]):
    """The items of an iterator, of which threads take one at a time."""

    def __init__(self, items: Iterator[int]) -> None:
        self._items = items
        self._lock = Lock()

    def __next__(self) -> int:
        """Return the next item."""
        with self._lock:
            return next(self._items)


class OpenerCache(dict[bytes, Decrypt]):
    """
    Derived keys by nonce prefix, least recently used ones dropped.

    Two generations instead of a linked list: a hit costs one dict lookup and moves nothing.
    When the young one is full it becomes the old one; a key found there is taken over.
    """

    __slots__ = ("_old", "_xaes")

    def __init__(self, xaes: Xaes) -> None:
        super().__init__()
        self._xaes = xaes
        self._old: dict[bytes, Decrypt] = {}

    def __missing__(self, prefix: bytes) -> Decrypt:
        """Take the key over from the old generation, or derive it; KeyError if cut off."""
        if len(prefix) != PREFIX_SIZE:
            raise KeyError(len(prefix))
        if len(self) >= CACHED_PREFIXES:
            self._old = dict(self)
            self.clear()
        decrypt = self._old.get(prefix)
        if decrypt is None:
            decrypt = AESGCM(self._xaes.derive(prefix)).decrypt
        self[prefix] = decrypt
        return decrypt


_tails = Struct("12s").iter_unpack
_M1 = 0x00015800 << 96
_M2 = 0x00025800 << 96


def _cmac_subkey(zero_block: bytes) -> int:
    """Return K1 of NIST SP 800-38B section 6.1 from the encrypted zero block."""
    value = int.from_bytes(zero_block, "big") << 1
    if value >> 128:
        value ^= (1 << 128) | 0x87
    return value


_alive: WeakSet[Xaes] = WeakSet()


def _after_fork() -> None:
    """Let a forked child draw prefixes of its own: it has inherited those of its parent."""
    for xaes in list(_alive):
        xaes.writer = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
