"""
Known answers: each algorithm of this process is tried on published values.

Of use where OpenSSL may refuse to work: in FIPS mode without a FIPS provider that works, and with
one that is older than what cryptography expects.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from . import oaep
from .aead import NONCE_SIZE, Mac, Xaes, derive, random_key, stretch

_MESSAGE = b"known answer"
_LABEL = b"sqlalchemy-sealed known answer"

# C2SP XAES-256-GCM, first test vector.
_XAES_KEY = bytes([1]) * 32
_XAES_NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
_XAES_PLAINTEXT = b"XAES-256-GCM"
_XAES_SEALED = "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"
# RFC 5869 appendix A.3.
_HKDF = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
# RFC 4231 section 4.2.
_HMAC = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
# The input of RFC 6070's fifth case; its salt and iterations are enough for SP 800-132.
_PBKDF2_PASSWORD = b"passwordPASSWORDpassword"
_PBKDF2_SALT = b"saltSALTsaltSALTsaltSALTsaltSALTsalt"
_PBKDF2 = "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1c635518c7dac47e9"
# FIPS 180-4, NIST's example of one block.
_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
# A key whose private half was thrown away: RSA is tried with encryption only.
_RSA = b"""\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqANbS2Go0Kv7prWJya83
8nkl332mo1Mudqz8n97DkskHCNqlP3aYP3EoAlYZUBLc657zYyi+r+IX3RxUym22
xcPlJfJAUiBlLwmMGq/JJsv4OJzJW5yBTS2PQfj0VuoFor0Zz5rEwV8g4Za1BBnr
LLzlSE2mn3pncz2nRPrLDCxmcxP6WJi795WzjigWEK4389nLPV7MB9dW8zdjEbjV
BbU7lcXb1GksueMmuS3Qy5TH8LJN+jixRmOga8+OnWtyMvjUuK6uJV/iOo3ITOAm
YcVXYN3uJ7iYUXIqcfyBAUgn+oVF714RU+mhxg1VOWhw8EfB4+NhTcp2qOumreHU
OQIDAQAB
-----END PUBLIC KEY-----
"""


def gives(name: str) -> bool | None:
    """
    Return whether an algorithm gives the known answer in this process.

    Args:
        name: its name in the table of algorithms.

    Returns:
        False also if it cannot be computed at all; None for one that another computes.
    """
    trial = _TRIALS.get(name)
    if trial is None:
        return None
    try:
        return trial()
    except Exception:  # noqa: BLE001 - that it fails is the answer, whatever OpenSSL says
        return False


def _gcm() -> bool:
    xaes = Xaes(random_key())
    sealed = xaes.seal(_MESSAGE, _LABEL)
    return xaes.open(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], _LABEL) == _MESSAGE


def _xaes() -> bool:
    sealed = Xaes(_XAES_KEY).seal_with_nonce(_XAES_NONCE, _XAES_PLAINTEXT, b"")
    return sealed.hex() == _XAES_SEALED


def _hkdf() -> bool:
    return derive(b"\x0b" * 22, b"", 42).hex() == _HKDF


def _hmac() -> bool:
    return Mac(b"\x0b" * 20).digest(b"Hi There").hex() == _HMAC


def _pbkdf2() -> bool:
    return stretch(_PBKDF2_PASSWORD, _PBKDF2_SALT, 4096, 40).hex() == _PBKDF2


def _rsa() -> bool:
    pair = oaep.load(_RSA)
    return len(pair.encrypt(_MESSAGE, _LABEL)) == pair.size


def _sha256() -> bool:
    return sha256(b"abc").hexdigest() == _SHA256


_TRIALS: dict[str, Callable[[], bool]] = {
    "AES-256-GCM": _gcm,
    "XAES-256-GCM": _xaes,
    "HKDF-SHA256": _hkdf,
    "HMAC-SHA256": _hmac,
    "PBKDF2-HMAC-SHA256": _pbkdf2,
    "RSAES-OAEP-SHA256": _rsa,
    "SHA-256": _sha256,
}
