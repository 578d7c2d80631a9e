"""How far a verification is, in a file, so that one that was stopped or killed can go on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from .. import secretfile
from ..errors import ConfigurationError, KeystoreError, ResealError
from .keytext import bad_rows_of, from_text, text_of_bad_rows, to_text
from .outcome import Key, Outcome

_WHAT = "file of bookmarks"
_SECONDS = 1.0
"""How often it is written."""


@dataclass(frozen=True, slots=True)
class Found:
    """
    How far a verification is.

    Attributes:
        after: the key of the last row that was looked at; None if there was none.
        outcome: what was found until there, from the first row.
        is_done: whether that was the last row of the table.
    """

    after: Key | None
    outcome: Outcome
    is_done: bool


class Bookmark:
    """
    The place where one verification of one table is, in a file that holds those of other tables.

    It has keys of rows and counts, never a value. A file is for one process at a time.

    Args:
        file: where it is. It is made when there is something to write.
        what: which verification it is: database, table and columns.
    """

    def __init__(self, file: Path, what: str) -> None:
        self.file = file
        self.what = what
        self._written = monotonic()

    def found(self) -> Found:
        """
        Return how far it is.

        Raises:
            ConfigurationError: the file is none of bookmarks, others can use it, or there is no
                place for it.
        """
        if not self.file.parent.is_dir():
            raise ConfigurationError(
                "there is no such folder for the file of bookmarks", where=str(self.file.parent)
            )
        entry = _entries(self.file).get(self.what)
        if entry is None:
            return Found(None, Outcome(), is_done=False)
        try:
            outcome = Outcome(
                read=int(entry["read"]), bad=int(entry["bad"]), size=int(entry["size"])
            )
            outcome.bad_rows += bad_rows_of(entry["bad_rows"])
            return Found(from_text(entry["after"]), outcome, entry["done"] is True)
        except (KeyError, TypeError, ValueError, ResealError):
            pass
        raise _problem(self.file)

    def put(
        self, after: Key, outcome: Outcome, *, now: bool = False, is_done: bool = False
    ) -> None:
        """
        Write how far it is, if it was not written a moment ago.

        Args:
            after: the key of the last row that was looked at.
            outcome: what was found until there, from the first row.
            now: write it at any rate.
            is_done: this was the last row. It is kept, so that whoever starts again after another
                table was stopped does not look at this one again.
        """
        if not (now or is_done) and monotonic() - self._written < _SECONDS:
            return
        entry = {
            "after": to_text(after),
            "read": outcome.read,
            "bad": outcome.bad,
            "size": outcome.size,
            "bad_rows": text_of_bad_rows(outcome.bad_rows),
            "done": is_done,
        }
        _write(self.file, _entries(self.file) | {self.what: entry})
        self._written = monotonic()


def forget_done(file: Path) -> None:
    """
    Remove what a file says of tables that are done, when all of a verification are.

    The file goes with its last bookmark.

    Raises:
        ConfigurationError: the file is none of bookmarks.
    """
    entries = _entries(file)
    left = {what: entry for what, entry in entries.items() if not entry.get("done")}
    if left:
        _write(file, left)
    elif entries:
        file.unlink()


def _entries(file: Path) -> dict[str, dict[str, Any]]:
    if not file.exists():
        return {}
    entries: Any = None
    try:
        # With the care for a file of keys: who can change it decides which rows are passed over.
        entries = json.loads(secretfile.read(file, _WHAT))
    except KeystoreError as error:
        problem = ConfigurationError(error.problem, where=error.where)
    except ValueError:
        problem = _problem(file)
    else:
        if isinstance(entries, dict) and all(isinstance(each, dict) for each in entries.values()):
            return entries
        problem = _problem(file)
    raise problem


def _write(file: Path, entries: dict[str, dict[str, Any]]) -> None:
    # A kill leaves the old file, or the new one.
    try:
        secretfile.replace(file, json.dumps(entries, indent=1).encode(), _WHAT)
    except KeystoreError as error:
        problem = ConfigurationError(error.problem, where=error.where)
    else:
        return
    raise problem


def _problem(file: Path) -> ConfigurationError:
    return ConfigurationError(
        "this is no file of bookmarks of a verification; name another one, or delete it to "
        "begin anew",
        where=str(file),
    )
