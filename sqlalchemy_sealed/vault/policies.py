"""
The least that each part of an installation has to be allowed in Vault, as policies in HCL.

    application     wraps and unwraps data keys; cannot make new versions of the KEK, or delete it
    rotator         makes new versions of the KEK and rewraps data keys; sees none of them
    administrator   mounts the engine, makes the KEK and sets it up; sees no data key, and cannot
                    make the KEK exportable or deletable

The application is not allowed to rewrap: it does not need to. (It could do the same in two steps,
by unwrapping and wrapping.) Who can rewrap or rotate is not allowed to wrap: new values would be
sealed under a key that he knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ..errors import OptionError
from .transit import checked_mount, checked_name


class Role(StrEnum):
    """Whom a policy is for."""

    APPLICATION = "application"
    ROTATOR = "rotator"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class KvPlace:
    """
    Where the keystore lies in Vault, for policies that allow it, too.

    Args:
        mount: where the KV engine, version 2, is mounted.
        path: below what path the key names are kept.
        writable: whether the application makes and rotates data keys by itself.

    Raises:
        OptionError: a mount or a path that Vault could not have.
    """

    mount: str = "secret"
    path: str = "sealed"
    writable: bool = False

    def __post_init__(self) -> None:
        """Refuse names that would mean another path."""
        checked_mount(self.mount)
        checked_mount(self.path)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is allowed below one path, and with what parameters, each with its allowed values."""

    path: str
    capabilities: tuple[str, ...]
    comment: str
    parameters: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        names = ", ".join(f'"{each}"' for each in self.capabilities)
        lines = [f"# {self.comment}", f'path "{self.path}" {{', f"  capabilities = [{names}]"]
        if self.parameters:
            width = max(map(len, self.parameters)) + 2
            lines.append("  allowed_parameters = {")
            for name, values in self.parameters.items():
                quoted = f'"{name}"'
                lines.append(f"    {quoted:{width}} = [{', '.join(values)}]")
            lines.append("  }")
        return "\n".join([*lines, "}"])


def policy(
    role: Role | str, *, key: str = "sealed", mount: str = "transit", kv: KvPlace | None = None
) -> str:
    """
    Return the policy of a role, in HCL.

    Args:
        role: whom it is for.
        key: the name of the transit key.
        mount: where the transit engine is mounted.
        kv: where the keystore lies, if it lies in Vault.

    Raises:
        OptionError: no such role, or a name that would mean another path in a policy.
    """
    try:
        role = Role(role)
    except ValueError:
        roles = ", ".join(Role)
    else:
        name, place = checked_name(key), checked_mount(mount)
        rules = [*_RULES[role](name, place), *_kv(role, kv), *_TOKEN]
        return "\n\n".join(map(str, rules)) + "\n"
    raise OptionError(f"there is no policy for this role; there are {roles}")


def _application(key: str, mount: str) -> Iterable[_Rule]:
    # Not "create": with it, Vault makes a new key where the old one is missing.
    yield _Rule(f"{mount}/encrypt/{key}", ("update",), "Wrap new data keys.")
    yield _Rule(f"{mount}/decrypt/{key}", ("update",), "Unwrap data keys.")
    yield _Rule(f"{mount}/keys/{key}", ("read",), "See versions and settings of the key.")


def _rotator(key: str, mount: str) -> Iterable[_Rule]:
    yield _Rule(f"{mount}/keys/{key}/rotate", ("update",), "Make a new version of the key.")
    yield _Rule(f"{mount}/rewrap/{key}", ("update",), "Wrap data keys anew, without seeing them.")
    yield _Rule(f"{mount}/keys/{key}", ("read",), "See versions and settings of the key.")


def _administrator(key: str, mount: str) -> Iterable[_Rule]:
    yield _Rule(
        f"sys/mounts/{mount}",
        ("create", "read", "update"),
        "Mount the engine, and see what is mounted there.",
        {"type": ('"transit"',)},
    )
    yield _Rule(
        f"{mount}/keys/{key}",
        ("create", "read", "update"),
        "Make the key, in this form only, and see it.",
        {"type": ('"aes256-gcm96"',), "derived": ("true",), "exportable": ("false",)},
    )
    yield _Rule(
        f"{mount}/keys/{key}/config",
        ("create", "update"),
        "Set it up. Exportable and deletable are not to be had here.",
        {
            "min_decryption_version": (),
            "min_encryption_version": (),
            "auto_rotate_period": (),
            "deletion_allowed": ("false",),
        },
    )


_RULES: dict[Role, Callable[[str, str], Iterable[_Rule]]] = {
    Role.APPLICATION: _application,
    Role.ROTATOR: _rotator,
    Role.ADMINISTRATOR: _administrator,
}

_TOKEN = (
    _Rule("auth/token/lookup-self", ("read",), "See how long the own token lives."),
    _Rule("auth/token/renew-self", ("update",), "Renew it."),
)


def _kv(role: Role, kv: KvPlace | None) -> Iterable[_Rule]:
    if kv is None or role is Role.ADMINISTRATOR:
        return
    writes = role is Role.ROTATOR or kv.writable
    capabilities = ("create", "read", "update") if writes else ("read",)
    verb = "Read and write" if writes else "Read"
    yield _Rule(f"{kv.mount}/data/{kv.path}/*", capabilities, f"{verb} the keystore.")
    for path in (kv.path, f"{kv.path}/*"):
        yield _Rule(
            f"{kv.mount}/metadata/{path}", ("read", "list"), "See which key names there are."
        )
