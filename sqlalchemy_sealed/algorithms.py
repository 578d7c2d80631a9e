"""
The algorithms of this library: what each is used for, its standard, and how it stands to FIPS 140.

A table, and nothing is computed. Claims are no stronger than their sources, which are named;
`docs/explanation/fips.md` says the same at more length.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How an algorithm, as it is used here, stands to those that NIST has approved."""

    APPROVED = "approved"
    """A NIST standard approves it for this use."""
    CONDITIONAL = "approved under conditions"
    """A NIST standard approves it, and the caveat says what this use does not fulfil by itself."""
    COMPOSED = "composed of approved parts"
    """No NIST standard names it; each of its parts has one."""
    ELSEWHERE = "depends on the service"
    """Computed by a service or a device, which has a certificate of its own, or none."""


class Place(StrEnum):
    """Who computes an algorithm."""

    CRYPTOGRAPHY = "cryptography"
    PYTHON = "Python"
    SYSTEM = "operating system"
    SERVICE = "service or device"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """
    One algorithm that the library uses.

    Attributes:
        name: its name, with all parameters that belong to it.
        uses: what it is used for here.
        standard: where it is defined, and by which standard it is approved.
        standing: how it stands to approved algorithms.
        caveat: what limits that, in whole sentences.
        place: who computes it.
        runs: whether it gave the right result in this process just now; None if it was not tried,
            since another computes it.
    """

    name: str
    uses: tuple[str, ...]
    standard: str
    standing: Standing
    caveat: str
    place: Place = Place.CRYPTOGRAPHY
    runs: bool | None = None


ALGORITHMS = (
    Algorithm(
        "AES-256-GCM",
        ("the inner cipher of XAES-256-GCM",),
        "FIPS 197, SP 800-38D",
        Standing.CONDITIONAL,
        "The nonce has 12 random bytes, and one key seals at most 2^20 messages under random "
        "nonces, where SP 800-38D section 8.3 allows 2^32. But they come from the operating "
        "system and are handed to OpenSSL; FIPS 140-3 (Implementation Guidance C.H) wants the "
        "nonces of encryption made inside of the validated module, and OpenSSL says of its own "
        "module that encrypting with a given nonce is not compliant. Decryption is not concerned.",
    ),
    Algorithm(
        "XAES-256-GCM",
        (
            "values",
            "data keys and index keys wrapped by a root key",
            "those wrapped under a passphrase",
        ),
        "C2SP XAES-256-GCM; its parts: SP 800-108 rev. 1 section 4.1 with CMAC (SP 800-38B), "
        "SP 800-38D",
        Standing.COMPOSED,
        "No NIST standard names it and no certificate lists it. Its key derivation, two blocks "
        "of CMAC-AES-256 in counter mode, is put together here, from calls of the AES block "
        "cipher: a certificate of OpenSSL's module does not cover it.",
    ),
    Algorithm(
        "HKDF-SHA256",
        (
            "AEAD keys from data keys",
            "keys of blind and match indexes from index keys",
            "key ids",
            "the KEK and the id of a root key",
        ),
        "RFC 5869; SP 800-56C rev. 2 section 5, with SP 800-108 rev. 1 section 4.2",
        Standing.CONDITIONAL,
        "SP 800-56C approves these two steps for the shared secret of a key agreement. What goes "
        "in here is a random key of 32 bytes instead, for which SP 800-108 approves the second "
        "step alone; whether the first one before it is taken, your assessor has to say. "
        "cryptography puts it together from calls of HMAC, so a certificate of OpenSSL's module "
        "covers the HMAC only.",
    ),
    Algorithm(
        "HMAC-SHA256",
        ("blind indexes", "tokens of match indexes"),
        "FIPS 198-1, FIPS 180-4",
        Standing.APPROVED,
        "The keys have 32 bytes. Of the result 15 bytes are kept for a blind index and 3 for a "
        "token, or fewer bits where so declared: they find rows, and authenticate nothing.",
    ),
    Algorithm(
        "PBKDF2-HMAC-SHA256",
        ("the KEK of a passphrase",),
        "RFC 8018, SP 800-132",
        Standing.APPROVED,
        "SP 800-132 approves it to protect stored data, which this is. The salt has 16 random "
        "bytes, 100,000 iterations are the least, the key has 32 bytes. It is no stronger than "
        "the passphrase.",
        Place.PYTHON,
    ),
    Algorithm(
        "RSAES-OAEP-SHA256",
        ("data keys and index keys wrapped by an RSA key",),
        "RFC 8017 section 7.1, SP 800-56B rev. 2",
        Standing.CONDITIONAL,
        "SP 800-56B approves it as a part of key transport and asks more of both sides than is "
        "checked here: a key pair that was made as FIPS 186 says, and assurance of it. A modulus "
        "of 2,048 bits has 112 bits of strength, a data key 256. Tried with encryption only.",
    ),
    Algorithm(
        "SHA-256",
        ("fingerprints of RSA keys and of keys in a module", "short names of constraints"),
        "FIPS 180-4",
        Standing.APPROVED,
        "It hashes public bytes, and protects nothing here. Where its OpenSSL has none, Python "
        "computes it by itself.",
        Place.PYTHON,
    ),
    Algorithm(
        "random bytes",
        ("data keys, index keys and root keys", "nonces", "salts"),
        "SP 800-90A, SP 800-133 rev. 2",
        Standing.CONDITIONAL,
        "They come from the operating system (getrandom on Linux), not from OpenSSL. It is an "
        "approved generator only where the kernel's is part of a validated module and runs in "
        "FIPS mode.",
        Place.SYSTEM,
    ),
    Algorithm(
        "AES-256-GCM in Vault",
        ("data keys and index keys wrapped by Vault or OpenBao",),
        "transit engine, type aes256-gcm96, derived",
        Standing.ELSEWHERE,
        "Vault derives the key, makes the nonce and encrypts. Ask who ships your server for the "
        "certificate of its module.",
        Place.SERVICE,
    ),
    Algorithm(
        "AES-256-GCM in AWS KMS",
        ("data keys and index keys wrapped by AWS KMS",),
        "AWS KMS, symmetric key",
        Standing.ELSEWHERE,
        "KMS makes the nonce and encrypts. Its certificate is AWS's, and holds for the endpoints "
        "that AWS names; AWS_USE_FIPS_ENDPOINT=true makes boto3 use the FIPS ones.",
        Place.SERVICE,
    ),
    Algorithm(
        "AES-256-GCM in a PKCS#11 module",
        ("data keys and index keys wrapped by a hardware security module",),
        "SP 800-38D, mechanism CKM_AES_GCM",
        Standing.ELSEWHERE,
        "The module encrypts, under a nonce of 12 random bytes from the operating system. Its "
        "security policy has to say whether that is an approved service: see AES-256-GCM.",
        Place.SERVICE,
    ),
)
