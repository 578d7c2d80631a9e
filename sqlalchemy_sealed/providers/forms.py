"""The text form of wrapped keys, `<scheme>:<fields with colons between them>`, taken apart."""

from __future__ import annotations

from ..envelope import from_text
from ..errors import NotAnEnvelopeError, ProviderError

RESTORE = "restore the keystore from a backup"


def fields(wrapped: str, scheme: str, count: int, maker: str) -> list[str]:
    """
    Return the fields after the scheme.

    Args:
        wrapped: the wrapped key.
        scheme: such as `local:1`.
        count: how many fields there are.
        maker: who wraps keys in this form, for the error: "a local root key".

    Raises:
        ProviderError: another scheme, or another number of fields. The text is not shown.
    """
    if not wrapped.startswith(f"{scheme}:"):
        raise ProviderError(
            f"a wrapped key was not made by {maker}; configure the KEK provider that the "
            "keystore was made with"
        )
    found = wrapped.removeprefix(f"{scheme}:").split(":")
    if len(found) != count:
        raise ProviderError(f"a wrapped key is damaged: not {count} fields; {RESTORE}")
    return found


def decoded(field: str, size: int | None = None) -> bytes:
    """
    Return the bytes of a field.

    Raises:
        ProviderError: not canonical base64url without padding, or not *size* bytes.
    """
    try:
        data = from_text(field)
    except NotAnEnvelopeError:
        pass
    else:
        if size is None or len(data) == size:
            return data
    what = "not canonical base64url" if size is None else f"not {size} bytes of base64url"
    raise ProviderError(f"a wrapped key is damaged: {what}; {RESTORE}")
