"""The KEK provider over a transit key, by the suite of all KEK providers."""

from __future__ import annotations

import pytest
from servers.openbao import OpenBao

from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.testing.provider_suite import ProviderSuite
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply


class TestVaultTransit(ProviderSuite):
    """OpenBao is asked for everything."""

    @pytest.fixture
    def provider(self, vault: Vault, mount: str) -> VaultTransit:
        return VaultTransit(vault, mount=mount)

    @pytest.fixture
    def stranger(self, vault: Vault, mount: str) -> VaultTransit:
        apply(vault, DesiredKey("another", mount))
        return VaultTransit(vault, mount=mount, key="another")

    @pytest.fixture
    def secrets(self, bao: OpenBao) -> tuple[str, ...]:
        return (bao.token,)
