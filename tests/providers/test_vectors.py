"""Every vector of a wrapped key, read and run: the exact outcome, and the same files again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from providers.vectors.make import FOLDER, files
from vectors.layout import Vector

from sqlalchemy_sealed.errors import ProviderError
from sqlalchemy_sealed.providers.passphrase import Passphrase
from sqlalchemy_sealed.providers.rsa import RsaKey
from sqlalchemy_sealed.testing.inputs import binding_of

KEYS = {
    "expect", "comment", "passphrase", "key-file", "key-name", "key-kind", "key-id", "wrapped",
    "binding", "unwrapped",
}  # fmt: skip
SPECIFICATION = Path(__file__).parents[2] / "docs" / "spec" / "wrapped-keys.md"


def read(path: Path) -> Vector:
    """Return the vector in a file; a line of another form, or an unknown key, is an error."""
    lines = [tuple(line.split(": ", 1)) for line in path.read_text("ascii").splitlines()]
    assert {line[0] for line in lines} <= KEYS
    return Vector(path.stem, tuple(lines))


def read_all(folder: str) -> list[Vector]:
    """Return the vectors of a folder."""
    return [read(path) for path in sorted((FOLDER / folder).glob("*.txt"))]


def named(folder: str) -> pytest.MarkDecorator:
    """Parametrize a test with the vectors of a folder, each under its name."""
    return pytest.mark.parametrize("vector", read_all(folder), ids=lambda vector: vector.name)


def check(vector: Vector, provider: Passphrase | RsaKey) -> None:
    """Check that a wrapped key has its outcome, and no other one."""
    key_id = vector.hex("key-id")
    binding = binding_of(vector.text("key-name"), vector.ascii("key-kind"), key_id)
    wrapped = vector.ascii("wrapped")
    if vector.ascii("expect") == ProviderError.code:
        with pytest.raises(ProviderError):
            provider.unwrap(wrapped, binding)
        return
    assert vector.ascii("expect") == "success"
    assert vector.hex("binding") == binding
    assert provider.unwrap(wrapped, binding) == vector.hex("unwrapped")


@named("passphrase")
def test_a_key_wrapped_by_a_passphrase(vector: Vector) -> None:
    """It unwraps, or is refused, as the vector expects."""
    check(vector, Passphrase(vector.text("passphrase"), iterations=100_000))


@named("rsa")
def test_a_key_wrapped_by_an_rsa_key(vector: Vector) -> None:
    """It unwraps, or is refused, as the vector expects."""
    check(vector, RsaKey((FOLDER / "rsa" / vector.ascii("key-file")).read_bytes()))


@pytest.mark.slow
def test_make_writes_the_committed_files() -> None:
    """The files are exactly those that the generator makes, byte for byte."""
    committed = {
        path.relative_to(FOLDER): path.read_text("ascii") for path in FOLDER.glob("*/*.txt")
    }
    assert committed == dict(files())


def test_the_specification_has_the_keys_and_the_examples() -> None:
    """Its table has a row for each key of a vector file, and its examples are vectors."""
    text = SPECIFICATION.read_text("utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) >= KEYS
    for folder in ("passphrase", "rsa"):
        (example,) = (v for v in read_all(folder) if v.name == "wrapped_data_key")
        assert example.ascii("wrapped") in re.sub(r"\s", "", text)
