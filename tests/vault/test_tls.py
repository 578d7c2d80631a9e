"""TLS: who is trusted, and what is sent to whom."""

from __future__ import annotations

import math
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asking_vault import BINDING, KEY, fails, goes_on
from servers import openbao
from servers.openbao import Durable, OpenBao
from servers.relay import relaying

from sqlalchemy_sealed.errors import (
    OptionError,
    ProviderSealedError,
    ProviderTimeoutError,
    ProviderTrustError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply

# -- TLS


def tls_provider(address: str, token: str, ca_cert: Path | str | None) -> VaultTransit:
    """Return a provider with the default names."""
    return VaultTransit(Vault(address, auth=TokenAuth(token), ca_cert=ca_cert, timeout=5))


def test_a_server_with_an_authority_of_its_own(bao_tls: OpenBao) -> None:
    """With the file of that authority, all is as over HTTP."""
    vault = Vault(bao_tls.url, auth=TokenAuth(bao_tls.token), ca_cert=bao_tls.ca_cert)
    apply(vault, DesiredKey())
    goes_on(VaultTransit(vault), VaultTransit(vault).wrap(KEY, BINDING))


def test_an_authority_that_is_not_trusted(bao_tls: OpenBao, tmp_path: Path) -> None:
    """Nothing is sent; once the right file is at its place, the same provider goes on."""
    for unknown in (None, bao_tls.ca_cert):
        token, where = bao_tls.token, bao_tls.url
        if unknown is None:
            fails(ProviderTrustError, tls_provider(where, token, unknown).version)
    file = tmp_path / "ca.pem"
    provider = tls_provider(bao_tls.url, bao_tls.token, file)
    assert "cannot be read" in str(fails(ProviderTrustError, provider.version))
    file.write_text("nothing")
    assert "no certificate" in str(fails(ProviderTrustError, provider.version))
    with openbao.running(tls=True) as another:
        shutil.copy(another.ca_cert, file)
    assert "not trusted" in str(fails(ProviderTrustError, provider.version))
    shutil.copy(bao_tls.ca_cert, file)
    apply(provider.transit.vault, DesiredKey())
    assert provider.version() == "vault:transit/sealed:v1"


def test_a_certificate_for_another_host(bao_tls: OpenBao) -> None:
    """A server that is reached by another name than its own is not the one that is meant."""
    with relaying(bao_tls.url, "127.0.0.2") as relay:
        provider = tls_provider(relay.url, bao_tls.token, bao_tls.ca_cert)
        assert "another host name" in str(fails(ProviderTrustError, provider.version))


def test_tls_where_there_is_none(bao: OpenBao) -> None:
    """The error does not send people to look for certificates."""
    address = bao.url.replace("http:", "https:")
    error = fails(ProviderTrustError, tls_provider(address, bao.token, None).version)
    assert "no TLS" in str(error)


def test_no_tls_where_there_should_be(bao_tls: OpenBao) -> None:
    """The token was sent, and is not safe any more; the error says what to change."""
    address = bao_tls.url.replace("https:", "http:")
    error = fails(ProviderUnreachableError, tls_provider(address, bao_tls.token, None).version)
    assert "https://" in str(error)


def test_a_server_that_asks_for_a_certificate(
    bao_tls: OpenBao, tmp_path: Path, no_vault_settings: None, monkeypatch: Any
) -> None:
    """Without one, or with one that is not there, nothing is sent; with it, the server answers."""
    durable = Durable(tmp_path, Path(bao_tls.ca_cert).parent)
    with durable.running():
        vault = Vault(durable.url, auth=TokenAuth("t"), ca_cert=durable.ca_cert)
        assert "client_cert=" in str(fails(ProviderTrustError, VaultTransit(vault).version))
        monkeypatch.setenv("VAULT_CLIENT_CERT", durable.client_cert[0])
        monkeypatch.setenv("VAULT_CLIENT_KEY", "/nowhere")
        vault = Vault(durable.url, auth=TokenAuth("t"), ca_cert=durable.ca_cert)
        assert "client certificate" in str(fails(ProviderTrustError, VaultTransit(vault).version))
        monkeypatch.setenv("VAULT_CLIENT_KEY", durable.client_cert[1])
        vault = Vault(durable.url, auth=TokenAuth("t"), ca_cert=durable.ca_cert)
        fails(ProviderSealedError, VaultTransit(vault).version)


def test_a_server_that_does_not_answer_over_tls(bao_tls: OpenBao) -> None:
    """Neither the handshake nor a request waits for ever."""
    with relaying(bao_tls.url) as relay:
        vault = Vault(
            relay.url, auth=TokenAuth(bao_tls.token), ca_cert=bao_tls.ca_cert, timeout=0.5
        )
        relay.silent = True
        fails(ProviderTimeoutError, VaultTransit(vault).version)
        relay.silent = False
        apply(vault, DesiredKey())
        relay.silent = True
        fails(ProviderTimeoutError, VaultTransit(vault).version)


@contextmanager
def sending_to(location: str, certificates: Path | None = None) -> Iterator[str]:
    """Serve redirects, over TLS where there are certificates. `{path}` is that of the request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(307)
            self.send_header("Location", location.format(path=self.path))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    scheme = "http"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as standby:
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "vault-cert.pem", certificates / "vault-key.pem")
            standby.socket = context.wrap_socket(standby.socket, server_side=True)
            scheme = "https"
        Thread(target=standby.serve_forever, daemon=True).start()
        yield f"{scheme}://127.0.0.1:{standby.server_port}"
        standby.shutdown()


def test_nobody_leads_out_of_tls(bao: OpenBao, bao_tls: OpenBao) -> None:
    """A redirect to another server over TLS is followed; one to HTTP would show the token."""
    place, token = Path(bao_tls.ca_cert).parent, bao_tls.token
    apply(tls_provider(bao_tls.url, token, bao_tls.ca_cert).transit.vault, DesiredKey())
    with sending_to(f"{bao.url}{{path}}", place) as address:
        provider = tls_provider(address, token, bao_tls.ca_cert)
        assert "from HTTPS to HTTP" in str(fails(ProviderTrustError, provider.version))
    with sending_to(f"{bao_tls.url}{{path}}", place) as address:
        provider = tls_provider(address, token, bao_tls.ca_cert)
        assert provider.version() == "vault:transit/sealed:v1"


ELSEWHERE = ["http://192.0.2.1:8200/", "HTTP://192.0.2.1/", "//192.0.2.1:8200/v1/"]


@pytest.mark.parametrize("location", [*ELSEWHERE, "http://["])
def test_nobody_leads_to_another_machine_over_http(location: str) -> None:
    """Where a server of this machine sends us, a token would be read on the way."""
    with sending_to(location) as address:
        vault = Vault(address, auth=TokenAuth("t"), timeout=1)
        fails(ProviderTrustError, VaultTransit(vault).version)


@pytest.mark.parametrize("location", ["HTTP://127.0.0.1:1/", " http://127.0.0.1:1/", "//[::1"])
def test_tls_is_not_left_by_another_spelling(location: str, bao_tls: OpenBao) -> None:
    """However it is written, that is HTTP, or nothing at all."""
    with sending_to(location, Path(bao_tls.ca_cert).parent) as address:
        provider = tls_provider(address, bao_tls.token, bao_tls.ca_cert)
        fails(ProviderTrustError, provider.version)


def test_where_http_is_allowed_a_standby_may_lead_on(monkeypatch: Any) -> None:
    """Somebody has said that something else protects it."""
    with sending_to(f"http://{socket.gethostname()}:1/") as address:
        vault = Vault(address, auth=TokenAuth("t"), timeout=1, allow_http=True)
        fails(ProviderUnreachableError, VaultTransit(vault).version)


# -- addresses


@pytest.mark.parametrize(
    "address",
    [
        "vault.example.org:8200",
        "ftp://127.0.0.1",
        "http://",
        "https://user:canary@vault.example.org",
        "https://vault.example.org?token=canary",
        "https://vault.example.org:port",
        "https://vault.example.org:0",
        "https://vault.example.org\n",
        b"https://vault.example.org/canary",
        8200,
    ],
)
def test_an_address_that_is_none_is_refused_at_once(address: object) -> None:
    """What it holds is not repeated: it may be a password."""
    with pytest.raises(OptionError) as caught:
        Vault(address, auth=TokenAuth("t"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["vault", "10.1.2.3", "example.org", "[2001:db8::1]", "127.evil.org"]
)
def test_tokens_and_keys_are_not_sent_unprotected(host: str, monkeypatch: Any) -> None:
    """HTTP is for this machine only, unless somebody says that something else protects it."""
    address = f"http://{host}:8200"
    with pytest.raises(OptionError, match="could be read on the way"):
        Vault(address, auth=TokenAuth("t"))
    assert Vault(address, auth=TokenAuth("t"), allow_http=True).address == address
    monkeypatch.setenv("SEALED_VAULT_ALLOW_HTTP", "yes")
    assert Vault(address, auth=TokenAuth("t")).address == address


@pytest.mark.parametrize("host", ["127.0.0.1:8200", "localhost", "[::1]:8200", "127.9.9.9/vault/"])
def test_http_is_for_this_machine(host: str) -> None:
    """An agent beside the application needs no TLS."""
    assert Vault(f"http://{host}", auth=TokenAuth("t")).address == f"http://{host}".rstrip("/")


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, None, "5"])
def test_nobody_is_waited_for_without_end(timeout: object) -> None:
    """A time is a number of seconds."""
    with pytest.raises(OptionError, match="number of seconds above 0"):
        Vault("https://vault.example.org", auth=TokenAuth("t"), timeout=timeout)


def test_no_address_is_an_error(no_vault_settings: None) -> None:
    """It names the variable."""
    with pytest.raises(ProviderUnreachableError, match="VAULT_ADDR"):
        Vault()
