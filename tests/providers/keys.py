"""RSA keys, made by the command of OpenSSL."""

from __future__ import annotations

import subprocess


def openssl(*arguments: str, data: bytes = b"") -> bytes:
    """Return the output of a command of OpenSSL."""
    command = ["openssl", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def rsa_key(bits: int) -> bytes:
    """Return a new private key, in PEM."""
    return openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")
