"""Which databases a test is run on, and what a keystore in one of them must say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sqlalchemy_sealed.errors import KeystoreError
from sqlalchemy_sealed.keystores.table import TABLE
from sqlalchemy_sealed.testing import record

ON_POSTGRESQL = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
ON_SERVERS = pytest.mark.parametrize(
    "database_url",
    [
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ],
    indirect=True,
)


@contextmanager
def refused(match: str, kind: type[KeystoreError] = KeystoreError) -> Iterator[None]:
    """Expect an error of ours that is about the table, and that quotes nobody."""
    with pytest.raises(KeystoreError, match=match) as caught:
        yield
    error = caught.value
    assert type(error) is kind
    assert error.__cause__ is None
    assert error.__context__ is None
    assert TABLE in str(error.where)
    assert record().wrapped not in str(error)
