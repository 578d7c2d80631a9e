"""Login of a pod by the token of its service account, which OpenBao has reviewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from servers.kubernetes import Reviewer, reviewing
from servers.openbao import OpenBao

from sqlalchemy_sealed.errors import ProviderLoginError
from sqlalchemy_sealed.vault.auth import KubernetesAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.policies import policy
from sqlalchemy_sealed.vault.transit import TransitKey


@pytest.fixture
def cluster() -> Iterator[Reviewer]:
    """Serve what OpenBao asks about tokens of pods."""
    with reviewing() as reviewer:
        yield reviewer


@pytest.fixture
def engine(root: Any, cluster: Reviewer, mount: str, bao_tls: OpenBao) -> str:
    """Enable the Kubernetes login for the service account "app", and return its mount."""
    path = f"kubernetes-{uuid4().hex}"
    root.sys.enable_auth_method("kubernetes", path=path)
    root.auth.kubernetes.configure(
        kubernetes_host=cluster.url,
        token_reviewer_jwt=cluster.issue("reviewer"),
        # It has to be one, though nothing is asked over TLS.
        kubernetes_ca_cert=Path(bao_tls.ca_cert).read_text(),
        disable_local_ca_jwt=True,
        mount_point=path,
    )
    root.sys.create_or_update_policy(path, policy("application", mount=mount))
    root.auth.kubernetes.create_role(
        "app",
        bound_service_account_names="app",
        bound_service_account_namespaces="shop",
        policies=[path],
        mount_point=path,
    )
    return path


@pytest.fixture
def token_file(cluster: Reviewer, tmp_path: Path) -> Path:
    """Return a file with the token of a pod of the service account "app"."""
    file = tmp_path / "token"
    file.write_text(cluster.issue("app") + "\n")
    return file


@pytest.fixture
def key(bao: OpenBao, engine: str, token_file: Path, mount: str) -> TransitKey:
    """Return the key of this test, for such a pod."""
    auth = KubernetesAuth("app", token_file, engine)
    return TransitKey(Vault(bao.url, auth=auth), "sealed", mount)


def test_a_pod_logs_in(key: TransitKey) -> None:
    """The token of its service account is all that it needs."""
    assert key.decrypt(key.encrypt(b"a", b"b"), b"b") == b"a"


def test_the_token_is_read_anew_at_each_login(
    key: TransitKey, cluster: Reviewer, token_file: Path, revoked: Callable[[Vault], None]
) -> None:
    """Kubernetes turns the token; a login later on is made with that of then."""
    key.version()
    cluster.forget(token_file.read_text().strip())
    token_file.write_text(cluster.issue("app"))
    revoked(key.vault)
    assert key.version() == 1


def test_a_pod_of_another_account_is_refused(
    key: TransitKey, cluster: Reviewer, token_file: Path
) -> None:
    """The role is bound to one service account; with its token, all goes on."""
    token_file.write_text(cluster.issue("another"))
    with pytest.raises(ProviderLoginError, match="refuses the login"):
        key.version()
    token_file.write_text(cluster.issue("app"))
    assert key.version() == 1


def test_a_token_that_kubernetes_does_not_know_is_refused(
    key: TransitKey, cluster: Reviewer, token_file: Path
) -> None:
    """Such as that of a pod which has ended."""
    cluster.forget(token_file.read_text().strip())
    with pytest.raises(ProviderLoginError, match="refuses the login"):
        key.version()


def test_a_token_that_is_not_there_is_named(key: TransitKey, token_file: Path) -> None:
    """The error names the file."""
    token_file.unlink()
    with pytest.raises(ProviderLoginError, match=token_file.name):
        key.version()
