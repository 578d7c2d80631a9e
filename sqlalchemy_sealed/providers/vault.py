"""
KEK provider over a transit key of HashiCorp Vault or OpenBao. The KEK never leaves Vault.

Wrapped form: Vault's own, `vault:v<version>:<base64>`. The key is a derived one, and the binding
is its context: a wrapped key that was given to another name or id does not unwrap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..aead import KEY_SIZE
from ..errors import ProviderError
from ..vault.client import Vault
from ..vault.transit import TransitKey


class VaultTransit:
    """
    KEK provider over a transit key, which `sealed vault apply` makes.

    Args:
        vault: the server; by default that of the environment.
        key: the name of the transit key.
        mount: where the transit engine is mounted.

    Unwrapping is one call, of about a millisecond on a near server; wrapping is two, since the
    key is looked at before anything is sent to it. They happen once for a data key and process,
    never for a value. Safe to share between threads, and across a fork.

    Raises:
        OptionError: a name or a mount that Vault could not have.
    """

    remote = True

    def __init__(
        self, vault: Vault | None = None, *, key: str = "sealed", mount: str = "transit"
    ) -> None:
        self.transit = TransitKey(Vault() if vault is None else vault, key, mount)

    def wrap(self, key: bytes, binding: bytes) -> str:
        """
        Return *key* wrapped under the current version of the KEK.

        Raises:
            ProviderError: Vault refuses, or cannot be asked; one subclass for each reason.
        """
        return self.transit.encrypt(key, binding)

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderError: as `wrap`; or the wrapped key was changed, swapped, or made elsewhere.
        """
        key = self.transit.decrypt(wrapped, binding)
        if len(key) != KEY_SIZE:
            raise ProviderError("Vault unwrapped something that is not a key of 32 bytes")
        return key

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """
        Return the same key wrapped under the current version, without seeing it.

        Raises:
            ProviderError: as `unwrap`.
        """
        return next(self.rewrap_many([(wrapped, binding)]))

    def rewrap_many(self, items: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """
        Yield the same keys wrapped under the current version, in few calls.

        Raises:
            ProviderError: as `unwrap`; the error says which item it is. Those before it have
                been yielded.
        """
        return self.transit.rewrap(items)

    def version(self) -> str:
        """
        Return `vault:<mount>/<key>:v<version>`, once the key is one that can be used.

        Raises:
            ProviderError: as `unwrap`.
        """
        return f"vault:{self.transit.mount}/{self.transit.name}:v{self.transit.version()}"

    def is_current(self, wrapped: str, version: str) -> bool:
        """Whether a wrapped key is under the version that `version()` returned."""
        return wrapped.startswith(_start(version))

    def __repr__(self) -> str:
        """Return server and key."""
        return f"VaultTransit({self.transit.vault!r}, key={self.transit.name!r})"


@lru_cache(8)
def _start(version: str) -> str:
    """Return what wrapped keys under a version begin with."""
    return f"vault:{version.rsplit(':', 1)[-1]}:"
