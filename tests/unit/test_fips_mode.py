"""
The check, and sealing, in processes whose OpenSSL really is in FIPS mode.

They need a FIPS module of OpenSSL, which SEALED_TEST_FIPS_MODULE names or the system has;
`tests/servers/fipsmodule.py` says how to make one. Without it they are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import fipsmodule
from servers.server import ServiceMissingError

# cryptography and Python may have an OpenSSL each. These lines let each load a module of its own.
A_FILE_EACH = """
import os
from cryptography.hazmat.bindings._rust import openssl
assert openssl.is_fips_enabled()
os.environ["OPENSSL_CONF"] = os.environ["OTHER_CONF"]
"""
CHECK = "from sqlalchemy_sealed.cli import main; main()"
SEAL = """
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import MD5, Hash
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy_sealed import KeyManager, LocalRootKey, MemoryKeystore, get_sealer
from sqlalchemy_sealed.providers.passphrase import Passphrase
from sqlalchemy_sealed.providers.rsa import RsaKey

pair = generate_private_key(65537, 2048)
pem = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
for provider in [
    LocalRootKey.from_text(LocalRootKey.generate()),
    Passphrase("correct horse battery staple"),
    RsaKey(pem),
]:
    keystore = MemoryKeystore()
    KeyManager(keystore, provider).create("default")
    sealer = get_sealer()
    sealer.configure(keystore=keystore, provider=provider, replace=True)
    envelope = sealer.seal(b"ada@example.org", "patients.email")
    assert sealer.open(envelope, "patients.email") == b"ada@example.org"
try:
    Hash(MD5())
except Exception:
    print("sealed, and MD5 is refused")
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two settings of OpenSSL for FIPS mode, each with a copy of the module."""
    try:
        module = fipsmodule.module()
    except ServiceMissingError as missing:
        pytest.skip(str(missing))
    directory = tmp_path_factory.mktemp("fips")
    return (
        fipsmodule.settings(module, directory / "one"),
        fipsmodule.settings(module, directory / "other"),
    )


def run(settings: tuple[Path, Path], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python under these settings."""
    one, other = settings
    environment = os.environ | {"OPENSSL_CONF": str(one), "OTHER_CONF": str(other)}
    environment.pop("OPENSSL_MODULES", None)
    return subprocess.run(
        [sys.executable, "-c", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def checked(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what `sealed fips --json` has printed."""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_fips_provider_is_seen(settings: tuple[Path, Path]) -> None:
    """Where both libraries run a FIPS provider, the check says so, and --require is content."""
    result = run(settings, A_FILE_EACH + CHECK, "fips", "--json", "--require")
    document = checked(result)
    assert document["provider_runs"] is True
    for library in ("cryptography", "python"):
        assert document[library]["fips_mode"] is True
        assert document[library]["provider_runs"] is True
    assert {each["runs"] for each in document["algorithms"]} == {True, None}
    assert result.returncode == 0


def test_it_does_not_say_that_anything_is_validated(settings: tuple[Path, Path]) -> None:
    """This module has no certificate, the check cannot know that, and says that it cannot."""
    result = run(settings, A_FILE_EACH + CHECK, "fips")
    shown = " ".join(result.stdout.split())
    assert "a FIPS provider computes what is computed here; see below" in shown
    assert "A process cannot see a certificate." in shown


def test_values_are_sealed_in_fips_mode(settings: tuple[Path, Path]) -> None:
    """All that the library computes is there in FIPS mode: keys are wrapped, values sealed."""
    result = run(settings, A_FILE_EACH + SEAL)
    assert result.stdout == "sealed, and MD5 is refused\n", result.stderr


def test_a_mode_without_a_provider_that_works_is_no_provider(settings: tuple[Path, Path]) -> None:
    """
    Of two libraries that load the module from one file, one is in FIPS mode and computes nothing.

    Whoever asks for the mode alone is misled. Where one OpenSSL is in the process, it works.
    """
    result = run(settings, CHECK, "fips", "--json", "--require")
    document = checked(result)
    libraries = [document["cryptography"], document["python"]]
    assert [each["fips_mode"] for each in libraries] == [True, True]
    shared = libraries[0]["version"] == libraries[1]["version"]
    assert sorted(each["provider_runs"] for each in libraries) == [shared, True]
    assert document["provider_runs"] is shared
    assert any("does not compute" in note for note in document["notes"]) is not shared
    assert result.returncode == (0 if shared else 1)


def test_nothing_is_sealed_where_no_provider_works(settings: tuple[Path, Path]) -> None:
    """What OpenSSL does not compute fails: there is no other way for a value into the database."""
    if checked(run(settings, CHECK, "fips", "--json"))["provider_runs"]:
        pytest.skip("one OpenSSL is in the process, and its provider works")
    result = run(settings, SEAL)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "ada@example.org" not in result.stderr
