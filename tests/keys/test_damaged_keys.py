"""Wrapped keys that were damaged, swapped or made elsewhere: every keystore with every provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fix_db import MARIADB, empty_schema
from fix_providers import settings_of_aws
from providers.keys import rsa_key
from sqlalchemy import create_engine

from sqlalchemy_sealed import (
    FileKeystore,
    KEKProvider,
    KeyManager,
    Keystore,
    LocalRootKey,
    MemoryKeystore,
    Sealer,
    get_sealer,
)
from sqlalchemy_sealed.errors import ProviderError
from sqlalchemy_sealed.keys import KeyKind, KeyRecord
from sqlalchemy_sealed.keystores.database import DatabaseKeystore
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.providers.awskms import AwsKms
from sqlalchemy_sealed.providers.passphrase import FEWEST_ITERATIONS, Passphrase
from sqlalchemy_sealed.providers.pkcs11 import Pkcs11
from sqlalchemy_sealed.providers.rsa import RsaKey
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault import DesiredKey, Vault, apply

Pair = tuple[KEKProvider, KEKProvider]


@pytest.fixture(params=["local", "passphrase", "rsa", "vault", "aws", "pkcs11"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Return a provider, and one of the same kind of another installation."""
    match request.param:
        case "local":
            yield (
                LocalRootKey.from_text(LocalRootKey.generate()),
                LocalRootKey.from_text(LocalRootKey.generate()),
            )
        case "passphrase":
            yield (
                Passphrase("correct horse", iterations=FEWEST_ITERATIONS),
                Passphrase("battery staple", iterations=FEWEST_ITERATIONS),
            )
        case "rsa":
            yield RsaKey(rsa_key(2048)), RsaKey(rsa_key(2048))
        case "vault":
            vault, mount = (request.getfixturevalue(name) for name in ("vault", "mount"))
            apply(vault, DesiredKey("another", mount))
            yield VaultTransit(vault, mount=mount), VaultTransit(vault, mount=mount, key="another")
        case "aws":
            kms = request.getfixturevalue("kms")
            with settings_of_aws(request.getfixturevalue("moto_server")):
                one, another = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
                yield AwsKms(one), AwsKms(another)
        case _:
            hsm = request.getfixturevalue("hsm")
            yield (
                Pkcs11(hsm.library, token="sealed", key="kek", pin=hsm.pin),
                Pkcs11(hsm.library, token="sealed", key="another", pin=hsm.pin),
            )


@pytest.fixture(
    params=[
        "memory",
        "file",
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        MARIADB,
        "vault",
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keystore]:
    """Return an empty keystore, of each kind."""
    match request.param:
        case "memory":
            yield MemoryKeystore()
        case "file":
            yield FileKeystore(tmp_path / "keys.json")
        case "sqlite":
            yield from in_database(f"sqlite:///{tmp_path / 'keys.db'}")
        case "postgresql":
            with empty_schema(request.getfixturevalue("postgres_url")) as url:
                yield from in_database(url)
        case "mariadb":
            yield from in_database(request.getfixturevalue("mariadb_url"))
        case _:
            vault: Vault = request.getfixturevalue("vault")
            yield VaultKV(vault, path=f"keystores/{uuid4().hex}")


def in_database(url: Any) -> Iterator[Keystore]:
    """Yield a keystore in a database."""
    engine = create_engine(url)
    store = DatabaseKeystore(engine)
    store.create()
    yield store
    engine.dispose()


class Keys:
    """Records of two key names in a keystore; the second data key of the first is the primary."""

    def __init__(self, store: Keystore, pair: Pair) -> None:
        self.store, (self.provider, self.stranger) = store, pair
        manager = KeyManager(store, self.provider)
        manager.create("other")
        manager.create("default")
        manager.rotate("default")
        self.primary = manager.keyset("default").primary

    def record(self, name: str, kind: KeyKind, generation: int = 1) -> KeyRecord:
        """Return a record as it is now."""
        (found,) = (
            each
            for each in self.store.load(name)
            if (each.kind, each.generation) == (kind, generation)
        )
        return found

    def start(self, provider: KEKProvider | None = None) -> Sealer:
        """Return the sealer of a process that starts."""
        sealer = get_sealer(f"damaged-{uuid4()}")
        sealer.configure(
            keystore=self.store, provider=provider or self.provider, key_name="default"
        )
        return sealer


@pytest.fixture
def keys(store: Keystore, pair: Pair) -> Keys:
    """Return a keystore with keys."""
    return Keys(store, pair)


def changed(text: str, at: int) -> str:
    """Return a text with another character at a place."""
    return f"{text[:at]}{'A' if text[at] != 'A' else 'B'}{text[at + 1 :]}"


DAMAGES: dict[str, Callable[[Keys], str]] = {
    "one character changed": lambda keys: changed(
        keys.primary.wrapped, len(keys.primary.wrapped) - 20
    ),
    "the end cut off": lambda keys: keys.primary.wrapped[:-8],
    "the beginning cut off": lambda keys: keys.primary.wrapped[8:],
    "of another name": lambda keys: keys.record("other", KeyKind.DATA).wrapped,
    "of another id": lambda keys: keys.record("default", KeyKind.DATA, 1).wrapped,
    "of another kind": lambda keys: keys.record("default", KeyKind.INDEX).wrapped,
    "of another installation": lambda keys: keys.stranger.wrap(
        keys.provider.unwrap(keys.primary.wrapped, keys.primary.binding), keys.primary.binding
    ),
}


def test_a_damaged_key_is_refused_at_once_and_nothing_is_lost(keys: Keys) -> None:
    """No process starts with it; one that runs goes on; put back, it opens what it sealed."""
    running = keys.start()
    data = running.seal(b"value", "a.b")
    for name, damage in DAMAGES.items():
        damaged = keys.primary.with_wrapped(damage(keys))
        keys.store.update(keys.primary, damaged)
        for use in (
            keys.start,
            lambda: KeyManager(keys.store, keys.provider).rotate("default"),
        ):
            with pytest.raises(ProviderError) as caught:
                use()
            assert caught.value.key_id == keys.primary.key_id.hex(), name
            assert caught.value.__context__ is None
            assert damaged.wrapped[20:-20] not in str(caught.value)
        running.refresh()
        assert running.open(running.seal(b"value", "a.b"), "a.b") == b"value"
        keys.store.update(damaged, keys.primary)
        assert keys.start().open(data, "a.b") == b"value"
    assert len(keys.store.load("default")) == 3


def test_a_keystore_of_another_installation_is_refused_at_once(keys: Keys) -> None:
    """Before a value is sealed under what nobody here could unwrap; nothing is added to it."""
    before = set(keys.store.load("default"))
    manager = KeyManager(keys.store, keys.stranger)
    for use in (
        lambda: keys.start(keys.stranger),
        lambda: manager.rotate("default"),
        lambda: manager.rotate("default", index=True),
        lambda: manager.announce_index("default"),
    ):
        with pytest.raises(ProviderError) as caught:
            use()
        assert caught.value.key_id == keys.primary.key_id.hex()
    sealer = keys.start()
    with pytest.raises(ProviderError):
        sealer.configure(
            keystore=keys.store, provider=keys.stranger, key_name="default", replace=True
        )
    assert sealer.open(sealer.seal(b"value", "a.b"), "a.b") == b"value"
    assert set(keys.store.load("default")) == before
