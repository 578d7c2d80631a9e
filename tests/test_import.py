"""What importing the package brings along."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVICES = ["alembic", "boto3", "botocore", "hvac", "pkcs11", "requests"]
DRIVERS = ["aiosqlite", "asyncpg", "psycopg", "pymysql"]
TOOLS = ["click", "rich", "importlib.metadata", "urllib.request"]


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


@pytest.mark.parametrize("name", [*SERVICES, *DRIVERS, *TOOLS])
def test_the_import_brings_nothing_that_few_need(imported: set[str], name: str) -> None:
    """Clients of services, drivers, Alembic and the command line come when they are used."""
    assert name not in imported
