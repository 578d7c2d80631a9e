"""Vault as code: drift is seen, and removed, and what cannot be removed is said."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from servers.openbao import OpenBao
from servers.relay import Relay

from sqlalchemy_sealed.errors import OptionError, ProviderDeniedError, ProviderError
from sqlalchemy_sealed.vault.auth import TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.desired import DesiredKey, Difference, apply, plan
from sqlalchemy_sealed.vault.transit import TransitKey

DAY = 24 * 3600


@pytest.fixture
def key(mount: str) -> DesiredKey:
    """Return the wanted state, with a name that nobody has made yet."""
    return DesiredKey("kek", mount)


def configure(root: Any, key: DesiredKey, **settings: Any) -> None:
    """Change settings by hand, as somebody does who knows of no plan."""
    root.adapter.post(f"/v1/{key.mount}/keys/{key.name}/config", json=settings)


def state(root: Any, key: DesiredKey) -> dict[str, Any]:
    """Return what Vault says."""
    return root.secrets.transit.read_key(key.name, mount_point=key.mount)["data"]


def subjects(differences: list[Difference]) -> list[str]:
    """Return what differs."""
    return [each.subject for each in differences]


# -- from nothing


def test_all_is_made_from_nothing(root: Any, vault: Vault, mount: str) -> None:
    """Mount and key, with every setting; a second time there is nothing to do."""
    key = DesiredKey("kek", f"new-{mount}")
    assert plan(vault, key) == [
        Difference("mount", None, "transit"),
        Difference("key", None, "kek"),
    ]
    assert subjects(apply(vault, key)) == ["mount", "key"]
    assert plan(vault, key) == []
    assert apply(vault, key) == []
    wanted = {
        "type": "aes256-gcm96",
        "derived": True,
        "convergent_encryption": False,
        "exportable": False,
        "allow_plaintext_backup": False,
        "deletion_allowed": False,
        "auto_rotate_period": 90 * DAY,
        "min_decryption_version": 1,
        "min_encryption_version": 0,
    }
    assert wanted.items() <= state(root, key).items()


def test_two_that_apply_at_once_both_succeed(bao: OpenBao, mount: str) -> None:
    """Who comes second finds the mount made, and changes nothing of it."""
    barrier = Barrier(4)

    def work(_: int) -> list[str]:
        vault = Vault(bao.url, auth=TokenAuth(bao.token))
        barrier.wait()
        return subjects(apply(vault, DesiredKey("kek", f"new-{mount}")))

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, range(4)))
    assert ["mount", "key"] in done
    key = TransitKey(Vault(bao.url, auth=TokenAuth(bao.token)), "kek", f"new-{mount}")
    assert key.version() == 1


def test_only_the_key_is_made_where_the_engine_is(vault: Vault, key: DesiredKey) -> None:
    """An engine that others use, too, is left as it is."""
    assert subjects(apply(vault, key)) == ["key"]


def test_a_plan_changes_nothing(relay: Relay, bao: OpenBao, key: DesiredKey) -> None:
    """It only reads."""
    vault = Vault(relay.url, auth=TokenAuth(bao.token))
    plan(vault, key)
    assert {request.partition(" ")[0] for request in relay.requests} == {"GET"}


def test_a_key_as_it_should_be_costs_one_call(
    relay: Relay, bao: OpenBao, vault: Vault, key: DesiredKey
) -> None:
    """So that a plan can run often."""
    apply(vault, key)
    through = Vault(relay.url, auth=TokenAuth(bao.token))
    assert apply(through, key) == []
    assert relay.requests == [
        "GET /v1/auth/token/lookup-self",
        f"GET /v1/{key.mount}/keys/kek",
    ]


# -- drift

DRIFTS: list[tuple[dict[str, Any], dict[str, Any], Difference]] = [
    (
        {"auto_rotate_period": "30d"},
        {},
        Difference("auto_rotate_period", 30 * DAY, 90 * DAY),
    ),
    (
        {"auto_rotate_period": "0"},
        {},
        Difference("auto_rotate_period", 0, 90 * DAY),
    ),
    (
        {},
        {"auto_rotate_period": None},
        Difference("auto_rotate_period", 90 * DAY, 0),
    ),
    (
        {},
        {"auto_rotate_period": timedelta(hours=36)},
        Difference("auto_rotate_period", 90 * DAY, 36 * 3600),
    ),
    ({"deletion_allowed": True}, {}, Difference("deletion_allowed", True, False)),
    ({"min_encryption_version": 2}, {}, Difference("min_encryption_version", 2, 0)),
    (
        {"min_decryption_version": 3},
        {"min_decryption_version": 2},
        Difference("min_decryption_version", 3, 2),
    ),
]


@pytest.mark.parametrize(("by_hand", "wanted", "difference"), DRIFTS)
def test_a_drift_is_seen_and_removed(  # noqa: PLR0917
    root: Any,
    vault: Vault,
    mount: str,
    by_hand: dict[str, Any],
    wanted: dict[str, Any],
    difference: Difference,
) -> None:
    """Each setting that can be changed: found, wanted, and then as wanted."""
    key = DesiredKey("kek", mount, **wanted)
    apply(vault, DesiredKey("kek", mount))
    for _ in range(2):
        TransitKey(vault, "kek", mount).rotate()
    if by_hand:
        configure(root, key, **by_hand)
    assert plan(vault, key) == [difference]
    assert apply(vault, key) == [difference]
    assert plan(vault, key) == []
    assert state(root, key)[difference.subject] == difference.wanted


def test_an_oldest_version_that_was_raised_stays_raised(
    root: Any, vault: Vault, key: DesiredKey
) -> None:
    """Unless a number is asked for, who shut old versions out is not undone."""
    apply(vault, key)
    TransitKey(vault, key.name, key.mount).rotate()
    configure(root, key, min_decryption_version=2)
    assert plan(vault, key) == []
    assert apply(vault, key) == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"min_decryption_version": 2}, "rewrap them first"),
        ({"deletion_allowed": True}, "destroys"),
    ],
    ids=["oldest version", "deletion"],
)
def test_a_change_that_hurts_is_said_before(
    vault: Vault, mount: str, wanted: dict[str, Any], words: str
) -> None:
    """It is a warning in the plan; whoever applies it has seen it."""
    apply(vault, DesiredKey("kek", mount))
    TransitKey(vault, "kek", mount).rotate()
    (difference,) = plan(vault, DesiredKey("kek", mount, **wanted))
    assert words in difference.warning
    apply(vault, DesiredKey("kek", mount, **wanted))


def test_both_oldest_versions_can_be_the_same(root: Any, vault: Vault, mount: str) -> None:
    """Only this version wraps and unwraps."""
    apply(vault, DesiredKey("kek", mount))
    TransitKey(vault, "kek", mount).rotate()
    key = DesiredKey("kek", mount, min_decryption_version=2, min_encryption_version=2)
    assert len(apply(vault, key)) == 2
    assert plan(vault, key) == []


# -- what cannot be changed


@pytest.mark.parametrize(
    ("made", "subject"),
    [
        ({"type": "chacha20-poly1305", "derived": True}, "type"),
        ({"type": "aes256-gcm96"}, "derived"),
        ({"derived": True, "convergent_encryption": True}, "convergent_encryption"),
        ({"derived": True, "exportable": True}, "exportable"),
        ({"derived": True, "allow_plaintext_backup": True}, "allow_plaintext_backup"),
    ],
)
def test_what_vault_does_not_change_is_an_error_with_a_remedy(
    root: Any, vault: Vault, key: DesiredKey, made: dict[str, Any], subject: str
) -> None:
    """To a request that takes `exportable` back, Vault answers with success and does nothing."""
    root.adapter.post(f"/v1/{key.mount}/keys/kek", json=made)
    blocked = [each for each in plan(vault, key) if each.remedy is not None]
    assert subjects(blocked) == [subject]
    before = state(root, key)
    with pytest.raises(ProviderError, match=f"{subject} is .* another name"):
        apply(vault, key)
    assert state(root, key) == before


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"min_decryption_version": 4}, "the newest version is 3; rotate"),
        ({"min_encryption_version": 4}, "the newest version is 3; rotate"),
        ({"min_encryption_version": 1}, "min_decryption_version is 2"),
        ({"min_decryption_version": 1}, "trimmed"),
    ],
    ids=str,
)
def test_versions_that_are_not_there_are_not_asked_for(
    root: Any, vault: Vault, mount: str, wanted: dict[str, Any], words: str
) -> None:
    """The error says what is possible; nothing was changed, also not what could be."""
    key = DesiredKey("kek", mount, auto_rotate_period=None, **wanted)
    apply(vault, DesiredKey("kek", mount))
    for _ in range(2):
        TransitKey(vault, "kek", mount).rotate()
    configure(root, key, min_decryption_version=2, min_encryption_version=2)
    root.adapter.post(f"/v1/{mount}/keys/kek/trim", json={"min_available_version": 2})
    before = state(root, key)
    with pytest.raises(ProviderError, match=words):
        apply(vault, key)
    assert state(root, key) == before


def test_a_key_that_was_deleted_softly_is_not_made_anew(
    root: Any, vault: Vault, key: DesiredKey
) -> None:
    """The remedy is the command that restores it."""
    apply(vault, key)
    path = f"/v1/{key.mount}/keys/kek/soft-delete"
    root.adapter.delete(path)
    with pytest.raises(ProviderError, match="soft-delete-restore"):
        apply(vault, key)
    root.adapter.post(f"{path}-restore")
    assert apply(vault, key) == []


def test_another_engine_at_that_place_is_left_alone(vault: Vault) -> None:
    """It is somebody's; the error says to take another mount."""
    with pytest.raises(ProviderError, match=r"mount is 'kv' .* take another mount"):
        apply(vault, DesiredKey(mount="secret"))


# -- rights


def test_a_plan_needs_no_more_than_to_read_the_key(
    acting: Callable[..., Vault], mount: str
) -> None:
    """So that the application itself can watch for drift."""
    assert plan(acting("application"), DesiredKey(mount=mount)) == []


def test_what_is_missing_is_not_made_by_who_may_not(
    acting: Callable[..., Vault], mount: str
) -> None:
    """Vault says no, and so does the library."""
    with pytest.raises(ProviderDeniedError):
        apply(acting("application", key="kek"), DesiredKey("kek", mount))


# -- what is wanted


@pytest.mark.parametrize(
    "wanted",
    [
        {"auto_rotate_period": timedelta(minutes=59)},
        {"auto_rotate_period": timedelta(hours=1, microseconds=1)},
        {"auto_rotate_period": timedelta(days=-1)},
        {"min_decryption_version": 0},
        {"min_encryption_version": -1},
        {"min_decryption_version": 3, "min_encryption_version": 2},
        {"auto_rotate_period": 90},
        {"auto_rotate_period": "90d"},
        {"min_decryption_version": "2"},
        {"min_decryption_version": 1.5},
        {"min_encryption_version": None},
        {"min_encryption_version": True},
        {"deletion_allowed": "no"},
        {"name": None},
        {"mount": 5},
    ],
    ids=str,
)
def test_what_vault_would_refuse_is_not_wanted(wanted: dict[str, Any]) -> None:
    """It is refused before anybody is asked."""
    with pytest.raises(OptionError):
        DesiredKey(**wanted)


@pytest.mark.parametrize("names", [{"name": "a/b"}, {"mount": "../sys"}], ids=str)
def test_names_are_checked_before_anything_is_sent(vault: Vault, names: dict[str, str]) -> None:
    """A name never means another path."""
    with pytest.raises(OptionError):
        plan(vault, DesiredKey(**names))
