"""
The command line, `sealed`.

It needs the extra "cli" (click and rich); the library itself needs neither.
"""

from __future__ import annotations

import sys

from ..errors import MissingExtraError


def main() -> None:
    """Run the command line. Exits with 0, with 1 on an error of ours, with 2 on wrong usage."""
    try:
        from .app import app  # noqa: PLC0415 - only the command line needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit(f"sealed: {MissingExtraError.named('cli', 'the command line')}")
    app()
