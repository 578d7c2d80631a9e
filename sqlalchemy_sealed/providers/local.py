"""
A root key of this machine: 32 random bytes from an environment variable or a key file.

Wrapped form: `local:1:<root key id>:<base64url of nonce, ciphertext and tag>`, XAES-256-GCM
under HKDF-SHA256(root key, "sqlalchemy-sealed v1 root kek"), the binding as associated data.
The root key id is 8 bytes of HKDF-SHA256 in hexadecimal: a wrong root key is told by name
instead of by a failed decryption.
"""

from __future__ import annotations

import os
from typing import NoReturn

from .. import secretfile
from ..aead import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Xaes, derive, random_key
from ..envelope import from_text, to_text
from ..errors import AuthenticationError, NotAnEnvelopeError, ProviderError
from .forms import RESTORE, decoded, fields

ROOT_KEY_VARIABLE = "SEALED_ROOT_KEY"
_TEXT_PREFIX = "sealedroot1_"
_WRAPPED_PREFIX = "local:1"
_INFO_KEK = b"sqlalchemy-sealed v1 root kek"
_INFO_ID = b"sqlalchemy-sealed v1 root key id"


class LocalRootKey:
    """
    KEK provider over a root key of 32 bytes that this process holds.

    Its text form is `sealedroot1_` and 43 characters of base64url; `sealed init` makes one.
    Keep it apart from the keystore and from the database: who has both opens everything.
    """

    __slots__ = ("_key_id", "_xaes")

    def __init__(self, material: bytes) -> None:
        if len(material) != KEY_SIZE:
            raise ProviderError(f"a root key has {KEY_SIZE} bytes, not {len(material)}")
        self._key_id = derive(material, _INFO_ID, 8).hex()
        self._xaes = Xaes(derive(material, _INFO_KEK))

    @classmethod
    def from_text(cls, text: str, where: str = "root key") -> LocalRootKey:
        """
        Return the provider of a root key in its text form.

        Raises:
            ProviderError: not the text of a root key. The text is not shown.
        """
        text = text.strip()
        material = None
        if text.startswith(_TEXT_PREFIX):
            try:
                material = from_text(text.removeprefix(_TEXT_PREFIX))
            except NotAnEnvelopeError:
                material = None
        if material is None or len(material) != KEY_SIZE:
            raise ProviderError(
                f"this is not a root key ('{_TEXT_PREFIX}' and 43 characters of base64url); "
                "'sealed init' makes one",
                where=where,
            )
        return cls(material)

    @classmethod
    def from_env(cls, variable: str = ROOT_KEY_VARIABLE) -> LocalRootKey:
        """
        Return the provider of the root key in an environment variable.

        Raises:
            ProviderError: the variable is not set, or does not hold a root key.
        """
        text = os.environ.get(variable)
        if not text:
            raise ProviderError(
                "this environment variable is not set; it has to hold the root key",
                where=variable,
            )
        return cls.from_text(text, where=variable)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> LocalRootKey:
        """
        Return the provider of the root key in a file that only its owner can read.

        Raises:
            OptionError: no file can have this path.
            KeystoreError: missing, unreadable, or open to group or others.
            ProviderError: it does not hold a root key.
        """
        data = secretfile.read(secretfile.path_of(path), "root key file")
        return cls.from_text(data.decode("ascii", errors="replace"), where=str(path))

    @staticmethod
    def generate() -> str:
        """Return the text form of a new root key. It is a secret: store it, do not log it."""
        return _TEXT_PREFIX + to_text(random_key())

    def wrap(self, key: bytes, binding: bytes) -> str:
        """Return *key* wrapped and bound to *binding*."""
        return f"{_WRAPPED_PREFIX}:{self._key_id}:{to_text(self._xaes.seal(key, binding))}"

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderError: another root key wrapped it, or it was changed or swapped.
        """
        sealed = self._parse(wrapped)
        try:
            key = self._xaes.open(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], binding)
        except AuthenticationError:
            key = b""
        if len(key) != KEY_SIZE:
            raise ProviderError(
                "a wrapped key does not authenticate: it was damaged, or swapped with the key "
                f"of another name or id; {RESTORE}"
            )
        return key

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """Return the same key wrapped anew. A local root key has one version only."""
        return self.wrap(self.unwrap(wrapped, binding), binding)

    def version(self) -> str:
        """Return `local:1:<root key id>`."""
        return f"{_WRAPPED_PREFIX}:{self._key_id}"

    def is_current(self, wrapped: str, version: str) -> bool:
        """Whether this root key wrapped it."""
        return wrapped.startswith(f"{version}:")

    def _parse(self, wrapped: str) -> bytes:
        key_id, sealed = fields(wrapped, _WRAPPED_PREFIX, 2, "a local root key")
        if key_id != self._key_id:  # public: it stands in the keystore
            raise ProviderError(
                f"wrong root key: the keystore was made with root key {key_id[:16]!a}, this one "
                f"is {self._key_id!r}"
            )
        return decoded(sealed, NONCE_SIZE + KEY_SIZE + TAG_SIZE)

    def __repr__(self) -> str:
        """Return the root key id only."""
        return f"<LocalRootKey id={self._key_id}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a key must not leave the process that way."""
        raise TypeError("a root key cannot be pickled")
