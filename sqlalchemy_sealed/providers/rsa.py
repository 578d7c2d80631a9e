"""
KEK provider over an RSA key pair: RSAES-OAEP with SHA-256 and MGF1 (RFC 8017 section 7.1).

A process that holds the public key only can make data keys and seal under them; it can open
nothing. The private key is where values are read.

Wrapped form: `rsa:1:<fingerprint>:<base64url of the ciphertext>`; the fingerprint is the first 8
bytes, in hexadecimal, of the SHA-256 of the public key (SubjectPublicKeyInfo, DER). The binding is
the label of OAEP: a wrapped key that was given to another name or id does not unwrap.
"""

from __future__ import annotations

import os
import stat
from typing import NoReturn

from .. import oaep
from ..aead import KEY_SIZE
from ..envelope import to_text
from ..errors import ProviderDeniedError, ProviderError
from ..secretfile import path_of
from .forms import RESTORE, decoded, fields

_SCHEME = "rsa:1"


class RsaKey:
    """
    KEK provider over an RSA key of 2,048 to 16,384 bits.

    Args:
        pem: a private key (PKCS#8 or PKCS#1) or a public key (SubjectPublicKeyInfo), in PEM.
        password: of an encrypted private key.

    Raises:
        ProviderError: not such a key, too short, or the password is missing, wrong or needless.
    """

    __slots__ = ("_pair", "fingerprint")

    def __init__(self, pem: bytes, *, password: bytes | None = None) -> None:
        self._pair = oaep.load(pem, password)
        self.fingerprint = self._pair.fingerprint

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, password: bytes | None = None) -> RsaKey:
        """
        Return the provider of a key in a PEM file.

        Raises:
            OptionError: no file can have this path.
            ProviderError: as above; or the file cannot be read, or holds a private key and group
                or others have any permission on it.
        """
        try:
            with path_of(path).open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                pair = cls(file.read(), password=password)
        except OSError as error:
            problem = f"the file of the RSA key cannot be read: {error.strerror}"
        except ProviderError as error:
            problem = error.problem
        else:
            if not (pair.can_unwrap and os.name == "posix" and mode & 0o077):
                return pair
            problem = (
                f"the private key can be used by others (mode {mode:04o}); only its owner may: "
                f"chmod 600 {path}"
            )
        raise ProviderError(problem, where=str(path))

    @property
    def can_unwrap(self) -> bool:
        """Whether the private key is here."""
        return self._pair.is_private

    def wrap(self, key: bytes, binding: bytes) -> str:
        """Return *key* wrapped and bound to *binding*. The public key suffices."""
        return f"{self.version()}:{to_text(self._pair.encrypt(key, binding))}"

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderDeniedError: only the public key is here.
            ProviderError: another key pair wrapped it, or it was changed or swapped.
        """
        ciphertext = self._parse(wrapped)
        if not self.can_unwrap:
            raise ProviderDeniedError(
                "this process holds the public key only: it can seal and never open"
            )
        key = self._pair.decrypt(ciphertext, binding)
        if key is None or len(key) != KEY_SIZE:
            raise ProviderError(
                "a wrapped key does not open: it was damaged, or swapped with the key of another "
                f"name or id; {RESTORE}"
            )
        return key

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """Return the same key wrapped anew. A key pair has one version only."""
        return self.wrap(self.unwrap(wrapped, binding), binding)

    def version(self) -> str:
        """Return `rsa:1:<fingerprint>`."""
        return f"{_SCHEME}:{self.fingerprint}"

    def is_current(self, wrapped: str, version: str) -> bool:
        """Whether this key pair wrapped it."""
        return wrapped.startswith(f"{version}:")

    def _parse(self, wrapped: str) -> bytes:
        fingerprint, ciphertext = fields(wrapped, _SCHEME, 2, "an RSA key")
        if fingerprint != self.fingerprint:  # public: it stands in the keystore
            raise ProviderError(
                f"wrong RSA key: the keystore was made with the key {fingerprint[:16]!a}, this "
                f"one is {self.fingerprint!r}"
            )
        return decoded(ciphertext, self._pair.size)

    def __repr__(self) -> str:
        """Return the fingerprint, and whether the private key is here."""
        kind = "private" if self.can_unwrap else "public"
        return f"<RsaKey {self.fingerprint} {kind}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a private key must not leave the process that way."""
        raise TypeError("an RSA key cannot be pickled")
