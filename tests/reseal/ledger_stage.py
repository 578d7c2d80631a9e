"""The ledger with its keys, and the processes that work on it: commands, and writers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fix_keys import forget

from sqlalchemy_sealed import FileKeystore, LocalRootKey, get_sealer
from sqlalchemy_sealed.keys import Keyset
from sqlalchemy_sealed.reseal import sealed_columns
from sqlalchemy_sealed.reseal.proof import ColumnStatus, status

from .ledger import SHARES, Base, Entry, fill
from .ledger_journal import Journal

MODELS = "reseal.ledger:Base"
WAYS = ("orm", "core")
_SEALED = (sys.executable, "-c", "from sqlalchemy_sealed.cli import main; main()")
_TESTS = Path(__file__).parents[1]


class Ledger:
    """
    A table of some rows, and its keys in a folder.

    Args:
        url: of its database.
        folder: where the keys and the journals of the writers are.
        rows: how many there are at the beginning.
    """

    def __init__(self, url: sa.URL, folder: Path, rows: int) -> None:
        self.folder = folder
        self.rows = rows
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        settings = {k: v for k, v in os.environ.items() if not k.startswith("SEALED_")}
        self._environment = settings | {
            "SEALED_DATABASE_URL": url.render_as_string(hide_password=False),
            "PYTHONPATH": f"{_TESTS}{os.pathsep}{_TESTS.parent}",
        }
        self._commands: list[subprocess.Popen[str]] = []
        self._writers: list[subprocess.Popen[bytes]] = []

    # -- commands

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        command = subprocess.Popen(
            [*_SEALED, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self._environment,
            start_new_session=True,
        )
        self._commands.append(command)
        return command

    def command(self, *arguments: str) -> str:
        """Run a command to its end, which has to be good, and return what it printed."""
        return self.ended(self.start(*arguments))

    def ended(self, process: subprocess.Popen[str]) -> str:
        """Wait for the end of a command, which has to be good; return what it printed."""
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def document(self, name: str, *arguments: str) -> Any:
        """Run a command over the table, and return its document."""
        return json.loads(self.command(name, MODELS, *arguments, "--json"))

    def rotate(self) -> bytes:
        """Make a new primary; return the id of the one before."""
        before = self.keyset.primary.key_id
        self.command("keys", "rotate")
        return before

    # -- keys and rows

    @property
    def keyset(self) -> Keyset:
        """The keys as they are now."""
        keystore = FileKeystore(self.folder / "sealed.keys.json")
        return Keyset("default", keystore.load("default"))

    def fill(self) -> None:
        """Make keys, and the rows."""
        self.command("init")
        with self.opened():
            fill(self.engine, self.rows)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let this process open values meanwhile."""
        sealer = get_sealer()
        sealer.configure(
            keystore=FileKeystore(self.folder / "sealed.keys.json"),
            provider=LocalRootKey.from_file(self.folder / "sealed.root.key"),
            replace=True,
        )
        try:
            yield
        finally:
            forget(sealer)

    @property
    def counts(self) -> ColumnStatus:
        """How the values stand at the moment, as the database counts them."""
        [column] = status(self.engine, sealed_columns(Base), {"default": self.keyset}).columns
        return column

    def sql(self, statement: str) -> list[Any]:
        """Execute a statement, and return its rows."""
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(statement))
            return list(result.all()) if result.returns_rows else []

    # -- writers

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Let writers work meanwhile; in the end each must have found what it had written."""
        before = [self.journal(number).committed for number in range(SHARES)]
        self._writers = [self._writer(number) for number in range(SHARES)]
        try:
            for number, committed in enumerate(before):
                self.until(lambda n=number, c=committed: self.journal(n).committed > c + 5)
            yield
        finally:
            for command in self._commands:  # Of a test that failed.
                if command.poll() is None:
                    kill(command)
            for writer in self._writers:
                writer.terminate()
            codes = [writer.wait() for writer in self._writers]
        assert codes == [0] * SHARES, self._complaints()

    def kill_writer(self, number: int) -> None:
        """Kill one writer, and start it again: it finds out what it had done."""
        self._writers[number].kill()
        self._writers[number].wait()
        self._writers[number] = self._writer(number)

    def journal(self, number: int) -> Journal:
        """Return the journal of a writer."""
        return Journal(self.folder / f"journal-{number}", number, self.rows)

    def until_writers_know(self, primary: bytes) -> None:
        """Wait until each writer seals under a primary."""
        for number in range(SHARES):
            self.until(lambda n=number: self.journal(n).primary == primary.hex())

    def until(
        self, is_so: Callable[[], bool], process: subprocess.Popen[str] | None = None
    ) -> None:
        """Wait until something is so. Writers, and maybe a process, have to live so long."""
        while not is_so():
            assert all(writer.poll() is None for writer in self._writers), self._complaints()
            if process is not None and process.poll() is not None:
                raise AssertionError(f"it ended too early: {process.communicate()[0]}")
            time.sleep(0.05)

    def _writer(self, number: int) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "reseal.ledger_traffic"]
        with (self.folder / f"complaints-{number}").open("ab") as complaints:
            return subprocess.Popen(
                [*program, WAYS[number], str(number), str(self.rows)],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                cwd=self.folder,
                env=self._environment,
            )

    def _complaints(self) -> str:
        return "\n".join(
            (self.folder / f"complaints-{number}").read_text() for number in range(SHARES)
        )

    # -- checks

    def check(self) -> None:
        """Check that each row holds what was written to it last, and was written so often."""
        journals = [self.journal(number) for number in range(SHARES)]
        with self.opened():
            for journal in journals:
                journal.settle(self.engine)
            count, wrong = 0, []
            with self.engine.connect() as connection:
                query = sa.select(Entry.id, Entry.email, Entry.version)
                for id_, *found in connection.execution_options(yield_per=5000).execute(query):
                    count += 1
                    if journals[id_ % SHARES].held(id_) != tuple(found):
                        wrong.append(id_)
        assert not wrong, f"{len(wrong)} rows do not hold what was written: {wrong[:20]}"
        assert count == sum(journal.count for journal in journals)

    def check_proof(self, *old: bytes) -> None:
        """Check what the commands prove: no value is under another key than the primary."""
        self.command("status", MODELS, "--require")
        counts = self.counts
        assert (counts.stale, counts.plaintext, counts.foreign) == (0, 0, 0)
        assert not {label.key_id for label in counts.labels} & set(old)
        [verified] = self.document("verify", "--workers", "2")["tables"]
        assert (verified["bad"], verified["finished"]) == (0, True)
        assert verified["read"] >= counts.current


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a command with all of its processes."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
