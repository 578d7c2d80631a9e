"""Policies: with the policy of a role a token does what it may, and is refused all else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sqlalchemy_sealed.errors import OptionError, ProviderDeniedError, ProviderError
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, apply, plan
from sqlalchemy_sealed.vault.policies import KvPlace, Role, policy
from sqlalchemy_sealed.vault.transit import TransitKey

ENCODED = "QQ=="


@dataclass(frozen=True)
class Try:
    """Something that a token tries to do with the key of a test."""

    vault: Vault
    mount: str
    ciphertext: str

    @property
    def key(self) -> TransitKey:
        return TransitKey(self.vault, "sealed", self.mount)

    def call(self, function: Callable[[Any], Any]) -> Any:
        """Ask Vault without the library's ideas of what is allowed."""
        return self.vault.call("a try", function)

    def post(self, path: str, **body: Any) -> Any:
        return self.call(lambda client: client.adapter.post(f"/v1/{path}", json=body))

    def get(self, path: str) -> Any:
        return self.call(lambda client: client.adapter.get(f"/v1/{path}"))

    def config(self, **settings: Any) -> Any:
        return self.post(f"{self.mount}/keys/sealed/config", **settings)


TRIES: dict[str, Callable[[Try], Any]] = {
    "read the key": lambda t: t.key.read(),
    "encrypt": lambda t: t.key.encrypt(b"a", b"b"),
    "encrypt unseen": lambda t: t.post(
        f"{t.mount}/encrypt/sealed", plaintext=ENCODED, context=ENCODED
    ),
    "decrypt": lambda t: t.key.decrypt(t.ciphertext, b"b"),
    "rewrap": lambda t: list(t.key.rewrap([(t.ciphertext, b"b")])),
    "rotate": lambda t: t.key.rotate(),
    "plan": lambda t: plan(t.vault, DesiredKey(mount=t.mount)),
    "apply": lambda t: apply(t.vault, DesiredKey(mount=t.mount)),
    "change the period": lambda t: t.config(auto_rotate_period="1h"),
    "raise the oldest version": lambda t: t.config(min_decryption_version=1),
    "make the key deletable": lambda t: t.config(deletion_allowed=True),
    "make the key deletable, said otherwise": lambda t: t.config(deletion_allowed="t"),
    "make the key exportable": lambda t: t.config(exportable=True),
    "make the key exportable, said otherwise": lambda t: t.config(exportable="1"),
    "allow a backup": lambda t: t.config(allow_plaintext_backup=True),
    "make an exportable key": lambda t: t.post(
        f"{t.mount}/keys/sealed", type="aes256-gcm96", derived=True, exportable=True
    ),
    "export": lambda t: t.get(f"{t.mount}/export/encryption-key/sealed"),
    "back up": lambda t: t.get(f"{t.mount}/backup/sealed"),
    "trim": lambda t: t.post(f"{t.mount}/keys/sealed/trim", min_available_version=1),
    "delete": lambda t: t.call(lambda c: c.adapter.delete(f"/v1/{t.mount}/keys/sealed")),
    "delete softly": lambda t: t.call(
        lambda c: c.adapter.delete(f"/v1/{t.mount}/keys/sealed/soft-delete")
    ),
    "get a data key": lambda t: t.post(f"{t.mount}/datakey/plaintext/sealed", context=ENCODED),
    "sign": lambda t: t.post(f"{t.mount}/hmac/sealed", input=ENCODED),
    "list keys": lambda t: t.call(lambda c: c.adapter.list(f"/v1/{t.mount}/keys")),
    "encrypt with a new key": lambda t: t.post(f"{t.mount}/encrypt/new", plaintext=ENCODED),
    "read another key": lambda t: t.get(f"{t.mount}/keys/sealed2"),
    "unmount": lambda t: t.call(lambda c: c.adapter.delete(f"/v1/sys/mounts/{t.mount}")),
    "mount another engine": lambda t: t.post(f"sys/mounts/other-{t.mount}", type="kv"),
    "tune the mount": lambda t: t.post(f"sys/mounts/{t.mount}/tune", default_lease_ttl="1h"),
    "move the mount": lambda t: t.post("sys/remount", **{"from": t.mount, "to": f"{t.mount}2"}),
    "put a backup in its place": lambda t: t.post(f"{t.mount}/restore/sealed", backup=ENCODED),
    "bring a key of its own": lambda t: t.post(
        f"{t.mount}/keys/sealed/import", ciphertext=ENCODED, type="aes256-gcm96"
    ),
    "list mounts": lambda t: t.get("sys/mounts"),
    "write a policy": lambda t: t.post("sys/policies/acl/mine", policy=""),
    "make a token": lambda t: t.post("auth/token/create"),
    "see its own token": lambda t: t.get("auth/token/lookup-self"),
    "renew its own token": lambda t: t.post("auth/token/renew-self"),
}

ALL = {"read the key", "plan", "see its own token", "renew its own token"}
ALLOWED = {
    Role.APPLICATION: ALL | {"encrypt", "encrypt unseen", "decrypt"},
    Role.ROTATOR: ALL | {"rewrap", "rotate"},
    Role.ADMINISTRATOR: ALL | {"apply", "change the period", "raise the oldest version"},
}


@pytest.mark.parametrize("name", TRIES)
@pytest.mark.parametrize("role", Role)
def test_a_role_does_what_it_may_and_no_more(
    role: Role, name: str, acting: Callable[..., Vault], mount: str, transit: TransitKey
) -> None:
    """Each role against everything that can be done with a key, its mount and its token."""
    attempt = Try(acting(role), mount, transit.encrypt(b"a", b"b"))
    # A drift, so that there is something to apply.
    transit.vault.call(
        "a drift",
        lambda client: client.secrets.transit.update_key_configuration(
            "sealed", auto_rotate_period="48h", mount_point=mount
        ),
    )
    if name in ALLOWED[role]:
        TRIES[name](attempt)
    else:
        # "apply" is refused in the middle; "rotate" may be denied the version, after the fact.
        with pytest.raises(ProviderDeniedError):
            TRIES[name](attempt)


@pytest.mark.parametrize("name", TRIES)
def test_each_try_is_one_that_vault_knows(name: str, vault: Vault, transit: TransitKey) -> None:
    """What is refused above is refused for want of a right: a root token is denied nothing."""
    attempt = Try(vault, transit.mount, transit.encrypt(b"a", b"b"))
    try:
        TRIES[name](attempt)
    except ProviderError as error:
        assert not isinstance(error, ProviderDeniedError)  # noqa: PT017


def test_an_administrator_makes_everything_from_nothing(
    acting: Callable[..., Vault], mount: str
) -> None:
    """Mount, key and settings, where there is nothing yet."""
    fresh = f"team/{mount}"
    vault = acting("administrator", mount=fresh, key="kek")
    assert [each.subject for each in apply(vault, DesiredKey("kek", fresh))] == ["mount", "key"]
    assert plan(vault, DesiredKey("kek", fresh)) == []


def test_an_administrator_mounts_no_other_engine(acting: Callable[..., Vault], mount: str) -> None:
    """At the place of the engine, nothing else can be mounted."""
    fresh = f"team/{mount}"
    attempt = Try(acting("administrator", mount=fresh), fresh, "")
    with pytest.raises(ProviderDeniedError):
        attempt.post(f"sys/mounts/{fresh}", type="kv")


KV_TRIES: dict[str, Callable[[Try], Any]] = {
    "read": lambda t: t.get("secret/data/place/default"),
    "list": lambda t: t.call(lambda c: c.adapter.list("/v1/secret/metadata/place")),
    "see versions": lambda t: t.get("secret/metadata/place/default"),
    "write": lambda t: t.post("secret/data/place/default", data={"a": "b"}),
    "make": lambda t: t.post("secret/data/place/new", data={"a": "b"}, options={"cas": 0}),
    "delete": lambda t: t.call(lambda c: c.adapter.delete("/v1/secret/data/place/default")),
    "erase": lambda t: t.call(lambda c: c.adapter.delete("/v1/secret/metadata/place/default")),
    "destroy": lambda t: t.post("secret/destroy/place/default", versions=[1]),
    "read beside it": lambda t: t.get("secret/data/place2/default"),
}
READS = {"read", "list", "see versions"}
WRITES = READS | {"write", "make"}


@pytest.mark.parametrize("name", KV_TRIES)
@pytest.mark.parametrize(
    ("role", "kv", "allowed"),
    [
        ("application", KvPlace(path="place"), READS),
        ("application", KvPlace(path="place", writable=True), WRITES),
        ("rotator", KvPlace(path="place"), WRITES),
        ("administrator", KvPlace(path="place"), set()),
        ("application", None, set()),
    ],
    ids=["application", "application that rotates", "rotator", "administrator", "no keystore"],
)
def test_a_keystore_in_vault_is_read_by_some_and_written_by_few(  # noqa: PLR0917
    role: str,
    kv: KvPlace | None,
    allowed: set[str],
    name: str,
    acting: Callable[..., Vault],
    root: Any,
) -> None:
    """The policy of a keystore in KV covers its path, and nobody's allows deleting."""
    root.adapter.delete("/v1/secret/metadata/place/new")
    for place in ("place", "place2"):
        root.adapter.post(f"/v1/secret/data/{place}/default", json={"data": {"a": "a"}})
    attempt = Try(acting(role, kv=kv), "", "")
    if name in allowed:
        KV_TRIES[name](attempt)
    else:
        with pytest.raises(ProviderDeniedError):
            KV_TRIES[name](attempt)


@pytest.mark.parametrize(
    "names",
    [
        {"key": "*"},
        {"key": "a/b"},
        {"key": 'a"'},
        {"key": "a\n"},
        {"key": ""},
        {"mount": "transit/+"},
        {"mount": "/transit"},
        {"mount": "a/../b"},
        {"mount": "transit*"},
        {"mount": "{{identity.entity.id}}"},
    ],
    ids=str,
)
def test_no_name_makes_a_policy_wider(names: dict[str, str]) -> None:
    """What would be a pattern or another path in a policy is refused."""
    with pytest.raises(OptionError):
        policy("application", **names)


@pytest.mark.parametrize("path", ["", "*", "a/+", "/a", "a/", "a//b", "..", 'a" {}'])
def test_no_path_of_a_keystore_makes_a_policy_wider(path: str) -> None:
    """The same for the place of a keystore."""
    for names in ({"path": path}, {"mount": path}):
        with pytest.raises(OptionError):
            KvPlace(**names)


def test_an_unknown_role_is_refused() -> None:
    """The error says which roles there are."""
    with pytest.raises(OptionError, match="application, rotator, administrator"):
        policy("owner")
