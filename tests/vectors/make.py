"""
Make every vector anew.

Run it in the folder `tests`, as `python -m vectors.make`.

The same files come out each time: nonces are the SHA-256 of the scenario's name. Never seal
real values like that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vectors.failures import failures
from vectors.index_slots import index_slots
from vectors.layout import FOLDER
from vectors.matches import matches
from vectors.rootkey import local_root_key_vectors
from vectors.successes import successes
from vectors.token_failures import token_failures


def files() -> Iterator[tuple[Path, str]]:
    """Return the path, relative to this folder, and the content of every vector file."""
    folders = {
        "envelope": (*successes(), *failures(), *token_failures()),
        "match": matches(),
        "index": index_slots(),
        "local-root-key": local_root_key_vectors(),
    }
    for folder, vectors in folders.items():
        for vector in vectors:
            yield Path(folder, f"{vector.name}.txt"), str(vector)


def main() -> None:
    """Write the files; what is no scenario any more is removed."""
    made = dict(files())
    for path in FOLDER.glob("*/*.txt"):
        if path.relative_to(FOLDER) not in made:
            path.unlink()
    for path, content in made.items():
        (FOLDER / path).parent.mkdir(exist_ok=True)
        (FOLDER / path).write_text(content, encoding="ascii")


if __name__ == "__main__":
    main()
