"""What may happen to a Vault under an application, each with the error that it has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import hvac
from counted import until
from vault_stage import Stage

from sqlalchemy_sealed.errors import (
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)
from sqlalchemy_sealed.vault import policy


@dataclass(frozen=True)
class Trouble:
    """
    Something that happens.

    Attributes:
        happening: holds while its block does.
        error: exactly this class.
        words: a pattern that the message has to match.
    """

    happening: Callable[[Stage], AbstractContextManager[None]]
    error: type[ProviderError]
    words: str

    def __str__(self) -> str:
        """Return its name, for the list of tests."""
        return self.happening.__name__


@contextmanager
def down(stage: Stage) -> Iterator[None]:
    """The server is not there."""
    stage.relay.cut()
    yield
    stage.relay.mend()


@contextmanager
def slow(stage: Stage) -> Iterator[None]:
    """The server answers nobody."""
    stage.relay.silent = True
    yield
    stage.relay.silent = False


@contextmanager
def limited(stage: Stage) -> Iterator[None]:
    """A limit on the rate of calls is reached."""
    quota = f"/v1/sys/quotas/rate-limit/{stage.mount}"
    stage.root.adapter.post(quota, json={"path": f"{stage.mount}/", "rate": 0.001})
    stage.root.adapter.get(f"/v1/{stage.mount}/keys/sealed")  # It allows one.
    yield
    stage.root.adapter.delete(quota)


@contextmanager
def denied(stage: Stage) -> Iterator[None]:
    """The policy of the application is taken away."""
    stage.allow('path "auth/token/lookup-self" { capabilities = ["read"] }')
    yield
    stage.allow(policy("application", mount=stage.mount))


@contextmanager
def revoked(stage: Stage) -> Iterator[None]:
    """Somebody revokes the token."""
    stage.root.auth.token.revoke(stage.token_file.read_text())
    yield
    stage.new_token()


@contextmanager
def expired(stage: Stage) -> Iterator[None]:
    """The token ends, and no other one is there."""
    stage.root.auth.token.revoke(stage.token_file.read_text())
    token = stage.new_token(ttl="1s", explicit_max_ttl="1s")
    stage.provider.version()  # It is logged in with this one.

    def has_ended() -> bool:
        try:
            stage.root.auth.token.lookup(token)
        except hvac.exceptions.VaultError:
            return True
        return False

    until(has_ended)
    yield
    stage.new_token()


@contextmanager
def deleted(stage: Stage) -> Iterator[None]:
    """Somebody deletes the transit key; OpenBao can restore it."""
    path = f"/v1/{stage.mount}/keys/sealed/soft-delete"
    stage.root.adapter.delete(path)
    yield
    stage.root.adapter.post(f"{path}-restore")


@contextmanager
def unmounted(stage: Stage) -> Iterator[None]:
    """The engine is mounted elsewhere for a while."""
    for_now = f"moved-{stage.mount}"
    _move(stage, stage.mount, for_now)
    yield
    _move(stage, for_now, stage.mount)


def _move(stage: Stage, old: str, new: str) -> None:
    """Mount an engine elsewhere, and wait until it is there: the server answers before."""
    migration = stage.root.sys.move_backend(old, new)["data"]["migration_id"]
    status = f"/v1/sys/remount/status/{migration}"
    until(lambda: stage.root.adapter.get(status)["data"]["migration_info"]["status"] == "success")


TROUBLES = [
    Trouble(down, ProviderUnreachableError, "cannot be reached"),
    Trouble(slow, ProviderTimeoutError, "did not answer in time"),
    Trouble(limited, ProviderUnavailableError, "HTTP status 429"),
    Trouble(denied, ProviderDeniedError, "sealed vault policy"),
    Trouble(revoked, ProviderLoginError, "the token has ended"),
    Trouble(expired, ProviderLoginError, "the token has ended"),
    Trouble(deleted, ProviderKeyMissingError, "deleted in Vault"),
    Trouble(unmounted, ProviderKeyMissingError, "no engine mounted"),
]
