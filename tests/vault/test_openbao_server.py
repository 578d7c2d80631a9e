"""The OpenBao server that the tests start: it serves, is out of reach of others, and goes away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import OpenBao
from servers.server import ServiceMissingError

from sqlalchemy_sealed.errors import ProviderLoginError
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.transit import TransitKey

TESTS = Path(__file__).parents[1]


def test_the_server_is_the_real_one(bao: OpenBao) -> None:
    """It says which version it is, and that is the one of its package."""
    with urlopen(f"{bao.url}/v1/sys/health") as answer:
        health = json.load(answer)
    assert health["version"] == openbao.version()
    assert health["version"] in bao.description
    assert not health["sealed"]


def test_the_server_is_out_of_reach(bao: OpenBao) -> None:
    """It listens on loopback only, and asks a token, which is not shown."""
    port = urlsplit(bao.url).port
    own = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), port)}
    for address in {each for each in own if not each.startswith("127.") and each != "::1"}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
            pass
    with pytest.raises(ProviderLoginError):
        TransitKey(Vault(bao.url, auth=TokenAuth("root")), "sealed").version()
    assert bao.token not in repr(bao)


def test_no_process_survives_tests_that_are_killed() -> None:
    """Killing the tests stops their server, and deletes its directory."""
    skip_if_missing(openbao.installation)
    program = textwrap.dedent("""\
        import sys
        from servers import openbao
        with openbao.running(tls=True) as server:
            print(server.url, server.ca_cert, flush=True)
            sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
    ) as tests:
        url, ca_cert = tests.stdout.readline().split()
        assert openbao.health(url, ca_cert) == 200
        tests.kill()
        # The guard has the same standard output. It ends when the last of the two has ended.
        tests.stdout.read()
    assert not Path(ca_cert).parent.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(url).port))


def test_a_missing_server_is_said_and_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, tests are skipped; where there has to be one, they are not."""
    monkeypatch.setattr(openbao, "find_spec", lambda _name: None)
    with pytest.raises(ServiceMissingError, match="test extra"):
        openbao.installation()
    monkeypatch.setitem(os.environ, "CI", "true")
    with pytest.raises(ServiceMissingError):
        skip_if_missing(openbao.installation)
    monkeypatch.setitem(os.environ, "CI", "")
    with pytest.raises(pytest.skip.Exception):
        skip_if_missing(openbao.installation)
