"""
KEK provider over a key of AWS KMS. The KEK never leaves KMS.

Wrapped form: `awskms:1:<base64url of the ciphertext blob>`. The binding is the encryption context,
which KMS authenticates and logs: CloudTrail shows which key of which name was asked for, and a
policy can allow single key names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from ..aead import KEY_SIZE
from ..context import pack
from ..envelope import to_text
from ..errors import MissingExtraError, OptionError, ProviderError
from ..locks import ForkLock
from .awserrors import outcome, state_problem
from .forms import RESTORE, decoded, fields

T = TypeVar("T")

DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for a connection, and for an answer."""
ATTEMPTS = 3
"""How often a request is tried where KMS is busy or does not answer."""
MAX_BLOB = 6144
"""Bytes of a ciphertext blob (API reference of KMS, Decrypt, CiphertextBlob)."""
_SCHEME = "awskms:1"
_ENTRIES = ("purpose", "key-name", "key-kind", "key-id")


class AwsKms:
    """
    KEK provider over a symmetric key of AWS KMS.

    Args:
        key: its ARN, its id, or an alias (`alias/sealed`). The region of an ARN is used.
        connect: returns a boto3 client of KMS, and is called once a process; by default one with
            the settings of the environment.
        timeout: seconds that the default client waits for a connection, and for an answer.

    Wrapping and unwrapping are one call each, once for a data key and process. Only this KMS key
    is used, whatever a wrapped key says. KMS keeps the old versions of a key that it rotates by
    itself. Safe to share between threads, and across a fork.

    Raises:
        MissingExtraError: the extra "aws" is not installed.
        OptionError: no key, or no time.
    """

    remote = True

    def __init__(
        self,
        key: str,
        connect: Callable[[], Any] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        if not isinstance(key, str) or not key:
            raise OptionError("a KMS key is given by its ARN, its id or an alias")
        if not timeout > 0:
            raise OptionError("a timeout is a number of seconds above 0")
        _boto3()
        self.key = key
        self._connect = connect or (lambda: _client(key, timeout))
        self._lock = ForkLock()
        self._connected: tuple[int, Any] = (0, None)

    def wrap(self, key: bytes, binding: bytes) -> str:
        """
        Return *key* wrapped and bound to *binding*.

        Raises:
            ProviderError: KMS refuses, or cannot be asked; one subclass for each reason.
        """
        context = _context(binding)
        return self._ask(
            lambda kms: _wrapped(
                kms.encrypt(KeyId=self.key, Plaintext=key, EncryptionContext=context)
            )
        )

    def unwrap(self, wrapped: str, binding: bytes) -> bytes:
        """
        Return the key.

        Raises:
            ProviderError: as `wrap`; or another KMS key wrapped it, or it was changed or swapped.
        """
        blob, context = _blob(wrapped), _context(binding)
        # Without KeyId, KMS would take any key that this login may use, also one of others.
        key = self._ask(
            lambda kms: bytes(
                kms.decrypt(KeyId=self.key, CiphertextBlob=blob, EncryptionContext=context)[
                    "Plaintext"
                ]
            )
        )
        if len(key) != KEY_SIZE:
            raise self._said("AWS KMS unwrapped something that is not a key of 32 bytes")
        return key

    def rewrap(self, wrapped: str, binding: bytes) -> str:
        """
        Return the same key wrapped under the current version, without seeing it.

        Raises:
            ProviderError: as `unwrap`.
        """
        blob, context = _blob(wrapped), _context(binding)

        def request(kms: Any) -> tuple[str, bool]:
            answer = kms.re_encrypt(
                CiphertextBlob=blob,
                SourceKeyId=self.key,
                SourceEncryptionContext=context,
                DestinationKeyId=self.key,
                DestinationEncryptionContext=context,
            )
            return _wrapped(answer), answer["SourceKeyId"] == answer["KeyId"]

        rewrapped, is_own = self._ask(request)
        if not is_own:
            raise self._said("another KMS key wrapped it")
        return rewrapped

    def version(self) -> str:
        """
        Return `awskms:<ARN>`, once the key was found in a state in which it can be used.

        KMS does not show which version wrapped a key.

        Raises:
            ProviderError: the key is missing, disabled, pending deletion or of another kind; or
                KMS cannot be asked.
        """

        def request(kms: Any) -> tuple[str, ProviderError | None]:
            metadata = kms.describe_key(KeyId=self.key)["KeyMetadata"]
            return f"awskms:{metadata['Arn']}", state_problem(metadata)

        version, problem = self._ask(request)
        if problem is not None:
            raise problem.at(self._where)
        return version

    def is_current(self, wrapped: str, version: str) -> bool:  # noqa: ARG002 - of the protocol
        """Return False: KMS does not show the version, so a rewrap asks it for every key."""
        return False

    @property
    def _where(self) -> str:
        return f"KMS key {self.key!r}"

    def _ask(self, request: Callable[[Any], T]) -> T:
        answer: T | ProviderError = outcome(lambda: request(self._client()))
        if isinstance(answer, ProviderError):
            raise answer.at(self._where)
        return answer

    def _said(self, problem: str) -> ProviderError:
        return ProviderError(problem, where=self._where)

    def _client(self) -> Any:
        with self._lock:
            pid, client = self._connected
            if client is None or pid != os.getpid():
                # The connections of a parent process are not for a child to use.
                client = self._connect()
                self._connected = (os.getpid(), client)
            return client

    def __repr__(self) -> str:
        """Return the key's name."""
        return f"<AwsKms {self.key!r}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, as the client does: it holds credentials."""
        raise TypeError("an AWS KMS provider cannot be pickled")


def _boto3() -> Any:
    try:
        import boto3.session  # noqa: PLC0415 - an extra
    except ImportError:
        pass
    else:
        return boto3
    raise MissingExtraError.named("aws", "AWS KMS")


def _client(key: str, timeout: float) -> Any:
    from botocore.config import Config  # noqa: PLC0415 - comes with boto3

    config = Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    # arn:<partition>:kms:<region>:<account>:<key>
    region = key.split(":")[3] if key.startswith("arn:") and key.count(":") >= 5 else None
    # The default session of boto3 must not be used by two threads at once.
    return _boto3().session.Session().client("kms", region_name=region or None, config=config)


def _context(binding: bytes) -> dict[str, str]:
    """
    Return the encryption context of a binding; another one for each binding.

    The parts of a key record's binding become entries of their own, for people and policies.
    """
    parts = _parts(binding)
    if len(parts) == len(_ENTRIES) and all(parts) and pack(parts) == binding:
        return dict(zip(_ENTRIES, parts, strict=True))
    return {"purpose": "sqlalchemy-sealed binding", "binding": to_text(binding)}


def _parts(binding: bytes) -> list[str]:
    """Return the parts of packed bytes; something else where these are not packed."""
    parts, rest = [], binding
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        parts.append(rest[2:end].decode(errors="replace"))
        rest = rest[end:]
    return parts


def _wrapped(answer: dict[str, Any]) -> str:
    return f"{_SCHEME}:{to_text(bytes(answer['CiphertextBlob']))}"


def _blob(wrapped: str) -> bytes:
    (field,) = fields(wrapped, _SCHEME, 1, "AWS KMS")
    blob = decoded(field)
    if not 0 < len(blob) <= MAX_BLOB:
        raise ProviderError(f"a wrapped key is damaged: {len(blob)} bytes; {RESTORE}")
    return blob
