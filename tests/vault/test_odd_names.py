"""Key names and scopes of any characters: on their way to Vault they mean nothing else."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from servers.openbao import OpenBao
from servers.relay import Relay

from sqlalchemy_sealed import Context, KeyManager, Sealer, get_sealer
from sqlalchemy_sealed.errors import (
    AuthenticationError,
    ConfigurationError,
    ProviderError,
)
from sqlalchemy_sealed.keys import KeyKind
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault import TokenAuth, Vault

ODD = [
    "..", ".", "../../sys/raw", "a/b", "a//b", "/", " ", " a", "a ", "%2e%2e%2f", "?version=1",
    "#", "~", "a\0b", "\n", "'\"\\", "{{identity}}", "*", "+", "vault:v1:QQ==", "$(id)", "é",
    "e\u0301", "患者", "\u202e", "\U0001f512", "A" * 1000, "-", "--all", "null", "0",
]  # fmt: skip

PLAIN = re.compile(r"/v1/[A-Za-z0-9/_~-]+(\?(list|version)=[a-z0-9]*)?")


@pytest.fixture
def manager(relay: Relay, bao: OpenBao, mount: str) -> KeyManager:
    """Return what makes keys, with keystore and KEK in Vault."""
    vault = Vault(relay.url, auth=TokenAuth(bao.token))
    store = VaultKV(vault, path=f"keystores/{uuid4().hex}")
    return KeyManager(store, VaultTransit(vault, mount=mount))


def sealer_of(manager: KeyManager, name: str) -> Sealer:
    """Return the sealer of a new process."""
    sealer = get_sealer(f"odd-{uuid4()}")
    sealer.configure(keystore=manager.keystore, provider=manager.provider, key_name=name)
    return sealer


def test_every_name_has_keys_of_its_own(manager: KeyManager, relay: Relay) -> None:
    """They are made, unwrapped, rotated and listed, each apart from all others."""
    for name in ODD:
        manager.create(name)
    assert manager.keystore.names() == tuple(sorted(ODD))
    sealed = {}
    for name in ODD:
        sealer = sealer_of(manager, name)
        sealed[name] = sealer.seal(name.encode(), "a.b")
        assert manager.rotate(name).primary.generation == 2
    for name, data in sealed.items():
        assert sealer_of(manager, name).open(data, "a.b") == name.encode()
    paths = {request.split(" ")[1] for request in relay.requests}
    assert [path for path in paths if not PLAIN.fullmatch(path) or ".." in path] == []


def test_names_that_look_alike_do_not_unwrap_each_other(manager: KeyManager) -> None:
    """The name is the context of the derived key, byte by byte."""
    for name in ODD:
        manager.create(name)
    wrapped = {
        name: next(r for r in manager.keyset(name).records if r.kind is KeyKind.DATA)
        for name in ODD
    }
    for name, other in zip(ODD, [*ODD[1:], ODD[0]], strict=True):
        with pytest.raises(ProviderError, match="swapped with the key of another name"):
            manager.provider.unwrap(wrapped[name].wrapped, wrapped[other].binding)


REFUSED = ["", "\ud800", "a\udcffb", "x" * 65536, "é" * 32768, None, 5, b"default"]


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: repr(name)[:10])
def test_a_name_that_cannot_be_bound_is_refused(
    name: object, manager: KeyManager, relay: Relay
) -> None:
    """Before anything is asked or written, and without showing it."""
    with pytest.raises(ConfigurationError, match="a key name must be a text") as caught:
        manager.create(name)
    assert relay.requests == []
    assert len(str(caught.value)) < 200


def test_a_scope_may_be_anything(manager: KeyManager) -> None:
    """Each part of it is told apart from all others, and from a label."""
    manager.create("default")
    sealer = sealer_of(manager, "default")
    contexts = [Context("a.b", (part,)) for part in (*ODD, "")]
    contexts += [Context(part) for part in ODD]
    contexts += [Context("a.b", ("", part)) for part in ODD]
    sealed = [sealer.seal(str(number).encode(), at) for number, at in enumerate(contexts)]
    for number, (data, at) in enumerate(zip(sealed, contexts, strict=True)):
        assert sealer.open(data, at) == str(number).encode()
        with pytest.raises(AuthenticationError):
            sealer.open(data, contexts[number - 1])
    for broken in ("\ud800", "x" * 65536):
        with pytest.raises(ConfigurationError, match="valid Unicode"):
            sealer.seal(b"", Context("a.b", (broken,)))
