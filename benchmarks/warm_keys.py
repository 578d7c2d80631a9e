"""Sealers of every KEK provider, each with one of the keystores."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from providers.keys import rsa_key
from servers import moto, softhsm
from servers.relay import Relay, relaying
from servers.server import ServiceMissingError

from sqlalchemy_sealed import FileKeystore, KeyManager, LocalRootKey, MemoryKeystore, Sealer
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.protocols import KEKProvider, Keystore
from sqlalchemy_sealed.providers.awskms import AwsKms
from sqlalchemy_sealed.providers.passphrase import Passphrase
from sqlalchemy_sealed.providers.pkcs11 import Pkcs11
from sqlalchemy_sealed.providers.rsa import RsaKey
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.client import Vault


def sealers(
    vault: Vault, database: DatabaseKeystore, directory: Path, stack: ExitStack
) -> tuple[dict[str, Sealer], list[Relay]]:
    """
    Return sealers by what they are made of, that of this process first, and relays to watch.

    A provider whose service is not on this machine is left out.

    Args:
        vault: where there is a transit key, "sealed".
        database: a table for keys.
        directory: where files of keys may lie.
        stack: ends the services that are started.
    """
    local = LocalRootKey(random_key())
    made = {
        "memory, local root key": _sealer(MemoryKeystore(), local),
        "the same once more": _sealer(MemoryKeystore(), LocalRootKey(random_key())),
        "file, passphrase": _sealer(
            FileKeystore(directory / "few.json"), Passphrase("correct horse battery staple")
        ),
        "file, RSA": _sealer(FileKeystore(directory / "rsa.json"), RsaKey(rsa_key(2048))),
        "table, Vault transit": _sealer(database, VaultTransit(vault)),
        "Vault KV, Vault transit": _sealer(VaultKV(vault), VaultTransit(vault)),
    }
    relays = []
    with suppress(ServiceMissingError):
        hsm = stack.enter_context(softhsm.tokens("sealed"))
        hsm.key("sealed", "kek")
        pkcs11 = Pkcs11(hsm.library, token="sealed", key="kek", pin=hsm.pin)
        made["table, PKCS#11"] = _sealer(database, pkcs11)
    with suppress(ServiceMissingError):
        relays.append(stack.enter_context(relaying(stack.enter_context(moto.running()).url)))
        client = _kms(relays[0].url)
        arn = client.create_key()["KeyMetadata"]["Arn"]
        made["table, AWS KMS"] = _sealer(database, AwsKms(arn, lambda: client))
    return made, relays


def _sealer(keystore: Keystore, provider: KEKProvider) -> Sealer:
    name = f"bench-{uuid4().hex}"
    KeyManager(keystore, provider).create(name)
    sealer = Sealer(name)
    sealer.configure(keystore=keystore, provider=provider)
    return sealer


def _kms(url: str) -> Any:
    import boto3  # noqa: PLC0415 - it may be missing

    return boto3.client(
        "kms",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
