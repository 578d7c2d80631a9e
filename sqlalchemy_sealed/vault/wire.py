"""
The wire to Vault: connections of `requests`, and an adapter of hvac that keeps answers to itself.

hvac puts the whole answer into its exceptions, and that of a batch which failed in part holds the
plaintexts of the rest. The adapter here raises `Refused` instead, with the status and Vault's own
words only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..errors import MissingExtraError

CONNECTION_ATTEMPTS = 3
"""How often a refused connection is tried; a request that was sent is never sent again."""
CONNECTIONS = 32
"""How many connections are kept open between calls."""


class Refused(Exception):  # noqa: N818 - an answer that is looked at, never shown
    """
    An answer of Vault that is not success. Never leaves this package.

    Attributes:
        status: the HTTP status; 200 for an answer that is not one of Vault.
        words: Vault's error texts, in one. To be searched, not shown.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status)
        self.status = status
        self.words = words


class Downgraded(Exception):  # noqa: N818 - as above
    """Vault sent us on to where others could read what is sent. Never leaves this package."""


def hvac() -> Any:
    """
    Return the module hvac.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import hvac as module  # noqa: PLC0415 - an extra
    except ImportError:
        pass
    else:
        return module
    raise MissingExtraError.named("vault", "Vault")


def connect(  # noqa: PLR0913 - the settings of a connection
    address: str,
    *,
    token: str = "",
    namespace: str | None,
    ca_cert: str | None,
    client_cert: tuple[str, str] | None,
    timeout: float,
    may_lead: Callable[[str, str], bool],
) -> Any:
    """
    Return a client of hvac with connections of its own. Nothing is sent yet.

    *may_lead* says whether one address may send us on to another.
    """
    return hvac().Client(
        url=address,
        # hvac would look for a token in the environment and in the home directory.
        token=token,
        namespace=namespace,
        verify=ca_cert or True,
        cert=client_cert,
        timeout=timeout,
        session=_session(ca_cert, client_cert, may_lead),
        adapter=_adapter(),
    )


@cache
def _adapter() -> Any:
    from hvac.adapters import JSONAdapter  # noqa: PLC0415 - an extra

    class Adapter(JSONAdapter):  # type: ignore[misc] # hvac has no types
        """Raises `Refused` for answers that are not success, or not Vault's."""

        def request(
            self, method: str, url: str, *args: Any, raise_exception: bool = True, **kwargs: Any
        ) -> Any:
            answer: Any = super().request(method, url, *args, raise_exception=False, **kwargs)
            status = getattr(answer, "status_code", 200)
            if status == 200:
                block(answer, "data", "auth")
            elif raise_exception and not answer.ok:
                raise Refused(status, _words(answer))
            return answer

        def get_login_token(self, response: Any) -> str:
            return str(block(block(response, "auth")["auth"], "client_token")["client_token"])

    return Adapter


def block(answer: Any, *names: str) -> dict[str, Any]:
    """Return a part of an answer that has one of these names; Refused if it is not one of Vault."""
    if isinstance(answer, dict) and not answer.keys().isdisjoint(names):
        return answer
    raise Refused(200, "")


def _words(response: Any) -> str:
    """Return Vault's error texts; for an answer of something else, its beginning."""
    try:
        errors = response.json()["errors"]
    except (ValueError, LookupError, TypeError):
        return str(response.text)[:200]
    return " ".join(map(str, errors)) if isinstance(errors, list) else ""


def _session(
    ca_cert: str | None,
    client_cert: tuple[str, str] | None,
    may_lead: Callable[[str, str], bool],
) -> Any:
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - an extra

    session = _session_class()()
    session.may_lead = may_lead
    session.trust_env = False  # A proxy or a netrc of the environment sees no token.
    session.verify = ca_cert or True
    session.cert = client_cert
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=_retry())
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


@cache
def _session_class() -> Any:
    from requests import Session  # noqa: PLC0415 - an extra

    class GuardedSession(Session):
        """Follows a standby server to the active one, where that is as safe."""

        may_lead: Callable[[str, str], bool]

        def get_redirect_target(self, resp: Any) -> Any:
            target = super().get_redirect_target(resp)
            if target and not self.may_lead(resp.url, target):
                raise Downgraded
            return target

    return GuardedSession


@cache
def _retry() -> Any:
    from urllib3 import Retry  # noqa: PLC0415 - an extra
    from urllib3.exceptions import (  # noqa: PLC0415 - an extra
        ConnectTimeoutError,
        NewConnectionError,
    )

    class RefusedOnly(Retry):
        """Tries again where the connection was refused, not where nobody answers."""

        def increment(self, *args: Any, **kwargs: Any) -> Any:
            error = kwargs.get("error")
            slow = isinstance(error, ConnectTimeoutError)
            if slow and not isinstance(error, NewConnectionError):
                return Retry.increment(self.new(connect=0), *args, **kwargs)
            return super().increment(*args, **kwargs)

    return RefusedOnly(
        total=None,
        connect=CONNECTION_ATTEMPTS - 1,
        read=False,
        redirect=0,
        status=0,
        other=0,
        backoff_factor=0.1,
        respect_retry_after_header=False,
    )
