"""
Performs the runbook: the commands of its sections, by bash, with the real programs.

In docs/howto/runbook.md, a block of `sh` is what a person types, and a block of `text` after it
what they see. A block of `py` is a program, in the file that its first line names. A drill is a
test that performs all blocks of a section, in their order, in a situation as the section has it.
"""

from __future__ import annotations

import doctest
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "howto" / "runbook.md"
PERFORMED = ("sh", "py")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_SECTION = re.compile(r"^##+ ([^\n]+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """What is done, and what is seen then, if the page says it."""

    language: str
    text: str
    seen: str | None


def sections() -> dict[str, list[Block]]:
    """Return the blocks that are performed, by the heading that they stand under."""
    found = {heading: list(_blocks(text)) for heading, text in _SECTION.findall(PAGE.read_text())}
    return {heading: blocks for heading, blocks in found.items() if blocks}


def _blocks(text: str) -> Iterator[Block]:
    fences = FENCE.findall(text)
    for number, (language, body) in enumerate(fences, start=1):
        after, seen = fences[number] if number < len(fences) else ("", "")
        if language in PERFORMED:
            yield Block(language, body, seen if after == "text" else None)


def queries(page: Path = PAGE) -> list[str]:
    """Return the SQL of a page."""
    return [text for language, text in FENCE.findall(page.read_text()) if language == "sql"]


class Section:
    """
    One section, performed step by step.

    Args:
        heading: which one.
        folder: where it is performed.
        environment: what the shell knows.
    """

    def __init__(self, heading: str, folder: Path, environment: dict[str, str]) -> None:
        self.heading = heading
        self.left = sections()[heading]
        self._folder = folder
        self._environment = environment

    def step(self, *, typed: str = "", code: int = 0, **settings: str) -> str:
        """
        Perform the next block, compare what is seen, and return it.

        Args:
            typed: what the person answers, at a terminal.
            code: the exit code.
            settings: variables of the shell for this block.
        """
        block = self.left.pop(0)
        if block.language == "py":
            name = _FILE_NAME.match(block.text)
            assert name, block.text
            (self._folder / name[1]).write_text(block.text)
            return name[1]
        output = self.command(block.text, typed=typed, code=code, **settings)
        if block.seen is not None:
            same = doctest.OutputChecker().check_output(block.seen, output, _COMPARED)
            assert same, f"{self.heading}: {block.text}{output}"
        return output

    def command(self, text: str, *, typed: str = "", code: int = 0, **settings: str) -> str:
        """Run something in bash, with a terminal to type at, and return what is seen."""
        ours, theirs = pty.openpty()
        with (
            closing(os.fdopen(ours, "wb", buffering=0)) as keyboard,
            closing(os.fdopen(theirs, "rb")) as terminal,
        ):
            keyboard.write(typed.encode())
            done = subprocess.run(
                ["bash", "-eu", "-o", "pipefail", "-c", text],
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=120,
                cwd=self._folder,
                env=self._environment | settings,
            )
        assert done.returncode == code, f"{self.heading}: {text}{done.stdout}"
        return done.stdout
