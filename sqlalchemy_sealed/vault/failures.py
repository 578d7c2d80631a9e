"""What can go wrong between here and Vault, as errors of ours, one for each situation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import (
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderSealedError,
    ProviderTimeoutError,
    ProviderTrustError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)
from .wire import Downgraded, Refused

NO_NAMESPACE = "Vault has no such namespace"


class BatchTooLargeError(ProviderError):
    """Vault takes no batch of this size; a smaller one is sent instead."""


class Answer:
    """What a request returned."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def outcome(request: Callable[[], Any], what: str, where: str) -> Answer | ProviderError:
    """
    Make a request, and return its answer or the error for what went wrong.

    The error is returned so that the caller raises it outside of any `except`: no exception of a
    library is chained to it.

    Args:
        request: does it.
        what: what it is about, for errors: "transit key 'sealed'".
        where: which server, for errors.
    """
    import requests.exceptions as lost  # noqa: PLC0415 - an extra

    try:
        return Answer(request())
    except Refused as refused:
        return _refused(refused.status, refused.words, what).at(where)
    except Downgraded:
        return ProviderTrustError(
            "Vault sends us from HTTPS to HTTP, or over HTTP to another machine, where we do not go"
        ).at(where)
    except lost.SSLError as error:
        return ProviderTrustError(_distrust(str(error))).at(where)
    except lost.Timeout:
        return ProviderTimeoutError("Vault did not answer in time").at(where)
    except lost.RequestException as error:
        # An answer that began and did not go on, too, is a ConnectionError to requests.
        if any("ReadTimeout" in type(cause).__name__ for cause in error.args):
            return ProviderTimeoutError("Vault did not answer in time").at(where)
        return ProviderUnreachableError("Vault cannot be reached").at(where)
    except OSError:
        return ProviderTrustError(
            "the file of the certificate authority, or that of the client certificate, cannot be "
            "read"
        ).at(where)
    except ProviderError as error:
        return error if error.where is not None else error.at(where)


def _refused(status: int, words: str, what: str) -> ProviderError:
    match status:
        case 400:
            return _invalid(words, what)
        case 403:
            return ProviderDeniedError(
                f"Vault denies access to {what}; 'sealed vault policy' prints the policy that is "
                "needed"
            )
        case 404 if "namespace not found" in words:
            return ProviderKeyMissingError(NO_NAMESPACE)
        case 404 if "no handler for route" in words:
            return ProviderKeyMissingError(f"Vault has no engine mounted for {what}")
        case 404:
            return ProviderKeyMissingError(f"Vault has no {what}")
        case 413:
            return BatchTooLargeError("Vault refuses a request of this size")
        case 503 if "Vault is sealed" in words or "not initialized" in words:
            return ProviderSealedError(
                "Vault is sealed or not initialised; somebody has to unseal it"
            )
        case 200 | 401 | 405:
            return not_vault()
        case _:
            # A standby, a limit on the rate of calls, a server that is just starting.
            return ProviderUnavailableError(f"Vault cannot answer now (HTTP status {status})")


def not_vault() -> ProviderUnreachableError:
    """Return the error for an answer that Vault would not give: Vault itself was not reached."""
    return ProviderUnreachableError("what answers there is not Vault; look at the address")


def _invalid(words: str, what: str) -> ProviderError:
    """Return the error for a refused request, by its words."""
    if "HTTP request to an HTTPS server" in words:
        return ProviderUnreachableError("the server speaks TLS: the address begins with https://")
    if "soft-deleted" in words:
        return ProviderKeyMissingError(f"{what} is deleted in Vault; it can be restored there")
    if "key not found" in words or "No secret engine mount" in words:
        return ProviderKeyMissingError(f"Vault has no {what}; was it deleted?")
    if "unavailable for a brief period" in words:
        return ProviderUnavailableError("the KV engine is being made ready; try again in a moment")
    if "high complexity" in words or "maximum number of strings" in words:
        return BatchTooLargeError("Vault refuses a batch of this size")
    return ProviderError(refused_item(words, what))


def refused_item(words: str, what: str) -> str:
    """Return what Vault's words about one wrapped key, or about a request, mean."""
    if "message authentication failed" in words or "invalid ciphertext length" in words:
        return (
            f"a wrapped key does not authenticate under {what}: it was damaged, swapped with the "
            "key of another name or id, or made by another Vault"
        )
    if "disallowed by policy" in words:
        return (
            f"a wrapped key was made under a version of {what} that min_decryption_version shuts "
            "out; lower it, rewrap the keys, and raise it again (a version that was trimmed is "
            "gone: restore Vault from a backup)"
        )
    if "version is too new" in words:
        return (
            f"a wrapped key was made under a version that {what} does not have: the key was "
            "restored from a backup, or made anew, or this is another Vault"
        )
    if "soft-deleted" in words:
        return f"{what} is deleted in Vault; it can be restored there"
    return f"Vault refuses the request about {what}"


def _distrust(words: str) -> str:
    """Return why TLS failed. OpenSSL's words hold no secret, but no advice either."""
    if "NO_CERTIFICATE" in words:
        return "the file of the certificate authority holds no certificate"
    if "ALERT_CERTIFICATE" in words or "ALERT_BAD_CERTIFICATE" in words:
        return (
            "Vault asks for a client certificate; give it as client_cert=, or in VAULT_CLIENT_CERT"
        )
    if "CERTIFICATE_VERIFY_FAILED" not in words:
        return "no TLS with this server; is it https:// that it speaks there?"
    if "mismatch" in words or "not valid for" in words:
        return "the certificate of Vault is for another host name than that of the address"
    if "expired" in words:
        return "the certificate of Vault has expired"
    return (
        "the certificate of Vault is not trusted; give the file of its authority as ca_cert=, or "
        "in VAULT_CACERT"
    )
