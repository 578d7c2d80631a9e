"""A server whose listener takes less in a request than OpenBao does by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from fix_providers import skip_if_missing
from servers import openbao
from servers.openbao import Durable
from servers.relay import Relay, relaying

from sqlalchemy_sealed import FileKeystore, KeyManager
from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.testing import record
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply

KEYS = 250
LIMITS = {
    # Of each item there are two names and two texts; 240 are halved to 120, 60, 30 and 15.
    "100 strings": ({"max_request_json_strings": 100}, 15),
    # An item has some 220 bytes.
    "20,000 bytes": ({"max_request_size": 20_000}, 60),
    "too few for two items": ({"max_request_json_strings": 8}, 1),
}


def filled(path: Path, provider: VaultTransit) -> FileKeystore:
    """Return a keystore with many keys, each of them wrapped by itself."""
    new = [record(generation=number) for number in range(1, KEYS + 1)]
    keystore = FileKeystore(path)
    keystore.add(*(each.with_wrapped(provider.wrap(random_key(), each.binding)) for each in new))
    return keystore


def opened(keystore: FileKeystore, provider: VaultTransit) -> list[tuple[bytes, bytes]]:
    """Return each key, with its id."""
    records = keystore.load("default")
    return [(each.key_id, provider.unwrap(each.wrapped, each.binding)) for each in records]


def rewraps(relay: Relay) -> int:
    """Return how many batches were sent."""
    return sum("/rewrap/" in each for each in relay.requests)


@pytest.mark.parametrize("limit", LIMITS)
def test_all_keys_are_rewrapped_in_requests_that_the_server_takes(
    limit: str, tmp_path: Path
) -> None:
    """They become smaller on the way; each key is rewrapped once, and unwraps as before."""
    skip_if_missing(openbao.installation)
    server = Durable(tmp_path)
    server.listener, most = LIMITS[limit]
    with server.running(), relaying(server.url) as relay:
        server.initialize()
        server.unseal()
        near, through = (
            VaultTransit(Vault(url, auth=TokenAuth(server.token)))
            for url in (server.url, relay.url)
        )
        apply(near.transit.vault, DesiredKey())
        keystore = filled(tmp_path / "keys.json", near)
        before = opened(keystore, near)
        near.transit.rotate()
        done = KeyManager(FileKeystore(keystore.path), through).rewrap()
        assert (done.rewrapped, done.current, done.failed) == (KEYS, 0, ())
        fewest = -(-KEYS // most)
        assert fewest < rewraps(relay) <= 2 * fewest
        assert {each.wrapped[:9] for each in keystore.load("default")} == {"vault:v2:"}
        assert opened(keystore, near) == before
