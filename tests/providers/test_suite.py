"""What every KEK provider does, of each one that keeps its KEK here or in a service of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from fix_providers import settings_of_aws
from servers.server import Server
from servers.softhsm import Hsm

from sqlalchemy_sealed import KEKProvider, LocalRootKey
from sqlalchemy_sealed.providers.awskms import AwsKms
from sqlalchemy_sealed.providers.moved import Moved
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase
from sqlalchemy_sealed.providers.pkcs11 import Pkcs11
from sqlalchemy_sealed.providers.rsa import RsaKey
from sqlalchemy_sealed.testing import ProviderSuite


class TestLocalRootKey(ProviderSuite):
    """A root key of this machine."""

    text = LocalRootKey.generate()

    @pytest.fixture
    def provider(self) -> KEKProvider:
        """Return the provider of a root key."""
        return LocalRootKey.from_text(self.text)

    @pytest.fixture
    def stranger(self) -> KEKProvider:
        """Return that of another one."""
        return LocalRootKey.from_text(LocalRootKey.generate())

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Return the root key, without the part that says what it is."""
        return (self.text.removeprefix("sealedroot1_"),)


class TestPassphrase(ProviderSuite):
    """A passphrase."""

    text = "correct horse battery staple"

    # Deriving a KEK takes long; one provider does it once.
    shared = Passphrase(text, iterations=FEWEST_ITERATIONS)

    @pytest.fixture
    def provider(self) -> KEKProvider:
        """Return the provider of a passphrase."""
        return self.shared

    @pytest.fixture
    def stranger(self) -> KEKProvider:
        """Return that of another one."""
        return Passphrase("Correct horse battery staple", iterations=FEWEST_ITERATIONS)

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Return the passphrase."""
        return (self.text,)


class TestRsaKey(ProviderSuite):
    """An RSA key pair."""

    @pytest.fixture
    def provider(self, rsa_pem: bytes) -> KEKProvider:
        """Return the provider of a private key."""
        return RsaKey(rsa_pem)

    @pytest.fixture
    def stranger(self, other_rsa_pem: bytes) -> KEKProvider:
        """Return that of another one."""
        return RsaKey(other_rsa_pem)

    @pytest.fixture
    def secrets(self, rsa_pem: bytes) -> tuple[str, ...]:
        """Return the lines of the private key."""
        return tuple(rsa_pem.decode().splitlines()[1:-1])


@pytest.fixture(scope="module")
def kms_pair(moto_server: Server, kms: Any) -> Iterator[tuple[AwsKms, AwsKms]]:
    """Return two providers, for all tests: making a client takes long."""
    with settings_of_aws(moto_server):
        one, another = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
        yield AwsKms(one), AwsKms(another)


class TestAwsKms(ProviderSuite):
    """A key of AWS KMS."""

    @pytest.fixture
    def provider(self, kms_pair: tuple[AwsKms, AwsKms]) -> KEKProvider:
        """Return the provider of a key."""
        return kms_pair[0]

    @pytest.fixture
    def stranger(self, kms_pair: tuple[AwsKms, AwsKms]) -> KEKProvider:
        """Return that of another one."""
        return kms_pair[1]

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Return the secret key of the login."""
        return (os.environ["AWS_SECRET_ACCESS_KEY"],)


class TestPkcs11(ProviderSuite):
    """A key of a hardware security module."""

    @pytest.fixture
    def provider(self, hsm: Hsm) -> KEKProvider:
        """Return the provider of a key."""
        return Pkcs11(hsm.library, token="sealed", key="kek", pin=hsm.pin)

    @pytest.fixture
    def stranger(self, hsm: Hsm) -> KEKProvider:
        """Return that of another one of the same token."""
        return Pkcs11(hsm.library, token="sealed", key="another", pin=hsm.pin)

    @pytest.fixture
    def secrets(self, hsm: Hsm) -> tuple[str, ...]:
        """Return the PIN."""
        return (hsm.pin,)


class TestMoved(ProviderSuite):
    """Two KEKs, while keys move from one to the other."""

    texts = (LocalRootKey.generate(), LocalRootKey.generate())

    @pytest.fixture
    def provider(self) -> KEKProvider:
        """Return the provider of a new root key and an old one."""
        return Moved(*map(LocalRootKey.from_text, self.texts))

    @pytest.fixture
    def stranger(self) -> KEKProvider:
        """Return one of two others."""
        return Moved(*(LocalRootKey.from_text(LocalRootKey.generate()) for _ in range(2)))

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Return the root keys, without the part that says what they are."""
        return tuple(text.removeprefix("sealedroot1_") for text in self.texts)
