"""
Vault as code: the wanted state of a transit key, how the real one differs, and the way there.

    differences = plan(vault, DesiredKey("sealed"))
    apply(vault, DesiredKey("sealed"))

What Vault does not let anybody change is an error with a remedy: it would otherwise say "done"
and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..errors import OptionError, ProviderError, ProviderKeyMissingError
from .client import Vault
from .failures import NO_NAMESPACE
from .transit import TransitKey, checked_mount, checked_name

ROTATION = timedelta(days=90)
"""How often Vault makes a new version of the key by itself."""
_SHORTEST_ROTATION = timedelta(hours=1)
_ANEW = "make a key of another name, and move the wrapped keys to it"


@dataclass(frozen=True, slots=True)
class DesiredKey:
    """
    The wanted state of a transit key.

    Always wanted, since wrapped keys rely on it: type aes256-gcm96, derived, not exportable, no
    backup in plaintext, not deleted.

    Args:
        name: the name of the key.
        mount: where the transit engine is mounted.
        auto_rotate_period: how often Vault makes a new version, at least an hour; None for never.
        min_decryption_version: the oldest version that still unwraps; None to leave it as it is,
            which is 1 for a new key.
        min_encryption_version: the oldest version that still wraps; 0 for the newest only.
        deletion_allowed: whether the key may be deleted.

    Raises:
        OptionError: a value that Vault would refuse.
    """

    name: str = "sealed"
    mount: str = "transit"
    auto_rotate_period: timedelta | None = ROTATION
    min_decryption_version: int | None = None
    min_encryption_version: int = 0
    deletion_allowed: bool = False

    def __post_init__(self) -> None:
        """Refuse what Vault would refuse."""
        checked_name(self.name)
        checked_mount(self.mount)
        period = self.auto_rotate_period
        if period is not None and not (
            isinstance(period, timedelta)
            and period >= _SHORTEST_ROTATION
            and not period.microseconds
        ):
            raise OptionError(
                "auto_rotate_period is a timedelta of at least an hour, in whole seconds, or None"
            )
        lowest, newest = self.min_decryption_version, self.min_encryption_version
        if lowest is not None and not (type(lowest) is int and lowest >= 1):
            raise OptionError("min_decryption_version is 1 or more")
        if not (type(newest) is int and newest >= 0):
            raise OptionError("min_encryption_version is 0 or more")
        if 0 < newest < (lowest or 0):
            raise OptionError("min_encryption_version is 0, or not below min_decryption_version")
        if type(self.deletion_allowed) is not bool:
            raise OptionError("deletion_allowed is True or False")

    @property
    def fixed(self) -> dict[str, Any]:
        """Settings that a key gets when it is made, and keeps."""
        return {
            "type": "aes256-gcm96",
            "derived": True,
            "convergent_encryption": False,
            "exportable": False,
            "allow_plaintext_backup": False,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that can be changed."""
        period = self.auto_rotate_period or timedelta()
        settings = {
            "auto_rotate_period": int(period.total_seconds()),
            "min_encryption_version": self.min_encryption_version,
            "deletion_allowed": self.deletion_allowed,
        }
        if self.min_decryption_version is not None:
            settings["min_decryption_version"] = self.min_decryption_version
        return settings


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One difference between the real state and the wanted one.

    Attributes:
        subject: "mount", "key", or the name of a setting, as Vault calls it.
        found: the real state; None if it is missing.
        wanted: the wanted state.
        remedy: what to do where `apply` cannot; None where it can.
        warning: what changing it does to keys in use, where there is something to consider.
    """

    subject: str
    found: Any
    wanted: Any
    remedy: str | None = None
    warning: str | None = None


def plan(vault: Vault, desired: DesiredKey) -> list[Difference]:
    """
    Return how the real state differs from the wanted one; empty if it does not.

    It needs the right to read the key, and only where that is missing, to read its mount.

    Raises:
        ProviderError: Vault cannot be asked, or denies it.
    """
    key = TransitKey(vault, desired.name, desired.mount)
    state = _state(key)
    if state is None:
        return [*_mount(vault, desired.mount), Difference("key", None, desired.name)]
    return [
        *([_deleted(key)] if state.get("soft_deleted") else []),
        *(
            Difference(name, state[name], wanted, f"no key can be changed in this; {_ANEW}")
            for name, wanted in desired.fixed.items()
            if state.get(name, wanted) != wanted
        ),
        *(
            _setting(name, state, wanted)
            for name, wanted in desired.settings.items()
            if state.get(name) != wanted
        ),
    ]


def apply(vault: Vault, desired: DesiredKey) -> list[Difference]:
    """
    Bring the real state to the wanted one, and return what was changed.

    Done a second time, it changes nothing.

    Raises:
        ProviderError: as `plan`; a difference cannot be removed, and nothing was changed; or
            Vault did not do what it was asked to do.
    """
    changes = plan(vault, desired)
    blocked = [change for change in changes if change.remedy is not None]
    if blocked:
        raise _blocked(desired, blocked).at(vault.where)
    subjects = {change.subject for change in changes}
    what = f"transit key '{desired.mount}/{desired.name}'"
    if "mount" in subjects:
        _make_mount(vault, desired.mount)
    settings = {name: wanted for name, wanted in desired.settings.items() if name in subjects}
    if "key" in subjects:
        vault.call(
            what,
            lambda client: client.secrets.transit.create_key(
                desired.name, key_type="aes256-gcm96", derived=True, mount_point=desired.mount
            ),
        )
        settings = {
            change.subject: change.wanted
            for change in plan(vault, desired)
            if change.remedy is None
        }
    if settings:
        vault.call(
            f"the settings of {what}",
            # hvac refuses two oldest versions that are equal; Vault takes them.
            lambda client: client.adapter.post(
                f"/v1/{desired.mount}/keys/{desired.name}/config", json=settings
            ),
        )
    left = plan(vault, desired) if changes else []
    if left:
        # Vault answers with success to a change that it does not make.
        raise _blocked(desired, left).at(vault.where)
    return changes


def _state(key: TransitKey) -> dict[str, Any] | None:
    try:
        return key.read()
    except ProviderKeyMissingError as error:
        if NO_NAMESPACE in error.problem:
            raise
        return None


def _mount(vault: Vault, mount: str) -> Iterable[Difference]:
    """Yield the difference of the mount, if there is none or another engine."""
    try:
        found = vault.call(
            f"the mount {mount!r}", lambda client: client.adapter.get(f"/v1/sys/mounts/{mount}")
        )["data"]["type"]
    except ProviderKeyMissingError as error:
        if NO_NAMESPACE in error.problem:
            raise
        yield Difference("mount", None, "transit")
    else:
        if found != "transit":
            remedy = "another engine is mounted there; take another mount"
            yield Difference("mount", found, "transit", remedy)


def _make_mount(vault: Vault, mount: str) -> None:
    try:
        vault.call(
            f"the mount {mount!r}",
            # What hvac adds to this is more than the policy of an administrator allows.
            lambda client: client.adapter.post(f"/v1/sys/mounts/{mount}", json={"type": "transit"}),
        )
    except ProviderError as error:
        problem = error
    else:
        return
    if list(_mount(vault, mount)):  # If not, somebody else has made it at this moment.
        raise problem


def _deleted(key: TransitKey) -> Difference:
    remedy = f"bao write -f {key.mount}/keys/{key.name}/soft-delete-restore"
    return Difference("soft_deleted", found=True, wanted=False, remedy=remedy)


def _setting(name: str, state: dict[str, Any], wanted: Any) -> Difference:
    found, remedy, warning = state.get(name), None, None
    latest = state["latest_version"]
    if name.startswith("min_") and wanted > latest:
        remedy = f"the newest version is {latest}; rotate the key first, or ask for less"
    elif name == "min_encryption_version" and 0 < wanted < state["min_decryption_version"]:
        remedy = f"min_decryption_version is {state['min_decryption_version']}; ask for more, or 0"
    elif name == "min_decryption_version" and wanted > found:
        warning = f"keys wrapped under versions below {wanted} do not unwrap: rewrap them first"
    elif name == "min_decryption_version" and wanted < state.get("min_available_version", 0):
        remedy = f"versions below {state['min_available_version']} were trimmed, for ever"
    elif name == "deletion_allowed" and wanted:
        warning = "who deletes the key destroys all that is sealed under it"
    return Difference(name, found, wanted, remedy, warning)


def _blocked(desired: DesiredKey, differences: list[Difference]) -> ProviderError:
    said = "; ".join(
        f"{each.subject} is {each.found!r} and should be {each.wanted!r}"
        + (f" ({each.remedy})" if each.remedy else "")
        for each in differences
    )
    return ProviderError(f"transit key '{desired.mount}/{desired.name}': {said}")
