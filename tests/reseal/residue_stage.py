"""
A table of plaintext canaries, its sealing by the engine, and a search through files for canaries.

Each column has canaries of its own, so what is found in a file says of which column it is.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sqlalchemy_sealed import EncryptedString
from sqlalchemy_sealed.reseal import Range, Runner, encrypt_change, moved_table
from sqlalchemy_sealed.types import Encrypted

ROWS = 300
WIDE = 3000
"""Letters of a note: a value of more than some 2000 bytes goes to the TOAST table."""
COLUMNS = ("email", "note", "phone")


@dataclass(frozen=True)
class Stage:
    """
    The table `patients`.

    `email` and `note` are sealed in place, `phone` is sealed into `phone_sealed` and dropped.
    """

    engine: sa.Engine
    mark: str

    @property
    def table(self) -> sa.Table:
        """The table before it was sealed."""
        return sa.Table(
            "patients",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("email", sa.Text()),
            sa.Column("note", sa.Text()),
            sa.Column("phone", sa.Text()),
            sa.Column("phone_sealed", sa.LargeBinary()),
        )

    def canary(self, column: str) -> bytes:
        """Return what each plaintext value of a column begins with."""
        return f"{self.mark}-{column}".encode()

    def fill(self, *, index: bool = True) -> None:
        """Make the table and fill it, with an index over `email`, which MariaDB has for no text."""
        table = self.table
        rows = [
            {
                "id": n,
                "email": f"{self.mark}-email-{n % 7}",
                "note": f"{self.mark}-note-{secrets.token_hex(WIDE // 2)}",
                "phone": f"{self.mark}-phone-{n}",
            }
            for n in range(1, ROWS + 1)
        ]
        with self.engine.begin() as connection:
            table.create(connection)
            if self.engine.dialect.name == "postgresql":
                connection.exec_driver_sql("ALTER TABLE patients ALTER note SET STORAGE EXTERNAL")
            connection.execute(table.insert(), rows)
            if index:
                sa.Index("patients_email", table.c.email).create(connection)
        self.do("ANALYZE TABLE patients" if self._is_mysql else "ANALYZE patients")

    def seal(self) -> None:
        """Seal all columns, and drop the one that was sealed into another."""
        changes = [
            encrypt_change("patients.email", "email", _type("patients.email", "text")),
            encrypt_change("patients.note", "note", _type("patients.note", "text")),
            encrypt_change(
                "patients.phone", "phone_sealed", _type("patients.phone", "binary"), "phone"
            ),
        ]
        with self.engine.connect() as connection:
            moved = moved_table(connection, "patients")
        outcome = Runner(self.engine, moved, changes).pass_over(Range())
        assert (outcome.changed, outcome.bad) == (ROWS, 0)
        self.do("ALTER TABLE patients DROP COLUMN phone")

    def do(self, statement: str) -> Any:
        """Execute a statement outside of a transaction, and return its first value if any."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.exec_driver_sql(statement)
            return result.scalar() if result.returns_rows else None

    @property
    def _is_mysql(self) -> bool:
        return self.engine.dialect.name in ("mysql", "mariadb")

    def in_bytes(self, data: bytes) -> Counter[str]:
        """Count the canaries in the bytes of a file, by column."""
        return Counter({each: n for each in COLUMNS if (n := data.count(self.canary(each)))})

    def in_files(self, files: Iterable[Path]) -> Counter[str]:
        """Count the canaries in files, by column; a file that is gone meanwhile has none."""
        found: Counter[str] = Counter()
        for file in files:
            try:
                found += self.in_bytes(file.read_bytes())
            except FileNotFoundError:
                continue
        return found


def stage(engine: sa.Engine) -> Stage:
    """Return an empty stage with canaries of its own."""
    return Stage(engine, f"CANARY{secrets.token_hex(8)}")


def _type(context: str, storage: Any) -> Encrypted[Any]:
    return EncryptedString(context=context, storage=storage, check=False)
