"""KEK providers and keystores by a line of text, in the environment or on the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, environment, get_sealer
from sqlalchemy_sealed.errors import (
    ConfigurationError,
    KeystoreError,
    MissingExtraError,
    OptionError,
    SealedError,
)
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.locators import keystore_at, provider_at
from sqlalchemy_sealed.providers.passphrase import Passphrase

SECRET = "hunter2 hunter2 hunter2"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without settings in the environment."""
    for variable in [name for name in os.environ if name.startswith(("SEALED_", "VAULT_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def not_local() -> LocalRootKey:
    """Fail: the root key was not asked for."""
    raise AssertionError("the root key was not asked for")


# -- keystores


def test_a_path_is_a_file() -> None:
    """Also one with a colon."""
    for path in ("keys.json", "/etc/app/keys.json", "a:b.json"):
        keystore = keystore_at(path)
        assert isinstance(keystore, FileKeystore)
        assert keystore.path == Path(path)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///keys.sqlite", "sqlite"),
        ("postgresql://app@db/keys", "postgresql+psycopg"),
        ("postgres://app@db/keys", "postgresql+psycopg"),
        ("postgresql+psycopg://app@db/keys", "postgresql+psycopg"),
        ("mysql://app@db/keys", "mysql+pymysql"),
        ("mariadb://app@db/keys", "mariadb+pymysql"),
    ],
)
def test_a_url_is_a_table(url: str, driver: str) -> None:
    """Without a driver, the one that our extra installs."""
    pytest.importorskip("psycopg")
    pytest.importorskip("pymysql")
    keystore = keystore_at(url)
    assert isinstance(keystore, DatabaseKeystore)
    assert keystore._engine.url.drivername == driver


def test_vault_kv_is_a_mount_and_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount may have slashes; no server is asked for that."""
    pytest.importorskip("hvac")
    from sqlalchemy_sealed.keystores.vaultkv import VaultKV  # noqa: PLC0415

    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "x")
    assert isinstance(keystore_at("vault-kv:secret/sealed"), VaultKV)
    for line in ("vault-kv:", "vault-kv:secret", "vault-kv:/sealed"):
        with pytest.raises(ConfigurationError, match="vault-kv:<mount>/<path>"):
            keystore_at(line)


@pytest.mark.parametrize(
    "line",
    [
        f"nonsense://app:{SECRET}@db/keys",
        f"postgresql://app:{SECRET}@db:port/keys",
        f"postgresql+nonsense://app:{SECRET}@db/keys",
        "://",
    ],
)
def test_what_is_no_url_is_refused_without_its_password(line: str) -> None:
    """The message says what is wrong and shows nothing of the line."""
    with pytest.raises(ConfigurationError, match="database URL") as caught:
        keystore_at(line)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it, or by its name."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"sqlalchemy-sealed\[postgresql\]"):
        keystore_at("postgresql://db/keys")
    monkeypatch.setitem(sys.modules, "oracledb", None)
    with pytest.raises(ConfigurationError, match="'oracledb' of the database URL"):
        keystore_at("oracle+oracledb://db/keys")


# -- KEK providers


def test_local_is_the_root_key() -> None:
    """That of the settings, or the one in a file that is named."""
    root = LocalRootKey.from_text(LocalRootKey.generate())
    assert provider_at("local", lambda: root) is root
    text = LocalRootKey.generate()
    Path("old.root.key").write_text(text)
    Path("old.root.key").chmod(0o600)
    named = provider_at("local:old.root.key", not_local)
    assert named.version() == LocalRootKey.from_text(text).version()
    with pytest.raises(KeystoreError, match="there is no root key file"):
        provider_at("local:elsewhere", not_local)


def test_a_passphrase_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never from the line, which others can read."""
    with pytest.raises(ConfigurationError, match=r"SEALED_PASSPHRASE: .* is not set"):
        provider_at("passphrase", not_local)
    monkeypatch.setenv("SEALED_PASSPHRASE", SECRET)
    assert isinstance(provider_at("passphrase", not_local), Passphrase)
    with pytest.raises(ConfigurationError, match="by SEALED_PASSPHRASE only") as caught:
        provider_at(f"passphrase:{SECRET}", not_local)
    assert "hunter2" not in str(caught.value)


def test_vault_is_a_mount_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that Vault could not have is refused."""
    pytest.importorskip("hvac")
    from sqlalchemy_sealed.providers.vault import VaultTransit  # noqa: PLC0415

    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "x")
    provider = provider_at("vault:teams/a/transit/sealed", not_local)
    assert isinstance(provider, VaultTransit)
    assert (provider.transit.mount, provider.transit.name) == ("teams/a/transit", "sealed")
    with pytest.raises(ConfigurationError, match="vault:<mount>/<key>"):
        provider_at("vault:sealed", not_local)
    with pytest.raises(OptionError):
        provider_at("vault:../sealed", not_local)


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("rsa", "rsa:<file>"),
        ("aws-kms", "aws-kms:<key id, ARN or alias>"),
        ("pkcs11", "pkcs11:<library>"),
        ("pkcs11:lib.so", "pkcs11:<library>"),
        ("pkcs11:lib.so?token=a", "pkcs11:<library>"),
        ("pkcs11:lib.so?token=a&key=b&pin=1234", "pkcs11:<library>"),
        ("pkcs11:lib.so?token=a&key=b&pin=", "pkcs11:<library>"),
        ("pkcs11:lib.so?token=a&key=b&key=c", "pkcs11:<library>"),
    ],
)
def test_a_line_without_its_parts_shows_the_form(line: str, form: str) -> None:
    """A PIN in the line is refused as well."""
    with pytest.raises(ConfigurationError, match="is given as") as caught:
        provider_at(line, not_local)
    assert form in str(caught.value)
    assert "1234" not in str(caught.value)


def test_a_pin_comes_from_its_variable() -> None:
    """PKCS#11 is not asked without one."""
    with pytest.raises(ConfigurationError, match="SEALED_PKCS11_PIN"):
        provider_at("pkcs11:lib.so?token=a&key=b", not_local)


@pytest.mark.parametrize("line", ["", "sealedroot1_" + "A" * 43, SECRET, "LOCAL", "vualt:a/b"])
def test_an_unknown_provider_is_not_shown(line: str) -> None:
    """It may be a key that was put into the wrong variable; the message has the kinds."""
    with pytest.raises(ConfigurationError, match="local, passphrase, vault, rsa") as caught:
        provider_at(line, not_local)
    assert not line or line not in str(caught.value)


# -- the environment


def test_the_environment_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sealer over a table and a passphrase, configured by variables alone."""
    keystore = DatabaseKeystore("sqlite:///keys.sqlite")
    keystore.create()
    KeyManager(keystore, Passphrase(SECRET)).create("places")
    monkeypatch.setenv("SEALED_KEYSTORE", "sqlite:///keys.sqlite")
    monkeypatch.setenv("SEALED_KEK", "passphrase")
    monkeypatch.setenv("SEALED_PASSPHRASE", SECRET)
    sealer = environment.configure_from_env("places")
    try:
        assert sealer.open(sealer.seal(b"x", "t.c"), "t.c") == b"x"
    finally:
        get_sealer("places").keeper = None


@pytest.mark.parametrize("empty", [False, True], ids=["unset", "empty"])
def test_the_defaults_are_a_file_and_the_root_key(
    empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable counts as none."""
    if empty:
        for variable in (environment.KEYSTORE_VARIABLE, environment.KEK_VARIABLE):
            monkeypatch.setenv(variable, "")
    monkeypatch.setenv("SEALED_ROOT_KEY", LocalRootKey.generate())
    assert environment.keystore().path == Path("sealed.keys.json")
    assert isinstance(environment.provider(), LocalRootKey)


@pytest.mark.parametrize(
    ("variable", "value", "make"),
    [
        ("SEALED_KEYSTORE", "nonsense://", environment.keystore),
        ("SEALED_KEK", "nonsense", environment.provider),
        ("SEALED_KEK", "passphrase", environment.provider),
    ],
)
def test_an_error_names_the_variable(
    variable: str, value: str, make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one whose line is wrong, or the one that is missing besides."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SealedError) as caught:
        make()
    assert caught.value.where in (variable, "SEALED_PASSPHRASE")


def test_a_database_that_is_not_there_is_no_wrong_line() -> None:
    """The line is right; the first read says that there is no table."""
    keystore = keystore_at("sqlite:///keys.sqlite")
    with pytest.raises(KeystoreError, match="no such table"):
        keystore.load("default")
