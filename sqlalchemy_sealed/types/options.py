"""The options that all sealed types share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypedDict

from ..envelope import MAX_SLOTS
from ..errors import OptionError
from ..given import given
from ..hints import near
from ..index import BlindIndex
from ..match import MatchIndex
from ..padding import MAX_BLOCK, is_block
from ..sealer import DEFAULT, Sealer

STORAGES = ("binary", "text")


class Options(TypedDict, total=False):
    """
    Options of a sealed type.

    Attributes:
        context: what the values are bound to. By default `table.column`, which dies with a
            rename; an explicit label survives it. Columns of equal labels are interchangeable.
        sealer: the name of the sealer whose keys are used, or the sealer; by default "default".
        storage: "binary" (default) or "text", which is a third larger.
        pad: hide the length, by padding to a multiple of this many bytes (2 to 65,536).
        masked: texts are read as `MaskedStr`, whose repr shows nothing. For texts only.
        index: the blind index to search the column by, or several; by default none.
        match: the match index to search parts of texts by; by default none. For texts only.
        check: whether tables made from the metadata get a CHECK constraint that refuses what is
            not an envelope; by default they do.
        plaintext_until: a column that is encrypted in place is read also where it holds plaintext
            yet, to the end of this day in UTC, or until its latch is turned; by default never.
    """

    context: str | None
    sealer: str | Sealer
    storage: Literal["binary", "text"]
    pad: int | None
    masked: bool
    index: BlindIndex | Sequence[BlindIndex] | None
    match: MatchIndex | None
    check: bool
    plaintext_until: date | str | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked options of one type: part of its cache key and of its `repr`."""

    context: str | None = None
    sealer: str = DEFAULT
    storage: str = "binary"
    pad: int | None = None
    masked: bool = False
    index: tuple[BlindIndex, ...] = ()
    match: MatchIndex | None = None
    check: bool = True
    plaintext_until: str | None = None

    @property
    def slots(self) -> int:
        """How many slots the envelopes have."""
        return sum(index.slots for index in self.index)

    def position(self, number: int) -> int:
        """Return the first slot of an index, counted from 0."""
        return sum(index.slots for index in self.index[:number])

    @property
    def is_text(self) -> bool:
        """Whether the column stores the text form."""
        return self.storage == "text"

    @property
    def is_dual(self) -> bool:
        """Whether the column may hold plaintext."""
        return self.plaintext_until is not None

    def arguments(self) -> dict[str, Any]:
        """Return the options that say something other than the default, by name."""
        arguments = given(self)
        if len(self.index) == 1:
            arguments["index"] = self.index[0]
        return arguments


def checked(type_name: str, options: dict[str, Any]) -> Settings:
    """
    Return the options of a type.

    Raises:
        OptionError: an option that does not exist, or a value that it cannot have.
    """
    for name in options:
        if name not in Options.__annotations__:
            hint = near(name, Options.__annotations__)
            raise OptionError(
                f"{type_name} has no option {name!r}{hint} (options: "
                f"{', '.join(sorted(Options.__annotations__))})"
            )
    sealer = options.get("sealer", DEFAULT)
    name = getattr(sealer, "name", sealer)
    until = _day(options.get("plaintext_until"))
    own = {"sealer": name, "index": _indexes(options), "plaintext_until": until}
    settings = Settings(**{**options, **own})
    problem = _problem(settings)
    if problem is not None:
        raise OptionError(f"{type_name}: {problem}")
    return settings


def _indexes(options: dict[str, Any]) -> tuple[Any, ...]:
    index = options.get("index")
    if index is None:
        return ()
    return tuple(index) if isinstance(index, list | tuple) else (index,)


def _day(until: Any) -> Any:
    """Return the text of a date; migrations have no other form of it."""
    is_date = isinstance(until, date) and not isinstance(until, datetime)
    return until.isoformat() if is_date else until


def _problem(settings: Settings) -> str | None:
    if not _is_text(settings.sealer):
        return "sealer must be a name or a Sealer"
    if settings.storage not in STORAGES:
        return f"storage must be one of {', '.join(STORAGES)}"
    if settings.context is not None and not _is_text(settings.context):
        return "context must be a text that is not empty"
    if settings.pad is not None and not is_block(settings.pad):
        return f"pad must be a whole number of bytes from 2 to {MAX_BLOCK}"
    if not isinstance(settings.masked, bool):
        return "masked must be True or False"
    if not isinstance(settings.check, bool):
        return "check must be True or False"
    if not isinstance(settings.match, MatchIndex | None):
        return "match must be a MatchIndex"
    if settings.plaintext_until is not None and not _is_day(settings.plaintext_until):
        return "plaintext_until must be a date, or its text: '2027-01-31'"
    return _index_problem(settings)


def _index_problem(settings: Settings) -> str | None:
    if not all(isinstance(index, BlindIndex) for index in settings.index):
        return "index must be a BlindIndex or a list of them"
    names = [index.name for index in settings.index]
    if len(set(names)) < len(names):
        return "two blind indexes of one column need different names: BlindIndex('name')"
    if settings.slots > MAX_SLOTS:
        return f"the blind indexes take {settings.slots} slots; there are {MAX_SLOTS}"
    return None


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
