"""What can be wrong with a Vault: each has its own error, and ends without a restart."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asking_vault import BINDING, KEY, calls, fails, goes_on
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import Durable, OpenBao
from servers.relay import Relay

from sqlalchemy_sealed.errors import (
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderSealedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply
from sqlalchemy_sealed.vault.policies import policy
from sqlalchemy_sealed.vault.transit import TransitKey


@pytest.fixture
def provider(relay: Relay, bao: OpenBao, mount: str) -> VaultTransit:
    """Return a provider with a root token, through the relay."""
    vault = Vault(relay.url, auth=TokenAuth(bao.token), timeout=0.5)
    return VaultTransit(vault, mount=mount)


@pytest.fixture
def wrapped(provider: VaultTransit) -> str:
    """Return a key that the provider wrapped."""
    return provider.wrap(KEY, BINDING)


# -- the server


@pytest.fixture
def durable(tmp_path: Path) -> Durable:
    """Return a server that is sealed after each start."""
    skip_if_missing(openbao.installation)
    return Durable(tmp_path)


def test_a_server_that_is_started_unsealed_sealed_and_stopped(durable: Durable) -> None:
    """One process lives through the whole life of its Vault, and needs no restart for any of it."""
    vault = Vault(durable.url, auth=TokenAuth("not-yet"), timeout=10)
    provider = VaultTransit(vault)
    fails(ProviderUnreachableError, provider.version)
    with durable.running():
        fails(ProviderSealedError, provider.version)  # It was never initialised.
        durable.initialize()
        object.__setattr__(vault.auth, "token", durable.token)
        fails(ProviderSealedError, provider.version)
        durable.unseal()
        apply(vault, DesiredKey())
        wrapped = provider.wrap(KEY, BINDING)
        root = vault._login.client
        root.sys.seal()
        fails(ProviderSealedError, *calls(provider, wrapped))
        durable.unseal()
        goes_on(provider, wrapped)
    fails(ProviderUnreachableError, *calls(provider, wrapped))
    with durable.running():
        error = fails(ProviderSealedError, *calls(provider, wrapped))
        assert "unseal" in str(error)
        durable.unseal()
        goes_on(provider, wrapped)


def test_a_server_that_is_down(relay: Relay, provider: VaultTransit, wrapped: str) -> None:
    """Refused connections are tried again at once, a few times, then it is said where."""
    relay.cut()
    error = fails(ProviderUnreachableError, *calls(provider, wrapped))
    assert relay.url in str(error)
    relay.mend()
    goes_on(provider, wrapped)


def test_a_server_that_does_not_answer(relay: Relay, provider: VaultTransit, wrapped: str) -> None:
    """After the timeout it is an error, and the request is not sent a second time."""
    relay.silent = True
    before = len(relay.requests)
    fails(ProviderTimeoutError, lambda: provider.unwrap(wrapped, BINDING))
    assert len(relay.requests) == before + 1
    fails(ProviderTimeoutError, *calls(provider, wrapped))
    relay.silent = False
    goes_on(provider, wrapped)


def test_an_address_that_answers_nobody(mount: str) -> None:
    """A connection that is not made in time is not made, and that is not tried for long."""
    with closing(socket.socket()) as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            other = waiting.enter_context(closing(socket.socket()))
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"
        vault = Vault(address, auth=TokenAuth("t"), timeout=0.3)
        fails(ProviderTimeoutError, VaultTransit(vault, mount=mount).version)


def test_a_connection_that_is_lost_while_idle(
    relay: Relay, provider: VaultTransit, wrapped: str
) -> None:
    """A server or a balancer that was restarted meanwhile is not noticed at all."""
    relay.cut()
    relay.mend()
    goes_on(provider, wrapped)


def test_a_server_that_is_limited(root: Any, bao: OpenBao, vault: Vault, mount: str) -> None:
    """A limit on the rate of calls is not taken for anything else, and passes."""
    provider = VaultTransit(vault, mount=mount)
    wrapped = provider.wrap(KEY, BINDING)
    quota = f"/v1/sys/quotas/rate-limit/{mount}"
    root.adapter.post(quota, json={"path": f"{mount}/", "rate": 0.001})
    provider.unwrap(wrapped, BINDING)
    error = fails(ProviderUnavailableError, *calls(provider, wrapped))
    assert "429" in str(error)
    root.adapter.delete(quota)
    goes_on(provider, wrapped)


# -- rights and keys


def test_a_right_that_is_missing(
    root: Any, bao: OpenBao, mount: str, token_with: Callable[..., str], vault: Vault
) -> None:
    """A denied call is an error of its own, and works once the policy allows it."""
    token = token_with('path "auth/token/lookup-self" { capabilities = ["read"] }')
    name = root.auth.token.lookup(token)["data"]["policies"][0]
    provider = VaultTransit(Vault(bao.url, auth=TokenAuth(token)), mount=mount)
    wrapped = VaultTransit(vault, mount=mount).wrap(KEY, BINDING)
    error = fails(ProviderDeniedError, *calls(provider, wrapped))
    assert "sealed vault policy" in str(error)
    root.sys.create_or_update_policy(name, policy("application", mount=mount))
    goes_on(provider, wrapped)


def test_a_key_that_was_deleted(root: Any, provider: VaultTransit, wrapped: str) -> None:
    """It is not made anew behind anybody's back, even by a token that could."""
    transit, mount = root.secrets.transit, provider.transit.mount
    transit.update_key_configuration("sealed", deletion_allowed=True, mount_point=mount)
    transit.delete_key("sealed", mount_point=mount)
    fails(ProviderKeyMissingError, *calls(provider, wrapped))
    fails(ProviderKeyMissingError, provider.transit.rotate)
    with pytest.raises(Exception, match="None"):
        transit.read_key("sealed", mount_point=mount)


def test_a_key_that_was_deleted_softly(root: Any, provider: VaultTransit, wrapped: str) -> None:
    """OpenBao can restore such a key, and then all goes on."""
    path = f"/v1/{provider.transit.mount}/keys/sealed/soft-delete"
    root.adapter.delete(path)
    error = fails(ProviderKeyMissingError, calls(provider, wrapped)[0], provider.version)
    assert "restored" in str(error)
    fails(ProviderKeyMissingError, lambda: provider.wrap(KEY, BINDING))
    with pytest.raises(ProviderError, match="restored"):
        provider.rewrap(wrapped, BINDING)
    root.adapter.post(f"{path}-restore")
    goes_on(provider, wrapped)


def test_an_engine_that_is_not_mounted(vault: Vault) -> None:
    """The error tells an engine that is missing from a key that is."""
    error = fails(ProviderKeyMissingError, VaultTransit(vault, mount="elsewhere").version)
    assert "no engine mounted" in str(error)


def test_another_engine_is_not_given_a_key_to_keep(root: Any, vault: Vault, mount: str) -> None:
    """KV version 1 would store whatever is sent to it, under any path."""
    place = f"kv-{mount}"
    root.sys.enable_secrets_engine("kv", path=place, options={"version": "1"})
    root.adapter.post(f"/v1/{place}/keys/sealed", json={"type": "a secret of others"})
    provider = VaultTransit(vault, mount=place)
    error = fails(ProviderKeyMissingError, lambda: provider.wrap(KEY, BINDING), provider.version)
    assert "not a transit engine" in str(error)
    assert root.adapter.list(f"/v1/{place}/")["data"]["keys"] == ["keys/"]


def test_a_namespace_that_is_missing(bao: OpenBao) -> None:
    """The namespace stands in the error."""
    vault = Vault(bao.url, auth=TokenAuth(bao.token), namespace="nowhere")
    error = fails(ProviderKeyMissingError, TransitKey(vault, "sealed").read)
    assert "nowhere" in str(error)
    assert "no such namespace" in str(error)


# -- what is not a Vault


@pytest.fixture
def stranger() -> Iterator[Callable[[int, str, bytes], str]]:
    """Return what makes a web server that always gives the same answer, and its address."""
    servers = []

    def serve(status: int, headers: str, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(status)
                for line in headers.splitlines():
                    self.send_header(*line.split(": "))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (200, "Content-Type: text/html", b"<html>Welcome</html>", ProviderUnreachableError),
        (200, JSON, b'{"hello": "world"}', ProviderUnreachableError),
        (200, JSON, b'["hello"]', ProviderUnreachableError),
        (200, JSON, b'{"data": null}', ProviderUnreachableError),
        (401, JSON, b"{}", ProviderUnreachableError),
        (405, JSON, b"{}", ProviderUnreachableError),
        (502, "", b"Bad Gateway", ProviderUnavailableError),
        (503, "", b"Service Unavailable", ProviderUnavailableError),
        (500, JSON, b'{"errors": ["local node not active"]}', ProviderUnavailableError),
        (473, JSON, b"{}", ProviderUnavailableError),
        (307, "Location: ftp://127.0.0.1/", b"", ProviderUnreachableError),
    ],
)
def test_an_answer_that_is_not_one_of_vault(
    stranger: Any, status: int, headers: str, body: bytes, error: type[ProviderError]
) -> None:
    """A portal, a balancer or a standby never passes for a Vault that says yes."""
    vault = Vault(stranger(status, headers, body), auth=TokenAuth("t"))
    fails(error, *calls(VaultTransit(vault), "vault:v1:QUFB"))


def test_an_answer_of_another_service_that_looks_alike(stranger: Any) -> None:
    """It has the right shape, and not what was asked for."""
    vault = Vault(stranger(200, JSON, b'{"data": {"ttl": 0}}'), auth=TokenAuth("t"))
    for call in calls(VaultTransit(vault), "vault:v1:QUFB"):
        with pytest.raises(ProviderError, match=r"is not Vault|not a transit engine"):
            call()
