"""What importing the package brings along."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sqlalchemy_sealed

SERVICES = ["alembic", "boto3", "botocore", "hvac", "pkcs11", "requests"]
DRIVERS = ["aiosqlite", "asyncpg", "psycopg", "pymysql"]
TOOLS = ["click", "rich", "importlib.metadata", "urllib.request", "asyncio.runners", "filelock"]
DIALECTS = [f"sqlalchemy.dialects.{name}" for name in ("mysql", "postgresql", "sqlite")]
CODECS = [f"codecs.{name}" for name in ("binary", "enum", "numbers", "temporal")]
LATER = [
    f"sqlalchemy_sealed.{name}"
    for name in ("environment", "fips", "plan", "ranking", "rewrapping", "scan", *CODECS)
]


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """Return the modules of a new Python after `import sqlalchemy_sealed`, and not before it."""
    program = (
        "import sqlalchemy.orm, sys; before = set(sys.modules); import sqlalchemy_sealed; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return set(done.stdout.decode().split())


def test_the_import_brings_the_types(imported: set[str]) -> None:
    """What was counted is the import of this package, with its types and its cipher."""
    assert {"sqlalchemy_sealed.types.base", "cryptography.hazmat.primitives"} <= imported


@pytest.mark.parametrize("name", [*SERVICES, *DRIVERS, *TOOLS, *DIALECTS, *LATER])
def test_the_import_brings_nothing_that_few_need(imported: set[str], name: str) -> None:
    """Clients of services, drivers, Alembic and the command line come when they are used."""
    assert name not in imported


@pytest.mark.parametrize("name", sqlalchemy_sealed.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Also those that are imported when they are asked for; `dir` tells them all."""
    assert getattr(sqlalchemy_sealed, name) is not None
    assert name in dir(sqlalchemy_sealed)


def test_another_name_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="no attribute 'EncryptedNothing'"):
        sqlalchemy_sealed.EncryptedNothing  # noqa: B018
