"""
A connection to Vault that stays logged in, and whose errors show nothing.

    vault = Vault("https://vault.example.org:8200", auth=AppRoleAuth(role_id, secret_id))

Exceptions of hvac and requests never leave this package, nor is one chained to an error of ours.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, TypeVar
from weakref import WeakSet

from ..errors import (
    OptionError,
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)
from ..flights import Flights
from .address import checked_address, http_is_allowed, may_lead
from .auth import Auth, auth_from_env
from .failures import Answer, outcome
from .wire import connect, hvac

T = TypeVar("T")

log = logging.getLogger("sqlalchemy_sealed.vault")

ADDRESS_VARIABLES = ("VAULT_ADDR", "BAO_ADDR")
NAMESPACE_VARIABLES = ("VAULT_NAMESPACE", "BAO_NAMESPACE")
CA_VARIABLES = ("VAULT_CACERT", "BAO_CACERT")
CLIENT_CERT_VARIABLES = ("VAULT_CLIENT_CERT", "BAO_CLIENT_CERT")
CLIENT_KEY_VARIABLES = ("VAULT_CLIENT_KEY", "BAO_CLIENT_KEY")
DEFAULT_TIMEOUT = 10.0
"""Seconds to wait for a connection, and for an answer."""
RENEW_AT = 1 / 3
"""A token is renewed when less than this share of its life is left."""


class Vault:
    """
    A Vault server, or an OpenBao server, and a login there.

    Logs in at the first call, renews its token in good time and logs in again when it has ended.
    A token is renewed when it is used: one that cannot be had anew has to live longer than the
    longest time between two calls. Safe to share between threads; after a fork, parent and child
    go on with the same token, on connections of their own.

    Args:
        address: such as `https://vault.example.org:8200`; by default VAULT_ADDR or BAO_ADDR.
        auth: how to log in; by default what the environment asks for, see `auth_from_env`.
        namespace: by default VAULT_NAMESPACE or BAO_NAMESPACE.
        ca_cert: a file of certificate authorities; by default VAULT_CACERT or BAO_CACERT, or
            those of the system.
        client_cert: files of a certificate and its key, where the server asks clients for one; by
            default VAULT_CLIENT_CERT and VAULT_CLIENT_KEY, or the same with BAO_.
        timeout: seconds to wait for a connection, and for an answer.
        allow_http: send tokens and keys unprotected to a server on another machine.

    Proxies that the environment names are not used.

    Raises:
        MissingExtraError: the extra "vault" is not installed.
        ProviderUnreachableError: no address.
        OptionError: an address that is none or not safe, or no time.
        ConfigurationError: the environment asks for two logins.
    """

    def __init__(  # noqa: PLR0913 - settings, by name
        self,
        address: str | None = None,
        *,
        auth: Auth | None = None,
        namespace: str | None = None,
        ca_cert: str | os.PathLike[str] | None = None,
        client_cert: tuple[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        allow_http: bool = False,
    ) -> None:
        found = address or _from_env(ADDRESS_VARIABLES)
        if not found:
            raise ProviderUnreachableError(f"no address of Vault: set {ADDRESS_VARIABLES[0]}")
        if type(timeout) not in (int, float) or not 0 < timeout < float("inf"):
            raise OptionError("a timeout is a number of seconds above 0")
        hvac()
        self.address = checked_address(found, allow_http=allow_http)
        self.auth: Auth = auth if auth is not None else auth_from_env()
        self.namespace = namespace or _from_env(NAMESPACE_VARIABLES)
        self.ca_cert = os.fspath(ca_cert) if ca_cert else _from_env(CA_VARIABLES)
        self.client_cert = client_cert or _client_cert()
        self.timeout = timeout
        self._may_lead = partial(may_lead, allow_http=http_is_allowed(allow_http=allow_http))
        self._login: _Login | None = None
        self._logging_in: Flights[_Login] = Flights(0)
        _vaults.add(self)

    @property
    def where(self) -> str:
        """How errors call this server: its address, and the namespace there."""
        return f"{self.address} (namespace {self.namespace})" if self.namespace else self.address

    def call(self, what: str, request: Callable[[Any], T]) -> T:
        """
        Send one request and return its answer.

        Args:
            what: what the request is about, for errors: "transit key 'sealed'".
            request: gets the hvac client.

        Raises:
            ProviderError: as one of its subclasses. None of them shows what was sent.
        """
        login = self._ready()
        answer = outcome(lambda: request(login.client), what, self.where)
        if isinstance(answer, ProviderDeniedError) and self._has_ended(login):
            # It was revoked, or is used up, or has ended earlier than it said.
            self._forget(login)
            if not self.auth.can_repeat:
                raise ProviderLoginError(
                    "the token has ended or was revoked; give the process a new one"
                ).at(self.where)
            again = self._ready()
            answer = outcome(lambda: request(again.client), what, self.where)
        if isinstance(answer, Answer):
            return answer.value  # type: ignore[no-any-return] # as the request returns it
        raise answer

    # -- the login

    def _ready(self) -> _Login:
        """Return a login whose token lives."""
        login, now = self._login, time.monotonic()
        if login is None or (now >= login.ends and self.auth.can_repeat):
            # All threads that wait for it get the same login, or the same error.
            return self._logging_in.fetch("login", lambda: self._new_login(login))
        if now >= login.renews and login.claim_renewal(now):
            return self._renewed(login)
        return login

    def _new_login(self, old: _Login | None) -> _Login:
        if self._login is not old and self._login is not None:
            return self._login  # Another thread was quicker.
        client = self._connect()
        answer = outcome(lambda: self.auth.login(client), "the login", self.where)
        if isinstance(answer, Answer):
            self._login = _Login(client, answer.value)
            return self._login
        raise _about_login(answer)

    def _connect(self, token: str = "") -> Any:
        return connect(
            self.address,
            token=token,
            namespace=self.namespace,
            ca_cert=self.ca_cert,
            client_cert=self.client_cert,
            timeout=self.timeout,
            may_lead=self._may_lead,
        )

    def _renewed(self, login: _Login) -> _Login:
        """Return the login with a longer life, or another one, or the same until it ends."""
        if login.renewable:
            renew = login.client.auth.token.renew_self
            answer = outcome(renew, "the renewal of the token", self.where)
            if isinstance(answer, Answer) and login.extend(answer.value.get("auth") or {}):
                return login
            if isinstance(answer, ProviderUnavailableError):
                return login  # Nobody answers. The token may live on, and the next try is set.
        if not self.auth.can_repeat:
            login.renews = float("inf")
            log.warning(
                "%s: the token of Vault ends in %d seconds and cannot be renewed for longer",
                self.where,
                max(0, login.ends - time.monotonic()),
            )
            return login
        # Its greatest age is near. While it lives, a login that fails can be tried again later.
        try:
            return self._logging_in.fetch("login", lambda: self._new_login(login))
        except ProviderError as error:
            if time.monotonic() >= login.ends:
                raise
            log.warning("%s; the token of before lives on for now", error)
            return login

    def _has_ended(self, login: _Login) -> bool:
        lookup = login.client.auth.token.lookup_self
        return isinstance(outcome(lookup, "the token", self.where), ProviderDeniedError)

    def _forget(self, login: _Login) -> None:
        if self._login is login:
            self._login = None

    def _after_fork(self) -> None:
        """Go on with the token, on connections that are not those of the parent."""
        self._logging_in.renew()
        if self._login is not None:
            self._login = self._login.copied(self._connect(self._login.client.token))

    def __repr__(self) -> str:
        """Return the address and the way of logging in, without secrets."""
        return f"Vault({self.address!r}, auth={type(self.auth).__name__})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a token must not leave the process that way."""
        raise TypeError("a connection to Vault cannot be pickled")


class _Login:
    """A client with a token, and how long that lives. Seconds on the monotonic clock."""

    __slots__ = ("_lock", "client", "ends", "renewable", "renews")

    def __init__(self, client: Any, lease: dict[str, Any]) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._live(float(lease.get("lease_duration") or 0), time.monotonic())
        self.renewable = bool(lease.get("renewable"))

    def _live(self, seconds: float, now: float) -> None:
        # A life of 0 seconds is one without end, as of a root token.
        self.ends = now + seconds if seconds else float("inf")
        self.renews = now + seconds * (1 - RENEW_AT) if seconds else float("inf")

    def claim_renewal(self, now: float) -> bool:
        """Whether this thread is the one that renews; the others go on with the token."""
        with self._lock:
            if now < self.renews:
                return False
            # The next try, if this one fails.
            self.renews = now + max(1.0, (self.ends - now) * RENEW_AT)
            return True

    def extend(self, lease: dict[str, Any]) -> bool:
        """Take the life that a renewal gave; whether it is a longer one."""
        seconds, now = float(lease.get("lease_duration") or 0), time.monotonic()
        # Vault counts whole seconds, and not always in the same direction.
        if now + seconds <= self.ends + min(2.0, seconds / 10):
            return False  # It was cut at the greatest age of the token.
        self._live(seconds, now)
        return True

    def copied(self, client: Any) -> _Login:
        """Return the same login with another client."""
        copy = _Login(client, {})
        copy.ends, copy.renews, copy.renewable = self.ends, self.renews, self.renewable
        return copy


def _about_login(problem: ProviderError) -> ProviderError:
    """Return the error of a login: what Vault refuses then is role, secret or token."""
    if isinstance(problem, ProviderKeyMissingError) and "namespace" not in problem.problem:
        return ProviderLoginError(
            "this kind of login is not enabled in Vault, or is mounted elsewhere",
            where=problem.where,
        )
    if isinstance(problem, ProviderDeniedError) or type(problem) is ProviderError:
        return ProviderLoginError(
            "Vault refuses the login: the token has ended or may not look itself up, or role or "
            "secret are wrong",
            where=problem.where,
        )
    return problem


_vaults: WeakSet[Vault] = WeakSet()


def _after_fork() -> None:
    for vault in list(_vaults):
        vault._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _client_cert() -> tuple[str, str] | None:
    cert, key = _from_env(CLIENT_CERT_VARIABLES), _from_env(CLIENT_KEY_VARIABLES)
    return None if cert is None or key is None else (cert, key)


def _from_env(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
