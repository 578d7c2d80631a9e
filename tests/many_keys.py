"""Many data keys, wrapped by Vault in few calls, and whether each one is still there."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy_sealed.aead import random_key
from sqlalchemy_sealed.keys import KeyKind, KeyRecord, key_id_of
from sqlalchemy_sealed.protocols import Keystore
from sqlalchemy_sealed.vault.transit import BATCH


def fill(keystore: Keystore, client: Any, mount: str, count: int, names: int = 10) -> None:
    """
    Put new data keys under the transit key "sealed" into a keystore, as those of some key names.

    Args:
        keystore: an empty one.
        client: of hvac.
        mount: where the transit engine is mounted.
        count: how many keys.
        names: how many key names have a share of them.
    """
    material = [random_key() for _ in range(count)]
    made = datetime.now(UTC)
    records = [
        KeyRecord(f"tenant-{n % names}", KeyKind.DATA, n // names + 1, key_id_of(key), "", made)
        for n, key in enumerate(material)
    ]
    items = [
        {"plaintext": _encoded(key), "context": _encoded(record.binding)}
        for key, record in zip(material, records, strict=True)
    ]
    answers = _in_batches(
        items,
        lambda batch: client.secrets.transit.encrypt_data(
            "sealed", "", batch_input=batch, mount_point=mount
        ),
    )
    by_name: dict[str, list[KeyRecord]] = {}
    for record, answer in zip(records, answers, strict=True):
        by_name.setdefault(record.name, []).append(record.with_wrapped(answer["ciphertext"]))
    for some in by_name.values():
        keystore.add(*some)


def stored(keystore: Keystore) -> list[KeyRecord]:
    """Return all records of a keystore."""
    return [record for name in keystore.names() for record in keystore.load(name)]


def request(records: Iterable[KeyRecord]) -> list[dict[str, str]]:
    """Return what Vault is sent of each record to decrypt or rewrap it."""
    return [{"ciphertext": each.wrapped, "context": _encoded(each.binding)} for each in records]


def assert_all_open(records: list[KeyRecord], client: Any, mount: str) -> None:
    """See that Vault unwraps each record to the key of its id."""
    answers = _in_batches(
        request(records),
        lambda batch: client.secrets.transit.decrypt_data(
            "sealed", "", batch_input=batch, mount_point=mount
        ),
    )
    ids = [key_id_of(b64decode(answer["plaintext"])) for answer in answers]
    assert ids == [record.key_id for record in records]


def _in_batches(
    items: list[dict[str, str]], send: Callable[[list[dict[str, str]]], Any]
) -> Iterator[dict[str, str]]:
    for start in range(0, len(items), BATCH):
        yield from send(items[start : start + BATCH])["data"]["batch_results"]


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()
