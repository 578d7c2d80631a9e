"""What PKCS#11 modules answer, as errors of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import (
    ProviderDeniedError,
    ProviderError,
    ProviderLoginError,
    ProviderUnavailableError,
)
from .forms import RESTORE

_BY_NAME: dict[str, tuple[type[ProviderError], str]] = {
    "NoSuchToken": (ProviderUnavailableError, "the module has no token of this label"),
    "TokenNotPresent": (ProviderUnavailableError, "the module has no token of this label"),
    "TokenNotRecognised": (ProviderUnavailableError, "the module does not know the token"),
    "MultipleTokensReturned": (
        ProviderError,
        "the module has more than one token of this label; give each a label of its own",
    ),
    "PinIncorrect": (ProviderLoginError, "the token refuses the PIN"),
    "PinInvalid": (ProviderLoginError, "the token refuses the PIN"),
    "PinLenRange": (ProviderLoginError, "the token refuses the PIN"),
    "PinLocked": (ProviderLoginError, "the token is locked after too many wrong PINs"),
    "PinExpired": (ProviderLoginError, "the PIN has expired"),
    "UserPinNotInitialized": (ProviderLoginError, "the token has no PIN for its user yet"),
    "AnotherUserAlreadyLoggedIn": (ProviderLoginError, "another user is logged in to the token"),
    "UserTooManyTypes": (ProviderLoginError, "too many users are logged in to the token"),
    "KeyTypeInconsistent": (ProviderError, "the key is not one for AES-GCM"),
    "KeySizeRange": (ProviderError, "the key is not one for AES-GCM"),
    "MechanismInvalid": (ProviderError, "the module or the key does not do AES-GCM"),
    "MechanismParamInvalid": (
        ProviderError,
        "the module does not take AES-GCM with a nonce of 12 bytes that is given to it",
    ),
    "FunctionNotSupported": (ProviderError, "the module does not do AES-GCM"),
    "FunctionRejected": (ProviderDeniedError, "the token refuses the use of the key"),
}
_GONE = frozenset(
    {
        "DeviceError",
        "DeviceMemory",
        "DeviceRemoved",
        "FunctionCancelled",
        "HostMemory",
        "KeyHandleInvalid",
        "ObjectHandleInvalid",
        "OperationActive",
        "OperationNotInitialized",
        "SessionClosed",
        "SessionCount",
        "SessionHandleInvalid",
        "SlotIDInvalid",
        "UserNotLoggedIn",
        # Of the library itself, as where it cannot be loaded or was shut down.
        "PKCS11Error",
    }
)


def outcome(request: Callable[[], Any]) -> Any:
    """Return what a request returns, or the error to raise for it."""
    from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415 - an extra

    try:
        return request()
    except ProviderError as error:
        return error.again()
    except PKCS11Error as error:
        name = type(error).__name__
    except (RuntimeError, OSError, ValueError) as error:
        # Loading a library, and texts that cannot be given to it.
        return ProviderUnavailableError(f"the module cannot be used ({type(error).__name__})")
    if name in _GONE:
        return ProviderUnavailableError(
            f"the module cannot be used now ({name}); look at its library and its log"
        )
    if name in _BY_NAME:
        kind, text = _BY_NAME[name]
        return kind(text)
    # Modules report a wrong tag as a general error, or as a function that failed.
    return ProviderError(
        f"the module refuses ({name}): a wrapped key was damaged, or swapped with the key of "
        f"another name or id, or the KEK does not allow this; {RESTORE}"
    )
