"""KEK provider while the keys of a keystore move from one KEK to another."""

from __future__ import annotations

from ..errors import ProviderError
from ..protocols import KEKProvider


class Moved:
    """
    KEK provider over a new KEK and those before it, of any kinds.

    Keys are wrapped by the new one, and unwrapped by the one that can. `KeyManager.rewrap` with it
    brings all keys of a keystore under the new KEK; rows and keys stay the same. Then nothing needs
    the old KEK any more. So a root key, a passphrase or a key pair is replaced, or a keystore moves
    from a root key to Vault.

    Args:
        new: wraps, and unwraps what it has wrapped.
        old: unwrap what is left.
    """

    def __init__(self, new: KEKProvider, *old: KEKProvider) -> None:
        self.new = new
        self.old = old

    @property
    def remote(self) -> bool:
        """Whether a call of one of them may block."""
        return any(getattr(each, "remote", False) for each in (self.new, *self.old))

    @property
    def can_unwrap(self) -> bool:
        """Whether the new KEK unwraps what it wraps: the public half of one does not."""
        return bool(getattr(self.new, "can_unwrap", True))

    def wrap(self, key: bytes, binding: bytes) -> str:
        """Return *key* wrapped by the new KEK."""
        return self.new.wrap(key, binding)

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderError: none of them unwraps it; or one of them could not be asked, or does not
                allow it, by the subclass for that.
        """
        problems: list[ProviderError] = []
        for provider in (self.new, *self.old):
            try:
                return provider.unwrap(wrapped, binding)
            except ProviderError as error:
                problems.append(error.again())
        for problem in problems:
            if type(problem) is not ProviderError:
                raise problem
        raise ProviderError(
            f"none of {len(problems)} KEK providers unwraps a key: "
            + "; ".join(problem.problem for problem in problems)
        )

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """Return the same key wrapped by the new KEK."""
        return self.new.wrap(self.unwrap(wrapped, binding), binding)

    def version(self) -> str:
        """Return the version of the new KEK."""
        return self.new.version()

    def is_current(self, wrapped: str, version: str) -> bool:
        """Whether it is wrapped under this version of the new KEK; False where that cannot tell."""
        is_current = getattr(self.new, "is_current", None)
        # Two passphrases, or two transit keys, wrap keys that look alike: that tells nothing.
        return bool(
            is_current and is_current(wrapped, version) and wrapped.startswith(f"{version}:")
        ) and version not in [each.version() for each in self.old if type(each) is type(self.new)]

    def __repr__(self) -> str:
        """Return what the providers show of themselves."""
        return f"<Moved to {self.new!r} from {', '.join(map(repr, self.old))}>"
