"""
Verifying: every value is opened, and nothing is written.

Where the plaintext that it was sealed from is in another column still, both are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import sqlalchemy as sa

from ..envelope import from_text
from ..errors import NotAnEnvelopeError, OpenError, ValueRefusedError
from ..keystores.connecting import shown
from ..types import Encrypted
from ..types.changed import changing
from .bookmark import Bookmark
from .careful import carefully
from .changes import Change
from .order import Job, Summary
from .outcome import BadRow, Key, Outcome
from .pace import SIZE, Pace
from .pages import Range, page
from .retries import Patience
from .sessions import Read, reading
from .table import MovedTable
from .unreadable import Unreadable

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

KIND = "verify"
DIFFERS = "differs"
"""The code of a row whose value opens and is not that of the other column."""


def verify_job(
    table: MovedTable,
    columns: Mapping[str, Encrypted[Any]],
    compared: Mapping[str, str] | None = None,
    bookmark: Bookmark | None = None,
) -> Job:
    """
    Return the job that opens every value of columns.

    Args:
        table: whose columns.
        columns: their types, by name.
        compared: for some of them, the names of columns of the same table that hold the same
            values in plaintext.
        bookmark: says how far it is, if it may be stopped and go on.
    """
    changes: list[Change] = []
    pairs: dict[int, _Compared] = {}
    for name, type_ in columns.items():
        label = f"{table.label}.{name}"
        sealer = (type_.sealer,)
        is_text = type_.settings.is_text
        changes.append(Change(label, name, name, _has_value, _unused, None, is_text, sealer))
    for name, other in (compared or {}).items():
        at = list(columns).index(name)
        inner = columns[name].inner
        is_text = not isinstance(inner, sa.LargeBinary)
        pairs[at] = _Compared(columns[name], f"{table.label}.{other}", len(changes))
        changes.append(
            Change(f"{table.label}.{name}", other, name, _has_value, _unused, inner, is_text)
        )
    runner = partial(Verifier, types=tuple(columns.values()), compared=pairs, bookmark=bookmark)
    return Job(KIND, table, changes, runner=runner, is_repeated=False)


class _Compared:
    """What the values of a sealed column are compared with."""

    def __init__(self, type_: Encrypted[Any], label: str, at: int) -> None:
        self.type = type_
        self.label = label
        self.at = at

    def comparing(self, dialect: Dialect) -> Callable[[Any, Any], bool]:
        """Return the function that says whether an opened value is the plain one."""
        encode, decode = self.type.codec.encode, self.type.codec.decode
        as_sealed = changing(self.type, dialect, lambda value: value)

        def is_same(opened: bytes, plain: Any) -> bool:
            if isinstance(plain, Unreadable):
                raise plain.as_plaintext(self.label)
            value = as_sealed(plain)
            return bool(encode(value) == opened or decode(opened) == value)

        return is_same


class Verifier:
    """
    Goes over the rows of a table and opens their values. Takes the arguments of `Runner`.

    Args:
        types: those of the sealed columns, which the first changes are of.
        compared: for the numbers of some changes, what their values are compared with.
        bookmark: where to begin, if there is something there, and where to say how far it is.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        engine: sa.Engine,
        table: MovedTable,
        changes: Sequence[Change],
        *,
        pace: Pace | None = None,
        tell: Callable[[Outcome], None] | None = None,
        patience: Patience | None = None,
        types: Sequence[Encrypted[Any]],
        compared: Mapping[int, _Compared] | None = None,
        bookmark: Bookmark | None = None,
    ) -> None:
        self.engine = engine
        self.table = table
        self.changes = tuple(changes)
        self.pace = pace or Pace()
        self.patience = patience or Patience()
        self._tell = tell or (lambda _outcome: None)
        self._compared = dict(compared or {})
        self._types = types
        self._bookmark = bookmark
        typed = [n for n, change in enumerate(self.changes) if change.reads is not None]
        self._typed = {n: len(self.changes) + at for at, n in enumerate(typed)}

    def pass_over(self, range_: Range) -> Outcome:
        """Go once over the rows of a range."""
        total, is_done = Outcome(), False
        if self._bookmark is not None:
            found_before = self._bookmark.found()
            if found_before.outcome.read:
                range_ = Range(found_before.after, range_.through)
                found_before.outcome.before = found_before.outcome.read
                total.add(found_before.outcome)
                self._tell(found_before.outcome)
            if found_before.is_done:
                return total
        try:
            with reading(self.engine, self.table, self.changes, self.patience) as read:
                while not self.patience.stop.is_set():
                    started = perf_counter()
                    found = self._page(read, range_)
                    if not found:
                        is_done = True
                        break
                    seen = self._verified(found)
                    self.pace.took(seen.read, seen.size, perf_counter() - started)
                    total.add(seen)
                    range_ = Range(tuple(found[-1][: len(self.table.key)]), range_.through)
                    self._mark(range_.after, total)
                    self._tell(seen)
        finally:
            self._mark(range_.after, total, now=True, is_done=is_done)
        return total

    def _mark(
        self, after: Key | None, total: Outcome, *, now: bool = False, is_done: bool = False
    ) -> None:
        """Say how far it is, if there is a row that was looked at."""
        if self._bookmark is not None and after is not None:
            self._bookmark.put(after, total, now=now, is_done=is_done)

    def _page(self, read: Read, range_: Range) -> Sequence[Any]:
        make = partial(
            page,
            table=self.table,
            changes=self.changes,
            range_=range_,
            size=self.pace.rows,
            all_rows=True,
            limit=SIZE,
        )
        return carefully(read, make)

    def _verified(self, found: Sequence[Any]) -> Outcome:
        """Open the values of a page."""
        seen = Outcome(read=len(found))
        dialect = self.engine.dialect
        width = len(self.table.key)
        for at, type_ in enumerate(self._types):
            change, opened = self.changes[at], _opening(type_)
            compared = self._compared.get(at)
            is_same = None if compared is None else compared.comparing(dialect)
            for row in found:
                stored = row[width + at]
                seen.size += len(stored) if isinstance(stored, bytes | str) else 0
                try:
                    value = None if stored is None else opened(stored)
                    if compared is None or is_same is None:
                        continue
                    plain = row[width + self._typed[compared.at]]
                    problem = _difference(value, plain, is_same, compared.label)
                except (OpenError, ValueRefusedError) as error:
                    seen.blame(BadRow(tuple(row[:width]), change.label, error.code, error.problem))
                    continue
                if problem:
                    seen.blame(BadRow(tuple(row[:width]), change.label, DIFFERS, problem))
        return seen


def _difference(
    opened: bytes | None, plain: Any, is_same: Callable[[Any, Any], bool], label: str
) -> str | None:
    """Return how an opened value differs from the plain one, in words."""
    if opened is None:
        return None if plain is None else f"it is NULL, and {label} is not"
    if plain is None:
        return f"it has a value, and {label} is NULL"
    return None if is_same(opened, plain) else f"it is another value than that of {label}"


def verified(summary: Summary, engine: sa.Engine, columns: Sequence[str]) -> dict[str, Any]:
    """Return the result of a verification as a document, for an audit trail."""
    return {
        "kind": KIND,
        "database": shown(engine.url),
        "time": datetime.now(UTC).isoformat(),
        "table": summary.table,
        "columns": list(columns),
        "rows": summary.read,
        "bad": summary.bad,
        "bad_rows": [asdict(row) | {"key": [str(k) for k in row.key]} for row in summary.bad_rows],
        "seconds": round(summary.seconds, 3),
        "finished": summary.finished,
        "reason": summary.reason,
        "verified": summary.finished and not summary.bad,
    }


def _has_value(
    _connection: sa.Connection, source: sa.ColumnElement[Any], _target: sa.ColumnElement[Any]
) -> sa.ColumnElement[bool]:
    return source.is_not(None)


def _unused(_dialect: Dialect) -> NoReturn:
    raise AssertionError("nothing is written")


def _opening(type_: Encrypted[Any]) -> Callable[[Any], bytes]:
    """Return the function from a stored value to what was sealed, which has to decode, too."""
    opened = type_.sealer.opening(type_.context)
    decode = type_.codec.decode
    is_text = type_.settings.is_text

    def convert(stored: Any) -> bytes:
        if isinstance(stored, Unreadable):
            raise stored.as_sealed()
        plain = opened(_envelope(stored, is_text=is_text))
        decode(plain)
        return plain

    return convert


def _envelope(stored: Any, *, is_text: bool) -> bytes:
    if is_text and isinstance(stored, str):
        return from_text(stored)
    if not is_text and isinstance(stored, bytes | bytearray | memoryview):
        return bytes(stored)
    raise NotAnEnvelopeError(
        f"the stored value is not an envelope: the driver returned {type(stored).__name__}"
    )
