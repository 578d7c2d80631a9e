"""What is published, and that it is complete."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from email import message_from_bytes
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import alembic_ext
import sqlalchemy_sealed

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DISTRIBUTION = f"sqlalchemy_sealed-{sqlalchemy_sealed.__version__}"
PUBLIC = [
    (module, name)
    for module in (sqlalchemy_sealed, sqlalchemy_sealed.types, alembic_ext)
    for name in module.__all__
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution and the wheel, and return the directory with both."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, bytes]:
    """Return the files of the wheel."""
    with ZipFile(built / f"{DISTRIBUTION}-py3-none-any.whl") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: dict[str, bytes]) -> None:
    """Neither tests nor documentation are installed into the site-packages of others."""
    assert {name.partition("/")[0] for name in wheel} == {
        "alembic_ext",
        "sqlalchemy_sealed",
        f"{DISTRIBUTION}.dist-info",
    }


def test_the_wheel_holds_every_file_of_the_packages(wheel: dict[str, bytes]) -> None:
    """Every module, and every file beside them, is shipped as it is."""
    files = {
        str(file.relative_to(ROOT)): file.read_bytes()
        for package in ("alembic_ext", "sqlalchemy_sealed")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name: wheel.get(name) for name in files} == files


@pytest.mark.parametrize("package", ["sqlalchemy_sealed", "alembic_ext"])
def test_the_wheel_says_that_it_is_typed(wheel: dict[str, bytes], package: str) -> None:
    """Type checkers of applications read our annotations."""
    assert f"{package}/py.typed" in wheel


def test_the_version_comes_from_the_package(wheel: dict[str, bytes]) -> None:
    """The version stands in one place, in the package itself."""
    metadata = message_from_bytes(wheel[f"{DISTRIBUTION}.dist-info/METADATA"])
    assert metadata["Name"] == "sqlalchemy-sealed"
    assert metadata["Version"] == sqlalchemy_sealed.__version__


def test_the_licence_is_shipped(wheel: dict[str, bytes]) -> None:
    """The wheel says MIT, and holds the text."""
    metadata = message_from_bytes(wheel[f"{DISTRIBUTION}.dist-info/METADATA"])
    assert metadata["License-Expression"] == "MIT"
    assert b"Permission is hereby granted" in wheel[f"{DISTRIBUTION}.dist-info/licenses/LICENSE"]


def test_the_command_is_installed(wheel: dict[str, bytes]) -> None:
    """The entry point `sealed` names a function that there is."""
    scripts = ConfigParser()
    scripts.read_string(wheel[f"{DISTRIBUTION}.dist-info/entry_points.txt"].decode())
    assert list(scripts["console_scripts"]) == ["sealed"]
    module, _, function = scripts["console_scripts"]["sealed"].partition(":")
    assert callable(getattr(import_module(module), function))


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    """Those who repackage the library get its tests and its documentation, too."""
    with tarfile.open(built / f"{DISTRIBUTION}.tar.gz") as archive:
        names = set(archive.getnames())
    assert {
        f"{DISTRIBUTION}/{name}"
        for name in ("LICENSE", "README.md", "noxfile.py", "pyproject.toml", "tests/conftest.py")
    } <= names


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_public_name_is_there_and_is_documented(module: Any, name: str) -> None:
    """Whatever `__all__` promises exists, and has a docstring of its own."""
    thing = getattr(module, name)
    if inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing):
        assert vars(thing)["__doc__"] if inspect.isclass(thing) else thing.__doc__


def test_every_test_says_what_it_shows() -> None:
    """Every test function has a docstring: read together, they tell what the library does."""
    silent = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []
