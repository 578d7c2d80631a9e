"""What came of an operation: rows, our refusal, or an error of somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy_sealed import SealedError


@dataclass(frozen=True)
class Rows:
    """Rows that came back."""

    rows: list[Any]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and _sortable(self.rows) == _sortable(other.rows)

    __hash__ = None  # type: ignore[assignment]


def _sortable(rows: Iterable[Any]) -> list[Any]:
    return sorted(map(repr, rows))


@dataclass(frozen=True)
class Refused:
    """An error of ours."""

    error: SealedError


@dataclass(frozen=True)
class Failed:
    """Any other error."""

    error: Exception


Outcome = Rows | Refused | Failed


def outcome_of(run: Callable[[], Any]) -> Outcome:
    """Run something and return what came of it."""
    try:
        return Rows(list(run()))
    except SealedError as error:
        return Refused(error)
    except Exception as error:
        return Failed(error)


def judge(
    sealed: Outcome, plain: Outcome | Callable[[], Outcome], *, must_be_right: bool = False
) -> str:
    """
    Return what is wrong with an outcome on the sealed side, or nothing.

    Args:
        sealed: the outcome.
        plain: the outcome of the same on the plain twin, or what runs that.
        must_be_right: a refusal is wrong, too.
    """
    if isinstance(sealed, Refused):
        return f"refused: {sealed.error}" if must_be_right else ""
    expected = plain() if callable(plain) else plain
    if isinstance(sealed, Failed):
        # What SQLAlchemy or the database refuses for a plain column need not be refused by us.
        alike = isinstance(expected, Failed) and type(expected.error) is type(sealed.error)
        return "" if alike and not must_be_right else f"failed: {sealed.error!r}, not {expected}"
    return "" if sealed == expected else f"wrong rows: {sealed} instead of {expected}"
