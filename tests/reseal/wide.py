"""A program that reseals wide rows, and says how much memory it took: `python -m reseal.wide`."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import sqlalchemy as sa

from sqlalchemy_sealed import LocalRootKey

from .factory import KEYS, ROOT, URL
from .faults import Stage


def main() -> None:
    """Reseal, and print the rows that were written and the most bytes that it grew by."""
    provider = LocalRootKey.from_text(os.environ[ROOT])
    stage = Stage(sa.make_url(os.environ[URL]), Path(os.environ[KEYS]), provider)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary = stage.run(most=5000)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(summary.changed, (after - before) * 1024)  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
