"""
Settings from the environment: where the keystore is, where the root key is.

    SEALED_KEYSTORE        path of the keystore file        (default sealed.keys.json)
    SEALED_ROOT_KEY        the root key itself, or
    SEALED_ROOT_KEY_FILE   path of the file that holds it   (default sealed.root.key)

Paths have defaults, secrets have none.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigurationError
from .keystores.file import FileKeystore
from .providers.local import ROOT_KEY_VARIABLE, LocalRootKey
from .sealer import DEFAULT, Sealer, get_sealer

KEYSTORE_VARIABLE = "SEALED_KEYSTORE"
ROOT_KEY_FILE_VARIABLE = "SEALED_ROOT_KEY_FILE"
DEFAULT_KEYSTORE = Path("sealed.keys.json")
DEFAULT_ROOT_KEY_FILE = Path("sealed.root.key")


def keystore_path() -> Path:
    """Return the path of the keystore file."""
    return Path(os.environ.get(KEYSTORE_VARIABLE) or DEFAULT_KEYSTORE)


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
        ConfigurationError, KeystoreError, ProviderError: as `root_key` and `Sealer.configure`.
    """
    sealer = get_sealer(name)
    sealer.configure(keystore=FileKeystore(keystore_path()), provider=root_key())
    return sealer
