"""The keystore in Vault's KV engine, against a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from sqlalchemy_sealed.errors import ConfigurationError, KeystoreConflictError, KeystoreError
from sqlalchemy_sealed.keystores import vaultkv
from sqlalchemy_sealed.keystores.document import to_document
from sqlalchemy_sealed.keystores.kvsecrets import FIELD
from sqlalchemy_sealed.keystores.vaultkv import VaultKV
from sqlalchemy_sealed.testing import KeystoreSuite, record
from sqlalchemy_sealed.vault.client import Vault


@pytest.fixture
def kv(root: Any) -> Any:
    """Return hvac's KV engine, version 2, for what administrators do."""
    return root.secrets.kv.v2


@pytest.fixture
def store(vault: Vault) -> VaultKV:
    """Return an empty keystore below a path of its own."""
    return VaultKV(vault, path=f"keystores/{uuid4().hex}")


class TestVaultKV(KeystoreSuite):
    """It does what every keystore does."""


# -- names

NAMES = [
    "a/b", "/", "//", "..", ".", "../a", "a b", " ", "~", "~YQ", "ä", "a%2Fb", "a?b", "a#b",
    "患者", "\n", "\0", "-a", ".a", "a.", "a..b", "A", "a", "x" * 4000,
]  # fmt: skip


def test_any_name_is_a_secret_of_its_own(store: VaultKV) -> None:
    """Whatever means something in a path or in a URL is encoded."""
    for number, name in enumerate(NAMES):
        store.add(replace(record(name), key_id=bytes([number]) * 8))
    assert store.names() == tuple(sorted(NAMES))
    for name in NAMES:
        assert [each.name for each in store.load(name)] == [name]


def test_a_name_that_is_not_unicode_is_refused(store: VaultKV) -> None:
    """It could not be written down."""
    for use in (lambda: store.load("\ud800"), lambda: store.add(replace(record(), name="\ud800"))):
        with pytest.raises(ConfigurationError):
            use()


def test_plain_names_are_plain_in_vault(store: VaultKV, kv: Any) -> None:
    """So that policies and people can read them."""
    store.add(record("patients-2.eu_west"))
    store.add(record("pat/ients"))
    listed = kv.list_secrets(path=store.path, mount_point="secret")["data"]["keys"]
    assert sorted(listed) == ["patients-2.eu_west", "~cGF0L2llbnRz"]


def test_what_others_keep_there_is_not_a_key_name(store: VaultKV, kv: Any) -> None:
    """Folders, and secrets whose names no key name has, are passed over."""
    store.add(record())
    for other in ("folder/secret", "~!", "~YQ", "~/x", "a b", ".hidden"):
        kv.create_or_update_secret(path=f"{store.path}/{other}", secret={"a": "b"})
    assert store.names() == ("default",)


@pytest.mark.parametrize("place", [{"path": ""}, {"path": "/"}, {"mount": ""}])
def test_a_keystore_needs_a_place_of_its_own(place: dict[str, str], vault: Vault) -> None:
    """At the top of the engine are the secrets of others."""
    with pytest.raises(ConfigurationError, match="of its own"):
        VaultKV(vault, **place)


def test_records_of_several_names_are_not_added_at_once(store: VaultKV) -> None:
    """They would be two writes, of which one could fail."""
    with pytest.raises(ConfigurationError, match="several key names"):
        store.add(record(), record("other"))
    assert store.names() == ()


# -- two at once


def test_a_change_that_came_in_between_is_not_lost(
    store: VaultKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vault refuses the write of the second process; it reads again and adds to what is there."""
    write, met = type(store._secrets).write, []
    other = VaultKV(store.vault, path=store.path)

    def meet(self: Any, name: str, text: str, version: int) -> Any:
        if not met:
            met.append(True)
            other.add(record(generation=2))
        return write(self, name, text, version)

    monkeypatch.setattr(type(store._secrets), "write", meet)
    store.add(record())
    assert set(store.load("default")) == {record(), record(generation=2)}


def test_of_two_that_make_one_generation_one_is_told(
    store: VaultKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds the place taken when it reads again."""
    write = type(store._secrets).write

    def meet(self: Any, name: str, text: str, version: int) -> Any:
        first = to_document([replace(record(), key_id=b"another.")])
        if version == 0:
            assert write(self, name, first, 0) is None
        return write(self, name, text, version)

    monkeypatch.setattr(type(store._secrets), "write", meet)
    with pytest.raises(KeystoreConflictError, match="already has its data key of generation 1"):
        store.add(record())
    assert [each.key_id for each in store.load("default")] == [b"another."]


def test_a_change_is_not_tried_for_ever(store: VaultKV, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others write again and again, it gives up, and says that nothing was written."""
    write = type(store._secrets).write

    def meet(self: Any, name: str, text: str, version: int) -> Any:
        others = to_document([record(generation=version + 2)])
        assert write(self, name, others, version) is None
        return write(self, name, text, version)

    monkeypatch.setattr(type(store._secrets), "write", meet)
    monkeypatch.setattr(vaultkv, "ATTEMPTS", 3)
    with pytest.raises(KeystoreConflictError, match="again and again; nothing was written"):
        store.add(record())
    assert [each.generation for each in store.load("default")] == [4]


def test_a_write_whose_answer_was_lost_is_recognised(
    store: VaultKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection ends after Vault wrote, the key is there, and this is no conflict."""
    call = Vault.call

    def lose(self: Vault, what: str, request: Callable[[Any], Any]) -> Any:
        def send(client: Any) -> Any:
            answer = request(client)
            if getattr(answer, "status_code", 200) != 200 or "version" in answer.get("data", {}):
                import requests  # noqa: PLC0415

                raise requests.exceptions.ConnectionError("lost")
            return answer

        return call(self, what, send)

    monkeypatch.setattr(Vault, "call", lose)
    store.add(record())
    store.update(record(), record().with_wrapped("new"))
    assert store.load("default") == (record().with_wrapped("new"),)


# -- deleted, destroyed, damaged


def test_deleted_keys_are_not_taken_for_none(store: VaultKV, kv: Any) -> None:
    """New keys in their place would hide that the old ones can be undeleted."""
    store.add(record())
    kv.delete_latest_version_of_secret(path=f"{store.path}/default")
    for use in (lambda: store.load("default"), lambda: store.add(record(generation=2))):
        with pytest.raises(KeystoreError, match="were deleted in Vault; undelete") as caught:
            use()
        assert caught.value.where == f"secret/{store.path}/default"
    assert store.names() == ("default",)
    kv.undelete_secret_versions(path=f"{store.path}/default", versions=[1])
    assert store.load("default") == (record(),)


def test_a_destroyed_secret_is_not_taken_for_none(store: VaultKV, kv: Any) -> None:
    """Nor one whose newest version is gone for ever; the older one is still there."""
    store.add(record())
    store.add(record(generation=2))
    kv.destroy_secret_versions(path=f"{store.path}/default", versions=[2])
    with pytest.raises(KeystoreError, match="roll back to one that was not destroyed"):
        store.load("default")
    kv.create_or_update_secret(
        path=f"{store.path}/default",
        secret=kv.read_secret_version(
            path=f"{store.path}/default", version=1, raise_on_deleted_version=True
        )["data"]["data"],
    )
    assert store.load("default") == (record(),)


def test_a_destroyed_key_is_destroyed_in_all_versions(store: VaultKV, kv: Any) -> None:
    """Vault keeps ten versions of a secret; those that hold the key are destroyed with it."""
    store.add(record())
    store.add(record(generation=2))
    store.update(record(generation=2), record(generation=2).with_wrapped("new"))
    store.update(record(), record().destroyed())
    versions = kv.read_secret_metadata(path=f"{store.path}/default")["data"]["versions"]
    assert {n: each["destroyed"] for n, each in versions.items()} == {
        "1": True, "2": True, "3": True, "4": False
    }  # fmt: skip
    assert len(store.load("default")) == 2
    store.add(record(generation=3))
    assert len(store.load("default")) == 3


DAMAGED: dict[str, Any] = {
    "no keystore": {"password": "x"},
    "another field beside it": {FIELD: to_document([record()]), "note": "x"},
    "not a text": {FIELD: {"keys": []}},
    "not JSON": {FIELD: to_document([record()])[:-5]},
    "another format": {FIELD: to_document([]).replace("keystore 1", "keystore 2")},
    "a record that is none": {FIELD: to_document([record()]).replace('"data"', '"root"')},
    "a key of another name": {FIELD: to_document([record("other")])},
    "two of one generation": {
        FIELD: to_document([record(), replace(record(), key_id=b"another.")])
    },
    "nothing": {},
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_secret_is_refused(data: Any, store: VaultKV, kv: Any) -> None:
    """It is neither read nor overwritten; the message names it and where a copy is."""
    kv.create_or_update_secret(path=f"{store.path}/default", secret=data)
    changes = (lambda: store.add(record(generation=2)), lambda: store.load("default"))
    for use in changes:
        with pytest.raises(KeystoreError, match=r"is damaged: .*restore an older") as caught:
            use()
        assert caught.value.where == f"secret/{store.path}/default"
        assert record().wrapped not in str(caught.value)
    assert (
        kv.read_secret_version(path=f"{store.path}/default", raise_on_deleted_version=True)["data"][
            "data"
        ]
        == data
    )
