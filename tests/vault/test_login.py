"""Logins: which one is used, when a token is renewed, and what comes after its end."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asking_vault import LOGIN, LOOKUP, key_by, kinds
from servers.openbao import OpenBao
from servers.relay import Relay

from sqlalchemy_sealed.errors import (
    ConfigurationError,
    ProviderDeniedError,
    ProviderLoginError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.testing.processes import in_child
from sqlalchemy_sealed.vault.auth import AppRoleAuth, Auth, KubernetesAuth, TokenAuth
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.policies import policy
from sqlalchemy_sealed.vault.transit import TransitKey

Revoke = Callable[[Vault], None]


# -- AppRole


def test_a_machine_logs_in_once(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """The first call logs in; the calls after it use the token."""
    key = key_by(relay, approle(), mount)
    assert relay.requests == []
    for _ in range(3):
        assert key.decrypt(key.encrypt(b"a", b"b"), b"b") == b"a"
    assert kinds(relay) == [LOGIN]


def test_many_threads_log_in_once(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """A cold start of 16 threads makes one login."""
    key = key_by(relay, approle(), mount)
    barrier = threading.Barrier(16)
    relay.delay = 0.1

    def work(_: int) -> int:
        barrier.wait()
        return key.version()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(work, range(16))) == {1}
    assert kinds(relay) == [LOGIN]


def test_many_threads_share_a_login_that_fails(relay: Relay, mount: str) -> None:
    """Each gets an error of its own, of one refused login."""
    key = key_by(relay, AppRoleAuth("no such role", "no secret"), mount)
    barrier = threading.Barrier(8)
    relay.delay = 0.2

    def work(_: int) -> ProviderLoginError:
        barrier.wait()
        with pytest.raises(ProviderLoginError) as caught:
            key.version()
        return caught.value

    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(work, range(8)))
    assert len(set(map(id, errors))) == 8
    assert kinds(relay) == [LOGIN]


def test_a_revoked_token_is_replaced(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str, revoked: Revoke
) -> None:
    """A call that is refused for the token's sake is made again with a new one."""
    key = key_by(relay, approle(), mount)
    key.version()
    revoked(key.vault)
    relay.requests.clear()
    assert key.version() == 1
    assert relay.requests == [
        f"GET /v1/{mount}/keys/sealed",
        LOOKUP,
        LOGIN,
        f"GET /v1/{mount}/keys/sealed",
    ]


def test_a_token_of_few_uses_is_replaced(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """A token that may be used twice is used up again and again, and nobody notices."""
    key = key_by(relay, approle(token_num_uses=2), mount)
    for _ in range(7):
        assert key.version() == 1
    assert len(kinds(relay)) >= 6


def test_a_denied_call_is_not_repeated_for_ever(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """A token that lives and may not do it stays; there is one look at it."""
    key = key_by(relay, approle(), mount)
    with pytest.raises(ProviderDeniedError, match="sealed vault policy"):
        key.rotate()
    assert kinds(relay) == [LOGIN, LOOKUP]


@pytest.mark.parametrize("wrong", ["role", "secret", "mount"])
def test_a_login_that_is_refused_is_its_own_error(
    bao: OpenBao, approle: Callable[..., AppRoleAuth], wrong: str, mount: str
) -> None:
    """Wrong role, wrong secret, or a login that is not enabled: none says which secret it was."""
    right = approle()
    auth = {
        "role": AppRoleAuth("wrong", right.secret_id),
        "secret": AppRoleAuth(right.role_id, "canary-secret"),
        "mount": AppRoleAuth(right.role_id, right.secret_id, mount="elsewhere"),
    }[wrong]
    with pytest.raises(ProviderLoginError) as caught:
        TransitKey(Vault(bao.url, auth=auth), "sealed", mount).version()
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_secret_id_is_read_anew_from_its_file(
    bao: OpenBao, approle: Callable[..., AppRoleAuth], tmp_path: Path, mount: str
) -> None:
    """A secret id that was replaced is used at the next login, without a restart."""
    right = approle()
    file = tmp_path / "secret-id"
    file.write_text("an old one")
    auth = AppRoleAuth(right.role_id, secret_id_file=file)
    key = TransitKey(Vault(bao.url, auth=auth), "sealed", mount)
    with pytest.raises(ProviderLoginError):
        key.version()
    file.write_text(f"{right.secret_id}\n")
    assert key.version() == 1


# -- tokens


def test_a_token_that_nobody_can_make_anew_ends_with_an_error(
    bao: OpenBao, token_with: Callable[..., str], mount: str, revoked: Revoke
) -> None:
    """The error says what is needed, at this call and at the next."""
    token = token_with(policy("application", mount=mount))
    key = TransitKey(Vault(bao.url, auth=TokenAuth(token)), "sealed", mount)
    key.version()
    revoked(key.vault)
    with pytest.raises(ProviderLoginError, match="give the process a new one") as caught:
        key.version()
    assert token not in str(caught.value)
    with pytest.raises(ProviderLoginError, match="has ended"):
        key.version()


def test_a_file_is_read_anew_for_its_token(
    bao: OpenBao, token_with: Callable[..., str], tmp_path: Path, mount: str, revoked: Revoke
) -> None:
    """Vault Agent writes a new token in time; the process takes it up without a restart."""
    hcl, file = policy("application", mount=mount), tmp_path / "token"
    file.write_text(token_with(hcl) + "\n")
    key = TransitKey(Vault(bao.url, auth=TokenAuth(file=file)), "sealed", mount)
    key.version()
    revoked(key.vault)
    with pytest.raises(ProviderLoginError):
        key.version()
    file.write_text(token_with(hcl))
    assert key.version() == 1


@pytest.mark.parametrize("token", ["tok\nen", "tök", "to ken", "a\x00b", "a\r\nX-Evil: 1"])
def test_a_damaged_token_is_refused_before_it_is_sent(
    relay: Relay, token: str, tmp_path: Path, mount: str
) -> None:
    """What the HTTP library says of such a header would show it."""
    file = tmp_path / "token"
    file.write_bytes(token.encode())
    for auth in (TokenAuth(token), TokenAuth(file=file)):
        with pytest.raises(ProviderLoginError) as caught:
            key_by(relay, auth, mount).version()
        assert token not in str(caught.value)
    assert relay.requests == []


def test_a_missing_token_is_an_error_that_names_the_variable(
    bao: OpenBao, no_vault_settings: None, mount: str
) -> None:
    """Nothing is looked for in the home directory, where hvac would find it."""
    with pytest.raises(ProviderLoginError, match="VAULT_TOKEN"):
        TransitKey(Vault(bao.url), "sealed", mount).version()


def test_a_login_sends_no_token_of_another_account(
    bao: OpenBao, approle: Callable[..., AppRoleAuth], monkeypatch: Any, mount: str
) -> None:
    """VAULT_TOKEN, which hvac reads by itself, has no part in an AppRole login."""
    monkeypatch.setenv("VAULT_TOKEN", "tök")  # It could not be sent.
    assert TransitKey(Vault(bao.url, auth=approle()), "sealed", mount).version() == 1


# -- the environment


ENVIRONMENTS = [
    ({"VAULT_TOKEN": "t"}, TokenAuth()),
    ({"BAO_TOKEN": "t"}, TokenAuth()),
    ({"SEALED_VAULT_TOKEN_FILE": "/f"}, TokenAuth(file="/f")),
    ({"SEALED_VAULT_ROLE_ID": "r", "SEALED_VAULT_SECRET_ID": "s"}, AppRoleAuth("r", "s")),
    (
        {
            "SEALED_VAULT_ROLE_ID": "r",
            "SEALED_VAULT_SECRET_ID_FILE": "/f",
            "SEALED_VAULT_AUTH_MOUNT": "m",
        },
        AppRoleAuth("r", secret_id_file="/f", mount="m"),
    ),
    ({"SEALED_VAULT_KUBERNETES_ROLE": "k"}, KubernetesAuth("k")),
    ({}, TokenAuth()),
]


@pytest.mark.parametrize(("settings", "expected"), ENVIRONMENTS)
def test_the_environment_says_how_to_log_in(
    settings: dict[str, str], expected: Auth, no_vault_settings: None, monkeypatch: Any
) -> None:
    """No code is needed for any of the logins."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert Vault("http://127.0.0.1:1").auth == expected


def test_two_logins_are_one_too_many(no_vault_settings: None, monkeypatch: Any) -> None:
    """Which one is meant is not guessed."""
    monkeypatch.setenv("VAULT_TOKEN", "t")
    monkeypatch.setenv("SEALED_VAULT_ROLE_ID", "r")
    with pytest.raises(ConfigurationError, match="VAULT_TOKEN and SEALED_VAULT_ROLE_ID"):
        Vault("http://127.0.0.1:1")


# -- processes


@pytest.mark.parametrize(
    "secret",
    [TokenAuth("t"), AppRoleAuth("r", "s"), Vault("http://127.0.0.1:1", auth=TokenAuth("t"))],
    ids=lambda secret: type(secret).__name__,
)
def test_no_login_can_be_pickled(secret: object) -> None:
    """Tokens do not leave the process that way."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_keeps_the_token(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """It needs no login of its own, so that a secret id of one use is enough for all workers."""
    key = key_by(relay, approle(), mount)
    key.version()
    assert [in_child(lambda: b"%d" % key.version()) for _ in range(3)] == [b"1"] * 3
    assert key.version() == 1
    assert kinds(relay) == [LOGIN]


def test_after_vault_was_away_the_login_is_made(
    relay: Relay, approle: Callable[..., AppRoleAuth], mount: str
) -> None:
    """A process that started while Vault was down logs in as soon as it is there."""
    key = key_by(relay, approle(), mount)
    relay.cut()
    with pytest.raises(ProviderUnreachableError):
        key.version()
    relay.mend()
    assert key.version() == 1
