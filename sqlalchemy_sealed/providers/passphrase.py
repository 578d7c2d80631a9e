"""
KEK provider over a passphrase, for keystores that a person opens.

The KEK is PBKDF2-HMAC-SHA256 (RFC 8018) of the passphrase, 32 bytes, with a salt of 16 random
bytes. Salt and iterations stand beside each wrapped key, so the iterations can be raised later.

Wrapped form: `pbkdf2:1:<iterations>:<salt>:<base64url of nonce, ciphertext and tag>`,
XAES-256-GCM, the binding as associated data.
"""

from __future__ import annotations

from os import urandom
from typing import NoReturn
from unicodedata import normalize

from ..aead import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Xaes, stretch
from ..envelope import to_text
from ..errors import AuthenticationError, OptionError, ProviderError
from ..locks import ForkLock
from .forms import RESTORE, decoded, fields

ITERATIONS = 600_000
"""What OWASP asks of PBKDF2-HMAC-SHA256 (Password Storage Cheat Sheet, 2023)."""
FEWEST_ITERATIONS = 100_000
MOST_ITERATIONS = 10_000_000
"""More would let a changed keystore stop the process for minutes."""
SALT_SIZE = 16
"""NIST SP 800-132 section 5.1 asks for at least 128 bits."""
SHORTEST = 12
"""Characters of a passphrase; a generated one of six words has far more."""
_SCHEME = "pbkdf2:1"


class Passphrase:
    """
    KEK provider over a passphrase.

    Args:
        passphrase: at least 12 characters. Prefer a generated one: whoever gets the keystore can
            try passphrases as fast as PBKDF2 lets them. It is brought to Unicode's form NFC (as
            in RFC 8265 section 4.2), so that it is the same on every keyboard.
        iterations: for keys that are wrapped from now on, 100,000 to 10,000,000.

    Deriving the KEK takes a fraction of a second, once for each salt. A process that has unwrapped
    a key wraps others under the same salt, so the keys of a keystore share one.

    Raises:
        OptionError: the passphrase is no text, too short or not valid Unicode, or the iterations
            are out of bounds.
    """

    __slots__ = ("_keks", "_lock", "_passphrase", "_salt", "iterations")

    remote = True
    """Deriving a KEK takes too long for the thread of an event loop."""

    def __init__(self, passphrase: str, *, iterations: int = ITERATIONS) -> None:
        if not isinstance(passphrase, str) or len(passphrase) < SHORTEST:
            raise OptionError(f"a passphrase is a text of at least {SHORTEST} characters")
        if type(iterations) is not int or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
            raise OptionError(
                f"iterations must be a whole number from {FEWEST_ITERATIONS} to {MOST_ITERATIONS}"
            )
        self._passphrase = _utf8(passphrase)
        self.iterations = iterations
        self._salt: bytes | None = None
        self._keks: dict[tuple[int, bytes], Xaes] = {}
        self._lock = ForkLock()

    def wrap(self, key: bytes, binding: bytes) -> str:
        """Return *key* wrapped and bound to *binding*."""
        with self._lock:
            salt = self._salt = self._salt or urandom(SALT_SIZE)
        sealed = self._kek(self.iterations, salt).seal(key, binding)
        return f"{_SCHEME}:{self.iterations}:{to_text(salt)}:{to_text(sealed)}"

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderError: another passphrase wrapped it, or it was changed or swapped.
        """
        iterations, salt, sealed = _parse(wrapped)
        kek = self._kek(iterations, salt)
        try:
            key = kek.open(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], binding)
        except AuthenticationError:
            key = b""
        if len(key) != KEY_SIZE:
            raise ProviderError(
                "a wrapped key does not authenticate: the passphrase is another one, or the key "
                f"was damaged, or swapped with that of another name or id; {RESTORE}"
            )
        if iterations == self.iterations and self._salt is None:
            self._salt = salt
        return key

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """Return the same key wrapped anew, with the iterations of this provider."""
        return self.wrap(self.unwrap(wrapped, binding), binding)

    def version(self) -> str:
        """Return `pbkdf2:1:<iterations>`."""
        return f"{_SCHEME}:{self.iterations}"

    def is_current(self, wrapped: str, version: str) -> bool:
        """Whether a wrapped key has these iterations."""
        return wrapped.startswith(f"{version}:")

    def _kek(self, iterations: int, salt: bytes) -> Xaes:
        with self._lock:
            kek = self._keks.get((iterations, salt))
            if kek is None:
                derived = stretch(self._passphrase, salt, iterations)
                kek = self._keks[iterations, salt] = Xaes(derived)
            return kek

    def __repr__(self) -> str:
        """Return the iterations only."""
        return f"<Passphrase iterations={self.iterations}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a passphrase must not leave the process that way."""
        raise TypeError("a passphrase cannot be pickled")


def _utf8(passphrase: str) -> bytes:
    try:
        return normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        pass
    raise OptionError("a passphrase must be valid Unicode")


def _parse(wrapped: str) -> tuple[int, bytes, bytes]:
    count, salt, sealed = fields(wrapped, _SCHEME, 3, "a passphrase")
    iterations = int(count) if count.isdecimal() and len(count) <= len(str(MOST_ITERATIONS)) else 0
    if str(iterations) != count or not FEWEST_ITERATIONS <= iterations <= MOST_ITERATIONS:
        raise ProviderError(
            f"a wrapped key is damaged: its iterations are no number from {FEWEST_ITERATIONS} to "
            f"{MOST_ITERATIONS}; {RESTORE}"
        )
    return iterations, decoded(salt, SALT_SIZE), decoded(sealed, NONCE_SIZE + KEY_SIZE + TAG_SIZE)
