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
    │  ├─ AuthenticationError    bytes, key or context differ from what was sealed
    │  └─ DecodingError          it opened, but is not a value of the column's Python type
    ├─ KeystoreError             the place where wrapped keys lie: damaged, unreadable, unsafe
    │  └─ KeystoreConflictError  someone else changed it first: load again and retry
    └─ ProviderError             the KEK provider: wrong root key, unreachable, refused

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


class KeystoreConflictError(KeystoreError):
    """Another process changed the keystore first. Nothing was written."""

    code = "keystore-conflict"


class ProviderError(SealedError):
    """A KEK provider could not wrap or unwrap a key."""

    code = "provider"
