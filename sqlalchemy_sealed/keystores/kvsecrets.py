"""
The secrets of `VaultKV` in Vault's KV engine, version 2: one a key name, read and written whole.

A write says which version of the secret it replaces (check-and-set). A secret that was deleted,
or an engine that is no KV engine of version 2, is an error and never taken for "no keys".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..envelope import from_text, to_text
from ..errors import (
    ConfigurationError,
    KeystoreError,
    NotAnEnvelopeError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderUnavailableError,
)
from ..vault.client import Vault

FIELD = "keystore"
"""The one field of a secret. One text, since OpenBao takes no more than 1,000 in a request."""
LARGE = 500_000
"""Bytes from which on a secret may be too large: Consul takes 524,288, raft 1,048,576."""
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ENCODED = "~"


class LostAnswerError(KeystoreError):
    """A write that may have happened: Vault did not say."""


def damaged(problem: str, where: str) -> KeystoreError:
    """Return the error for a secret that does not hold what was written."""
    return KeystoreError(
        f"the keystore is damaged: {problem}; restore an older version of the secret", where=where
    )


@dataclass(slots=True)
class Secrets:
    """
    The secrets below one path of a KV engine.

    All methods raise `KeystoreError` where Vault does not answer or does not allow it.
    """

    vault: Vault
    mount: str
    path: str
    _is_version_2: bool = field(default=False, init=False)

    def names(self) -> list[str]:
        """Return the key names that have a secret."""
        answer = self._asked(lambda kv: kv.list_secrets(path=self.path, mount_point=self.mount))
        if answer is None:
            self._check_mount()
            return []
        found = (_name(key) for key in answer["data"]["keys"])
        return [name for name in found if name is not None]

    def read(self, name: str) -> tuple[str | None, int]:
        """Return the text of a secret and its version; None and 0 if there is none."""
        answer = self._newest(name)
        if answer is None and self._is_known(name):
            # It was deleted, or it was made a moment ago.
            answer = self._newest(name)
            if answer is None:
                raise KeystoreError(
                    f"the keys named {name!r} were deleted in Vault; undelete the last version of "
                    "the secret, or roll back to one that was not destroyed",
                    where=self.place(name),
                )
        if answer is None:
            return None, 0
        try:
            data, version = answer["data"]["data"], answer["data"]["metadata"]["version"]
            if set(data) == {FIELD} and isinstance(data[FIELD], str):
                self._is_version_2 = True
                return data[FIELD], int(version)
        except (KeyError, TypeError, ValueError):
            pass
        raise damaged(f"the secret does not have the one field {FIELD!r}", self.place(name))

    def write(self, name: str, text: str, version: int) -> KeystoreError | None:
        """Write a secret if it still has this version. Return what went wrong, if so."""
        try:
            self._call(
                lambda kv: kv.create_or_update_secret(
                    path=self._path(name),
                    secret={FIELD: text},
                    cas=version,
                    mount_point=self.mount,
                )
            )
        except ProviderUnavailableError as error:
            kind: type[KeystoreError] = LostAnswerError
            problem, where = error.problem, error.where
        except ProviderError as error:
            kind, problem, where = KeystoreError, error.problem, error.where
        else:
            return None
        if len(text) > LARGE:
            problem += (
                f"; the keys named {name!r} take {len(text):,} bytes, and the storage of Vault may "
                "take no more than 1,048,576 in a secret (Consul: 524,288): a DatabaseKeystore has "
                "no such limit"
            )
        return kind(problem, where=where)

    # -- older versions

    def check_can_destroy(self, name: str) -> None:
        """Refuse to go on where this login could not destroy older versions of a secret."""
        try:
            self._destroy(name, [0])  # There is no such version.
        except ProviderDeniedError as error:
            where = error.where
            problem = (
                "this login may not destroy older versions of a secret, and those hold the key as "
                f"well; nothing was changed; allow it 'update' on {self.mount}/destroy/{self.path}"
                "/*"
            )
        except ProviderError as error:
            problem, where = error.problem, error.where
        else:
            return
        raise KeystoreError(problem, where=where)

    def destroy_older(self, name: str, version: int) -> None:
        """Destroy all versions of a secret before this one."""
        try:
            older = [
                number
                for number, gone in (self._versions(name) or {}).items()
                if number < version and not gone
            ]
            if older:
                self._destroy(name, older)
            return
        except (ProviderError, KeystoreError) as error:
            problem = error.problem
        raise KeystoreError(
            "the key is destroyed in the newest version of the secret, but older ones still hold "
            f"it, wrapped: {problem}; destroy them in Vault",
            where=self.place(name),
        )

    def _destroy(self, name: str, versions: list[int]) -> None:
        self._call(
            lambda kv: kv.destroy_secret_versions(
                path=self._path(name), versions=versions, mount_point=self.mount
            )
        )

    # -- what there is

    def _newest(self, name: str) -> Any:
        """Return the newest version of a secret, or None if it is not there or deleted."""
        return self._asked(
            lambda kv: kv.read_secret_version(
                path=self._path(name), mount_point=self.mount, raise_on_deleted_version=True
            )
        )

    def _is_known(self, name: str) -> bool:
        """Whether there is or was a secret; an engine of another kind is refused."""
        versions = self._versions(name)
        if versions is None:
            self._check_mount()
        return bool(versions)

    def _versions(self, name: str) -> dict[int, bool] | None:
        """Return the versions of a secret, and whether each one is destroyed; or None."""
        answer = self._asked(
            lambda kv: kv.read_secret_metadata(path=self._path(name), mount_point=self.mount)
        )
        if answer is None:
            return None
        versions = answer["data"]["versions"] or {}
        return {int(number): each["destroyed"] for number, each in versions.items()}

    def _check_mount(self) -> None:
        """Refuse an engine that is not KV, version 2; another one may answer as an empty one."""
        if self._is_version_2:
            return
        try:
            answer = self.vault.call(
                f"the mount {self.mount!r}",
                lambda client: client.adapter.get(f"/v1/sys/internal/ui/mounts/{self.mount}"),
            )
            kind, options = answer["data"]["type"], answer["data"].get("options") or {}
        except ProviderDeniedError:
            problem = "no engine is mounted there, or this login may not use it"
        except ProviderError as error:
            problem = error.problem
        else:
            if kind == "kv" and options.get("version") == "2":
                self._is_version_2 = True
                return
            problem = (
                f"there is an engine of type {kind!r}, version {options.get('version', '1')}; "
                "keys need the KV engine, version 2, which does not let two processes overwrite "
                "each other: vault secrets enable -version=2 -path=... kv"
            )
        raise KeystoreError(problem, where=f"{self.vault.where}: mount {self.mount!r}")

    # -- requests

    def _asked(self, request: Callable[[Any], Any]) -> Any:
        """Return the answer to a request that changes nothing, or None for "not found"."""
        try:
            return self._call(request)
        except ProviderKeyMissingError:
            return None
        except ProviderError as error:
            problem, where = error.problem, error.where
        raise KeystoreError(problem, where=where)

    def _call(self, request: Callable[[Any], Any]) -> Any:
        what = f"KV secrets below {self.mount}/{self.path}"
        return self.vault.call(what, lambda client: request(client.secrets.kv.v2))

    def place(self, name: str) -> str:
        """Return the path of a secret, for errors."""
        return f"{self.mount}/{self._path(name)}"

    def _path(self, name: str) -> str:
        if _PLAIN.fullmatch(name):
            return f"{self.path}/{name}"
        try:
            return f"{self.path}/{_ENCODED}{to_text(name.encode())}"
        except UnicodeEncodeError:
            pass
        raise ConfigurationError("a key name must be Unicode")


def _name(key: str) -> str | None:
    """Return the key name of an entry, or None for one that is not ours, such as a folder."""
    if _PLAIN.fullmatch(key):
        return key
    if not key.startswith(_ENCODED):
        return None
    try:
        name = from_text(key.removeprefix(_ENCODED)).decode()
    except (NotAnEnvelopeError, UnicodeDecodeError):
        return None
    return None if _PLAIN.fullmatch(name) else name
