"""
Hazardous materials: the only module that calls RSA.

RSAES-OAEP with SHA-256, MGF1 with SHA-256 and a label (RFC 8017 section 7.1).
"""

from __future__ import annotations

from hashlib import sha256
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from .errors import ProviderError

SHORTEST = 2048
"""Bits of the modulus; NIST SP 800-131A forbids shorter ones for key transport."""
LONGEST = 16384
_PRIVATE = b"PRIVATE KEY-----"
_HOW_TO = "make one with: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072"


class KeyPair:
    """An RSA key, private or public."""

    __slots__ = ("_private", "_public", "fingerprint", "size")

    def __init__(self, public: RSAPublicKey, private: RSAPrivateKey | None) -> None:
        self._public = public
        self._private = private
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = sha256(der).hexdigest()[:16]
        self.size = (public.key_size + 7) // 8

    @property
    def is_private(self) -> bool:
        """Whether the private key is here."""
        return self._private is not None

    def encrypt(self, plaintext: bytes, label: bytes) -> bytes:
        """Return the ciphertext, as long as the modulus."""
        return self._public.encrypt(plaintext, _oaep(label))

    def decrypt(self, ciphertext: bytes, label: bytes) -> bytes | None:
        """Return the plaintext, or None where ciphertext, label or key are not the right ones."""
        if self._private is None:
            return None
        try:
            return self._private.decrypt(ciphertext, _oaep(label))
        except ValueError:
            return None

    def __repr__(self) -> str:
        """Return the fingerprint."""
        return f"<KeyPair {self.fingerprint}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a private key must not leave the process that way."""
        raise TypeError("an RSA key cannot be pickled")


def load(pem: bytes, password: bytes | None = None) -> KeyPair:
    """
    Return the key of a PEM text.

    Raises:
        ProviderError: not an RSA key in PEM, of a wrong size, or its password is missing, wrong
            or needless.
    """
    try:
        loaded = (
            load_pem_private_key(pem, password) if _PRIVATE in pem else load_pem_public_key(pem)
        )
    except TypeError:
        problem = "the private key is " + (
            "encrypted, and no password was given"
            if password is None
            else "not encrypted, but a password was given"
        )
    except (ValueError, UnsupportedAlgorithm):
        problem = "this is not an RSA key in PEM" + (
            "" if password is None else ", or the password is wrong"
        )
    else:
        return _checked(loaded)
    raise ProviderError(f"{problem}; {_HOW_TO}")


def _checked(loaded: object) -> KeyPair:
    private = loaded if isinstance(loaded, RSAPrivateKey) else None
    public = loaded if private is None else private.public_key()
    if not isinstance(public, RSAPublicKey):
        raise ProviderError(f"this is a key of another kind than RSA; {_HOW_TO}")
    if not SHORTEST <= public.key_size <= LONGEST:
        raise ProviderError(
            f"this RSA key has {public.key_size} bits; {SHORTEST} to {LONGEST} are taken"
        )
    return KeyPair(public, private)


def _oaep(label: bytes) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=label)
