"""Addresses of Vault: which ones can be used without giving tokens away."""

from __future__ import annotations

import os
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import OptionError

ALLOW_HTTP_VARIABLE = "SEALED_VAULT_ALLOW_HTTP"


def checked_address(address: str, *, allow_http: bool = False) -> str:
    """
    Return an address without a slash at its end.

    Args:
        address: `https://host:port`, and `http://` for a server on this machine.
        allow_http: allow `http://` for others; SEALED_VAULT_ALLOW_HTTP=yes does as well.

    Raises:
        OptionError: it is not an address, holds a password, or is not safe.
    """
    parts = _parts(address) if isinstance(address, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError("the address of Vault is given as https://host:port")
    if parts.username is not None or parts.query or parts.fragment or not address.isprintable():
        raise OptionError(
            "the address of Vault is given as https://host:port, without a name, a password or "
            "parameters"
        )
    if not (is_protected(address) or http_is_allowed(allow_http=allow_http)):
        raise OptionError(
            "over http://, tokens and data keys could be read on the way; use https://, or say "
            f"allow_http=True or {ALLOW_HTTP_VARIABLE}=yes where something else protects them"
        )
    return address.rstrip("/")


def is_protected(address: str) -> bool:
    """Whether nobody can read on the way what is sent there: over TLS, or within this machine."""
    parts = _parts(address)
    return parts is not None and (
        parts.scheme == "https"
        or (parts.scheme == "http" and _is_this_machine(parts.hostname or ""))
    )


def http_is_allowed(*, allow_http: bool) -> bool:
    """Whether somebody has said that `http://` to another machine is protected otherwise."""
    return allow_http or os.environ.get(ALLOW_HTTP_VARIABLE) == "yes"


def may_lead(source: str, target: str, *, allow_http: bool) -> bool:
    """Whether to follow a server that sends us on: never out of TLS, nor to HTTP elsewhere."""
    try:
        target = urljoin(source, target)
        is_http = urlsplit(target).scheme == "http"
    except ValueError:
        return False
    if not is_http:
        return True
    return urlsplit(source).scheme == "http" and (is_protected(target) or allow_http)


def _parts(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
