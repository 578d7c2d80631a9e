"""How far a verification is, in a file, so that one that was stopped or killed can go on."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

from .. import secretfile
from ..errors import ConfigurationError, KeystoreError
from .keytext import bad_rows_of, from_text, text_of_bad_rows, to_text
from .outcome import Key, Outcome

_WHAT = "file of bookmarks"
_SECONDS = 1.0
"""How often it is written."""


class Bookmark:
    """
    The place where one verification of one table is, in a file that may hold those of others.

    It has keys of rows and counts, never a value.

    Args:
        file: where it is. It is made when there is something to write.
        what: which verification it is: database, table and columns.
    """

    def __init__(self, file: Path, what: str) -> None:
        self.file = file
        self.what = what
        self._written = monotonic()

    def found(self) -> tuple[Key | None, Outcome]:
        """
        Return the key of the last row that was looked at, and what was found until there.

        Raises:
            ConfigurationError: the file is none of bookmarks.
        """
        entry = self._entries().get(self.what)
        if entry is None:
            return None, Outcome()
        try:
            outcome = Outcome(
                read=int(entry["read"]), bad=int(entry["bad"]), size=int(entry["size"])
            )
            outcome.bad_rows += bad_rows_of(entry["bad_rows"])
            return from_text(entry["after"]), outcome
        except (KeyError, TypeError, ValueError):
            pass
        raise self._problem()

    def put(self, after: Key, outcome: Outcome, *, now: bool = False) -> None:
        """
        Write how far it is, if it was not written a moment ago.

        Args:
            after: the key of the last row that was looked at.
            outcome: what was found until there, from the first row.
            now: write it at any rate.
        """
        if not now and monotonic() - self._written < _SECONDS:
            return
        entry = {
            "after": to_text(after),
            "read": outcome.read,
            "bad": outcome.bad,
            "size": outcome.size,
            "bad_rows": text_of_bad_rows(outcome.bad_rows),
        }
        self._write(self._entries() | {self.what: entry})
        self._written = monotonic()

    def remove(self) -> None:
        """Forget it: the verification is done. The file goes with its last bookmark."""
        entries = self._entries()
        if entries.pop(self.what, None) is not None and not entries:
            self.file.unlink()
        elif self.file.exists():
            self._write(entries)

    def _entries(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            entries = None
        if not isinstance(entries, dict):
            raise self._problem()
        return entries

    def _write(self, entries: dict[str, Any]) -> None:
        # With the same care as a file of keys: a kill leaves the old one, or the new one.
        try:
            secretfile.replace(self.file, json.dumps(entries, indent=1).encode(), _WHAT)
        except KeystoreError as error:
            problem = ConfigurationError(error.problem, where=error.where)
        else:
            return
        raise problem

    def _problem(self) -> ConfigurationError:
        return ConfigurationError(
            "this is no file of bookmarks of a verification; name another one, or delete it to "
            "begin anew",
            where=str(self.file),
        )
