"""
KEK provider over an AES key in a hardware security module, through PKCS#11. The KEK stays there.

Wrapped form: `pkcs11:1:<fingerprint>:<base64url of nonce, ciphertext and tag>`: AES-256-GCM in the
module (NIST SP 800-38D), a nonce of 12 random bytes, the binding as associated data. The
fingerprint tells KEKs apart, also those of one label: the first 8 bytes, in hexadecimal, of the
SHA-256 of a fixed message of 32 zero bytes that the KEK encrypted, under a nonce of zero bytes
that nothing else is encrypted under.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from os import urandom
from typing import Any, NoReturn

from ..aead import KEY_SIZE, TAG_SIZE
from ..envelope import to_text
from ..errors import (
    MissingExtraError,
    OptionError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderUnavailableError,
)
from .forms import decoded, fields
from .pkcs11errors import outcome

_SCHEME = "pkcs11:1"
_NONCE = 12
_INFO = b"sqlalchemy-sealed v1 kek fingerprint"

_calls = threading.Lock()
"""python-pkcs11 tells modules that there are no threads. A fork waits for a call to end, too."""
_initialized: dict[str, int] = {}
"""For each library, the process in which it was initialised."""


class Pkcs11:
    """
    KEK provider over an AES-256 key of a PKCS#11 token.

    Args:
        library: the path of the module's PKCS#11 library.
        token: the label of the token.
        key: the label of the AES key, which may encrypt and decrypt. It should be neither
            extractable nor wrappable.
        pin: the PIN of the token's user. A PIN that was refused is not tried again, since
            tokens are locked after a few wrong ones.

    One session, opened at the first use, after a fork, and where it was lost. Calls are made one
    at a time. Safe to share between threads, and across a fork.

    Raises:
        MissingExtraError: the extra "pkcs11" is not installed.
        OptionError: an argument is no text, or empty.
    """

    remote = True

    def __init__(self, library: str | os.PathLike[str], *, token: str, key: str, pin: str) -> None:
        self.library = os.fspath(library)
        self.token = token
        self.key = key
        if not all(map(_is_text, (self.library, token, key, pin))):
            raise OptionError("library, token, key and PIN are texts that are not empty")
        self._pin = pin
        self._refused = False
        self._opened: _Kek | None = None
        _pkcs11()

    def wrap(self, key: bytes, binding: bytes) -> str:
        """
        Return *key* wrapped and bound to *binding*.

        Raises:
            ProviderError: the module refuses, or cannot be used; one subclass for each reason.
        """
        nonce = urandom(_NONCE)

        def request(kek: _Kek) -> tuple[str, bytes]:
            return kek.fingerprint, kek.encrypt(nonce, key, binding)

        fingerprint, sealed = self._call(request)
        return f"{_SCHEME}:{fingerprint}:{to_text(nonce + sealed)}"

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderError: as `wrap`; or another KEK wrapped it, or it was changed or swapped.
        """
        fingerprint, text = fields(wrapped, _SCHEME, 2, "a hardware security module")
        data = decoded(text, _NONCE + KEY_SIZE + TAG_SIZE)

        def request(kek: _Kek) -> bytes:
            if fingerprint != kek.fingerprint:  # public: it stands in the keystore
                raise ProviderError(
                    f"wrong KEK: the keystore was made with the key {fingerprint[:16]!a}, this "
                    f"one is {kek.fingerprint!r}"
                )
            return kek.decrypt(data[:_NONCE], data[_NONCE:], binding)

        key: bytes = self._call(request)
        return key

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """Return the same key wrapped anew. A key of a module has one version only."""
        return self.wrap(self.unwrap(wrapped, binding), binding)

    def version(self) -> str:
        """Return `pkcs11:1:<fingerprint>`, once the key was found."""
        return f"{_SCHEME}:{self._call(lambda kek: kek.fingerprint)}"

    def is_current(self, wrapped: str, version: str) -> bool:
        """Whether this KEK wrapped it."""
        return wrapped.startswith(f"{version}:")

    def _call(self, request: Callable[[_Kek], Any]) -> Any:
        with _calls:
            was_open = self._opened is not None
            answer = self._attempt(request)
            if was_open and isinstance(answer, ProviderError) and not self._works():
                # The session was lost, or another one has ended the login of both.
                self._close()
                answer = self._attempt(request)
            if isinstance(answer, ProviderUnavailableError):
                self._close()
        if isinstance(answer, ProviderError):
            raise answer.at(f"token {self.token!r}, key {self.key!r}")
        return answer

    def _attempt(self, request: Callable[[_Kek], Any]) -> Any:
        if self._refused:
            return ProviderLoginError(
                "the token refused the PIN, which is not tried again; give the process the right "
                "one and start it anew"
            )
        kek = self._opened
        if kek is None or kek.pid != os.getpid():
            opened: _Kek | ProviderError = outcome(self._open)
            if isinstance(opened, ProviderError):
                self._refused = isinstance(opened, ProviderLoginError)
                return opened
            kek = self._opened = opened
        return outcome(partial(request, kek))

    def _works(self) -> bool:
        """Whether the session still has the KEK. Modules do not tell this from a wrong tag."""
        kek = self._opened
        return kek is not None and outcome(kek.mark) == kek.fingerprint

    def _close(self) -> None:
        """End the session: a module has a bounded number of them, and nothing else ends it."""
        kek, self._opened = self._opened, None
        if kek is not None and kek.pid == os.getpid():
            with suppress(_pkcs11().exceptions.PKCS11Error):
                kek.close()

    def _open(self) -> _Kek:
        pkcs11 = _pkcs11()
        token = _library(self.library).get_token(token_label=self.token)
        try:
            session = token.open(user_pin=self._pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            # A login holds for all sessions of a process.
            session = token.open()
        try:
            return _Kek(session, self.key)
        except BaseException:
            session.close()
            raise

    def __repr__(self) -> str:
        """Return token and key, without the PIN."""
        return f"<Pkcs11 token={self.token!r} key={self.key!r}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a PIN must not leave the process that way."""
        raise TypeError("a PKCS#11 provider cannot be pickled")


class _Kek:
    """The KEK as an open session sees it."""

    __slots__ = ("_key", "_session", "fingerprint", "pid")

    def __init__(self, session: Any, label: str) -> None:
        self._session = session
        self._key = _found(session, label)
        if self._key.key_length != 8 * KEY_SIZE:
            raise ProviderError(f"the AES key has {self._key.key_length} bits, not {8 * KEY_SIZE}")
        if not (hasattr(self._key, "encrypt") and hasattr(self._key, "decrypt")):
            raise ProviderDeniedError(
                "the key must be allowed to encrypt and to decrypt (CKA_ENCRYPT, CKA_DECRYPT)"
            )
        self.pid = os.getpid()
        self.fingerprint = self.mark()

    def mark(self) -> str:
        """Return the fingerprint of the KEK, by a call of the module."""
        fixed = self.encrypt(bytes(_NONCE), bytes(KEY_SIZE), _INFO)
        return sha256(fixed).hexdigest()[:16]

    def close(self) -> None:
        """End the session, and the login if this session made it."""
        self._session.close()

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return ciphertext and tag."""
        return bytes(self._key.encrypt(plaintext, **_gcm(nonce, aad)))

    def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the plaintext."""
        return bytes(self._key.decrypt(sealed, **_gcm(nonce, aad)))


def _is_text(value: object) -> bool:
    # A surrogate, as in an environment variable of another encoding, is no character.
    return isinstance(value, str) and bool(value) and not any(map(_is_surrogate, value))


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _found(session: Any, label: str) -> Any:
    from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415 - an extra

    wanted = {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.AES,
        Attribute.LABEL: label,
    }
    keys = list(session.get_objects(wanted))
    if len(keys) != 1:
        number = "more than one AES key" if keys else "no AES key"
        raise ProviderKeyMissingError(f"the token has {number} of this label")
    return keys[0]


def _gcm(nonce: bytes, aad: bytes) -> dict[str, Any]:
    from pkcs11 import GCMParams, Mechanism  # noqa: PLC0415 - an extra

    return {
        "mechanism": Mechanism.AES_GCM,
        "mechanism_param": GCMParams(nonce, aad, 8 * TAG_SIZE),
    }


def _library(path: str) -> Any:
    library = _pkcs11().lib(path)
    if _initialized.setdefault(path, os.getpid()) != os.getpid():
        # PKCS#11 forbids a forked child to use what it inherited.
        library.reinitialize()
        _initialized[path] = os.getpid()
    return library


def _pkcs11() -> Any:
    try:
        import pkcs11.exceptions  # noqa: PLC0415 - an extra
    except ImportError:
        pass
    else:
        return pkcs11
    raise MissingExtraError.named("pkcs11", "a hardware security module")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_calls.acquire, after_in_parent=_calls.release, after_in_child=_calls.release
    )
