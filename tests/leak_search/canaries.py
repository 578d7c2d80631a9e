"""
Canaries: secrets that are easy to recognise, and a search through everything that is written.

What is searched: of an exception its text, arguments, attributes, traceback and pickle, and the
same of every exception behind it; of a log record its message, its arguments and its formatted
text; of an object its `repr`, its `str` and its pickle; warnings; the bytes of files. A secret is
looked for in every form in which it could have been written: as it is, in hexadecimal, in base64.

What is not searched, since it is the application's own memory: the attributes of a mapped object
and their history, `compiled.params` and the values of bound parameters, and the local variables
of a traceback. Nor is what the application writes itself: parameters of textual SQL, errors that
its own types raise and that quote the value.
"""

from __future__ import annotations

import base64
import logging
import pickle
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4


def canary(about: str = "") -> str:
    """Return a text that is nowhere else: letters that no escape changes."""
    return f"CANARY{about}{uuid4().hex}"


def forms(secret: str | bytes) -> set[bytes]:
    """Return the ways in which a secret may be written, also in the middle of something else."""
    data = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    escaped = repr(secret).removeprefix("b").strip("'\"").encode()
    in_base64 = {_base64_middle(data, shift) for shift in range(3)}
    in_base64url = {form.translate(_TO_URL) for form in in_base64}
    in_hex = {data.hex().encode(), data.hex().upper().encode()}
    return {data, escaped} | in_base64 | in_base64url | in_hex


def _base64_middle(data: bytes, shift: int) -> bytes:
    """Return the base64 digits that depend on nothing but *data*, *shift* bytes into a text."""
    encoded = base64.b64encode(bytes(shift) + data)
    return encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(shift + len(data)) % 3]]


_TO_URL = bytes.maketrans(b"+/", b"-_")


@dataclass
class Search:
    """Everything that was written, by the place where it was."""

    written: list[tuple[str, bytes]] = field(default_factory=list)

    def bytes(self, place: str, data: bytes) -> None:
        """Take in bytes, such as those of a file."""
        self.written.append((place, data))

    def text(self, place: str, text: str) -> None:
        """Take in a text."""
        self.bytes(place, text.encode("utf-8", "surrogatepass"))

    def shown(self, *things: object) -> None:
        """Take in what objects show of themselves."""
        for thing in things:
            name = type(thing).__name__
            self.text(f"repr of {name}", repr(thing))
            self.text(f"str of {name}", str(thing))
            self.text(f"format of {name}", f"{thing}")

    def pickled(self, *things: object) -> None:
        """Take in pickles, in every protocol."""
        for thing in things:
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                place = f"pickle {protocol} of {type(thing).__name__}"
                self.bytes(place, pickle.dumps(thing, protocol))

    def exception(self, error: BaseException, *, pickled: bool = True) -> None:
        """Take in an exception and all exceptions behind it."""
        for each in _behind(error):
            name = type(each).__name__
            self.shown(each)
            self.text(f"args of {name}", repr(each.args))
            for attribute, value in vars(each).items():
                self.text(f"{name}.{attribute}", f"{value!r} {value}")
            if pickled:
                self.pickled(each)
        lines = traceback.format_exception(error)
        self.text(f"traceback of {type(error).__name__}", "".join(lines))

    @contextmanager
    def logs_and_warnings(self) -> Iterator[None]:
        """Take in every log record of every logger, and every warning."""
        handler = _Handler(self)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
            for warning in caught:
                self.text("warning", str(warning))
        finally:
            root.setLevel(level)
            root.removeHandler(handler)

    def places(self, *secrets: str | bytes) -> list[str]:
        """Return the places where a secret was written."""
        wanted = [form for secret in secrets for form in forms(secret)]
        return [place for place, data in self.written if any(form in data for form in wanted)]

    def saw(self, text: str) -> bool:
        """Whether a text that is no secret was written: the search looked at the right place."""
        return any(text.encode() in data for _, data in self.written)


class _Handler(logging.Handler):
    def __init__(self, search: Search) -> None:
        super().__init__(logging.NOTSET)
        self.search = search
        self.formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        place = f"log of {record.name}"
        self.search.text(place, self.format(record))
        self.search.text(place, repr(vars(record)))


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes and contexts, and what SQLAlchemy keeps of the original."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        pending += [each.__cause__, each.__context__]
        pending += [value for value in vars(each).values() if isinstance(value, BaseException)]
