"""
Every error this library raises.

    SealedError
    ├─ ConfigurationError        the program is wrong: fix the code or the settings
    │  ├─ OptionError            an option that does not exist, or a value it cannot have
    │  ├─ NotConfiguredError     a sealer was used before `configure()`
    │  ├─ NoContextError         a type that never met a column has no explicit context
    │  ├─ MissingExtraError      an optional package is not installed
    │  └─ RefusedOperationError  an SQL operation that a sealed column cannot do rightly
    ├─ ValueRefusedError         a value cannot be sealed: wrong Python type, too long, not exact
    ├─ OpenError                 a stored value cannot be opened; one of:
    │  ├─ NotAnEnvelopeError     it is not an envelope (plaintext, truncated, foreign)
    │  ├─ UnknownKeyError        it names a data key that the keystore does not have
    │  ├─ DestroyedKeyError      it names a data key that was destroyed: the value is gone
    │  ├─ DisabledKeyError       it names a data key that is disabled for now
    │  ├─ AuthenticationError    bytes, key or context differ from what was sealed
    │  └─ DecodingError          it opened, but is not a value of the column's Python type
    ├─ KeystoreError             the place where wrapped keys lie: damaged, unreadable, unsafe
    │  ├─ StaleKeysError         not asked for too long: the freshness limit or the cache limit
    │  ├─ ColdKeyError           has to be fetched, and an event loop must not wait
    │  └─ KeystoreConflictError  someone else changed it first: load again and retry
    ├─ ProviderError             the KEK provider: a wrong root key, a damaged wrapped key; or
    │  ├─ ProviderUnavailableError   it cannot answer now; try later
    │  │  ├─ ProviderSealedError     it is up and sealed
    │  │  ├─ ProviderUnreachableError  it cannot be reached
    │  │  └─ ProviderTimeoutError    it did not answer in time
    │  ├─ ProviderTrustError         its certificate is not trusted
    │  ├─ ProviderLoginError         the login failed, or its token has ended
    │  ├─ ProviderDeniedError        it knows us and does not let us do this
    │  └─ ProviderKeyMissingError    it does not have the KEK
    └─ ResealError               a run over the rows of a table was ended by its database

All of them mix in `sqlalchemy.exc.DontWrapMixin`: SQLAlchemy wraps any other exception of a
bind or result processor in a `StatementError` whose text and `params` hold the plaintext.

No message and no attribute holds a value, a key, a nonce or a ciphertext. Messages say what was
wrong, where (table and column, key id) and what to do. `docs/reference/errors.md` has one
section per `code`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sqlalchemy.exc import DontWrapMixin


class SealedError(DontWrapMixin, Exception):
    """
    Superclass of all errors of this library; never raised itself.

    Attributes:
        code: a stable name for programs and for the errors page.
        where: what the error is about: a context label such as `patients.email`, or a file.
        key_id: the key id in hexadecimal (16 digits), where one is involved.
    """

    code: ClassVar[str] = "sealed"

    def __init__(
        self, problem: str, *, where: str | None = None, key_id: str | None = None
    ) -> None:
        super().__init__(problem if where is None else f"{where}: {problem}")
        self.problem = problem
        self.where = where
        self.key_id = key_id

    def at(self, where: str) -> Self:
        """Return the same error said of a place, for callers that know the column."""
        return type(self)(self.problem, where=where, key_id=self.key_id)

    def again(self) -> Self:
        """Return an equal error, for another thread to raise."""
        return type(self)(self.problem, where=self.where, key_id=self.key_id)

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the parts; `args` has them joined already."""
        return _rebuild, (type(self), self.problem, self.where, self.key_id)


def _rebuild(
    cls: type[SealedError], problem: str, where: str | None, key_id: str | None
) -> SealedError:
    return cls(problem, where=where, key_id=key_id)


class ConfigurationError(SealedError):
    """The program or its settings are wrong. Raised as early as possible."""

    code = "configuration"


class OptionError(ConfigurationError):
    """An option that does not exist, or a value that it cannot have."""

    code = "option"


class NotConfiguredError(ConfigurationError):
    """A sealer was used before it was configured."""

    code = "not-configured"


class NoContextError(ConfigurationError):
    """A sealed type was used without a column and without an explicit context."""

    code = "no-context"


class MissingExtraError(ConfigurationError):
    """An optional package is needed and not installed."""

    code = "missing-extra"

    @classmethod
    def named(cls, extra: str, purpose: str) -> MissingExtraError:
        """Return the error that names the extra and the command that installs it."""
        return cls(
            f"{purpose} needs the extra {extra!r}; install it with: "
            f"python -m pip install 'sqlalchemy-sealed[{extra}]'"
        )


class RefusedOperationError(ConfigurationError):
    """
    An SQL operation that would be silently wrong on a sealed column, or store plaintext.

    Raised when the expression is made where that is possible, else before the statement is sent.
    """

    code = "refused-operation"


class ValueRefusedError(SealedError):
    """A value cannot be sealed without losing or changing something."""

    code = "value-refused"


class OpenError(SealedError):
    """A stored value cannot be opened. Raised as one of its subclasses."""

    code = "open"


class NotAnEnvelopeError(OpenError):
    """The stored bytes are not an envelope of a suite known to this version."""

    code = "not-an-envelope"


class UnknownKeyError(OpenError):
    """The envelope names a data key that is not in the keystore."""

    code = "unknown-key"


class DestroyedKeyError(OpenError):
    """The envelope names a data key that was destroyed. Its values can never be opened."""

    code = "destroyed-key"


class DisabledKeyError(OpenError):
    """The envelope names a data key that is disabled. It opens again once the key is enabled."""

    code = "disabled-key"


class AuthenticationError(OpenError):
    """
    The envelope does not authenticate.

    One error for all causes, since they cannot be told apart: the bytes were changed, the value
    was sealed for another context (moved to another column), or the key is another one.
    """

    code = "authentication"


class DecodingError(OpenError):
    """The value opened, but it is not what this column's type writes."""

    code = "decoding"


class KeystoreError(SealedError):
    """A keystore cannot be read or written, or is not safe to use."""

    code = "keystore"


class StaleKeysError(KeystoreError):
    """
    Keystore or KEK provider have not answered for longer than a limit allows.

    Past the freshness limit nothing is sealed, past the cache limit nothing is opened. The message
    names the limit. It ends by itself as soon as they answer.
    """

    code = "stale-keys"


class ColdKeyError(KeystoreError):
    """
    A key is needed that has to be fetched, on the thread of an event loop, which must not wait.

    It is being fetched in the background; call `await sealer.awarm()` at the start.
    """

    code = "cold-key"


class KeystoreConflictError(KeystoreError):
    """Another process changed the keystore first. Nothing was written."""

    code = "keystore-conflict"


class ProviderError(SealedError):
    """A KEK provider could not wrap or unwrap a key."""

    code = "provider"


class ProviderUnavailableError(ProviderError):
    """The KEK provider cannot answer now. Nothing is wrong with the request; try later."""

    code = "provider-unavailable"


class ProviderSealedError(ProviderUnavailableError):
    """The KEK provider is up and sealed, or not initialised."""

    code = "provider-sealed"


class ProviderUnreachableError(ProviderUnavailableError):
    """The KEK provider cannot be reached, or no address is known."""

    code = "provider-unreachable"


class ProviderTimeoutError(ProviderUnavailableError):
    """The KEK provider did not answer in time."""

    code = "provider-timeout"


class ProviderTrustError(ProviderError):
    """The certificate of the KEK provider is not trusted."""

    code = "provider-trust"


class ProviderLoginError(ProviderError):
    """The login failed, or the token has ended and there is no way to get another."""

    code = "provider-login"


class ProviderDeniedError(ProviderError):
    """The KEK provider does not allow this with the login that we have."""

    code = "provider-denied"


class ProviderKeyMissingError(ProviderError):
    """The KEK provider does not have the KEK: it was deleted, or the name is wrong."""

    code = "provider-key-missing"


class ResealError(SealedError):
    """
    A run over the rows of a table cannot go on: its database refused, or was away for too long.

    What was done stays done. The same run, started again, goes on with what is left.
    """

    code = "reseal"
