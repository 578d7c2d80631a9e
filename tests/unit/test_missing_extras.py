"""Without the extras: what needs one names it and the command that installs it; the rest works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sqlalchemy_sealed import LocalRootKey

# The packages that our extras install, and those that come with them.
EXTRAS = ("alembic", "boto3", "botocore", "click", "hvac", "pkcs11", "psycopg", "pymysql", "rich")
ABSENT = textwrap.dedent("""\
    import sys
    from importlib.abc import MetaPathFinder

    class Absent(MetaPathFinder):
        def __init__(self, packages):
            self.packages = packages
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in self.packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Absent(sys.argv.pop(1).split(",")))
""")
COMMAND = "from sqlalchemy_sealed.cli import main; main()"


def without(
    packages: str, program: str, *arguments: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process in which some packages are not installed."""
    root_key = folder / "sealed.root.key"
    if not root_key.exists():
        root_key.touch(mode=0o600)
        root_key.write_text(LocalRootKey.generate())
    return subprocess.run(
        [sys.executable, "-c", ABSENT + program, packages, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SEALED_PKCS11_PIN": "a PIN",
            "VAULT_ADDR": "http://127.0.0.1:1",
            "VAULT_TOKEN": "a token",
        },
    )


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("click", "cli", "keys list"),
        ("rich", "cli", "keys list"),
        ("hvac", "vault", "vault plan"),
        ("hvac", "vault", "keys rotate --kek vault:transit/sealed"),
        ("hvac", "vault", "keys list --keystore vault-kv:secret/sealed"),
        ("boto3", "aws", "keys rotate --kek aws-kms:alias/sealed"),
        ("botocore", "aws", "keys rotate --kek aws-kms:alias/sealed"),
        ("pkcs11", "pkcs11", "keys rotate --kek pkcs11:lib.so?token=a&key=b"),
        ("psycopg", "postgresql", "keys list --keystore postgresql://localhost/keys"),
        ("psycopg", "postgresql", "index plan postgresql://localhost/db a.b"),
        ("pymysql", "mysql", "keys list --keystore mysql://localhost/keys"),
        ("pymysql", "mysql", "keys list --keystore mariadb://localhost/keys"),
    ],
)
def test_what_is_missing_is_named(package: str, extra: str, arguments: str, tmp_path: Path) -> None:
    """One line on standard error with the extra and the remedy, and exit code 1."""
    done = without(package, COMMAND, *arguments.split(), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"sealed: .*needs the extra '{extra}'; install it with: python -m pip install "
        rf"'sqlalchemy-sealed\[{extra}\]'\n",
        done.stderr,
    )


def test_the_library_needs_none_of_them(tmp_path: Path) -> None:
    """Keys in a file, under a root key, a passphrase or an RSA key, and a table in SQLite."""
    openssl = ["openssl", "genpkey", "-algorithm", "RSA", "-out", "key.pem"]
    subprocess.run(openssl, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "key.pem").chmod(0o600)
    program = textwrap.dedent("""
        from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, get_sealer
        from sqlalchemy_sealed.keystores.database import DatabaseKeystore
        from sqlalchemy_sealed.providers.passphrase import Passphrase
        from sqlalchemy_sealed.providers.rsa import RsaKey
        import alembic_ext

        table = DatabaseKeystore("sqlite:///keys.db")
        table.create()
        for name, keystore, provider in (
            ("a", FileKeystore("keys.json"), LocalRootKey.from_file("sealed.root.key")),
            ("b", FileKeystore("more.json"), Passphrase("correct horse battery staple")),
            ("c", table, RsaKey.from_file("key.pem")),
        ):
            manager = KeyManager(keystore, provider)
            manager.create(name)
            sealer = get_sealer(name)
            sealer.configure(keystore=keystore, provider=provider)
            value = sealer.seal(b"value", "a.b")
            sealer.rotate()
            manager.rewrap()
            assert sealer.open(value, "a.b") == b"value"
        print("all of it")
    """)
    done = without(",".join(EXTRAS), program, folder=tmp_path)
    assert (done.stderr, done.stdout) == ("", "all of it\n")
