"""Options of `sealed vault`: which server, which key, and what it should be."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from ..vault.auth import TokenAuth
from ..vault.client import Vault
from ..vault.desired import DesiredKey

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


class Period(click.ParamType):  # type: ignore[type-arg] # not generic before click 8.4
    """A number of days or hours, such as 90d, or `never`."""

    name = "period"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return a timedelta, or None for never."""
        if value is None or isinstance(value, timedelta) or value == "never":
            return None if value == "never" else value
        found = re.fullmatch(r"([0-9]{1,5})([hd])", value)
        if found is None:
            self.fail("it is given as 90d, as 36h, or as never", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


def server_options(command: F) -> F:
    """Add the options that say which Vault, and pass a function that connects to it."""

    @click.option("--address", help="Its address.", show_default="VAULT_ADDR")
    @click.option("--namespace", help="Its namespace.", show_default="VAULT_NAMESPACE")
    @click.option(
        "--ca-cert",
        type=click.Path(exists=True, path_type=Path),
        help="The file of its certificate authority.",
        show_default="VAULT_CACERT",
    )
    @click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        help="A file that holds the token, such as ~/.vault-token.",
        show_default="VAULT_TOKEN, or another login of the environment",
    )
    @wraps(command)
    def with_connection(
        *args: Any,
        address: str | None,
        namespace: str | None,
        ca_cert: Path | None,
        token_file: Path | None,
        **kwargs: Any,
    ) -> Any:
        def connect() -> Vault:
            auth = None if token_file is None else TokenAuth(file=token_file)
            return Vault(address, auth=auth, namespace=namespace, ca_cert=ca_cert)

        return command(*args, connect=connect, **kwargs)

    return with_connection  # type: ignore[return-value] # click calls it by its options


def key_options(command: F) -> F:
    """Add `--key` and `--mount`."""
    command = click.option(
        "--mount", default="transit", show_default=True, help="Where the engine is mounted."
    )(command)
    return click.option(
        "--key", default="sealed", show_default=True, help="The name of the transit key."
    )(command)


def desired_options(command: F) -> F:
    """Add the wanted settings, and pass them as one."""

    @click.option(
        "--auto-rotate-period",
        type=Period(),
        default="90d",
        show_default=True,
        metavar="PERIOD",
        help="How often Vault makes a new version by itself: 90d, 36h, or never.",
    )
    @click.option(
        "--min-decryption-version",
        type=click.IntRange(1),
        help="The oldest version that still unwraps. By default it is left as it is.",
    )
    @click.option(
        "--min-encryption-version",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="The oldest version that still wraps; 0 for the newest only.",
    )
    @click.option("--deletion-allowed", is_flag=True, help="Allow that the key is deleted.")
    @wraps(command)
    def with_desired(  # noqa: PLR0913 - the options
        *args: Any,
        key: str,
        mount: str,
        auto_rotate_period: timedelta | None,
        min_decryption_version: int | None,
        min_encryption_version: int,
        deletion_allowed: bool,
        **kwargs: Any,
    ) -> Any:
        wanted = DesiredKey(
            key,
            mount,
            auto_rotate_period,
            min_decryption_version,
            min_encryption_version,
            deletion_allowed,
        )
        return command(*args, wanted=wanted, **kwargs)

    return with_desired  # type: ignore[return-value] # click calls it by its options
