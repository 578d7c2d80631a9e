"""
Fixtures: a Vault. The server is OpenBao; in CI it must be there, elsewhere its tests are skipped.

A test that asks for `mount` has a transit engine of its own, with one key, "sealed".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fix_db import SERVERS
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import OpenBao

from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply
from sqlalchemy_sealed.vault.transit import TransitKey

VARIABLES = ("VAULT_", "BAO_", "SEALED_VAULT_")


@pytest.fixture(scope="session")
def bao(request: pytest.FixtureRequest) -> Iterator[OpenBao]:
    """Start an OpenBao server, unsealed."""
    skip_if_missing(openbao.installation)
    with openbao.running() as server:
        request.config.stash.setdefault(SERVERS, []).append(server)
        yield server


@pytest.fixture
def fresh_bao(no_vault_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenBao]:
    """
    Start an OpenBao server that nobody else uses, and say in the environment where it is.

    Its program, `bao`, is found by name.
    """
    skip_if_missing(openbao.installation)
    with openbao.running() as server:
        monkeypatch.setenv("VAULT_ADDR", server.url)
        monkeypatch.setenv("VAULT_TOKEN", server.token)
        monkeypatch.setenv("PATH", str(openbao.installation().parent), prepend=os.pathsep)
        yield server


@pytest.fixture(scope="session")
def bao_tls() -> Iterator[OpenBao]:
    """Start an OpenBao server that speaks TLS, with a certificate authority of its own."""
    skip_if_missing(openbao.installation)
    with openbao.running(tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def root(bao: OpenBao) -> Any:
    """Return an hvac client that may do everything."""
    import hvac  # noqa: PLC0415 - it may be missing

    return hvac.Client(url=bao.url, token=bao.token)


@pytest.fixture
def vault(bao: OpenBao) -> Vault:
    """Return a connection with a root token."""
    return Vault(bao.url, auth=TokenAuth(bao.token))


@pytest.fixture
def mount(vault: Vault) -> str:
    """Return the path of a transit engine of this test's own, with the key "sealed"."""
    mount = f"transit-{uuid4().hex}"
    apply(vault, DesiredKey(mount=mount))
    return mount


@pytest.fixture
def transit(vault: Vault, mount: str) -> TransitKey:
    """Return the key of that engine."""
    return TransitKey(vault, "sealed", mount)


@pytest.fixture
def no_vault_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what the environment says of a Vault."""
    for name in list(os.environ):
        if name.startswith(VARIABLES):
            monkeypatch.delenv(name)


@pytest.fixture
def vault_settings(
    bao: OpenBao, no_vault_settings: None, monkeypatch: pytest.MonkeyPatch
) -> OpenBao:
    """Say in the environment where the server is, with its root token."""
    monkeypatch.setenv("VAULT_ADDR", bao.url)
    monkeypatch.setenv("VAULT_TOKEN", bao.token)
    return bao
