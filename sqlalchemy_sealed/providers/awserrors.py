"""
What AWS KMS answers, as errors of ours.

An error of boto3 may hold what was sent, and its debug log holds whole requests and answers, that
is keys. So no error of it is let out or chained, and while KMS is asked it logs no such line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..errors import (
    ProviderDeniedError,
    ProviderError,
    ProviderKeyMissingError,
    ProviderLoginError,
    ProviderTimeoutError,
    ProviderTrustError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)
from .forms import RESTORE

_FORBIDDEN = 403
_SERVER_FAULT = 500
_SYMMETRIC = "SYMMETRIC_DEFAULT"
_USAGE = "ENCRYPT_DECRYPT"

_DISABLED = "the key is disabled in AWS KMS; enable it there"
_DELETION = "the key is pending deletion in AWS KMS; cancel that, or its data is lost"
_NO_LOGIN = "there are no AWS credentials, or they cannot be read"
_BAD_LOGIN = "AWS refuses the credentials"
_EXPIRED = "the AWS credentials have expired"
_BUSY = "AWS KMS limits the rate of requests; try later"
_FAULT = "AWS KMS has a fault; try later"
_NOT_SYMMETRIC = "the key is not one for symmetric encryption; make a symmetric one"

_BY_CODE: dict[str, tuple[type[ProviderError], str]] = {
    "AccessDeniedException": (
        ProviderDeniedError,
        "AWS does not allow it; look at the policies of the login and of the key",
    ),
    "NotFoundException": (
        ProviderKeyMissingError,
        "AWS KMS has no such key; look at its name, the region and the account",
    ),
    "InvalidArnException": (ProviderKeyMissingError, "this is not the ARN of a key of AWS KMS"),
    "DisabledException": (ProviderDeniedError, _DISABLED),
    "KMSInvalidStateException": (
        ProviderKeyMissingError,
        "the state of the key does not allow its use: pending deletion, or without its material",
    ),
    "InvalidKeyUsageException": (ProviderError, _NOT_SYMMETRIC),
    "InvalidCiphertextException": (
        ProviderError,
        f"a wrapped key does not authenticate: damaged, or of another name or id; {RESTORE}",
    ),
    "IncorrectKeyException": (
        ProviderError,
        "another KMS key wrapped it: that of another installation, or an alias was moved",
    ),
    "KeyUnavailableException": (ProviderUnavailableError, "the key is not available; try later"),
    "DependencyTimeoutException": (ProviderTimeoutError, "AWS KMS did not answer in time"),
    "KMSInternalException": (ProviderUnavailableError, _FAULT),
    "ThrottlingException": (ProviderUnavailableError, _BUSY),
    "TooManyRequestsException": (ProviderUnavailableError, _BUSY),
    "LimitExceededException": (ProviderUnavailableError, _BUSY),
    "ExpiredTokenException": (ProviderLoginError, _EXPIRED),
    "ExpiredToken": (ProviderLoginError, _EXPIRED),
    "RequestExpired": (ProviderLoginError, _EXPIRED),
    "UnrecognizedClientException": (ProviderLoginError, _BAD_LOGIN),
    "InvalidClientTokenId": (ProviderLoginError, _BAD_LOGIN),
    "InvalidSignatureException": (ProviderLoginError, _BAD_LOGIN),
    "SignatureDoesNotMatch": (ProviderLoginError, _BAD_LOGIN),
    "IncompleteSignature": (ProviderLoginError, _BAD_LOGIN),
    "MissingAuthenticationToken": (ProviderLoginError, _BAD_LOGIN),
    "AuthFailure": (ProviderLoginError, _BAD_LOGIN),
    "OptInRequired": (ProviderLoginError, _BAD_LOGIN),
}


def outcome(request: Callable[[], Any]) -> Any:
    """Return what a request returns, or the error to raise for it."""
    from botocore import exceptions as known  # noqa: PLC0415 - comes with boto3

    try:
        with _unlogged():
            return request()
    except known.ClientError as error:
        return _refusal(error.response)
    except known.NoRegionError:
        return ProviderError("no AWS region is known: set AWS_DEFAULT_REGION, or give an ARN")
    except (
        known.NoCredentialsError,
        known.PartialCredentialsError,
        known.CredentialRetrievalError,
        known.ProfileNotFound,
        known.SSOError,
        known.TokenRetrievalError,
    ):
        return ProviderLoginError(_NO_LOGIN)
    except (known.ConnectTimeoutError, known.ReadTimeoutError):
        return ProviderTimeoutError("AWS KMS did not answer in time")
    except known.SSLError:
        return ProviderTrustError("the certificate of AWS KMS is not trusted")
    except (known.ConnectionError, known.HTTPClientError):
        return ProviderUnreachableError("AWS KMS cannot be reached")
    except Exception as error:  # noqa: BLE001 - whatever it is, it may show what was sent
        return ProviderError(f"AWS KMS cannot be asked ({type(error).__name__})")


def _refusal(answer: dict[str, Any]) -> ProviderError:
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BY_CODE:
        kind, text = _BY_CODE[code]
        return kind(text)
    if status >= _SERVER_FAULT:
        return ProviderUnavailableError(_FAULT)
    # A gate before KMS, such as a proxy, refuses in words of its own.
    kind = ProviderDeniedError if status == _FORBIDDEN else ProviderError
    return kind(f"AWS KMS refuses the request ({code[:50]!a})")


def state_problem(metadata: dict[str, Any]) -> ProviderError | None:
    """Return why a key cannot be used, from the answer of DescribeKey; None if it can."""
    state = metadata["KeyState"]
    kind = metadata.get("KeySpec", _SYMMETRIC), metadata.get("KeyUsage", _USAGE)
    if kind != (_SYMMETRIC, _USAGE):
        return ProviderError(_NOT_SYMMETRIC)
    if state == "Disabled":
        return ProviderDeniedError(_DISABLED)
    if state in ("PendingDeletion", "PendingReplicaDeletion"):
        return ProviderKeyMissingError(_DELETION)
    if state not in ("Enabled", "Updating"):
        return ProviderUnavailableError(f"the key is not usable: its state is {state[:50]!a}")
    return None


# -- logs

_asking: ContextVar[bool] = ContextVar("sqlalchemy_sealed_asks_kms", default=False)


class _NoDetails(logging.Filter):
    """Drops the debug lines of requests that we make."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log."""
        return record.levelno > logging.DEBUG or not _asking.get()


_no_details = _NoDetails()


@contextmanager
def _unlogged() -> Iterator[None]:
    # A filter counts for the logger that a line is given to, not for those below: each gets it.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("botocore."):
            logging.getLogger(name).addFilter(_no_details)
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)
