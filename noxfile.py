"""
Checks in environments of their own. `nox` runs those that a change should pass.

    nox -s unit            the fast tests, while working
    nox -s tests-3.12      all tests, on one Python and on each SQLAlchemy
    nox -s tests -- -k x   what stands after `--` goes to pytest
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "typing", "unit", "docs", "package", "tests-3.11"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
PYTHONS = ["3.11", "3.12", "3.13"]
SQLALCHEMYS = ["2.0", "2.1"]


def requirements(*names: str) -> list[str]:
    """Return what the project asks for of the tools of these names."""
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["build-system"]["requires"], *extras["dev"]]
    return [next(line for line in asked if line.startswith(name)) for name in names]


@nox.session(python=PYTHONS)
@nox.parametrize("sqlalchemy", SQLALCHEMYS)
def tests(session: nox.Session, sqlalchemy: str) -> None:
    """Run all tests, on SQLite, PostgreSQL and MariaDB."""
    session.install("-e", ".[test]", f"sqlalchemy~={sqlalchemy}.0")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=["3.11", "3.13"])
@nox.parametrize("sqlalchemy", SQLALCHEMYS)
def drivers(session: nox.Session, sqlalchemy: str) -> None:
    """Run the tests of each driver."""
    session.install("-e", ".[test]", f"sqlalchemy~={sqlalchemy}.0")
    session.run("python", "-m", "pytest", "tests/drivers", *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need no server and no patience."""
    session.install("-e", ".[test]")
    serverless = "not slow and not postgres and not mariadb"
    places = ["tests/unit", "tests/vectors", "tests/property", "tests/test_layers.py"]
    session.run("python", "-m", "pytest", "-m", serverless, *places, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes and for another style than that of the house."""
    session.install(*requirements("ruff"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the packages, and those that applications will see."""
    session.install("-e", ".[test]", *requirements("mypy", "pyright"))
    session.run("mypy", "--strict")
    session.run("mypy", "--strict", "tests/typing")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples of the README and of the documentation."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run every benchmark in its shortest form, to see that it runs. Times are not judged."""
    session.install("-e", ".[bench,test]")
    for file in sorted(Path("benchmarks").glob("bench_*.py")):
        session.run("python", str(file), "--smoke")


@nox.session
def package(session: nox.Session) -> None:
    """Build what is published, and use it in an environment that has nothing else."""
    session.install(*requirements("hatchling"))
    directory = Path(session.create_tmp()).resolve()
    built, clean = directory / "dist", directory / "clean"
    for each in built, clean:
        shutil.rmtree(each, ignore_errors=True)
    session.run("python", "-m", "hatchling", "build", "--directory", str(built))
    (wheel,) = built.glob("*.whl")
    session.run("python", "-m", "venv", str(clean))
    python = str(clean / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    with session.chdir(directory):
        program = "import sqlalchemy_sealed, alembic_ext; print(sqlalchemy_sealed.__version__)"
        session.run(python, "-I", "-c", program, external=True)
    session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli]", external=True)
    session.run(str(clean / "bin" / "sealed"), "--help", external=True)
    session.run(str(clean / "bin" / "sealed"), "--version", external=True)
