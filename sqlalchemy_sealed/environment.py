"""
Settings from the environment: where the keystore is, and who unwraps its keys.

    SEALED_KEYSTORE        the keystore, as a line of text  (default sealed.keys.json, a file)
    SEALED_KEK             the KEK provider, as a line      (default local, the root key)
    SEALED_ROOT_KEY        the root key itself, or
    SEALED_ROOT_KEY_FILE   path of the file that holds it   (default sealed.root.key)

`locators` has the forms of both lines. Places have defaults, secrets have none.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigurationError, SealedError
from .locators import keystore_at, provider_at
from .protocols import KEKProvider, Keystore
from .providers.local import ROOT_KEY_VARIABLE, LocalRootKey
from .sealer import DEFAULT, Sealer, get_sealer

KEYSTORE_VARIABLE = "SEALED_KEYSTORE"
KEK_VARIABLE = "SEALED_KEK"
ROOT_KEY_FILE_VARIABLE = "SEALED_ROOT_KEY_FILE"
DEFAULT_KEYSTORE = "sealed.keys.json"
DEFAULT_KEK = "local"
DEFAULT_ROOT_KEY_FILE = Path("sealed.root.key")


def keystore_line() -> str:
    """Return the line of the keystore."""
    return os.environ.get(KEYSTORE_VARIABLE) or DEFAULT_KEYSTORE


def kek_line() -> str:
    """Return the line of the KEK provider."""
    return os.environ.get(KEK_VARIABLE) or DEFAULT_KEK


def keystore() -> Keystore:
    """
    Return the keystore of the environment.

    Raises:
        ConfigurationError: as `keystore_at`.
    """
    try:
        return keystore_at(keystore_line())
    except SealedError as error:
        problem = error if error.where else error.at(KEYSTORE_VARIABLE)
    raise problem


def provider() -> KEKProvider:
    """
    Return the KEK provider of the environment.

    Raises:
        ConfigurationError, ProviderError, KeystoreError: as `provider_at` and `root_key`.
    """
    try:
        return provider_at(kek_line(), root_key)
    except SealedError as error:
        problem = error if error.where else error.at(KEK_VARIABLE)
    raise problem


def root_key_path() -> Path:
    """Return the path of the root key file."""
    return Path(os.environ.get(ROOT_KEY_FILE_VARIABLE) or DEFAULT_ROOT_KEY_FILE)


def root_key() -> LocalRootKey:
    """
    Return the root key from its variable or its file.

    Raises:
        ConfigurationError: both variables are set, so it is not clear which one is meant.
        ProviderError, KeystoreError: as `LocalRootKey.from_env` and `from_file`.
    """
    if os.environ.get(ROOT_KEY_VARIABLE):
        if os.environ.get(ROOT_KEY_FILE_VARIABLE):
            raise ConfigurationError(
                f"{ROOT_KEY_VARIABLE} and {ROOT_KEY_FILE_VARIABLE} are both set; set one"
            )
        return LocalRootKey.from_env(ROOT_KEY_VARIABLE)
    return LocalRootKey.from_file(root_key_path())


def configure_from_env(name: str = DEFAULT) -> Sealer:
    """
    Configure a sealer from the environment and return it.

    Raises:
        ConfigurationError, KeystoreError, ProviderError: as `keystore`, `provider` and
            `Sealer.configure`.
    """
    sealer = get_sealer(name)
    sealer.configure(keystore=keystore(), provider=provider())
    return sealer
