"""Fixtures: RSA keys."""

from __future__ import annotations

import pytest
from providers.keys import openssl, rsa_key


@pytest.fixture(scope="session")
def rsa_pem() -> bytes:
    """Return a private key of 2,048 bits."""
    return rsa_key(2048)


@pytest.fixture(scope="session")
def other_rsa_pem() -> bytes:
    """Return another private key of 2,048 bits."""
    return rsa_key(2048)


@pytest.fixture(scope="session")
def public_pem(rsa_pem: bytes) -> bytes:
    """Return the public key of the first one."""
    return openssl("pkey", "-pubout", data=rsa_pem)
