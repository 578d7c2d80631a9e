"""
KEK providers and keystores by a line of text, for environment variables and commands.

    KEK provider                  keystore
    local                         sealed.keys.json          a file
    local:old.root.key            postgresql://host/name    a table, by any URL of SQLAlchemy
    passphrase                    vault-kv:secret/sealed
    vault:transit/sealed
    rsa:private.pem
    aws-kms:alias/sealed
    pkcs11:/usr/lib/softhsm/libsofthsm2.so?token=sealed&key=kek

Keys, passphrases and PINs never stand in these lines: they have variables of their own. So has the
login to Vault, and PostgreSQL has PGPASSWORD.
"""

# ruff: noqa: PLC0415 - each kind is imported where it is asked for

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import parse_qsl

from .errors import ConfigurationError, MissingExtraError
from .keystores.file import FileKeystore
from .protocols import KEKProvider, Keystore
from .providers.local import LocalRootKey

PASSPHRASE_VARIABLE = "SEALED_PASSPHRASE"  # noqa: S105 - a name
RSA_PASSWORD_VARIABLE = "SEALED_RSA_PASSWORD"  # noqa: S105 - a name
PIN_VARIABLE = "SEALED_PKCS11_PIN"
OURS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""What URLs without a driver mean."""
EXTRAS = {"psycopg": "postgresql", "pymysql": "mysql"}
"""Our extras, by the driver module that each installs."""


def provider_at(text: str, local: Callable[[], KEKProvider]) -> KEKProvider:
    """
    Return the KEK provider of a line.

    Args:
        text: as above.
        local: returns the provider of the root key that is meant by `local` alone.

    Raises:
        ConfigurationError: no such kind of provider, or a part is missing.
        MissingExtraError: the kind needs an extra that is not installed.
        ProviderError: its key cannot be used.
    """
    scheme, _, rest = text.partition(":")
    makers: dict[str, Callable[[str], KEKProvider]] = {
        "local": lambda rest: LocalRootKey.from_file(rest) if rest else local(),
        "passphrase": _passphrase,
        "vault": _vault,
        "rsa": _rsa,
        "aws-kms": _aws_kms,
        "pkcs11": _pkcs11,
    }
    if scheme not in makers:
        # The line is not shown: it may be a secret that was given in its place.
        raise ConfigurationError(
            f"this is no KEK provider; there are {', '.join(makers)}, such as vault:transit/sealed"
        )
    return makers[scheme](rest)


def keystore_at(text: str) -> Keystore:
    """
    Return the keystore of a line.

    Raises:
        ConfigurationError: a part is missing.
        MissingExtraError: it needs an extra that is not installed.
    """
    if text.startswith("vault-kv:"):
        from .keystores.vaultkv import VaultKV

        mount, path = _two(text.removeprefix("vault-kv:"), "vault-kv:<mount>/<path>")
        return VaultKV(mount=mount, path=path)
    if "://" in text:
        return _database(text)
    return FileKeystore(text)


def _database(text: str) -> Keystore:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from .keystores.database import DatabaseKeystore

    extra = None
    try:
        url = make_url(text)
        return DatabaseKeystore(url.set(drivername=OURS.get(url.drivername, url.drivername)))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        problem = f"the driver {error.name!r} of the database URL is not installed"
    except (ArgumentError, NoSuchModuleError, ValueError):
        # The URL is not shown: it may have a password.
        problem = "this is not a database URL that SQLAlchemy knows"
    if extra is not None:
        raise MissingExtraError.named(extra, f"a {extra} URL")
    raise ConfigurationError(problem)


def _passphrase(rest: str) -> KEKProvider:
    from .providers.passphrase import Passphrase

    if rest:
        # Not shown, since it is a passphrase.
        raise ConfigurationError(f"a passphrase is given by {PASSPHRASE_VARIABLE} only")
    return Passphrase(_secret(PASSPHRASE_VARIABLE))


def _vault(rest: str) -> KEKProvider:
    from .providers.vault import VaultTransit

    mount, key = _two(rest, "vault:<mount>/<key>")
    return VaultTransit(key=key, mount=mount)


def _rsa(rest: str) -> KEKProvider:
    from .providers.rsa import RsaKey

    if not rest:
        raise ConfigurationError("the KEK provider is given as rsa:<file>")
    password = os.environ.get(RSA_PASSWORD_VARIABLE)
    return RsaKey.from_file(rest, password=password.encode() if password else None)


def _aws_kms(rest: str) -> KEKProvider:
    from .providers.awskms import AwsKms

    if not rest:
        raise ConfigurationError("the KEK provider is given as aws-kms:<key id, ARN or alias>")
    return AwsKms(rest)


def _pkcs11(rest: str) -> KEKProvider:
    from .providers.pkcs11 import Pkcs11

    library, _, query = rest.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if not library or sorted(name for name, _ in pairs) != ["key", "token"]:
        raise ConfigurationError(
            "the KEK provider is given as pkcs11:<library>?token=<label>&key=<label>"
        )
    return Pkcs11(library, token=given["token"], key=given["key"], pin=_secret(PIN_VARIABLE))


def _two(rest: str, form: str) -> tuple[str, str]:
    first, _, second = rest.strip("/").rpartition("/")
    if not first or not second:
        raise ConfigurationError(f"this is given as {form}")
    return first, second


def _secret(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigurationError("this environment variable is not set", where=variable)
    return value
