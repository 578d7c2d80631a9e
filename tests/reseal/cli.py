"""What the tests of commands over rows share: an application with keys in files and some rows."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from click.testing import CliRunner, Result
from fix_keys import forget
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sqlalchemy_sealed import configure_from_env, get_sealer
from sqlalchemy_sealed.cli.app import app

from .clinic import Base, Patient, Visit

MODELS = "reseal.clinic:Base"


@dataclass(frozen=True)
class Stage:
    """A database with the tables of the models, as an application left it that has ended."""

    engine: Engine

    @property
    def url(self) -> str:
        """The URL of the database, with its login."""
        return self.engine.url.render_as_string(hide_password=False)

    def command(self, name: str, *arguments: str, models: str = MODELS) -> Result:
        """Run a command as a process does that starts now."""
        forget(get_sealer())
        given = [name, models, *arguments, "--url", self.url]
        return CliRunner().invoke(app, given)

    def document(self, name: str, *arguments: str, **options: Any) -> Any:
        """Run a command with `--json`, and return what it printed."""
        return json.loads(self.command(name, *arguments, "--json", **options).stdout)

    def rotate(self) -> None:
        """Make a new primary, as another process does it."""
        assert CliRunner().invoke(app, ["keys", "rotate"]).exit_code == 0

    def fill(self, rows: int = 20) -> None:
        """Make tables, and rows."""
        Base.metadata.create_all(self.engine)
        self.add(*(Patient(email=f"{n}@example.org", note=f"note {n}") for n in range(rows)))
        self.add(*(Visit(price=n, plain_price=n) for n in range(rows)))

    def add(self, *rows: Any) -> None:
        """Write rows, as an application does."""
        forget(get_sealer())
        configure_from_env()
        with Session(self.engine) as session:
            session.add_all(rows)
            session.commit()

    def sql(self, statement: str) -> Any:
        """Execute a statement as a client without keys would."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement))
            return result.all() if result.returns_rows else None

    def notes(self) -> list[str | None]:
        """Return all notes, as an application that starts now reads them."""
        forget(get_sealer())
        configure_from_env()
        with Session(self.engine) as session:
            return list(session.scalars(sa.select(Patient.note).order_by(Patient.id)))


def program(stage: Stage, *arguments: str) -> list[str]:
    """Return the command line of a process of its own that runs a command."""
    code = "from sqlalchemy_sealed.cli import main; main()"
    return [sys.executable, "-c", code, *arguments, "--url", stage.url]
