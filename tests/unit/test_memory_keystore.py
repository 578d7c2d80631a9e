"""The keystore in memory."""

from __future__ import annotations

import pytest

from sqlalchemy_sealed import MemoryKeystore
from sqlalchemy_sealed.testing import KeystoreSuite, record


@pytest.fixture
def store() -> MemoryKeystore:
    """Return an empty keystore."""
    return MemoryKeystore()


class TestMemoryKeystore(KeystoreSuite):
    """It does what every keystore does."""


def test_its_repr_shows_no_record(store: MemoryKeystore) -> None:
    """The number of records is all that is shown."""
    store.add(record())
    assert repr(store) == "<MemoryKeystore records=1>"
