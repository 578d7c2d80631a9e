"""`sealed` with secrets all around it: none of them is in what it prints."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase

PASSWORD = "hunter2-hunter2-hunter2"
ROOT_KEY = LocalRootKey.generate()
URL = f"postgresql://ada:{PASSWORD}@127.0.0.1:1/keys"
QUERY = f"postgresql://127.0.0.1:1/keys?user=ada&password={PASSWORD}"
VARIABLES = {
    "SEALED_ROOT_KEY": ROOT_KEY,
    "SEALED_PASSPHRASE": f"{PASSWORD} passphrase",
    "SEALED_RSA_PASSWORD": f"{PASSWORD} rsa",
    "SEALED_PKCS11_PIN": f"{PASSWORD} pin",
    "SEALED_KEYSTORE": URL,
    "VAULT_ADDR": "http://127.0.0.1:1",
    "VAULT_TOKEN": f"{PASSWORD}-token",
    "AWS_SECRET_ACCESS_KEY": f"{PASSWORD}-aws",
    "AWS_ACCESS_KEY_ID": "an id",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_MAX_ATTEMPTS": "1",
    "PGPASSWORD": PASSWORD,
}
ID = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with keys under the root key, and others under a passphrase."""
    KeyManager(FileKeystore(tmp_path / "a.json"), LocalRootKey.from_text(ROOT_KEY)).create(
        "default"
    )
    passphrase = Passphrase("another passphrase", iterations=FEWEST_ITERATIONS)
    KeyManager(FileKeystore(tmp_path / "b.json"), passphrase).create("default")
    for name, text in (
        ("not.pem", f"-----BEGIN PRIVATE KEY-----\n{PASSWORD}\n-----END PRIVATE KEY-----\n"),
        ("not.root.key", PASSWORD),
        ("not.json", f'{{"format": "{PASSWORD}"}}'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    connection = sqlite3.connect(tmp_path / "app.sqlite")
    connection.execute("CREATE TABLE notes (note TEXT)")
    connection.close()
    return tmp_path


@pytest.fixture
def sealed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what runs a command with all these variables, and sees that it shows none of them."""
    for name in [*os.environ]:
        if name.startswith(("SEALED_", "VAULT_", "BAO_", "AWS_")):
            monkeypatch.delenv(name)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)

    def sealed(*arguments: str) -> Result:
        done = CliRunner().invoke(app, arguments)
        assert isinstance(done.exception, SystemExit | None), "this would be a traceback"
        shown = done.stdout + done.stderr
        keys = [key["wrapped"] for key in json.loads((folder / "a.json").read_text())["keys"]]
        assert not any(secret in shown for secret in (PASSWORD, ROOT_KEY, ROOT_KEY[12:], *keys))
        return done

    return sealed


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, "keys list --keystore a.json"),
        (0, "keys list --keystore a.json --json"),
        (0, "keys rotate --keystore a.json --index --json"),
        (0, "keys rewrap --keystore a.json --json"),
        (0, "keys create more --keystore a.json --json"),
        (0, "init --name other --keystore a.json --json"),
        (1, "keys list"),
        (1, f"keys list --keystore {QUERY}"),
        (1, f"keys list --keystore nosuch://ada:{PASSWORD}@host/x"),
        (1, f"keys list --keystore postgresql://ada:{PASSWORD}@host:port/x"),
        (1, f"keys list --keystore mysql://127.0.0.1:1/x?connect_timeout={PASSWORD}"),
        (1, f"keys list --keystore mysql://127.0.0.1:1/x?pasword={PASSWORD}"),
        (1, f"keys list --keystore postgresql://127.0.0.1:1/x?connect_timeout={PASSWORD}"),
        (1, f"keys list --keystore postgresql://127.0.0.1:1/x?pasword={PASSWORD}"),
        (1, "keys list --keystore not.json"),
        (1, "keys rotate --keystore a.json --kek passphrase"),
        (1, f"keys rotate --keystore a.json --kek passphrase:{PASSWORD}"),
        (1, f"keys rotate --keystore a.json --kek {PASSWORD}"),
        (1, "keys rotate --keystore a.json --kek rsa:not.pem"),
        (1, "keys rotate --keystore a.json --kek local:not.root.key"),
        (1, "keys rotate --keystore a.json --kek vault:transit/sealed"),
        (1, "keys rotate --keystore a.json --kek aws-kms:alias/sealed"),
        (1, "keys rotate --keystore a.json --kek pkcs11:/nowhere.so?token=a&key=b"),
        (1, f"keys rotate --keystore a.json --kek pkcs11:/x.so?token=a&key=b&pin={PASSWORD}"),
        (1, "keys rotate --keystore b.json --kek passphrase"),
        (1, "keys list --keystore vault-kv:secret/sealed"),
        (1, "vault plan"),
        (1, "vault plan --token-file not.root.key"),
        (1, f"vault plan --address http://ada:{PASSWORD}@127.0.0.1:1"),
        (1, f"index plan {URL} a.b"),
        (1, f"index plan {QUERY} a.b"),
        (1, f"index plan mysql://127.0.0.1:1/x?connect_timeout={PASSWORD} a.b"),
        (1, f"index plan mysql://127.0.0.1:1/x?pasword={PASSWORD} a.b"),
        (1, f"index plan postgresql://127.0.0.1:1/x?connect_timeout={PASSWORD} a.b"),
        (1, f"index plan postgresql://127.0.0.1:1/x?pasword={PASSWORD} a.b"),
    ],
)
def test_nothing_secret_is_printed(
    code: int, arguments: str, sealed: Callable[..., Result]
) -> None:
    """Whether it is done or not, and wherever the secret was put by mistake."""
    assert sealed(*arguments.split()).exit_code == code


@pytest.mark.parametrize(
    "url", [URL, QUERY, f"sqlite:///file:app.sqlite?uri=true&mode=ro&x={PASSWORD}"]
)
def test_a_database_that_is_scanned_is_shown_without_its_login(
    url: str, folder: Path, sealed: Callable[..., Result]
) -> None:
    """Host and name of the database are, so that one sees which one was looked at."""
    old = KeyManager(FileKeystore(folder / "a.json"), LocalRootKey.from_text(ROOT_KEY))
    key_id = old.keyset("default").primary.key_id.hex()
    old.rotate("default")
    for options in ((), ("--json",)):
        scan = ("--keystore", "a.json", "--scan", url, "--dry-run", *options)
        done = sealed("keys", "destroy", key_id, *scan)
        if url.startswith("postgresql"):
            assert done.exit_code == 1
            assert "://127.0.0.1:1/keys: no connection" in done.stderr
        else:
            assert done.exit_code == 0
            assert options or "app.sqlite: 1 column of 1 table" in done.stdout


def every_command(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the path of each command and group."""
    yield path
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from every_command(each, *path, name)


@pytest.mark.parametrize("path", list(every_command(app)), ids=" ".join)
def test_help_shows_names_of_variables_and_not_what_they_hold(
    path: tuple[str, ...], sealed: Callable[..., Result]
) -> None:
    """A default that comes from the environment is named by its variable."""
    done = sealed(*path, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "--keystore" not in done.stdout or "SEALED_KEYSTORE" in done.stdout


def test_a_traceback_of_an_application_shows_nothing_secret(folder: Path) -> None:
    """Where nobody catches the error: of each provider, of keystores, and of a wrong key."""
    program = """
import sys, traceback
from sqlalchemy_sealed import environment
from sqlalchemy_sealed.locators import keystore_at, provider_at
from sqlalchemy_sealed.keymanager import KeyManager
for line in sys.argv[1:]:
    try:
        KeyManager(keystore_at("b.json"), provider_at(line, environment.root_key)).rotate("default")
    except Exception:
        traceback.print_exc()
try:
    keystore_at(environment.keystore_line()).load("default")
except Exception:
    traceback.print_exc()
"""
    lines = ("local", "passphrase", "vault:transit/sealed", "rsa:not.pem", "aws-kms:alias/sealed")
    done = subprocess.run(
        [sys.executable, "-c", program, *lines, "pkcs11:/nowhere.so?token=a&key=b"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **VARIABLES},
    )
    assert done.stderr.count("Traceback") == 7
    assert PASSWORD not in done.stderr
    assert ROOT_KEY[12:] not in done.stderr
    assert "During handling of the above exception" not in done.stderr
