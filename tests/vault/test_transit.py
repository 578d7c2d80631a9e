"""A transit key: single values, its versions, and wrapped keys in batches."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers.openbao import OpenBao
from servers.relay import Relay

from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.errors import (
    OptionError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.providers.vault import VaultTransit
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply
from sqlalchemy_sealed.vault.transit import BATCH, TransitKey

Item = tuple[str, bytes]


@pytest.fixture
def through(relay: Relay, bao: OpenBao, transit: TransitKey) -> TransitKey:
    """Return the key of this test through the relay, which counts the calls."""
    key = TransitKey(Vault(relay.url, auth=TokenAuth(bao.token)), "sealed", transit.mount)
    key.version()
    relay.requests.clear()
    return key


def configure(key: TransitKey, **settings: Any) -> None:
    """Change settings of a key by hand."""
    key.vault.call(
        "the settings",
        lambda client: client.secrets.transit.update_key_configuration(
            key.name, mount_point=key.mount, **settings
        ),
    )


# -- single values


@pytest.mark.parametrize("value", [b"", b"\x00", "Ada Lovelace, née Byron".encode(), b"x" * 65536])
def test_a_value_comes_back(transit: TransitKey, value: bytes) -> None:
    """Bytes of any length are encrypted in Vault, and decrypted there."""
    ciphertext = transit.encrypt(value, b"patients.email")
    assert ciphertext.startswith("vault:v1:")
    assert transit.decrypt(ciphertext, b"patients.email") == value


def test_a_value_is_bound_to_its_context(transit: TransitKey) -> None:
    """With another context it does not open."""
    ciphertext = transit.encrypt(b"a", b"patients.email")
    with pytest.raises(ProviderError, match="does not authenticate"):
        transit.decrypt(ciphertext, b"patients.phone")


def test_a_new_version_encrypts_and_the_old_ones_decrypt(transit: TransitKey) -> None:
    """A rotation changes nothing for values of before."""
    old = transit.encrypt(b"a", b"b")
    assert transit.version() == 1
    assert transit.rotate() == 2
    new = transit.encrypt(b"a", b"b")
    assert [transit.version_of(each) for each in (old, new)] == [1, 2]
    assert transit.decrypt(old, b"b") == transit.decrypt(new, b"b") == b"a"


def test_the_oldest_version_can_be_shut_out_and_let_in(transit: TransitKey) -> None:
    """With min_decryption_version, copies of old wrapped keys become worthless."""
    old = transit.encrypt(b"a", b"b")
    transit.rotate()
    (new,) = transit.rewrap([(old, b"b")])
    configure(transit, min_decryption_version=2)
    assert transit.decrypt(new, b"b") == b"a"
    for refused in (lambda: transit.decrypt(old, b"b"), lambda: [*transit.rewrap([(old, b"b")])]):
        with pytest.raises(ProviderError, match="min_decryption_version"):
            refused()
    configure(transit, min_decryption_version=1)
    assert transit.decrypt(old, b"b") == b"a"


def test_calls_are_few(through: TransitKey, relay: Relay) -> None:
    """Encrypting looks at the key first; all else is one call."""
    ciphertext = through.encrypt(b"a", b"b")
    through.decrypt(ciphertext, b"b")
    list(through.rewrap([(ciphertext, b"b")]))
    mount = through.mount
    assert relay.requests == [
        f"GET /v1/{mount}/keys/sealed",
        f"POST /v1/{mount}/encrypt/sealed",
        f"POST /v1/{mount}/decrypt/sealed",
        f"POST /v1/{mount}/rewrap/sealed",
    ]


# -- what is not as it should be

SOUND = "vault:v1:QUFBQUFB"


@pytest.mark.parametrize(
    "ciphertext",
    [
        "",
        "vault",
        "vault:v1",
        "vault:v1:",
        "vault:v1:QUFB:QUFB",
        "vault:v0:QUFB",
        "vault:v-1:QUFB",
        "vault:v01:QUFB",
        "vault:v1:QUF",
        "vault:v1:QUF_",
        "vault:v1:QUFB\n",
        " vault:v1:QUFB",
        "vault:vx:QUFB",
        "vault:v99999999999999999999:QUFB",
        "vault:v\N{ARABIC-INDIC DIGIT ONE}:QUFB",
        "VAULT:v1:QUFB",
        "local:1:0011223344556677:QUFB",
    ],
)
def test_only_the_form_that_vault_writes_is_sent(
    through: TransitKey, relay: Relay, ciphertext: str
) -> None:
    """Vault itself takes version 0 for 1, and base64 in more than one form."""
    with pytest.raises(ProviderError, match=r"damaged|not made by Vault"):
        through.decrypt(ciphertext, b"b")
    with pytest.raises(ProviderError, match=r"damaged|not made by Vault"):
        list(through.rewrap([(ciphertext, b"b")]))
    assert relay.requests == []


def test_a_version_of_the_future_is_refused(transit: TransitKey) -> None:
    """As after a Vault was restored from a backup that is older than the last rotation."""
    ciphertext = transit.encrypt(b"a", b"b")
    with pytest.raises(ProviderError, match=r"version that .* does not have"):
        transit.decrypt(ciphertext.replace("v1", "v2"), b"b")


@pytest.mark.parametrize("settings", [{"derived": False}, {"type": "rsa-2048"}], ids=str)
def test_a_key_that_binds_nothing_is_not_used(
    root: Any, transit: TransitKey, settings: dict[str, Any]
) -> None:
    """To a key that is not derived, Vault lets any context pass."""
    root.adapter.post(f"/v1/{transit.mount}/keys/loose", json=settings)
    loose = TransitKey(transit.vault, "loose", transit.mount)
    for refused in (lambda: loose.encrypt(b"a", b"b"), loose.version):
        with pytest.raises(ProviderError, match="sealed vault apply"):
            refused()


def test_what_is_not_a_key_of_32_bytes_is_not_one(transit: TransitKey) -> None:
    """A value that somebody encrypted under the same transit key is no data key."""
    provider = VaultTransit(transit.vault, mount=transit.mount)
    with pytest.raises(ProviderError, match="32 bytes"):
        provider.unwrap(transit.encrypt(b"short", b"b"), b"b")


@pytest.mark.parametrize(
    "names", [{"name": "../sealed"}, {"name": "a", "mount": "sys/../b"}], ids=str
)
def test_no_name_is_another_path(vault: Vault, names: dict[str, str]) -> None:
    """A name with a slash would be another address in Vault."""
    with pytest.raises(OptionError):
        TransitKey(vault, **names)


# -- batches


def wrapped_items(key: TransitKey, count: int) -> list[Item]:
    """Return so many wrapped keys with their contexts; each of 4 keys is there many times."""
    contexts = [f"binding {number}".encode() for number in range(4)]
    made = [(key.encrypt(random_key(), context), context) for context in contexts]
    return (made * count)[:count]


def rewraps(relay: Relay) -> int:
    """Return how many batches were sent."""
    return sum("/rewrap/" in each for each in relay.requests)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_many_are_rewrapped_in_few_calls(through: TransitKey, relay: Relay, count: int) -> None:
    """In their order, 200 in one call."""
    items = wrapped_items(through, count)
    through.rotate()
    relay.requests.clear()
    new = list(through.rewrap(items))
    assert rewraps(relay) == -(-count // BATCH)
    assert [through.version_of(each) for each in new] == [2] * count
    for ciphertext, (old, context) in list(zip(new, items, strict=True))[::37]:
        assert through.decrypt(ciphertext, context) == through.decrypt(old, context)


def test_items_are_asked_for_as_they_are_needed(through: TransitKey) -> None:
    """A million wrapped keys need not be in memory at once, only 3 batches more than were taken."""
    given = []

    def endless() -> Iterator[Item]:
        (item,) = wrapped_items(through, 1)
        while True:
            given.append(item)
            yield item

    new = through.rewrap(endless())
    for _ in range(BATCH + 1):
        next(new)
    assert len(given) == 5 * BATCH


def test_a_server_that_takes_less_gets_less(
    through: TransitKey, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are halved until they fit, once for all that come after."""
    monkeypatch.setattr("sqlalchemy_sealed.vault.transit.BATCH", 800)  # OpenBao takes 249.
    items = wrapped_items(through, 1600)
    relay.requests.clear()
    assert len(list(through.rewrap(items))) == 1600
    # 800 and 400 are refused, perhaps to both of those that ask at a time; 200 are not.
    assert 2 + 8 <= rewraps(relay) <= 4 + 8


@pytest.mark.parametrize(("count", "calls"), [(249, 1), (250, 3)])
def test_the_limit_of_the_server(  # noqa: PLR0917 - fixtures
    through: TransitKey,
    relay: Relay,
    root: Any,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    calls: int,
) -> None:
    """OpenBao refuses the texts of 250 items with a context each; what it refuses, goes in two."""
    items = wrapped_items(through, count)
    batch = [
        {"ciphertext": text, "context": b64encode(context).decode()} for text, context in items
    ]
    path = f"/v1/{through.mount}/rewrap/{through.name}"
    answer = root.adapter.post(path, json={"batch_input": batch}, raise_exception=False)
    assert (getattr(answer, "status_code", 200) == 200) is (calls == 1)
    monkeypatch.setattr("sqlalchemy_sealed.vault.transit.BATCH", count)
    through.rotate()
    relay.requests.clear()
    new = list(through.rewrap(items))
    assert [through.version_of(each) for each in new] == [2] * count
    assert rewraps(relay) == calls


def test_one_item_that_is_too_large_is_an_error(through: TransitKey) -> None:
    """It is not halved for ever."""
    huge = f"vault:v1:{'QUFB' * 12_000_000}"
    with pytest.raises(ProviderError, match="item 1: Vault refuses a request of this size"):
        list(through.rewrap([(huge, b"b")]))


DAMAGES: dict[str, tuple[Callable[[Item], Item], str]] = {
    "damaged": (lambda item: (item[0][:20] + "AAAA" + item[0][24:], item[1]), "authenticate"),
    "truncated": (lambda item: (item[0][:-8], item[1]), "authenticate"),
    "cut in a group": (lambda item: (item[0][:-1], item[1]), "damaged"),
    "of another name": (lambda item: (item[0], b"another binding"), "authenticate"),
    "of the future": (lambda item: (item[0].replace("v1", "v7"), item[1]), "does not have"),
    "of another provider": (lambda item: ("local:1:x", item[1]), "not made by Vault"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", [1, 2, BATCH, BATCH + 1, 2 * BATCH + 10])
def test_one_bad_item_is_named_and_nothing_is_lost(
    through: TransitKey, damage: str, place: int
) -> None:
    """All before it were yielded; those after it can be given anew."""
    change, words = DAMAGES[damage]
    items = wrapped_items(through, 2 * BATCH + 10)
    items[place - 1] = change(items[place - 1])
    done: list[str] = []
    with pytest.raises(ProviderError, match=f"item {place}: .*{words}") as caught:  # noqa: PT012
        for each in through.rewrap(items):
            done.append(each)
    assert len(done) == place - 1
    assert caught.value.__context__ is None
    assert len(list(through.rewrap(items[place:]))) == len(items) - place


def test_a_batch_that_is_not_answered_is_not_done(
    through: TransitKey, relay: Relay, root: Any
) -> None:
    """What went wrong for all is not said of an item, and the batches before it are kept."""
    items = wrapped_items(through, 6 * BATCH)
    new = through.rewrap(items)
    done = [next(new) for _ in range(BATCH)]
    relay.cut()
    with pytest.raises(ProviderUnreachableError):  # noqa: PT012
        for each in new:
            done.append(each)
    assert BATCH <= len(done) < len(items)
    assert len(done) % BATCH == 0
    relay.mend()
    assert len(done) + len(list(through.rewrap(items[len(done) :]))) == len(items)


def test_a_batch_of_a_key_that_is_missing_is_one_call(
    vault: Vault, through: TransitKey, relay: Relay
) -> None:
    """It is not tried item by item."""
    missing = TransitKey(through.vault, "missing", through.mount)
    with pytest.raises(ProviderKeyMissingError):
        list(missing.rewrap([(SOUND, b"b")] * 50))
    assert rewraps(relay) == 1


def test_a_batch_without_the_right_is_denied(
    acting: Callable[..., Vault], transit: TransitKey
) -> None:
    """As a single call is."""
    key = TransitKey(acting("application"), "sealed", transit.mount)
    with pytest.raises(ProviderDeniedError):
        list(key.rewrap([(SOUND, b"b")] * 50))


# -- namespaces


def test_a_namespace_has_engines_and_keys_of_its_own(root: Any, bao: OpenBao, mount: str) -> None:
    """The same mount and name in two namespaces are two keys."""
    team = f"team-{mount}"
    root.adapter.post(f"/v1/sys/namespaces/{team}", json={})
    auth = TokenAuth(bao.token)
    providers = []
    for namespace in (None, team):
        vault = Vault(bao.url, auth=auth, namespace=namespace)
        apply(vault, DesiredKey(mount=mount))
        providers.append(VaultTransit(vault, mount=mount))
    outside, inside = providers
    wrapped = inside.wrap(b"k" * 32, b"b")
    assert inside.unwrap(wrapped, b"b") == b"k" * 32
    with pytest.raises(ProviderError, match="does not authenticate"):
        outside.unwrap(wrapped, b"b")
    inside.transit.rotate()
    assert [re.search(r"v\d+$", each.version())[0] for each in providers] == ["v1", "v2"]
