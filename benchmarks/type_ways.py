"""The ways to store a text that the benchmark of types compares: plain, by hand, ours, others."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from common import sealer
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import LargeBinary, String, Text, TypeDecorator, Unicode, cast, func, type_coerce

from sqlalchemy_sealed import EncryptedString

PLAIN, FLOOR, OURS = "plain String", "AES-GCM by hand", "sqlalchemy-sealed"
BY_HAND = "AES-GCM by hand, process_*_param"
POSTGRESQL, SQLITE = "PostgreSQL", "SQLite"

_KEY = bytes(range(32))
_SECRET = "the secret of this benchmark"


@dataclass
class Way:
    """
    One way to store a text.

    Attributes:
        name: what it is.
        make: makes the type of a column.
        reveal: returns the text of what is read, if that is something else.
        share: the part of the rows that it is timed with; slow ones have fewer.
        databases: where it works.
    """

    name: str
    make: Callable[[], Any]
    reveal: Callable[[Any], str] | None = None
    share: float = 1.0
    databases: tuple[str, ...] = (POSTGRESQL, SQLITE)


class ByHand(TypeDecorator[str]):
    """The floor: random nonce, ciphertext and tag, by the two processors; one fixed key."""

    impl = LargeBinary
    cache_ok = True

    def bind_processor(self, dialect: Any) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        encrypt = AESGCM(_KEY).encrypt

        def process(value: str | None) -> bytes | None:
            if value is None:
                return None
            nonce = os.urandom(12)
            return nonce + encrypt(nonce, value.encode(), None)

        return process

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002
        decrypt = AESGCM(_KEY).decrypt

        def process(value: bytes | None) -> str | None:
            if value is None:
                return None
            return decrypt(value[:12], value[12:], None).decode()

        return process


class ByHandParam(TypeDecorator[str]):
    """The same by the two methods that SQLAlchemy's documentation shows first."""

    impl = LargeBinary
    cache_ok = True
    _aes = AESGCM(_KEY)

    def process_bind_param(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        if value is None:
            return None
        nonce = os.urandom(12)
        return nonce + self._aes.encrypt(nonce, value.encode(), None)

    def process_result_value(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        if value is None:
            return None
        return self._aes.decrypt(value[:12], value[12:], None).decode()


class PgCrypto(TypeDecorator[str]):
    """`pgp_sym_encrypt` on the server, with its own settings."""

    impl = LargeBinary
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return func.pgp_sym_encrypt(cast(type_coerce(bindparam, String), Text), _SECRET)

    def column_expression(self, column: Any) -> Any:
        return func.pgp_sym_decrypt(column, _SECRET, type_=Text)

    def bind_processor(self, dialect: Any) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        return None

    def result_processor(self, dialect: Any, coltype: Any) -> Any:  # noqa: ARG002
        return None


def own() -> list[Way]:
    """Return what needs no other package."""
    sealer("default")
    return [
        Way(PLAIN, String),
        Way(FLOOR, ByHand),
        Way(BY_HAND, ByHandParam),
        Way(OURS, EncryptedString),
    ]


def peers() -> tuple[list[Way], dict[str, str]]:
    """Return the other packages' types, and for each package that is not there why it is not."""
    ways: list[Way] = []
    skipped = {}
    for package, make in (
        ("sqlalchemy-utils", _sqlalchemy_utils),
        ("advanced-alchemy", _advanced_alchemy),
        ("sqlalchemy-encrypted-field", _encrypted_field),
        ("sealed-fields", _sealed_fields),
    ):
        try:
            version(package)
        except PackageNotFoundError:
            skipped[package] = "not installed"
            continue
        ways += make()
    ways.append(Way("pgcrypto, pgp_sym_encrypt", PgCrypto, None, 0.05, (POSTGRESQL,)))
    return ways, skipped


def _sqlalchemy_utils() -> list[Way]:
    from sqlalchemy_utils import StringEncryptedType  # noqa: PLC0415 - perhaps not installed
    from sqlalchemy_utils.types.encrypted import encrypted_type  # noqa: PLC0415

    def way(name: str, engine: str, padding: str | None = None) -> Way:
        kind = getattr(encrypted_type, engine)
        return Way(
            f"sqlalchemy-utils, {name}",
            lambda: StringEncryptedType(Unicode, _SECRET, kind, padding),
        )

    return [
        way("AES-CBC", "AesEngine", "pkcs5"),
        way("AES-GCM", "AesGcmEngine"),
        way("Fernet", "FernetEngine"),
    ]


def _advanced_alchemy() -> list[Way]:
    from advanced_alchemy.types import encrypted_string  # noqa: PLC0415 - perhaps not installed

    def make(backend: str) -> Callable[[], Any]:
        kind = getattr(encrypted_string, backend)
        return lambda: encrypted_string.EncryptedString(key=_SECRET, backend=kind)

    return [
        Way("advanced-alchemy, Fernet", make("FernetBackend")),
        Way("advanced-alchemy, pgcrypto", make("PGCryptoBackend"), None, 0.05, (POSTGRESQL,)),
    ]


def _encrypted_field() -> list[Way]:
    import sqlalchemy_encrypted_field as package  # noqa: PLC0415 - perhaps not installed

    package.configure(base64.b64encode(_KEY).decode())
    return [Way("sqlalchemy-encrypted-field", package.EncryptedText, lambda held: held.decrypt())]


def _sealed_fields() -> list[Way]:
    import sealed_fields  # noqa: PLC0415 - perhaps not installed
    from sealed_fields.sqlalchemy import SealedText  # noqa: PLC0415

    key = base64.urlsafe_b64encode(_KEY).decode().rstrip("=")
    fields = sealed_fields.create_sealed_fields(namespaces={"PII": {"key": key, "version": "v1"}})
    return [Way("sealed-fields", lambda: SealedText(fields))]
