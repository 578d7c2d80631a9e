"""Imports go one way: each layer can be read, tested and audited without the ones above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sqlalchemy_sealed", "alembic_ext")

# A module imports from the rows above its own, and from nothing else of ours. A new module needs
# a place here. `.` stands for sqlalchemy_sealed.
ROWS = """
.errors .locks .hints .columntypes .drivercodes .bytewise
.envelope .context .masked .given .scangrants
.aead .padding .secretfile .scantables .plainform
.keys .scan
.keylife
.protocols .limits .flights .oaep
.vault.address .vault.wire .vault.batches
.vault.auth .vault.failures
.vault.client
.vault.transit
.vault.desired .vault.policies
.vault
.providers .keystores .keystores.book .keystores.fields .keystores.table .keystores.dberrors
.keystores.connecting .keystores.document .keystores.rows .keystores.kvsecrets
.keystores.swapping
.providers.forms
.providers.awserrors .providers.pkcs11errors
.providers.local .providers.passphrase .providers.rsa .providers.awskms .providers.pkcs11
.providers.moved
.providers.vault .keystores.file .keystores.memory .keystores.database .keystores.vaultkv
.locators
.unwrapped
.keycache .keymaking .rewrapping
.keymanager
.keykeeper
.sealing .opening
.sealer
.environment
.codecs.base
.codecs.binary .codecs.enum .codecs.json .codecs.numbers .codecs.temporal .codecs.text
.codecs .normalizers
.index
.guessing .widths .advice .counting .match
.plan
.leaks .algorithms .answers .latches
.types.binding .types.options .types.tracked .types.literals .types.loose .types.ours
.types.parameters .types.token_sql .types.changed
.types.terms .types.processors .types.dual
.types.slots .types.match
.types.search
.types.dual_search
.types.comparison
.types.comparator .types.declaration
.types.match_table .types.match_sql
.types.base .types.companion .types.inlist
.types.catalog .types.json
.types.orm
.types
.guard.kinds .guard.parts
.guard.findings
.guard.expressions .guard.parameters
.guard.selects .guard.assignments
.guard .exact .binaryresults
.ranking .fips
sqlalchemy_sealed
.reseal.psycopgarrays .reseal.forms .reseal.outcome .reseal.pace .reseal.table
.reseal.failures .reseal.models .reseal.unreadable
.reseal.converts
.reseal.changes .reseal.keytext .reseal.retries .reseal.fits
.reseal.pages .reseal.setwise .reseal.bookmark
.reseal.writes .reseal.careful
.reseal.sessions
.reseal.throttle .reseal.run .reseal.proof
.reseal.order
.reseal.alone .reseal.runtables .reseal.verifying .reseal.latching
.reseal.openrun .reseal.moves .reseal.rehearsal
.reseal.claims .reseal.places
.reseal.sharing .reseal.workers .reseal.constraints
.reseal.job .reseal.checks
.reseal.residue_model .reseal.tasks
.reseal.residue_ask
.reseal.residue_pgtable .reseal.residue_pgserver .reseal.residue_sqlite
.reseal.residue_pgcopies .reseal.residue_pgclean .reseal.residue_mariadb
.reseal.residue
.reseal
.testing.inputs .testing.processes
.testing.keystore_suite .testing.provider_suite
.testing
.cli.output .cli.database .cli.column .cli.vaultoptions .cli.demo .cli.demo.model .cli.demo.records
.cli.residue .cli.demo.registry .cli.fips .cli.index .cli.vault .cli.keyoptions .cli.keyviews
.cli.progress
.cli.keystates .cli.rewrap .cli.rotate .cli.resealoptions
.cli.keys .cli.runs .cli.status
.cli.demo.command .cli.reseal
.cli.app
.cli
alembic_ext
alembic_ext.keys_table
alembic_ext.autogenerate
alembic_ext.plugin
"""
HEIGHT = {
    f"sqlalchemy_sealed{name}" if name.startswith(".") else name: height
    for height, row in enumerate(ROWS.split("\n"))
    for name in row.split()
}

NOT_ON_IMPORT = {
    "aiosqlite", "alembic", "alembic_ext", "boto3", "botocore", "click", "hvac", "moto",
    "pkcs11", "psycopg", "pydantic", "pymysql", "pytest", "requests", "rich", "sqlmodel", "tink",
}  # fmt: skip


FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for package in PACKAGES
    for file in (ROOT / package).rglob("*.py")
}
SOURCES = {name: ast.parse(file.read_text()) for name, file in FILES.items()}


def imports(name: str, tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports: modules, and names of modules. Not what is for types only."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                origin = ".".join(filter(None, [_start(name, node.level), node.module]))
                yield from (f"{origin}.{alias.name}" for alias in node.names)
        yield from imports(name, node)


def _start(name: str, level: int) -> str:
    """Return the package that a relative import starts from, or nothing if it is absolute."""
    if level == 0:
        return ""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    return package.rsplit(".", level - 1)[0]


def module_of(imported: str) -> str | None:
    """Return the module of ours that an import reads, if it is one of ours."""
    if imported.partition(".")[0] not in PACKAGES:
        return None
    return imported if imported in SOURCES else imported.rpartition(".")[0]


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("sqlalchemy_sealed.types.base", "from ..codecs import Codec", "sqlalchemy_sealed.codecs"),
        ("sqlalchemy_sealed.types", "from .base import Encrypted", "sqlalchemy_sealed.types.base"),
        ("sqlalchemy_sealed.types", "from .. import leaks", "sqlalchemy_sealed.leaks"),
        ("sqlalchemy_sealed", "from . import errors", "sqlalchemy_sealed.errors"),
        ("sqlalchemy_sealed.keys", "import alembic_ext", "alembic_ext"),
        ("sqlalchemy_sealed.keys", "def f():\n from . import sealer", "sqlalchemy_sealed.sealer"),
    ],
)
def test_an_import_is_seen_however_it_is_written(name: str, source: str, expected: str) -> None:
    """The walk over the sources finds relative, absolute and local imports."""
    assert [module_of(each) for each in imports(name, ast.parse(source))] == [expected]


def test_every_module_has_a_place_in_the_table() -> None:
    """A new module is put into a row, and the row of a module that is gone is cleaned."""
    assert set(SOURCES) == set(HEIGHT)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_imports_only_from_the_rows_above_it(name: str) -> None:
    """No module imports a neighbour or a layer that is built on it."""
    ours = {module for each in imports(name, SOURCES[name]) if (module := module_of(each))}
    assert {module for module in ours if HEIGHT[module] >= HEIGHT[name]} == set()


def test_two_files_touch_the_cipher() -> None:
    """Only aead.py and oaep.py import cryptography, so an auditor has two files to read."""
    users = {
        name
        for name, tree in SOURCES.items()
        if any(each.partition(".")[0] == "cryptography" for each in imports(name, tree))
    }
    assert users == {"sqlalchemy_sealed.aead", "sqlalchemy_sealed.oaep"}


def test_nothing_needs_the_test_kit() -> None:
    """Only the package sqlalchemy_sealed.testing imports pytest, and itself."""
    users = {
        name
        for name, tree in SOURCES.items()
        for each in imports(name, tree)
        if each.partition(".")[0] == "pytest" or each.startswith("sqlalchemy_sealed.testing")
    }
    assert all(name.startswith("sqlalchemy_sealed.testing") for name in users)


def test_the_library_does_without_the_migrations() -> None:
    """The package sqlalchemy_sealed imports neither Alembic nor alembic_ext."""
    users = {
        name
        for name, tree in SOURCES.items()
        for each in imports(name, tree)
        if name.startswith("sqlalchemy_sealed")
        and each.partition(".")[0] in ("alembic", "alembic_ext")
    }
    assert users == set()


def test_importing_the_library_imports_no_extra() -> None:
    """An application pays for the extras that it uses, and for no driver of another database."""
    program = "import sys, sqlalchemy_sealed; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    top_level = {module.partition(".")[0] for module in loaded.split()}
    assert "sqlalchemy_sealed" in top_level
    assert top_level & NOT_ON_IMPORT == set()
