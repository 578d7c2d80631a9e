"""What the reference of the command line says of JSON documents, to compare them with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
_, _, _SECTION = PAGE.read_text().partition("\n## JSON\n")
_ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)


def _named(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", cell)) - {"null"}


def _documents() -> tuple[set[str], dict[str, set[str]]]:
    of_a_key: set[str] = set()
    commands: dict[str, set[str]] = {}
    said: set[str] = set()
    for first, second in _ROW.findall(_SECTION):
        if first.startswith("`sealed "):
            said = said if second == "the same" else _named(second)
            commands[first.strip("`")] = said
        else:
            of_a_key |= _named(first)
    return of_a_key, commands


KEY, DOCUMENTS = _documents()


def assert_documented(command: str, output: str, *, without: Iterable[str] = ()) -> Any:
    """
    Check that a document has the members that the page says, and no others; return it.

    Args:
        command: which one printed it.
        output: the document.
        without: members of things of which there are none this time.
    """
    document = json.loads(output)
    said, found = DOCUMENTS[command] - set(without), set(_members(document))
    assert found in (said, said | KEY)
    return document


def _members(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
    for each in document.values() if isinstance(document, dict) else document:
        if isinstance(each, dict | list):
            yield from _members(each)
