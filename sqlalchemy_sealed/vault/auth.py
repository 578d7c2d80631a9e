"""
How a process proves to Vault who it is. Each kind logs in again when its token has ended.

From the environment, one of:

    VAULT_TOKEN, BAO_TOKEN           a token
    SEALED_VAULT_TOKEN_FILE          a file that holds one, as Vault Agent writes it
    SEALED_VAULT_ROLE_ID             AppRole, with SEALED_VAULT_SECRET_ID or
                                     SEALED_VAULT_SECRET_ID_FILE
    SEALED_VAULT_KUBERNETES_ROLE     the service account of the pod

SEALED_VAULT_AUTH_MOUNT says where AppRole or Kubernetes are mounted, if not under their own names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from ..errors import ConfigurationError, ProviderLoginError
from .wire import block

TOKEN_VARIABLES = ("VAULT_TOKEN", "BAO_TOKEN")
TOKEN_FILE_VARIABLE = "SEALED_VAULT_TOKEN_FILE"  # noqa: S105 - a name
ROLE_ID_VARIABLE = "SEALED_VAULT_ROLE_ID"
SECRET_ID_VARIABLE = "SEALED_VAULT_SECRET_ID"  # noqa: S105 - a name
SECRET_ID_FILE_VARIABLE = "SEALED_VAULT_SECRET_ID_FILE"  # noqa: S105 - a name
KUBERNETES_ROLE_VARIABLE = "SEALED_VAULT_KUBERNETES_ROLE"
AUTH_MOUNT_VARIABLE = "SEALED_VAULT_AUTH_MOUNT"
KUBERNETES_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where Kubernetes puts the token of a pod's service account."""


class Auth(Protocol):
    """A way to log in. Write one for a login that is not here, such as that of a cloud."""

    @property
    def can_repeat(self) -> bool:
        """Whether logging in again may give another token."""
        ...

    def login(self, client: Any) -> dict[str, Any]:
        """
        Give the hvac client a token.

        Returns:
            Vault's `auth` block: `lease_duration` in seconds (0: for ever) and `renewable`.

        Raises:
            ProviderLoginError: there is nothing to log in with.
        """
        ...


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """
    A token that somebody else made.

    Args:
        token: the token; by default that of VAULT_TOKEN or BAO_TOKEN.
        file: a file that holds it, as Vault Agent writes it; it is read anew at every login.
    """

    token: str | None = field(default=None, repr=False)
    file: str | os.PathLike[str] | None = None

    @property
    def can_repeat(self) -> bool:
        """A file may hold a new token by now."""
        return self.file is not None

    def login(self, client: Any) -> dict[str, Any]:
        """Set the token, and ask Vault how long it lives."""
        client.token = self._read()
        data = block(client.auth.token.lookup_self()["data"], "ttl")
        return {"lease_duration": data["ttl"], "renewable": data.get("renewable", False)}

    def _read(self) -> str:
        if self.file is not None:
            return _from_file(self.file, "token")
        token = self.token or _from_env(*TOKEN_VARIABLES)
        if token is None:
            raise ProviderLoginError(
                f"no token: set {TOKEN_VARIABLES[0]}, or give auth=AppRoleAuth(...) or another"
            )
        return _sendable(token, "token")

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a token must not leave the process that way."""
        raise TypeError("a login cannot be pickled")


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """
    Login of a machine by role id and secret id.

    Args:
        role_id: the id of the role.
        secret_id: its secret; None where the role is bound otherwise.
        secret_id_file: a file that holds the secret id; it is read anew at every login.
        mount: where the AppRole engine is mounted.
    """

    role_id: str
    secret_id: str | None = field(default=None, repr=False)
    secret_id_file: str | os.PathLike[str] | None = None
    mount: str = "approle"

    @property
    def can_repeat(self) -> bool:
        """Every login gives a new token."""
        return True

    def login(self, client: Any) -> dict[str, Any]:
        """Log in."""
        secret_id = self.secret_id
        if self.secret_id_file is not None:
            secret_id = _from_file(self.secret_id_file, "secret id")
        answer = client.auth.approle.login(
            role_id=self.role_id, secret_id=secret_id, mount_point=self.mount
        )
        return block(answer["auth"], "lease_duration")

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a secret id must not leave the process that way."""
        raise TypeError("a login cannot be pickled")


@dataclass(frozen=True, slots=True)
class KubernetesAuth:
    """
    Login of a pod by the token of its service account.

    Args:
        role: the role of Vault's Kubernetes engine.
        token_file: the service account's token; read anew at every login, since it turns.
        mount: where the Kubernetes engine is mounted.
    """

    role: str
    token_file: str | os.PathLike[str] = KUBERNETES_TOKEN
    mount: str = "kubernetes"

    @property
    def can_repeat(self) -> bool:
        """Every login gives a new token."""
        return True

    def login(self, client: Any) -> dict[str, Any]:
        """Log in."""
        token = _from_file(self.token_file, "token of the service account")
        answer = client.auth.kubernetes.login(role=self.role, jwt=token, mount_point=self.mount)
        return block(answer["auth"], "lease_duration")


def auth_from_env() -> Auth:
    """
    Return the login that the environment asks for, as said at the top of this module.

    Where it asks for none, the token is looked for at the first call.

    Raises:
        ConfigurationError: it asks for more than one.
    """
    role_id, role = _from_env(ROLE_ID_VARIABLE), _from_env(KUBERNETES_ROLE_VARIABLE)
    file, mount = _from_env(TOKEN_FILE_VARIABLE), _from_env(AUTH_MOUNT_VARIABLE)
    token_variables = [name for name in TOKEN_VARIABLES if _from_env(name)]
    asked: dict[str, Auth] = {}
    if token_variables:
        asked[token_variables[0]] = TokenAuth()
    if file is not None:
        asked[TOKEN_FILE_VARIABLE] = TokenAuth(file=file)
    if role_id is not None:
        asked[ROLE_ID_VARIABLE] = AppRoleAuth(
            role_id,
            secret_id=_from_env(SECRET_ID_VARIABLE),
            secret_id_file=_from_env(SECRET_ID_FILE_VARIABLE),
            mount=mount or "approle",
        )
    if role is not None:
        asked[KUBERNETES_ROLE_VARIABLE] = KubernetesAuth(role, mount=mount or "kubernetes")
    if len(asked) > 1:
        raise ConfigurationError(f"{' and '.join(asked)} are set; one login to Vault is enough")
    return next(iter(asked.values()), TokenAuth())


def _from_env(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _from_file(file: str | os.PathLike[str], what: str) -> str:
    try:
        text = Path(file).read_text(encoding="ascii")
    except (OSError, ValueError):
        text = ""
    if not text.strip():
        raise ProviderLoginError(f"no {what} can be read from this file", where=os.fspath(file))
    return _sendable(text, what)


def _sendable(text: str, what: str) -> str:
    """Return a text that fits into a header; what libraries say of others would show it."""
    text = text.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ProviderLoginError(f"the {what} has characters that none can have; is it damaged?")
    return text
